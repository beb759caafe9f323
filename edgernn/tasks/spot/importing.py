"""A run folder from somebody else's trained model: recipe.json, model.safetensors and, where the recipe names any, data/.

The contract with the model: one step reads one log-mel frame of edgernn's front end, in units of log2 (SPEC.md, 5.2: L
over 512), either as it is or per band as (log2 - mean) / deviation. Everything after that is the pipeline's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import made_folder, read_json
from edgernn.core.affine import FEATURE_LIMIT, LEAST_DEVIATION
from edgernn.core.cell import Floats
from edgernn.data.corpus import UNKNOWN
from edgernn.data.paths import expanded
from edgernn.data.sources import prepare
from edgernn.errors import EdgernnError
from edgernn.imports import read_model
from edgernn.imports._base import Imported, decoding
from edgernn.runs import CHECKPOINT, keep_recipe, load_data, recipe_values, refuse_another
from edgernn.signal.log2 import LOG_FRACTION_BITS
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.spot.clips import SILENCE
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe

Progress = Callable[[str, int, int], None]
LOUDEST_LOG2 = 59.0  #: no band's log2 energy exceeds it (SPEC.md, 5.3)
NEVER = -12.0  #: the lowest logit: the label of an output that the model does not have
_Q9 = float(1 << LOG_FRACTION_BITS)
_LEAST_LOG2 = LEAST_DEVIATION / _Q9


def import_model(
    model: Path, recipe: str, labels: Sequence[str], folder: Path, progress: Progress, normalization: Path | None = None,
    layers: str = "", check: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Make `folder` a run folder that holds the model, ready for `edgernn quantize`.

    recipe: a file or the name of one that comes along; its layers are replaced by the model's. labels: what the model's
    outputs mean, in the model's order: the recipe's keywords, and "unknown" and "silence" where it has them.
    normalization: JSON with `mean` and `deviation`, a number or one a band, in log2 units; None: the model reads log2
    energies as they are. layers: for PyTorch, what a state dict cannot tell (`edgernn.imports.torch`). check: .npz with
    inputs x [N, T, inputs] of the model and its outputs y [N, T, labels] or, of the last step, [N, labels].
    Raises EdgernnError before anything is written when the model does not fit the recipe or fails the check.
    """
    imported = read_model(model, layers)
    resolved, notes = _recipe(recipe, imported, labels)
    _check_sizes(model, imported, resolved, labels)
    tables, bands = make_tables(resolved.frontend), resolved.frontend.bands
    digest = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    source = {"imported": Path(model).name, "sha256": digest}
    net = SpotNet(resolved, tuple(labels), tables, np.zeros(bands), np.ones(bands), imported.weights, source)
    difference, checked = _difference(net, imported, check) if check else (None, [])
    net = _folded(net) if normalization is None else _normalized(net, normalization)
    net, told = _arranged(net, resolved.data.keywords)
    refuse_another(resolved, folder)
    with made_folder(folder):  # nothing is left where the recordings cannot be read
        dataset, missing = _data(resolved, folder, progress)
        keep_recipe(resolved, folder)
        net.save(folder / CHECKPOINT)
    return {
        "checkpoint": str(folder / CHECKPOINT), "parameters": sum(w.size for w in net.weights.values()),
        "layers": resolved.to_dict()["layers"], "labels": list(net.labels), "output": imported.output,
        "largest_difference": difference, "dataset": dataset, "notes": [*imported.notes, *checked, *notes, *told, *missing],
    }  # fmt: skip


def _recipe(where: str, imported: Imported, labels: Sequence[str]) -> tuple[SpotRecipe, list[str]]:
    """The user's recipe with the model's layers, and keywords from the labels where it names none."""
    values, _ = recipe_values(where)
    notes = ["the recipe's own layers are replaced by the model's"] if "layers" in values else []
    layers = [{"cell": x.cell, **x.options} for x in imported.layers]
    recipe = make_recipe({**values, "layers": layers}, where)
    if not isinstance(recipe, SpotRecipe):
        raise EdgernnError(f"the recipe {where} is not a keyword spotter's; only those take models from elsewhere")
    if not recipe.data.keywords:
        keywords = tuple(x for x in labels if x not in (UNKNOWN, SILENCE))
        recipe = replace(recipe, data=replace(recipe.data, keywords=keywords))
    return recipe, notes


