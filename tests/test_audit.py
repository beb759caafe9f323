"""`edgernn audit`: what wakes a model in one's own room, counted, timed, cut out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import quantized, random_net
from typer.testing import CliRunner

from edgernn.cli import app
from edgernn.errors import EdgernnError
from edgernn.signal.audio import SAMPLE_RATE, read_audio, write_wav
from edgernn.tasks.spot import audit
from edgernn.tasks.spot.det import Evidence
from edgernn.tasks.spot.graph import SpotGraph

QUIET: Any = lambda *_: None  # noqa: E731


@pytest.fixture(scope="module")
def graph() -> SpotGraph:
    return quantized(random_net("gru", 4), "int8")


@pytest.fixture
def room(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        write_wav(tmp_path / "room" / name / "day.wav", rng.integers(-999, 999, 20 * SAMPLE_RATE).astype(np.int16))
    return tmp_path / "room"


def planted(graph: SpotGraph, monkeypatch: pytest.MonkeyPatch) -> int:
    """In a: a wake of the first word at step 300, a near one at 600; in b nothing. The step of the wake's highest mean."""
    n, (threshold, *_) = graph.decision.smoothing, graph.decision.thresholds
    heard = []
    for heights in ((threshold + 9, round(0.8 * threshold)), (0, 0)):
        p = np.zeros((round(20 * graph.steps_per_second), len(graph.decision.thresholds)), np.int16)
        p[300 : 300 + n, 0], p[600 : 600 + n, 0] = heights
        heard.append(p)
    given = iter(heard)
    monkeypatch.setattr(audit, "posteriors_of", lambda *_: next(given))
    return 300 + n - 1


