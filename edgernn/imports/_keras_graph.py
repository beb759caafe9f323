"""A Keras model's config: its layers, and the one chain of calls from the features to the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.errors import EdgernnError

#: what the outputs of a recurrent layer are after its first
_STATES = {"GRU": ("h",), "LSTM": ("h", "c"), "SimpleRNN": ("h",)}


@dataclass(frozen=True)
class Layer:
    """One entry of the model's config. own: the class, where it is none of Keras'; inbound: its calls, as Keras writes them."""

    name: str
    kind: str
    config: Mapping[str, Any]
    own: str
    inbound: tuple[Any, ...]

    @property
    def shape(self) -> tuple[Any, ...] | None:
        """The shape an input declares, batch included; None where it declares none."""
        shape = self.config.get("batch_shape", self.config.get("batch_input_shape"))
        return tuple(shape) if isinstance(shape, list) else None


@dataclass(frozen=True)
class Tensor:
    """One output of one call of a layer."""

    layer: str
    call: int
    output: int


@dataclass(frozen=True)
class Call:
    """A layer's place in the chain. inputs: the features it is declared to read, None where nothing is; state: "h" or "c"
    where the next layer reads that state of it instead of its output."""

    layer: Layer
    inputs: Any = None
    state: str = ""


def model_layers(path: Path, model: Any) -> list[Layer]:
    """Every layer in the order of the file."""
    kind = model.get("class_name") if isinstance(model, Mapping) else None
    if kind not in ("Sequential", "Functional", "Model"):
        raise EdgernnError(
            f"{path} holds a model of class {kind!r}; build it as keras.Sequential or from keras.Input, then save"
        )
    config = model.get("config")
    tables = config.get("layers") if isinstance(config, Mapping) else config
    return [make_layer(path, table) for table in (tables if isinstance(tables, list) else [])]


def make_layer(path: Path, table: Any) -> Layer:
    """One entry of a config."""
    config = table.get("config") if isinstance(table, Mapping) else None
    kind = table.get("class_name") if isinstance(table, Mapping) else None
    if not isinstance(config, Mapping) or not isinstance(kind, str):
        raise EdgernnError(f"{path} is damaged: a layer in its config has no class or no settings; save the model again")
    module, registered = (str(table.get(key) or "") for key in ("module", "registered_name"))
    foreign = module and module.split(".")[0] not in ("keras", "tf_keras", "tensorflow")
    own = registered if ">" in registered else kind if ">" in kind else f"{module}.{kind}" if foreign else ""
    inbound = table.get("inbound_nodes")
    calls = tuple(inbound) if isinstance(inbound, list) else ()
    return Layer(str(config.get("name", table.get("name", kind))), kind.rpartition(">")[2], config, own, calls)


def chain_of(path: Path, model: Any, layers: list[Layer]) -> tuple[list[Call], list[str]]:
    """The calls from input to output, and notes on states that edgernn carries itself."""
    if model.get("class_name") == "Sequential":
        width = next((layer.shape[-1] for layer in layers if layer.shape), None)
        first = next((layer for layer in layers if layer.kind != "InputLayer"), None)
        return [Call(layer, width if layer is first else None) for layer in layers], []
    return _Graph(path, layers).chain(_outputs(path, model))


def _outputs(path: Path, model: Any) -> list[Tensor]:
    """The model's outputs, of which Keras writes a single one without brackets around it."""
    found = list(_tensors(model["config"].get("output_layers")))
    if not found:
        raise EdgernnError(f"{path} is damaged: its config names no output; save the model again")
    return found


def _tensors(node: Any) -> Iterator[Tensor]:
    """Every [layer, call, output] in nested lists and tables; Keras 2 and 3 nest them differently."""
    if isinstance(node, Mapping):
        node = list(node.values())
    if not isinstance(node, list):
        return
    if len(node) >= 3 and isinstance(node[0], str) and type(node[1]) is int and type(node[2]) is int:
        yield Tensor(node[0], node[1], node[2])
        node = node[3:]
    for value in node:
        yield from _tensors(value)


