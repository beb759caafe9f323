"""Runtimes side by side, on made-up traces: what is wrong in a clip or in the stream is counted and placed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgernn import compare
from edgernn.core.trace import Trace
from edgernn.errors import EdgernnError
from edgernn.tasks.base import Material


class Made:
    """A runtime that gives its number of samples since reset as features, and twice that as scores; `wrong`: at a step."""

    file_bytes, arena_bytes = 77, None

    def __init__(self, name: str, wrong: int | None = None, clip_only: bool = False) -> None:
        self.name, self.graph, self._wrong, self._clip_only = name, SimpleNamespace(frames_per_step=1), wrong, clip_only
        self._heard = 0

    def reset(self) -> None:
        self._heard = 0

    def features(self, pcm: Any) -> Any:
        return np.asarray(pcm, np.int16)[:, None]

    def run_features(self, frames: Any) -> Trace:
        scores = frames.astype(np.int16) * 2 + self._heard
        self._heard += len(frames)
        if self._wrong is not None and (len(frames) < 10) == self._clip_only:
            scores = scores.copy()
            scores[self._wrong] += 1
        return Trace(frames, scores, scores.copy(), {"a.h": scores[:, None] * 0})


def rows(monkeypatch: pytest.MonkeyPatch, *runtimes: Made) -> list[dict[str, Any]]:
    by_name = {r.name: r for r in (Made("numpy"), *runtimes)}
    monkeypatch.setattr(compare, "make_runtime", lambda name, g: by_name[name])
    clips = [np.arange(5), np.arange(5) + 3]
    material = Material(np.arange(20, dtype=np.int16), "test", clips, lambda own, definition: {"clips": len(own[0])})  # type: ignore[arg-type]
    graph: Any = SimpleNamespace(id="g", scheme="int8")
    return list(compare.compare_runtimes(graph, ",".join(r.name for r in runtimes), material, lambda *_: None)["rows"])


def test_clips_and_stream_are_each_from_reset_and_all_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found = rows(monkeypatch, Made("same"))
    assert [(r["runtime"], r["steps"], r["entries"], r["differing"], r["first"]) for r in found] == [
        ("numpy", 30, 120, 0, None), ("same", 30, 120, 0, None)
    ]  # fmt: skip
    assert (found[1]["file_bytes"], found[1]["arena_bytes"], found[1]["clips"]) == (77, None, 2)


def test_a_fault_in_a_clip_and_one_in_the_stream_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, stream = rows(monkeypatch, Made("clip", 2, clip_only=True), Made("stream", 13))[1:]
    assert (clip["differing"], clip["first"]) == (4, None), "two arrays of two clips; the stream is right"
    assert (stream["differing"], stream["first"]) == (2, (13, "logits"))


def test_a_runtime_that_forgets_its_reset_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made("carried")
    monkeypatch.setattr(made, "reset", lambda: None)
    assert rows(monkeypatch, made)[1]["differing"] == 2 * (5 + 20), "all but the first clip"


def test_the_stream_begins_from_reset_too() -> None:
    material = Material(np.arange(20, dtype=np.int16), "test", [np.arange(5, dtype=np.int16)])
    found = compare._run(Made("x"), material)  # type: ignore[arg-type]
    assert found.stream.logits[0] == found.clips[0].logits[0] == 0


def test_the_definition_comes_first_and_once() -> None:
    assert compare._wanted("c, numpy,c") == ["numpy", "c"]
    assert compare._wanted("all")[0] == "numpy"
    assert len(set(compare._wanted("all"))) == len(compare._wanted("all")) > 4


def test_a_runtime_that_is_named_must_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(name: str, g: Any) -> Any:
        if name == "gone":
            raise EdgernnError("gone is not here")
        return Made(name)

    monkeypatch.setattr(compare, "make_runtime", refusing)
    monkeypatch.setattr(compare, "runtime_names", lambda: ["gone", "numpy"])
    material, graph = Material(np.arange(20, dtype=np.int16), "test"), SimpleNamespace(id="g", scheme="int8")
    with pytest.raises(EdgernnError, match="gone is not here"):
        compare.compare_runtimes(graph, "gone", material, lambda *_: None)  # type: ignore[arg-type]
    found = compare.compare_runtimes(graph, "all", material, lambda *_: None)  # type: ignore[arg-type]
    assert found["skipped"] == {"gone": "gone is not here"}
    assert (found["graph"], found["scheme"], found["split"], len(found["rows"])) == ("g", "int8", "test", 1)
