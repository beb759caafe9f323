"""A graph's ONNX files: integer, float, QDQ, and how far the QDQ form is from the integers on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_bytes
from edgernn.core.floatnet import FloatNet
from edgernn.core.graph import NetGraph
from edgernn.core.measure import snr_db
from edgernn.exports.onnx import integer_model
from edgernn.exports.onnx_float import float_model, has_float_form
from edgernn.exports.onnx_qdq import form_name, qdq_model
from edgernn.runtimes import make_runtime
from edgernn.runtimes.onnx import OnnxRuntime

QDQ_LEAST_DB = 20.0  #: below this the optimised QDQ model is of no use
Int16 = NDArray[np.int16]


def export_onnx(
    g: NetGraph, folder: Path, net: FloatNet[Any] | None = None, qdq: bool = False, qdq_bits: int = 8
) -> tuple[list[Path], dict[str, Any]]:
    """Write model.onnx, with `net` (whose cells all have a float form) model_float.onnx, with `qdq` model_qdq.onnx.

    Returns the files and a report: `bytes` of each by name; with `qdq` also `qdq_snr_db`, that form's distance from the integer
    model, and `warning` where this host's CPU spoils it.
    """
    models, report = {"model.onnx": integer_model(g)}, dict[str, Any]()
    if net is not None and has_float_form(net):
        models["model_float.onnx"] = float_model(net, g)
    if qdq:
        models["model_qdq.onnx"] = qdq_model(g, qdq_bits)
        distance = qdq_distance(g, qdq_bits)
        report = {"qdq_snr_db": distance, "warning": qdq_warning(distance, qdq_bits)}
    for name, data in models.items():
        write_bytes(Path(folder) / name, data)
    return [Path(folder) / name for name in models], {"bytes": {name: len(data) for name, data in models.items()}, **report}


def qdq_distance(g: NetGraph, weight_bits: int = 8, steps: int = 500) -> dict[str, float]:
    """SNR in dB of the QDQ form's logits in ONNX Runtime against the integer model's, both with their own carried state.

    `as_written` runs the file's operators; `optimised` lets ONNX Runtime rewrite them, which may narrow int16 operands of
    matrix products to int8. The stream is noise with the mean, spread and slow movement of normalised features.
    """
    frames, form = _noise(g, steps * g.frames_per_step), form_name(weight_bits)
    exact = make_runtime("numpy", g).run_features(frames).logits
    levels = {"as_written": "disable_all", "optimised": "enable_all"}
    runs = {name: OnnxRuntime(g, level=level, form=form).run_features(frames) for name, level in levels.items()}
    return {name: round(snr_db(exact, trace.logits), 2) for name, trace in runs.items()}


def qdq_warning(distance: dict[str, float], weight_bits: int) -> str | None:
    """What to tell a user whose CPU spoils the optimised QDQ model; None where it does not."""
    if distance["optimised"] >= QDQ_LEAST_DB or distance["as_written"] < QDQ_LEAST_DB:
        return None
    cure = "" if weight_bits == 7 else "export with --qdq-bits 7, or "
    return (
        f"ONNX Runtime's optimiser leaves {distance['optimised']:g} dB of the QDQ model's {distance['as_written']:g} dB here: "
        "its 8-bit products saturate at 16 bits on x86 with AVX2 but without VNNI; "
        f"{cure}run it at graph optimisation level ORT_DISABLE_ALL"
    )


def _noise(g: NetGraph, frames: int) -> Int16:
    """Features [frames, bands]: white noise through a one-pole filter, variance 1."""
    white = np.random.default_rng(0).normal(size=(frames, g.bands))
    for t in range(1, frames):
        white[t] = 0.6 * white[t - 1] + 0.8 * white[t]
    value = g.values[g.input]
    return np.clip(np.rint(white / value.step), -value.largest, value.largest - 1).astype(np.int16)
