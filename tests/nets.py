"""Random float nets of every cell, and streams that keep them alive: the material of the conformance batteries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.cells import all_cells, make_layers
from edgernn.runtimes import Trace
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe, quantize_net
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe

LABELS = ("a", "b", "c", "unknown", "silence")
MEAN, DEVIATION = 9000.0, 1500.0

#: fronts a recurrent cell may have, by name
FRONTS: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "bare": [],
    "separable": [
        {"cell": "depthwise", "kernel": 9, "stride": 2, "multiplier": 2, "relu": 1},
        {"cell": "dense", "units": 24},
    ],
    "conv": [{"cell": "conv", "kernel": 5, "stride": 2, "units": 24}, {"cell": "depthwise", "kernel": 3}],
}


def recurrent_cells() -> list[str]:
    """Every discovered cell whose state feeds back."""
    return [name for name, cell in all_cells().items() if cell.recurrent]


def random_net(cell: str, units: int = 32, front: str = "bare", bands: int = 40, seed: int = 0, stack: int = 1) -> SpotNet:
    """Random weights with non-zero biases; recurrent matrices scaled so that the net neither dies nor saturates."""
    layers = [*FRONTS[front], *({"cell": cell, "units": units} for _ in range(stack))]
    return net_of(make_recipe({"name": f"{cell}-{front}", "layers": layers, "frontend": {"bands": bands}}), seed)


def net_of(recipe: SpotRecipe, seed: int = 0, labels: tuple[str, ...] = LABELS) -> SpotNet:
    """A recipe's net with random weights, for five labels or those."""
    rng, bands = np.random.default_rng(seed), recipe.frontend.bands
    weights = {
        f"{layer.name}.{key}": _random(rng, layer.cell.name, key, shape)
        for layer in make_layers(recipe.layers, bands, len(labels))
        for key, shape in layer.cell.shapes(layer.options, layer.n_in).items()
    }
    stats = (np.full(bands, MEAN), np.full(bands, DEVIATION))
    return SpotNet(recipe, labels, make_tables(recipe.frontend), *stats, weights)


def _random(rng: np.random.Generator, cell: str, key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if len(shape) == 1:
        return rng.normal(0, 0.2, shape).astype(np.float32)
    gain = 1.8 if key == "weight_ih" else 1.2
    w = rng.normal(0, gain / np.sqrt(np.prod(shape[1:])), shape)
    if cell == "rnn_relu" and key == "weight_hh":
        w *= 0.95 / np.abs(np.linalg.eigvals(w)).max()
    return w.astype(np.float32)


def log_energies(recipe: SpotRecipe, frames: int, seed: int) -> NDArray[np.int16]:
    """Correlated random log-energies [frames, bands]: noise through a one-pole filter, as speech features move."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(frames, recipe.frontend.bands))
    out = np.zeros_like(white)
    for t in range(1, frames):
        out[t] = 0.6 * out[t - 1] + 0.8 * white[t]
    return np.clip(MEAN + DEVIATION * out, 0, 30000).astype(np.int16)


def quantized(net: SpotNet, scheme: str) -> SpotGraph:
    """The net's integer graph, calibrated on random streams."""
    return quantize_net(net, [log_energies(net.recipe, 120, 100 + i) for i in range(8)], scheme)[0]


@dataclass(frozen=True)
class Liveness:
    """How alive a stream was: least share of changing state entries, most saturation, narrowest gate range."""

    changing: float
    saturated: float
    gate_range: float


def assert_alive(g: SpotGraph, trace: Trace, gates: Mapping[str, NDArray[np.int64]]) -> Liveness:
    """A stream proves something only if the state moves, does not saturate and every gate opens and closes.

    gates: value name -> every step's integers. Convolution histories are copies of the input and are not judged.
    """
    hidden = {name: s for name, s in trace.states.items() if name.split(".")[1] in ("h", "c")}
    assert hidden, "no recurrent state in the trace"
    changing = min(_changing(g, name, s) for name, s in hidden.items())
    saturated = max(float(np.mean((s >= 32767) | (s <= -32768))) for s in hidden.values())
    spans = [np.ptp(np.percentile(v / 32768, [1, 99])) for v in gates.values()]
    live = Liveness(changing, saturated, float(min(spans, default=1.0)))
    assert live.changing >= 0.5, live
    assert live.saturated < 0.05, live
    assert live.gate_range > 0.3, live
    return live


def _changing(g: SpotGraph, name: str, state: NDArray[Any]) -> float:
    """Share of entries that change from step to step; a ReLU unit that is off has nothing to change."""
    moved = np.diff(state.astype(np.int64), axis=0) != 0
    if name.startswith("rnn_relu"):
        on = (state[1:] > 0) | (state[:-1] > 0)
        return float(moved[on].mean())
    return float(moved.mean())
