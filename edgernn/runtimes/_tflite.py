"""What the runtimes of TFLite files share: the file of the graph, and the `tf.lite.Interpreter` interface."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from typing import Any

import numpy as np

from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError, extra_command, needs_extra
from edgernn.exports.metadata import FORM_KEY, GRAPH_ID_KEY, Port, input_ports, output_ports
from edgernn.exports.tflite import model_bytes, read_metadata
from edgernn.runtimes._base import Int16
from edgernn.runtimes._step import State, StepRuntime

#: packages that have the interface, the one to prefer first: module, how to install it
INTERPRETERS = {
    "ai_edge_litert": ("ai_edge_litert.interpreter", extra_command("tflite")),
    "tflite_runtime": ("tflite_runtime.interpreter", "pip install tflite-runtime (Python 3.11 or older, NumPy 1)"),
    "tensorflow": ("tensorflow", "pip install tensorflow"),
}


def interpreter_module(package: str) -> Any:
    """The module of a package that defines `Interpreter`."""
    name, install = INTERPRETERS[package]
    try:
        module = importlib.import_module(name)
        # TensorFlow loads its submodule `lite` when the attribute is first read; it cannot be imported by name
        return module if package != "tensorflow" else module.lite
    except ImportError as error:
        raise EdgernnError(f"the package {package} cannot be imported ({error}); {install}") from None


def any_interpreter() -> tuple[str, Any]:
    """The first package that is installed, and its module with `Interpreter`."""
    for package in INTERPRETERS:
        try:
            return package, interpreter_module(package)
        except EdgernnError:
            continue
    raise needs_extra(f"none of {', '.join(INTERPRETERS)} is installed", "tflite")


def checked_file(graph: NetGraph, file: bytes | None) -> bytes:
    """The one-step model of the graph: exported now, or the given bytes if edgernn wrote them for this very graph."""
    if file is None:
        return model_bytes(graph)
    entries = read_metadata(file)
    found = entries.get(GRAPH_ID_KEY)
    if found != graph.id:
        raise EdgernnError(f"the TFLite model was exported from graph {found}, not from {graph.id}; export it again")
    if entries.get(FORM_KEY) != "step":
        raise EdgernnError(f"the TFLite model is of the form {entries.get(FORM_KEY)}; a runtime takes the form step")
    return file


class FileRuntime(StepRuntime):
    """A runtime that runs the exported file; `file_bytes` is its size."""

    def __init__(self, graph: NetGraph, file: bytes | None = None) -> None:
        data = checked_file(graph, file)
        self.file_bytes = len(data)
        self._inputs = [(p, _shape(p)) for p in input_ports(graph)]
        self._outputs = [p.name for p in output_ports(graph)]
        self._load(data)
        super().__init__(graph)

    @abstractmethod
    def _load(self, data: bytes) -> None:
        """Hand the file to the interpreter."""

    @abstractmethod
    def _invoke(self, operands: list[Any]) -> list[Any]:
        """Arrays in the order of the inputs -> arrays in the order of the outputs."""

    def step(self, frames: Int16, state: State) -> tuple[Int16, Int16, State]:
        """Frames [F, bands] and state by the name it is read by -> logits [labels], posteriors [labels], next state."""
        given = {**state, self.graph.input: frames}
        operands = [np.asarray(given[p.value], p.type.dtype).reshape(shape) for p, shape in self._inputs]
        logits, posteriors, *after = self._invoke(operands)
        carried = {p.value: a.reshape(p.type.shape) for (p, _), a in zip(self._inputs[1:], after, strict=True)}
        return logits.ravel(), posteriors.ravel(), carried


def _shape(p: Port) -> tuple[int, int, int, int]:
    rows, columns = p.type.shape
    return 1, rows, 1, columns


class InterpreterRuntime(FileRuntime):
    """A runtime with the `tf.lite.Interpreter` interface."""

    @abstractmethod
    def _interpreter(self, data: bytes) -> Any:
        """The interpreter of the package, given the file's bytes."""

    def _load(self, data: bytes) -> None:
        self._net = self._interpreter(data)
        self._net.allocate_tensors()
        self._from = [d["index"] for d in self._net.get_input_details()]
        self._to = [d["index"] for d in self._net.get_output_details()]

    def _invoke(self, operands: list[Any]) -> list[Any]:
        for index, array in zip(self._from, operands, strict=True):
            self._net.set_tensor(index, array)
        self._net.invoke()
        return [self._net.get_tensor(index) for index in self._to]
