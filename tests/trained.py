"""Small nets trained on the whistled corpus of the gate, one a cell: weights that gradient descent made."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from pathlib import Path

from fixture_runs import gate_fixture
from needs import need_module

from edgernn.tasks import make_recipe
from edgernn.tasks.spot.recipe import SpotNet


@functools.cache
def trained_net(cell: str) -> SpotNet:
    """Ten epochs of the gate's recipe with another recurrent cell."""
    need_module("torch")
    from edgernn.data.corpus import write_dataset
    from edgernn.tasks.spot.train import train

    base = gate_fixture.recipe()
    layers = [*base.to_dict()["layers"][:1], {"cell": cell, "units": 16}]
    values = {**base.to_dict(), "layers": layers, "train": {**base.to_dict()["train"], "epochs": 10}}
    with tempfile.TemporaryDirectory() as scratch:
        dataset = write_dataset(gate_fixture.corpus(), base.data.keywords, Path(scratch) / "data", 1.0)
        net = train(make_recipe(values), dataset, Path(scratch), lambda *_: None, "cpu")
    return replace(net, source={})
