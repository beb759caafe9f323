"""Random denoisers, and streams that keep them alive: the material of the denoiser's batteries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from nets import _random as random_weight

from edgernn.data.corpus import NOISE, ROOM, SPEECH, Clip, Dataset, Item, write_dataset
from edgernn.signal.audio import Int16
from edgernn.signal.stft import analyze, log_bands, make_tables
from edgernn.tasks import make_recipe, quantize_net
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.recipe import DenoiseNet, DenoiseRecipe

SMALL_STFT = {"window": 128, "single": 16, "wide": 3}

#: nets over 32 bands by name: rows shared, with and without a context; one recurrence over all bands; odd sizes
NETS: dict[str, list[dict[str, Any]]] = {
    "rows": [
        {"cell": "subbands", "rows": 8, "units": 12, "context": 10, "width": 3},
        {"cell": "gru", "units": 16},
        {"cell": "row_conv", "units": 16},
        {"cell": "gru", "units": 16},
    ],
    "no-context": [
        {"cell": "subbands", "rows": 4, "units": 7, "kernel": 1},
        {"cell": "lstm", "units": 9},
        {"cell": "row_conv", "units": 5, "kernel": 5, "relu": 0},
        {"cell": "rnn_tanh", "units": 7},
    ],
    "no-state": [{"cell": "subbands", "rows": 8, "units": 12}, {"cell": "row_conv", "units": 9}],
    "one-row": [{"cell": "dense", "units": 24, "norm": 0}, {"cell": "gru", "units": 24}],
}


def recipe(net: str = "rows", **sections: Any) -> DenoiseRecipe:
    """A recipe with one of NETS over a short window."""
    return make_recipe({"name": net, "task": "denoise", "stft": SMALL_STFT, "layers": NETS[net], **sections})


def noisy_sound(samples: int, seed: int = 0) -> Int16:
    """Tones that come and go over noise that swells: int16 [n]."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 16000
    tones = sum(np.sin(2 * np.pi * f * t + rng.uniform(0, 6)) for f in rng.uniform(100, 3000, 5))
    speech = 2500 * tones * (np.sin(2 * np.pi * 3 * t) > 0)
    noise = rng.normal(size=samples) * 1500 * (1.1 + np.sin(2 * np.pi * 0.4 * t))
    return np.clip(speech + noise, -32768, 32767).astype(np.int16)


def random_denoiser(net: str = "rows", seed: int = 0, **sections: Any) -> DenoiseNet:
    """Random weights; statistics of `noisy_sound`."""
    return denoiser_of(recipe(net, **sections), seed)


def denoiser_of(r: DenoiseRecipe, seed: int = 0) -> DenoiseNet:
    """A recipe's net with random weights, likewise."""
    rng = np.random.default_rng(seed)
    weights = {
        f"{layer.name}.{key}": random_weight(rng, layer.cell.name, key.split(".")[-1], shape)
        for layer in r.net_layers(())
        for key, shape in layer.cell.shapes(layer.options, layer.n_in).items()
    }
    tables = make_tables(r.stft)
    logs = log_bands(*analyze(noisy_sound(48000, 1), r.stft, tables), r.stft)
    return DenoiseNet(r, (), tables, logs.mean(0).astype(np.float64), logs.std(0).astype(np.float64), weights)


def quantized_denoiser(net: DenoiseNet, scheme: str) -> DenoiseGraph:
    """The net's graph, calibrated on noisy sounds."""
    p = net.recipe.stft
    logs = [log_bands(*analyze(noisy_sound(8000, 10 + i), p, net.tables), p) for i in range(6)]
    return quantize_net(net, logs, scheme)[0]  # type: ignore[return-value]


def tiny_corpus(folder: Path, rooms: bool = True) -> Dataset:
    """Whistled speech, two kinds of noise and a room, in every split."""
    clips = []
    for s, split in enumerate(("train", "validation", "test")):
        for i in range(3):
            clips.append(Clip(Item(f"v{s}{i}", SPEECH, f"voice{s}{i}", split), noisy_sound(16000 * 3, 100 * s + i) // 2))
        for i, kind in enumerate(("hiss", "hum")):
            rng = np.random.default_rng(50 * s + i)
            noise = rng.normal(size=24000) * 3000 if kind == "hiss" else 4000 * np.sin(np.arange(24000) / 40)
            clips.append(Clip(Item(f"n{s}{i}", NOISE, f"n{s}{i}", split, "", kind), noise.astype(np.int16)))
    if rooms:
        response = (20000 * np.exp(-np.arange(4000) / 600) * np.random.default_rng(1).normal(size=4000) / 4).astype(np.int16)
        response[0] = 30000
        clips.append(Clip(Item("room", ROOM, "room", "train"), response))
    return write_dataset(iter(clips), (), folder)