class _Graph:
    """A functional model, followed from its answer back to its features."""

    def __init__(self, path: Path, layers: list[Layer]) -> None:
        self.path, self.layers = path, {layer.name: layer for layer in layers}
        self.states: list[str] = []

    def chain(self, outputs: list[Tensor]) -> tuple[list[Call], list[str]]:
        """Calls from input to output, and notes."""
        last = [t for t in outputs if not self._state(t)] or outputs[:1]
        if len(last) != 1:
            shown = ", ".join(repr(t.layer) for t in last)
            raise EdgernnError(f"{self.path} has the outputs {shown}; save it with one, the labels, beside its layers' states")
        calls: list[Call] = []
        tensor: Tensor | None = last[0]
        while tensor is not None:
            if len(calls) > sum(max(1, len(layer.inbound)) for layer in self.layers.values()):
                raise EdgernnError(f"{self.path} is damaged: its layers form a circle; save the model again")
            layer = self._layer(tensor)
            source = self._source(layer, tensor)
            calls.append(Call(layer, self._width(source), self._state(tensor)))
            tensor = source
        self._check_all_used(calls)
        notes = [f"the state {name!r}, an input, is carried by edgernn and starts at zero" for name in sorted(set(self.states))]
        return calls[::-1], notes

    def _check_all_used(self, calls: list[Call]) -> None:
        """No layer stands beside the chain."""
        used = {call.layer.name for call in calls}
        beside = next((x for x in self.layers.values() if x.name not in used and x.kind != "InputLayer"), None)
        if beside is None:
            return
        read = [t.layer for t in _tensors(list(beside.inbound))]
        fork = next((c.layer for c in calls if any(t.layer in read for t in _tensors(list(c.layer.inbound)))), calls[0].layer)
        came = ", ".join(repr(t.layer) for t in _tensors(list(fork.inbound))) or "nothing"
        raise EdgernnError(
            f"{self.path}: the {fork.kind} layer {fork.name!r} reads {came}, beside {beside.name!r}; edgernn imports one chain,"
            " each value read once"
        )

    def _layer(self, tensor: Tensor) -> Layer:
        layer = self.layers.get(tensor.layer)
        if layer is None:
            raise EdgernnError(f"{self.path} is damaged: its config has no layer {tensor.layer!r}; save the model again")
        return layer

    def _state(self, tensor: Tensor) -> str:
        """ "h" or "c" where the tensor is a recurrent layer's state, "" where it is a layer's output."""
        layer = self._layer(tensor)
        kinds = ("", *_STATES.get(layer.kind, ()))
        if not 0 <= tensor.output < len(kinds):
            raise EdgernnError(f"{self.path}: the {layer.kind} layer {layer.name!r} has no output {tensor.output}")
        return kinds[tensor.output]

    def _width(self, source: Tensor | None) -> Any:
        """The features that an input declares."""
        shape = self._layer(source).shape if source is not None else None
        return shape[-1] if shape else None

    def _source(self, layer: Layer, tensor: Tensor) -> Tensor | None:
        """The one value that a call reads as data; None for an input. States of a recurrent layer may be inputs."""
        if layer.kind == "InputLayer":
            return None
        read = list(_tensors(layer.inbound[tensor.call])) if 0 <= tensor.call < len(layer.inbound) else []
        data, states = (read[:1], read[1:]) if layer.kind in _STATES else (read, [])
        if len(data) != 1:
            came = ", ".join(repr(t.layer) for t in data) or "nothing"
            raise EdgernnError(
                f"{self.path}: the {layer.kind} layer {layer.name!r} reads {came}; edgernn imports one chain of layers"
            )
        for state in states:
            if self._layer(state).kind != "InputLayer" or state.layer == data[0].layer:
                raise EdgernnError(
                    f"{self.path}: the {layer.kind} layer {layer.name!r} starts from a state that {state.layer!r} computes;"
                    " edgernn's starts at zero: train it without initial_state, or make the state an input"
                )
            self.states.append(state.layer)
        return data[0]
