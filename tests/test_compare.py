"""Runtimes side by side: one that is wrong must show, with the place where it went wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fixture_runs import fixture_run

from edgernn import compare, pipeline
from edgernn.errors import EdgernnError
from edgernn.runs import load_data, run_checkpoint
from edgernn.runtimes import Runtime, Trace, make_runtime
from edgernn.tasks import load_graph, task_of
from edgernn.tasks.base import Material
from edgernn.tasks.spot.graph import SpotGraph


class _OneBitWrong(Runtime):
    """The definition with one entry of one step changed, in streams of more than 40 steps."""

    name = "wrong"

    def __init__(self, g: SpotGraph) -> None:
        super().__init__(g)
        self._right = make_runtime("numpy", g)

    def reset(self) -> None:
        self._right.reset()

    def features(self, pcm: np.ndarray) -> np.ndarray:
        return self._right.features(pcm)

    def run_features(self, frames: np.ndarray) -> Trace:
        trace = self._right.run_features(frames)
        if len(trace.logits) > 40:
            trace.states["gru1.h"][40, 0, 3] ^= 1
            trace.logits[41, 1] += 1
        return trace


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fixture_run(tmp_path_factory.mktemp("compare") / "run")
    pipeline.quantize_model(folder, "int8")
    return folder


def material(run: Path, seconds: float) -> tuple[SpotGraph, Material]:
    g = load_graph(run / "graph-int8.ern")
    assert isinstance(g, SpotGraph)
    return g, task_of(g).material(run_checkpoint(run), g, load_data(run), "test", seconds)


def test_differences_are_counted_and_placed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g, sounds = material(run, 30.0)
    real = make_runtime
    monkeypatch.setattr(compare, "make_runtime", lambda name, g: _OneBitWrong(g) if name == "wrong" else real(name, g))
    rows = compare.compare_runtimes(g, "wrong,c", sounds, lambda *_: None)["rows"]
    assert [row["runtime"] for row in rows] == ["numpy", "wrong", "c"]
    assert [row["differing"] for row in rows] == [0, 2, 0]
    assert [row["first"] for row in rows] == [None, (40, "gru1.h"), None]
    assert len({row["accuracy"] for row in rows}) == 1


def test_all_skips_by_name_and_a_list_does_not(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_c(name: str, g: SpotGraph) -> Runtime:
        if name not in ("numpy", "c"):
            raise EdgernnError(f"{name} is missing")
        return make_runtime(name, g)

    g, sounds = material(run, 20.0)
    monkeypatch.setattr(compare, "make_runtime", only_c)
    monkeypatch.setattr(compare, "runtime_names", lambda: ["c", "elsewhere", "numpy"])
    result = compare.compare_runtimes(g, "all", sounds, lambda *_: None)
    assert result["skipped"] == {"elsewhere": "elsewhere is missing"}
    assert [row["runtime"] for row in result["rows"]] == ["numpy", "c"]
    with pytest.raises(EdgernnError, match="elsewhere is missing"):
        compare.compare_runtimes(g, "elsewhere", sounds, lambda *_: None)