def _check_sizes(model: Path, imported: Imported, recipe: SpotRecipe, labels: Sequence[str]) -> None:
    bands, keywords = recipe.frontend.bands, recipe.data.keywords
    if imported.n_in != bands:
        raise EdgernnError(
            f"{model} takes {imported.n_in} inputs a step, but the recipe's front end gives frontend.bands = {bands};"
            f" set frontend.bands = {imported.n_in}, or train the model on {bands} bands"
        )
    if imported.n_out != len(labels):
        raise EdgernnError(f"{model} has {imported.n_out} outputs, but {len(labels)} labels were given: {', '.join(labels)}")
    wrong = [x for x in labels if x not in (*keywords, UNKNOWN, SILENCE)] or [x for x in keywords if x not in labels]
    wrong = wrong or [x for x in labels if labels.count(x) > 1]
    if wrong or not keywords:
        raise EdgernnError(
            f"label {wrong[0] if wrong else ''!r} does not fit: labels are each keyword of the recipe"
            f" ({', '.join(keywords)}) once, and {UNKNOWN!r} and {SILENCE!r} where the model has outputs for them"
        )


# Input ----------------------------------------------------------------------------


def _normalized(net: SpotNet, path: Path) -> SpotNet:
    """With the user's mean and deviation, in log2 units."""
    values = read_json(path)
    mean, deviation = (_per_band(path, values, key, net.recipe.frontend.bands) for key in ("mean", "deviation"))
    if deviation.min() < _LEAST_LOG2:
        raise EdgernnError(f"{path}: deviation {deviation.min():g} is too small; edgernn resolves {_LEAST_LOG2:g} (log2 units)")
    if mean.min() < 0 or mean.max() >= 64:
        raise EdgernnError(
            f"{path}: mean {mean.min():g} to {mean.max():g} lies outside 0 to 64; give log2 of the band energies"
        )
    return replace(net, mean=mean * _Q9, deviation=deviation * _Q9)


def _per_band(path: Path, values: Any, key: str, bands: int) -> NDArray[np.float64]:
    if not isinstance(values, Mapping) or key not in values:
        raise EdgernnError(f'{path} has no {key!r}; write {{"mean": [...], "deviation": [...]}}, one number a band')
    try:
        given = np.asarray(values[key], np.float64)
    except (TypeError, ValueError):
        raise EdgernnError(f"{path}: {key!r} must be a number or a list of numbers") from None
    if given.shape not in ((), (bands,)) or not np.isfinite(given).all():
        raise EdgernnError(f"{path}: {key!r} has shape {given.shape}; give one finite number, or {bands} of them, one a band")
    return np.array(np.broadcast_to(given, (bands,)))


def _folded(net: SpotNet) -> SpotNet:
    """For a model of plain log2 energies: a fixed affine that spans all of them, and its inverse in the first layer."""
    low = float(net.recipe.frontend.floor_log2)
    middle, unit = (low + LOUDEST_LOG2) / 2, (LOUDEST_LOG2 - low) / (2 * FEATURE_LIMIT)
    first = net.layers[0].name
    matrix, bias = (f"{first}.{k}" for k in (("weight_ih", "bias_ih") if net.layers[0].cell.recurrent else ("weight", "bias")))
    w = net.weights[matrix].astype(np.float64)
    shifted = net.weights[bias] + middle * w.reshape(len(w), -1).sum(1)
    weights = {**net.weights, matrix: (w * unit).astype(np.float32), bias: shifted.astype(np.float32)}
    bands = net.recipe.frontend.bands
    return replace(net, mean=np.full(bands, middle * _Q9), deviation=np.full(bands, unit * _Q9), weights=weights)


