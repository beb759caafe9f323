"""What a TFLM project needs around a model: a C array, the signal path's tables, an example, the C sources they need."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_text
from edgernn.denoise.graph import DenoiseGraph
from edgernn.graph import Graph, NetGraph
from firmware_export.emit import c_string, check_prefix, wrapped

#: builtin operator -> its method of MicroMutableOpResolver
RESOLVER_METHODS = {
    "ADD": "AddAdd", "ASSIGN_VARIABLE": "AddAssignVariable", "CALL_ONCE": "AddCallOnce", "CAST": "AddCast",
    "CONCATENATION": "AddConcatenation", "CONV_2D": "AddConv2D", "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "LOGISTIC": "AddLogistic", "MUL": "AddMul", "QUANTIZE": "AddQuantize", "READ_VARIABLE": "AddReadVariable",
    "RESHAPE": "AddReshape",    "SLICE": "AddSlice", "SUB": "AddSub", "TANH": "AddTanh", "VAR_HANDLE": "AddVarHandle",
}  # fmt: skip
_CTYPES = {"int16": "int16_t", "int32": "int32_t", "uint16": "uint16_t"}


@dataclass(frozen=True)
class _Project:
    """What differs between tasks: prefix of the templates, what the outputs after the logits are, C sources, tables."""

    templates: str
    outputs: str
    sources: tuple[str, ...]
    tables: Callable[[Any], dict[str, NDArray[Any]]]


def _spotter_tables(g: Graph) -> dict[str, NDArray[Any]]:
    t = g.tables
    tables = {"window": t.window, "cosine": t.cosine, "mel_start": t.mel_start, "mel_rise": t.mel_rise}
    return {**tables, "thresholds": np.array(g.decision.thresholds, np.int16)}


def _denoiser_tables(g: DenoiseGraph) -> dict[str, NDArray[Any]]:
    return {"window": g.tables.window, "cosine": g.tables.cosine}


_SHARED = ("ern_log.h", "ern_math.h", "ern_check.h")
_SPOTTER = _Project(
    "kws", "posteriors", ("ern_frontend.c", "ern_frontend.h", "ern_decide.c", "ern_decide.h", *_SHARED), _spotter_tables
)
_DENOISER = _Project("denoise", "gains", ("ern_stft.c", "ern_stft.h", *_SHARED), _denoiser_tables)


def write_project(
    g: NetGraph, model: bytes, operators: list[str], arena: int | None, folder: Path, prefix: str, stateful: bool
) -> list[Path]:
    """Write the C array, the example and the C sources they need; returns the files written.

    Where tflite-micro is not installed the arena's size is left out and the example stops the compiler with that reason:
    the model itself is complete, and a guessed size would fail on the device.
    """
    check_prefix(prefix)
    project = _DENOISER if isinstance(g, DenoiseGraph) else _SPOTTER
    values = {
        "g": g, "id": g.id, "p": prefix, "P": prefix.upper(), "form": "stateful" if stateful else "step", "stateful": stateful,
        "history": max(1, g.history_samples), "arena": arena, "outputs": project.outputs,
        "model": np.frombuffer(model, np.uint8), "feature": f"int{g.affine.bits}_t", "arrays": _arrays(g, project),
        "state_bytes": sum(np.dtype(v.dtype).itemsize * v.shape[0] * v.shape[1] for v in (g.values[s.read] for s in g.states)),
        # a net without recurrence or history has nothing to carry, one with variables carries it inside
        "loose": bool(g.states) and not stateful,
        "operators": [RESOLVER_METHODS[name] for name in operators],
    }  # fmt: skip
    texts = {"model_tflite.h": "model.h", "model_tflite.cc": "model.cc", "main.cc": "main.cc"}
    for name, template in texts.items():
        write_text(folder / name, _template(f"{project.templates}_{template}.jinja").render(values))
    runtime = Path(str(files("firmware_export") / "runtime"))
    for name in project.sources:
        shutil.copyfile(runtime / name, folder / name)
    return [folder / name for name in (*texts, *project.sources)]


def _arrays(g: NetGraph, project: _Project) -> list[tuple[str, str, NDArray[Any]]]:
    """(C type, name, numbers) of the tables around the net."""
    tables = {**project.tables(g), "offset": g.affine.offset, "gain": g.affine.gain}
    return [(_CTYPES[str(array.dtype)], name, array) for name, array in tables.items()]


def _template(name: str) -> Any:
    import jinja2

    loader = jinja2.PackageLoader("edgernn.export", "templates")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["numbers"] = lambda array: wrapped(str(int(v)) for v in array)
    environment.filters["cstring"] = c_string
    environment.filters["comment"] = lambda text: re.sub(r"[^ -~]|\*/|\\$", "_", text)
    return environment.get_template(name)
