"""What a TFLM project needs around a model: a C array, the signal path's tables, an example, the C sources they need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import text_bytes, write_all
from edgernn.core.graph import NetGraph
from edgernn.tasks import task_of
from firmware_export.emit import check_prefix, runtime_files, template

#: builtin operator -> its method of MicroMutableOpResolver
RESOLVER_METHODS = {
    "ADD": "AddAdd", "ASSIGN_VARIABLE": "AddAssignVariable", "CALL_ONCE": "AddCallOnce", "CAST": "AddCast",
    "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D", "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "LOGISTIC": "AddLogistic", "MUL": "AddMul", "QUANTIZE": "AddQuantize", "READ_VARIABLE": "AddReadVariable",
    "RESHAPE": "AddReshape",    "SLICE": "AddSlice", "SUB": "AddSub", "TANH": "AddTanh", "VAR_HANDLE": "AddVarHandle",
}  # fmt: skip
_CTYPES = {"int16": "int16_t", "int32": "int32_t", "uint16": "uint16_t"}
_SHARED = ("ern_log.h", "ern_math.h", "ern_check.h")


#: of the files that are named like the prefix: suffix and skeleton
_TEXTS = {"tflite.h": "model.h", "tflite.cc": "model.cc", "main.cc": "main.cc"}


def write_project(
    g: NetGraph, model: bytes, operators: list[str], arena: int | None, folder: Path, prefix: str, stateful: bool
) -> list[Path]:
    """Write the C array, the example and the C sources they need; returns the files written.

    Where tflite-micro is not installed the arena's size is left out and the example stops the compiler with that reason:
    the model itself is complete, and a guessed size would fail on the device.
    """
    task = task_of(g)
    prefix = prefix or task.c.prefix
    check_prefix(prefix)
    sources = task.c.tflm_sources
    values = {
        "g": g, "id": g.id, "p": prefix, "P": prefix.upper(), "form": "stateful" if stateful else "step", "stateful": stateful,
        "arena": arena, "model": np.frombuffer(model, np.uint8), "feature": f"int{g.affine.bits}_t",
        "arrays": [(_CTYPES[str(a.dtype)], name, a) for name, a in _tables(g).items()],
        "state_bytes": sum(np.dtype(v.dtype).itemsize * v.shape[0] * v.shape[1] for v in (g.values[s.read] for s in g.states)),
        # a net without recurrence or history has nothing to carry, one with variables carries it inside
        "loose": bool(g.states) and not stateful,
        "operators": [RESOLVER_METHODS[name] for name in operators],
        "sources": [name for name in sources if name.endswith(".c")], "task_template": task.template().name,
    }  # fmt: skip
    contents = {
        folder / f"{prefix}_{name}": text_bytes(template(task, f"tflm/{skeleton}.jinja").render(values))
        for name, skeleton in _TEXTS.items()
    }
    runtime = runtime_files(folder)
    return write_all({**contents, **{folder / name: runtime[folder / name] for name in (*sources, *_SHARED)}})


def _tables(g: NetGraph) -> dict[str, NDArray[Any]]:
    """The arrays around the net, by name: the signal path's tables, its affine, what the task decides by."""
    tables = {name.split(".")[1]: a for name, a in g.task_tensors().items()}
    return {**tables, "offset": g.affine.offset, "gain": g.affine.gain, **task_of(g).arrays(g)}
