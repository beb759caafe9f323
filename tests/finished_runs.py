"""Finished run folders of every task in seconds: what pages are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from denoisers import random_denoiser, tiny_corpus
from fixture_runs import fixture_run
from nets import _random as random_weight

from edgernn import pipeline
from edgernn.core.floatnet import FloatNet
from edgernn.runs import keep_recipe
from edgernn.signal import native
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe
from edgernn.tasks.base import Question
from edgernn.tasks.vad.recipe import VadNet

QUIET: Any = lambda *_: None  # noqa: E731
METRICS = "epoch,loss,accuracy,learning_rate\n1,2.5,0.5,0.01\n2,1.25,0.75,0.005\n3,1.0,0.875,0.001\n"


def spotter_run(folder: Path) -> Path:
    """The gate's checkpoint, quantized and judged."""
    fixture_run(folder)
    return _judged(folder, Question(seconds=60.0))


def denoiser_run(folder: Path) -> Path:
    """A random denoiser over whistled speech."""
    return _random_run(
        random_denoiser("rows", stft={}, quantize={"streams": 2, "stream_seconds": 4.0}),
        folder,
        Question(seconds=20.0, count=2),
    )


def detector_run(folder: Path) -> Path:
    """A random detector over whistled speech."""
    layers = [{"cell": "conv", "kernel": 3, "stride": 2, "units": 12}, {"cell": "gru", "units": 12}]
    frontend = {"bands": 20, "hop": 160, "window": 400}
    recipe: Any = make_recipe({"task": "vad", "name": "random", "frontend": frontend, "layers": layers})
    rng, tables = np.random.default_rng(3), make_tables(recipe.frontend)
    weights = {
        f"{layer.name}.{key}": random_weight(rng, layer.cell.name, key, shape)
        for layer in recipe.net_layers(())
        for key, shape in layer.cell.shapes(layer.options, layer.n_in).items()
    }
    noise = (rng.normal(size=(4, 32000)) * 2000).astype(np.int16)
    logs = native.log_mels(noise, recipe.frontend, tables)
    return _random_run(
        VadNet(recipe, (), tables, logs.mean((0, 1)), logs.std((0, 1)), weights), folder, Question(seconds=20.0, count=6)
    )


def _random_run(net: FloatNet[Any], folder: Path, question: Question) -> Path:
    folder.mkdir(parents=True)
    dataset = tiny_corpus(folder / "data")
    keep_recipe(net.recipe, folder)
    replace(net, source={"dataset": dataset.id}).save(folder / "model.safetensors")
    return _judged(folder, question)


def _judged(folder: Path, question: Question) -> Path:
    pipeline.quantize_model(folder)
    pipeline.simulate_model(folder, QUIET, None, question)
    (folder / "metrics.csv").write_text(METRICS)
    return folder
