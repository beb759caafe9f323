"""The float model without torch: what training hands over, and the reference the integer model is compared with."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.cells import Cell, find_cell
from edgernn.cells._base import Floats, FloatState, strip
from edgernn.errors import EdgernnError
from edgernn.features import FEATURE_LIMIT, LEAST_DEVIATION, FrontEndTables
from edgernn.recipe import LayerSpec, Recipe, make_recipe

CHECKPOINT_VERSION = 1
HEAD = LayerSpec("dense", {"units": 0, "relu": 0, "norm": 0})
NetState = dict[str, FloatState]


@dataclass(frozen=True)
class Layer:
    """One layer of a float net: its name (unique), cell, options and input width."""

    name: str
    cell: Cell
    options: Mapping[str, int]
    n_in: int

    @property
    def n_out(self) -> int:
        """Output channels."""
        return self.cell.outputs(self.options, self.n_in)


def make_layers(specs: tuple[LayerSpec, ...], bands: int, labels: int) -> list[Layer]:
    """The layers of a recipe and its head, named `<cell><position>` and `head`."""
    layers: list[Layer] = []
    width = bands
    for i, spec in enumerate(specs):
        layers.append(Layer(f"{spec.cell}{i}", find_cell(spec.cell), spec.options, width))
        width = layers[-1].n_out
    return [*layers, Layer("head", find_cell("dense"), {**HEAD.options, "units": labels}, width)]


class LayeredNet(ABC):
    """A trained float model: layers one after the other, the head last, run step by step with carried state.

    Subclasses are frozen dataclasses with the fields `mean` and `deviation`, per-band statistics of the Q9 log-energies,
    float64 [bands], and `weights`, "<layer>.<name>" -> float32.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: Mapping[str, Floats]
    tables: Any

    @property
    @abstractmethod
    def layers(self) -> list[Layer]:
        """The layers, head last."""

    @property
    @abstractmethod
    def frames_per_step(self) -> int:
        """Frames of features that one step takes."""

    def check_weights(self) -> None:
        """Shapes must match the recipe and every weight must be finite."""
        expected = {
            f"{x.name}.{k}": s for x in self.layers for k, s in x.cell.shapes(x.options, x.n_in).items()
        }  # fmt: skip
        if set(expected) != set(self.weights):
            raise EdgernnError(f"checkpoint: weights {sorted(set(expected) ^ set(self.weights))[:3]} are missing or unknown")
        for name, shape in expected.items():
            if self.weights[name].shape != shape:
                raise EdgernnError(f"checkpoint: {name} has shape {self.weights[name].shape}, the recipe needs {shape}")
            if not np.isfinite(self.weights[name]).all():
                raise EdgernnError(f"checkpoint: {name} holds NaN or infinity; train again with a lower learning rate")

    def features(self, log_energy: NDArray[np.int16]) -> Floats:
        """Normalised float features of Q9 log-energies, clipped as the integer ones are (+-8)."""
        x = (log_energy - self.mean) / np.maximum(self.deviation, LEAST_DEVIATION)
        return np.clip(x, -FEATURE_LIMIT, FEATURE_LIMIT - 2.0**-12).astype(np.float32)

    def zero_state(self, streams: int) -> NetState:
        """The state after a reset."""
        return {
            x.name: {k: np.zeros((streams, *s), np.float32) for k, s in x.cell.state_shapes(x.options, x.n_in).items()}
            for x in self.layers
        }

    def step(self, frames: Floats, state: NetState) -> tuple[Floats, NetState, dict[str, Floats]]:
        """One step of B streams: frames [B, F, bands] -> logits [B, outputs], next state, taps by value name."""
        x, new_state, taps = frames, {}, {}
        for layer in self.layers:
            w = strip(self.weights, f"{layer.name}.")
            x, new_state[layer.name], own = layer.cell.step(layer.options, w, x, state[layer.name])
            taps.update({f"{layer.name}.{k}": v for k, v in own.items()})
        taps["logits"] = taps.pop("head.y")
        return x.reshape(len(x), -1), new_state, taps

    def stream(self, features: Floats) -> Iterator[tuple[Floats, dict[str, Floats]]]:
        """Features [B, T, bands] step by step with carried state: (logits [B, outputs], taps)."""
        per_step = self.frames_per_step
        state = self.zero_state(len(features))
        for i in range(0, features.shape[1] - per_step + 1, per_step):
            logits, state, taps = self.step(features[:, i : i + per_step], state)
            yield logits, taps

    def run(self, features: Floats) -> Floats:
        """Features [B, T, bands] -> logits [B, steps, outputs], from reset."""
        return np.stack([logits for logits, _ in self.stream(features)], axis=1)