def test_a_planted_wake_is_counted_timed_and_cut_out(
    graph: SpotGraph, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = planted(graph, monkeypatch)
    r = audit.audit(graph, [room], tmp_path / "woken", QUIET)
    first, *others = r["words"]
    assert (first["events"], [w["events"] for w in others]) == (1, [0] * len(others))
    assert r["hours"] == pytest.approx(40 / 3600, abs=1e-4) and first["per_hour"] == pytest.approx(90, rel=1e-3)
    assert first["per_day"] == pytest.approx(24 * 90, rel=1e-3) and first["per_hour_95"][0] < 90 < first["per_hour_95"][1]
    assert first["thresholds"] == [None] * len(audit.GOALS), "forty seconds tell nothing of five an hour"
    path, seconds, word, score = r["loudest"][0]
    assert (path, word, len(r["loudest"])) == (str(room / "a" / "day.wav"), graph.labels[0], 1)
    assert seconds == round((step + 1) / graph.steps_per_second, 2) and score >= first["threshold"] - 1e-3
    files = sorted((tmp_path / "woken").iterdir())
    assert r["collected"] == len(files) == 2, "the wake and the near one"
    end = round((step + 1) / graph.steps_per_second * SAMPLE_RATE)
    pcm = read_audio(room / "a" / "day.wav")
    wake = next(f for f in files if f"-{(step + 1) / graph.steps_per_second:.2f}" in f.name)
    assert np.array_equal(read_audio(wake), pcm[end - round(1.8 * SAMPLE_RATE) : end + round(0.8 * SAMPLE_RATE)])
    text = [line for line in audit.shown(r) if isinstance(line, str)]
    assert any('speech = true, split = "train"' in line for line in text)


def test_thresholds_follow_the_hours_that_were_heard(graph: SpotGraph, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour with peaks of 20000, 15000 and 10000: one an hour lets one through, two let two."""
    p = np.zeros((round(3600 * graph.steps_per_second), len(graph.decision.thresholds)), np.int16)
    n = graph.decision.smoothing
    for i, height in enumerate((10000, 20000, 15000)):
        p[10000 * (i + 1) : 10000 * (i + 1) + n, 0] = height
    monkeypatch.setattr(audit, "posteriors_of", lambda *_: p)
    r = audit.audit(graph, [room / "a" / "day.wav"], None, QUIET)
    want = [None, None, None, 0.4578, 0.3053, 0.1001]
    assert r["words"][0]["thresholds"] == want and r["collected"] is None
    assert 0 < want[3] - 15001 / 32768 < 1e-4, "rounded up: a threshold typed from the table keeps its promise"


def test_thresholds_are_those_for_hours_to_come(graph: SpotGraph, room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    p = np.zeros((round(3600 * graph.steps_per_second), len(graph.decision.thresholds)), np.int16)
    n, every = graph.decision.smoothing, 2 * (graph.decision.smoothing + graph.decision.refractory)
    heights = np.random.default_rng(0).permutation(np.linspace(5000, 20000, 100).astype(int))
    for i, height in enumerate(heights):
        p[every * (i + 1) : every * (i + 1) + n, 0] = height
    monkeypatch.setattr(audit, "posteriors_of", lambda *_: p)
    told = audit.audit(graph, [room / "a" / "day.wav"], None, QUIET)["words"][0]["thresholds"]
    e = Evidence(n, np.zeros(0, np.int64), n * np.sort(heights), len(p) / graph.steps_per_second / 3600)
    assert told[3:] == [pytest.approx(e.expected(goal) / 32768, abs=1e-4) for goal in audit.GOALS[3:]]
    assert told[3] > e.threshold(1.0) / 32768 + 0.01


def test_what_tells_nothing_does_not_count(graph: SpotGraph, room: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Silence, a file that is no sound, one that is named twice."""
    write_wav(room / "c.wav", np.zeros(30 * SAMPLE_RATE, np.int16))
    (room / "d.wav").write_bytes(b"no sound")
    r = audit.audit(graph, [room, room / "a" / "day.wav"], None, QUIET)
    assert r["hours"] == pytest.approx(40 / 3600, abs=1e-4) and r["recordings"] == 3
    assert "c.wav tells nothing" in caplog.text and "passed over" in caplog.text and "d.wav" in caplog.text
    for alone, why in ((room / "c.wav", "that is not silent"), (room / "d.wav", r"d\.wav")):
        with pytest.raises(EdgernnError, match=why):
            audit.audit(graph, [alone], None, QUIET)


def test_a_folder_to_collect_into_is_looked_at_before_hours_are_heard(
    graph: SpotGraph, room: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "posteriors_of", lambda *_: pytest.fail("listened"))
    monkeypatch.setattr(audit.os, "access", lambda path, _: path != room.parent)
    for folder, why in ((room / "b", "is to be collected into"), (room.parent / "new" / "x", "nothing can be written into")):
        with pytest.raises(EdgernnError, match=why):
            audit.audit(graph, [room], folder, QUIET)


def test_every_event_is_told_and_nothing_to_collect_is_said(
    graph: SpotGraph, room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted(graph, monkeypatch)
    r = audit.audit(graph, [room], None, QUIET)
    assert r["events"] == r["loudest"] and len(r["events"]) == 1
    monkeypatch.setattr(audit, "posteriors_of", lambda *_: np.zeros((999, len(graph.decision.thresholds)), np.int16))
    r = audit.audit(graph, [room], tmp_path / "woken", QUIET)
    assert any("nothing to collect" in line for line in audit.shown(r) if isinstance(line, str))
    assert not (tmp_path / "woken").exists()


def test_from_the_command_line(graph: SpotGraph, room: Path, tmp_path: Path) -> None:
    graph.save(tmp_path / "g.ern")
    done = CliRunner().invoke(app, ["audit", str(tmp_path / "g.ern"), str(room), "--json"])
    assert done.exit_code == 0, done.output
    r = json.loads(done.stdout)
    assert (r["recordings"], [w["word"] for w in r["words"]]) == (2, list(graph.labels[: len(r["words"])]))
    steps = len(audit.posteriors_of(graph, room / "a" / "day.wav"))
    assert r["hours"] == pytest.approx(2 * steps / graph.steps_per_second / 3600, abs=1e-4)


def test_what_cannot_be_heard_is_said(graph: SpotGraph, tmp_path: Path) -> None:
    with pytest.raises(EdgernnError, match="no recording at"):
        audit.audit(graph, [tmp_path / "none.wav"], None, QUIET)
    with pytest.raises(EdgernnError, match="no recording in there"):
        audit.audit(graph, [tmp_path], None, QUIET)
