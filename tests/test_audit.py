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
    want = [None, None, None, round(15001 / 32768, 3), round(10001 / 32768, 3), 0.1]
    assert r["words"][0]["thresholds"] == want and r["collected"] is None


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
