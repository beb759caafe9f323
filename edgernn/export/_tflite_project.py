"""What a TFLM project needs around a model: a C array, the front end's tables, the decision's parameters, an example."""

from __future__ import annotations

import re
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_text
from edgernn.graph import Graph
from firmware_export.emit import c_string, check_prefix, wrapped

#: builtin operator -> its method of MicroMutableOpResolver
RESOLVER_METHODS = {
    "ADD": "AddAdd", "ASSIGN_VARIABLE": "AddAssignVariable", "CALL_ONCE": "AddCallOnce", "CAST": "AddCast",
    "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D", "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "LOGISTIC": "AddLogistic", "MUL": "AddMul", "QUANTIZE": "AddQuantize", "READ_VARIABLE": "AddReadVariable",
    "RESHAPE": "AddReshape",    "SLICE": "AddSlice", "SUB": "AddSub", "TANH": "AddTanh", "VAR_HANDLE": "AddVarHandle",
}  # fmt: skip
_TEXTS = ("model_tflite.h", "model_tflite.cc", "main.cc")
#: the project's own front end and decision stage
_SOURCES = ("ern_frontend.c", "ern_frontend.h", "ern_decide.c", "ern_decide.h", "ern_log.h", "ern_math.h", "ern_check.h")
_CTYPES = {"int16": "int16_t", "uint16": "uint16_t"}


def write_project(
    g: Graph, model: bytes, operators: list[str], arena: int | None, folder: Path, prefix: str, stateful: bool
) -> list[Path]:
    """Write the C array, the example and the C sources they need; returns the files written.

    Where tflite-micro is not installed the arena's size is left out and the example stops the compiler with that reason:
    the model itself is complete, and a guessed size would fail on the device.
    """
    check_prefix(prefix)
    values = {
        "g": g, "id": g.id, "p": prefix, "P": prefix.upper(), "form": "stateful" if stateful else "step", "stateful": stateful,
        "history": max(1, g.frontend.window - g.frontend.hop), "arena": arena,
        "model": np.frombuffer(model, np.uint8), "feature": f"int{g.affine.bits}_t", "arrays": _arrays(g),
        "state_bytes": sum(np.dtype(v.dtype).itemsize * v.shape[0] * v.shape[1] for v in (g.values[s.read] for s in g.states)),
        # a net without recurrence or history has nothing to carry, one with variables carries it inside
        "loose": bool(g.states) and not stateful,
        "operators": [RESOLVER_METHODS[name] for name in operators],
    }  # fmt: skip
    for name in _TEXTS:
        write_text(folder / name, _template(f"{name}.jinja").render(values))
    runtime = Path(str(files("firmware_export") / "runtime"))
    for name in _SOURCES:
        shutil.copyfile(runtime / name, folder / name)
    return [folder / name for name in (*_TEXTS, *_SOURCES)]


def _arrays(g: Graph) -> list[tuple[str, str, NDArray[Any]]]:
    """(C type, name, numbers) of the tables of the front end and of the decision stage."""
    t, a = g.tables, g.affine
    tables = {"window": t.window, "cosine": t.cosine, "mel_start": t.mel_start, "mel_rise": t.mel_rise}
    tables |= {"offset": a.offset, "gain": a.gain, "thresholds": np.array(g.decision.thresholds, np.int16)}
    return [(_CTYPES[str(array.dtype)], name, array) for name, array in tables.items()]


def _template(name: str) -> Any:
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["numbers"] = lambda array: wrapped(str(int(v)) for v in array)
    environment.filters["cstring"] = c_string
    environment.filters["comment"] = lambda text: re.sub(r"[^ -~]|\*/|\\$", "_", text)
    return environment.from_string((files("edgernn.export") / "templates" / name).read_text())
