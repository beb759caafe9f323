"""A spotter for 8 kHz is trained, quantized, judged, emulated and used at 8 kHz, though its recordings are kept at 16 kHz."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from fixture_runs import gate_fixture
from needs import need_module
from typer.testing import CliRunner

from edgernn import cli, runs
from edgernn.data.augment import StreamConfig
from edgernn.data.corpus import Dataset, write_dataset
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import to_float, to_int16
from edgernn.tasks import load_graph, make_recipe
from edgernn.tasks.spot.clips import clip_pcm, stream_pcm
from edgernn.tasks.spot.judge import integer_clip_logits
from edgernn.tasks.spot.scoring import score_clips

RATE = 8000


def edgernn(*args: object) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained and quantized run at 8 kHz."""
    need_module("torch")
    path = tmp_path_factory.mktemp("rate") / "run"
    values = gate_fixture.recipe().to_dict()
    values["frontend"] |= {"sample_rate": RATE, "window": 240, "hop": 160, "f_max": 3800.0}
    values["train"] |= {"epochs": 12}
    recipe = make_recipe(values)
    runs.keep_recipe(recipe, path)
    write_dataset(gate_fixture.corpus(), recipe.keywords, path / "data", 1.0)
    edgernn("train", path, "--device", "cpu")
    edgernn("quantize", path)
    return path


def at_8_khz(pcm: np.ndarray) -> np.ndarray:
    """What a microphone of 8 kHz would have given, resampled here and not by the project."""
    return to_int16(np.asarray(soxr.resample(to_float(pcm), 16000, RATE), np.float32))


def test_what_simulate_says_is_what_words_at_that_rate_score(folder: Path) -> None:
    said = json.loads(edgernn("simulate", folder, "--seconds", 60, "--json"))["clips"]
    graph, data = load_graph(folder / "graph-int8x16.ern"), Dataset.load(folder / "data")
    assert graph.sample_rate == RATE
    rows = data.clips("test")
    order = {label: i for i, label in enumerate(graph.labels)}
    truth = np.array([order[row.label] for row in rows])
    clips = [np.pad(at_8_khz(data.pcm(row)), (0, RATE))[:RATE] for row in rows]

    def accuracy(pcm: np.ndarray) -> float:
        logits = integer_clip_logits(make_runtime("c", graph), pcm)
        return score_clips(logits, truth, graph.labels, graph.decision.clip_steps).accuracy

    assert said["integer"]["accuracy"] > 0.9
    assert accuracy(np.stack(clips)) == pytest.approx(said["integer"]["accuracy"], abs=0.03)
    wrong = np.stack([np.pad(data.pcm(row), (0, RATE))[:RATE] for row in rows])  # 16 kHz samples taken for 8 kHz
    assert accuracy(wrong) < 0.6


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_words_in_files_of_any_rate_are_detected(folder: Path, tmp_path: Path, rate: int) -> None:
    gap = np.zeros(16000, np.int16)
    words = [gate_fixture.whistle(gate_fixture.MELODIES[w], 2000 + i) for i, w in enumerate(("rise", "fall", "hill"))]
    whole = to_float(np.concatenate([gap, *(p for w in words for p in (w, gap))]))
    soundfile.write(tmp_path / "a.wav", soxr.resample(whole, 16000, rate), rate)
    heard = [json.loads(line) for line in edgernn("detect", tmp_path / "a.wav", "--graph", folder, "--json").splitlines()]
    assert [h["label"] for h in heard] == ["rise", "fall", "hill"]
    for i, h in enumerate(heard):  # each within a second of its end
        assert 1.0 + 1.6 * i < h["time_s"] < 2.6 + 1.6 * i


def test_the_stream_and_the_emulated_core_hear_8_khz(folder: Path) -> None:
    result = json.loads(edgernn("simulate", folder, "--seconds", 120, "--json"))
    hits = result["stream"]["streaming"]["integer"]
    # the noise is hard on so short a training; with spans of another rate next to nothing would be hit
    assert hits["keywords"] >= 5 and hits["frr"] < 0.75 and hits["hours"] == pytest.approx(120 / 3600, abs=1e-3)
    emulated = json.loads(edgernn("run", folder, "--board", "mps2-an386", "--json"))
    assert emulated["bits_differing"] == 0
    compared = json.loads(edgernn("simulate", folder, "--seconds", 30, "--compare", "numpy,c", "--json"))
    assert all(row["differing"] == 0 for row in compared["rows"]) and compared["rows"][0]["accuracy"] > 0.9


def test_clips_and_spans_follow_the_rate(folder: Path) -> None:
    data = Dataset.load(folder / "data")
    rows = data.clips("test")[:3]
    assert clip_pcm(data, rows, RATE).shape == (3, RATE) and clip_pcm(data, rows, 16000).shape == (3, 16000)
    wide, spans = stream_pcm(data, rows, np.random.default_rng(1), 20.0, 16000, StreamConfig())
    narrow, half = stream_pcm(data, rows, np.random.default_rng(1), 20.0, RATE, StreamConfig())
    assert len(wide) == 2 * len(narrow) and half == [(round(a / 2), round(b / 2), label) for a, b, label in spans]


def test_a_rate_above_that_of_the_recordings_is_refused() -> None:
    recipe = gate_fixture.recipe()
    values = replace(recipe, name="x").to_dict()
    for rate, fits in ((16000, True), (16001, False), (4000, True), (3999, False)):
        values["frontend"] |= {"sample_rate": rate, "f_max": min(rate, 7600) / 2}
        if fits:
            assert make_recipe(values).signal.sample_rate == rate
        else:
            with pytest.raises(EdgernnError, match=rf"sample_rate = {rate} must lie in 4000\.\.16000"):
                make_recipe(values)