@dataclass(frozen=True)
class FloatNet(LayeredNet):
    """A trained keyword spotter; source: where it came from (dataset id, ...). Its outputs are the labels' logits."""

    recipe: Recipe
    labels: tuple[str, ...]
    tables: FrontEndTables
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: Mapping[str, Floats]
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """See `check_weights`."""
        self.check_weights()

    @property
    def layers(self) -> list[Layer]:
        """The layers, head last."""
        return make_layers(self.recipe.layers, self.recipe.frontend.bands, len(self.labels))

    @property
    def frames_per_step(self) -> int:
        """As the recipe's first layer says."""
        return self.recipe.frames_per_step

    def save(self, path: Path) -> None:
        """Write the checkpoint: safetensors, the recipe and labels as JSON in its metadata."""
        save_checkpoint(self, path, {"recipe": self.recipe.to_dict(), "labels": list(self.labels), "source": dict(self.source)})


def save_checkpoint(net: LayeredNet, path: Path, meta: Mapping[str, Any]) -> None:
    """Weights, tables and statistics as safetensors, `meta` as JSON in the file's metadata."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {f"net.{k}": np.ascontiguousarray(v) for k, v in sorted(net.weights.items())}
    tensors.update({f"tables.{k}": v for k, v in vars(net.tables).items()})
    tensors.update(mean=net.mean, deviation=net.deviation)
    text = json.dumps({"checkpoint": CHECKPOINT_VERSION, **meta}, sort_keys=True)
    with replacing(path) as scratch:
        scratch.write_bytes(save(tensors, {"edgernn-checkpoint": text}))


Loaded = TypeVar("Loaded")


def read_checkpoint(path: Path, build: Callable[[dict[str, Any], dict[str, NDArray[Any]]], Loaded]) -> Loaded:
    """`build(meta, tensors)` of a file written by `save_checkpoint`; one that is damaged is an EdgernnError."""
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import load_file

    if not Path(path).is_file():
        raise EdgernnError(f"no checkpoint at {path}; run `edgernn train` first")
    try:
        tensors = load_file(path)
        with safe_open(path, framework="numpy") as f:
            meta = json.loads((f.metadata() or {})["edgernn-checkpoint"])
        if meta["checkpoint"] != CHECKPOINT_VERSION:
            raise EdgernnError(f"checkpoint version {meta['checkpoint']}, this edgernn reads {CHECKPOINT_VERSION}")
        return build(meta, tensors)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise EdgernnError(f"{path} is not an edgernn checkpoint, or damaged ({error}); train again") from None


def load_checkpoint(path: Path) -> FloatNet:
    """Read a checkpoint written by `FloatNet.save`."""
    return read_checkpoint(path, _from_parts)


def _from_parts(meta: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> FloatNet:
    return FloatNet(
        recipe=make_recipe(meta["recipe"], "checkpoint"),
        labels=tuple(meta["labels"]),
        tables=FrontEndTables(**strip(tensors, "tables.")),
        mean=tensors["mean"],
        deviation=tensors["deviation"],
        weights=strip(tensors, "net."),
        source=meta["source"],
    )