# Output ---------------------------------------------------------------------------


def _arranged(net: SpotNet, keywords: Sequence[str]) -> tuple[SpotNet, list[str]]:
    """Outputs in edgernn's order: keywords, "unknown", "silence"."""
    notes, labels, weight, bias = [], list(net.labels), net.weights["head.weight"], net.weights["head.bias"]
    if UNKNOWN not in labels:
        notes = [
            f"the model has no output {UNKNOWN!r}: edgernn adds one that never wins, so thresholds alone reject other sound"
        ]
        labels.append(UNKNOWN)
        weight = np.concatenate([weight, np.zeros_like(weight[:1])])
        bias = np.append(bias, np.float32(NEVER))
    order = [x for x in (*keywords, UNKNOWN, SILENCE) if x in labels]
    rows = [labels.index(x) for x in order]
    weights: dict[str, Floats] = {**net.weights, "head.weight": weight[rows], "head.bias": bias[rows]}
    return replace(net, labels=tuple(order), weights=weights), notes


def _difference(net: SpotNet, imported: Imported, path: Path) -> tuple[float, list[str]]:
    """Largest difference to the model's own answers, more than rounding being an error; and a note on the rounding."""
    with decoding(path, ".npz file"), np.load(path) as held:
        x, y = (np.asarray(held[key], np.float32) for key in ("x", "y"))
    bands, labels = net.recipe.frontend.bands, len(net.labels)
    if x.ndim != 3 or x.shape[2] != bands or not x.size or y.shape not in ((*x.shape[:2], labels), (len(x), labels)):
        wanted = f"x [N, T, {bands}] and y [N, T, {labels}] or [N, {labels}]"
        raise EdgernnError(f"{path} has x of shape {x.shape} and y of shape {y.shape}; give {wanted}")
    logits = net.run(x)
    found = _applied(logits[:, -1] if y.ndim == 2 else logits, imported.output)
    largest, allowed = float(np.abs(found - y).max()), _rounding(imported.half)
    rounds = f"the model computes in {imported.half}, edgernn in float32: a check allows {allowed:.2g} of the largest output"
    if not largest <= allowed * max(1.0, float(np.abs(y).max())):
        raise EdgernnError(f"the imported model differs from its own answers in {path} by up to {largest:.3g}; check what lies"
                           f" between its layers (activations, order) and that y is {imported.output}"
                           + (f"; {rounds}, save it in float32 for a closer one" if imported.half else ""))  # fmt: skip
    return largest, [rounds] if imported.half else []


def _rounding(half: str) -> float:
    """How far a model's own answers may be off because of the type it computes in: float32, or one of 16 bits."""
    if not half:
        return 1e-4
    return 2.0**-4 if "bfloat16" in half else 2.0**-7


def _applied(logits: Floats, output: str) -> Floats:
    """What the model makes of its logits."""
    if output == "logits":
        return logits
    if output == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)
    shifted = logits - logits.max(-1, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.asarray(log if output == "logsoftmax" else np.exp(log), np.float32)


# Recordings -----------------------------------------------------------------------


def _data(recipe: SpotRecipe, folder: Path, progress: Progress) -> tuple[str | None, list[str]]:
    """The id of the run folder's dataset, collected now unless it is there."""
    if (folder / "data" / "index.json").is_file():
        dataset = load_data(folder)
        if dataset.keywords != recipe.data.keywords:
            raise EdgernnError(
                f"{folder}/data was prepared for {', '.join(dataset.keywords)}; choose another folder or delete it"
            )
        return dataset.id, []
    if recipe.data.sources:
        tables = [expanded(table) for table in recipe.sources]
        return prepare(tables, recipe.keywords, folder / "data", recipe.seed, recipe.data.clip_seconds or None, progress).id, []
    return None, ["the recipe names no recordings: `edgernn quantize` needs some to calibrate with, give [[data.sources]]"]
