"""The float model without torch: what training hands over, and the reference the integer model is compared with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.core.affine import FEATURE_LIMIT, LEAST_DEVIATION
from edgernn.core.cell import Floats, FloatState, Layer, strip
from edgernn.errors import EdgernnError

CHECKPOINT_VERSION = 1
NetState = dict[str, FloatState]


class NetRecipe(Protocol):
    """What a float net asks of the recipe it was trained by."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def frames_per_step(self) -> int:
        """Frames of features that one step takes."""

    def net_layers(self, labels: Sequence[str]) -> list[Layer]:
        """The layers of a net with these labels, head last."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, every default spelled out."""


RecipeT = TypeVar("RecipeT", bound=NetRecipe)


@dataclass(frozen=True)
class FloatNet(Generic[RecipeT]):
    """A trained float model: layers one after the other, the head last, run step by step with carried state.

    labels: what the scores are called, empty where they have no names; tables: those of the signal path; mean, deviation:
    statistics of the Q9 log-energies, float64 [bands]; weights: "<layer>.<name>" -> float32; source: where it came from
    (dataset id, ...).
    """

    recipe: RecipeT
    labels: tuple[str, ...]
    tables: Any
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    weights: Mapping[str, Floats]
    source: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def layers(self) -> list[Layer]:
        """The layers, head last."""
        return self.recipe.net_layers(self.labels)

    @property
    def frames_per_step(self) -> int:
        """Frames of features that one step takes."""
        return self.recipe.frames_per_step

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(w.size for w in self.weights.values())

    def __post_init__(self) -> None:
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

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hex digits that follow what was trained: weights and statistics."""
        digest = hashlib.sha256()
        for name, values in sorted({**self.weights, "mean": self.mean, "deviation": self.deviation}.items()):
            digest.update(name.encode() + b"\0" + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:12]

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

    def save(self, path: Path) -> None:
        """Write the checkpoint: safetensors, with recipe, labels and source as JSON in its metadata."""
        from safetensors.numpy import save

        tensors: dict[str, NDArray[Any]] = {f"net.{k}": np.ascontiguousarray(v) for k, v in sorted(self.weights.items())}
        tensors.update({f"tables.{k}": v for k, v in vars(self.tables).items()})
        tensors.update(mean=self.mean, deviation=self.deviation)
        meta = {"recipe": self.recipe.to_dict(), "labels": list(self.labels), "source": dict(self.source)}
        text = json.dumps({"checkpoint": CHECKPOINT_VERSION, **meta}, sort_keys=True)
        with replacing(path) as scratch:
            scratch.write_bytes(save(tensors, {"edgernn-checkpoint": text}))


Loaded = TypeVar("Loaded")


def read_checkpoint(path: Path, build: Callable[[dict[str, Any], dict[str, NDArray[Any]]], Loaded]) -> Loaded:
    """`build(meta, tensors)` of a file written by `FloatNet.save`; one that is damaged is an EdgernnError."""
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
