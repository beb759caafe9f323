"""Measures of voice activity, and what its training is asked: each by hand, or by something that is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from listening import small_corpus

from edgernn.core.trace import Trace
from edgernn.data.mixing import Ingredients
from edgernn.outcomes import Values
from edgernn.tasks import make_recipe
from edgernn.tasks.vad import TASK, activity, banks, judge
from edgernn.tasks.vad.decision import Gate
from edgernn.tasks.vad.judge import Case, case
from edgernn.tasks.vad.streams import with_pauses
from edgernn.tasks.vad.truth import GRID, speech_frames, stretches, tidied

QUIET: Any = lambda *_: None  # noqa: E731


def recipe(**sections: Any) -> Any:
    return make_recipe(
        {"task": "vad", "frontend": {"bands": 20}, "layers": [{"cell": "gru", "units": 4}], "mix": {"seconds": 1.0}, **sections}
    )


# Truth ---------------------------------------------------------------------------


def frames_at(*levels_db: float) -> Any:
    """Sound of twenty frames at each of these levels."""
    signs = np.tile([1.0, -1.0], GRID // 2)
    return np.concatenate([np.tile(np.round(32768 * 10 ** (db / 20) * signs), 20) for db in levels_db]).astype(np.int16)


def test_the_range_of_speech_is_35_db_at_most_and_25_at_least() -> None:
    wide = frames_at(-10, -44, -10, -46, -10, -80, -80)  # P95 - P3 - 8 is 62 dB
    assert stretches(speech_frames(wide)) == [(0, 60), (80, 100)]
    narrow = frames_at(-10, -34, -10, -36, -10, -36, -36)  # P95 - P3 - 8 is 18 dB
    assert stretches(speech_frames(narrow)) == [(0, 60), (80, 100)]
    between = frames_at(-10, -39, -10, -41, -10, -48, -48)  # 30 dB
    assert stretches(speech_frames(between)) == [(0, 60), (80, 100)]


def test_the_95th_percentile_is_the_top() -> None:
    """A tenth of louder frames sets the level; half of them do not have to."""
    mostly = frames_at(*[-60] * 5, -10, *[-40] * 4)
    assert stretches(speech_frames(mostly)) == [(100, 200)]


def test_quiet_before_the_first_word_and_after_the_last_is_no_gap() -> None:
    said = np.zeros(60, bool)
    said[5:30] = said[35:55] = True
    assert stretches(tidied(said)) == [(5, 55)]


def test_pauses_of_30_frames_are_no_speech_and_shorter_ones_are() -> None:
    for pause, filled in ((29, True), (30, False)):
        said = np.ones(100, bool)
        said[40 : 40 + pause] = False
        assert with_pauses(said).all() == filled
    edge = np.zeros(50, bool)
    edge[5:45] = True
    assert np.array_equal(with_pauses(edge), edge), "before the first and after the last word is no pause"


# Judging ---------------------------------------------------------------------------


def test_a_cases_snr_is_that_of_the_part_with_speech() -> None:
    """The noise is loud around the speech and soft behind it."""
    rng = np.random.default_rng(0)
    clean = (rng.normal(size=32000) * 1000).astype(np.int16)
    noise = (rng.normal(size=96000) * np.repeat([8000, 300, 300], 32000)).astype(np.int16)
    x = case(Ingredients("a", 10.0, "hiss", clean, (noise,)))
    inner, before = x.pcm[32000:64000].astype(float), x.pcm[:32000].astype(float)
    scale = np.std(before) / (8000 / 300) / 1  # of the soft noise
    assert 10 * np.log10((np.var(inner) - scale**2) / scale**2) == pytest.approx(10, abs=0.3)
    assert (x.name, x.snr_db, x.noise, len(x.truth)) == ("a", 10.0, "hiss", 600)


class Counting:
    """A detector whose score is how many samples it has heard since its reset."""

    graph = SimpleNamespace(step_samples=320)

    def __init__(self) -> None:
        self.heard = 0

    def reset(self) -> None:
        self.heard = 0

    def run(self, pcm: Any) -> Trace:
        self.heard += len(pcm)
        steps = len(pcm) // 320
        scores = np.full((steps, 1), self.heard // 10, np.int16)
        return Trace(scores, scores, scores, {}, (np.arange(steps) == 1).astype(np.int16)[:, None])


def test_every_case_is_heard_from_reset_and_noise_alone_comes_last() -> None:
    cases = [Case("a", np.zeros(3200, np.int16), np.zeros(20, bool), 5.0, "x")] * 3
    found = judge.integer_heard(Counting(), cases, np.zeros(6400, np.int16), QUIET)  # type: ignore[arg-type]
    assert [set(s) for s in found.scores] == [{320 * 3 * 2.0**-13}] * 3
    assert set(found.alone_scores) == {640 * 3 * 2.0**-13} and len(found.alone_decisions) == 20
    assert [d.tolist().index(True) for d in found.decisions] == [1, 1, 1]


def test_float_posteriors_that_round_to_one_do_not_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "features", lambda net, pcm: np.zeros((4, 1)))
    net: Any = SimpleNamespace(run=lambda x: np.array([[[-50.0], [50.0], [50.0], [-50.0]]]))
    found = judge.float_heard(net, Gate(32767, 100, 1, 1, 1), [], np.zeros(9, np.int16))
    assert found.alone_decisions.tolist() == [False, True, True, False]
    assert found.alone_scores.tolist() == [-50, 50, 50, -50]


def test_figures_are_the_integers() -> None:
    five = {"threshold": 0.0, "misses": 0.1, "noise_alone": 0.02}
    said = {"dataset": "d", "split": "test", "list": None, "mixtures": 7,
            "integer": {"auc": 0.9, "misses": 0.4, "noise_alone": 0.3, "at_5_percent_false_alarms": five},
            "float": {"auc": 0.95, "at_5_percent_false_alarms": {"misses": 0.0, "noise_alone": 0.0}}}  # fmt: skip
    figures = {"int8_auc": 0.9, "int8_misses": 0.1, "int8_noise_alone": 0.02, "misses": 0.4, "noise_alone": 0.3,
               "float_auc": 0.95}  # fmt: skip
    assert TASK.figures(said) == ("d/test, 7 mixtures", figures)
    said["integer"]["onset_ms"] = {"median": 85.0, "mean": 99.0}  # type: ignore[index]
    assert TASK.figures(said)[1]["onset_ms"] == 85.0
    said["integer"]["onset_ms"] = {"median": None, "mean": None}  # type: ignore[index]
    assert "onset_ms" not in TASK.figures(said)[1], "no onset, no figure"
    assert TASK.figures({**said, "list": "/a/b.csv"})[0] == "b.csv, 7 mixtures"
    better = {name for name, f in TASK.gated.items() if f.better > 0}
    assert better == {"int8_auc", "float_auc", "mixture_auc", "logit_snr_db", "stream_snr_db", "stream_state_snr_db",
                      "stream_worst_minute_snr_db"}  # fmt: skip


def test_each_mixture_is_told_with_its_frames() -> None:
    """Ten frames of 10 ms, a step each: of five of speech two are missed, of five without one is taken for it."""
    truth = np.array([False] * 5 + [True] * 5)
    decided = truth.copy()
    decided[[0, 5, 6]] ^= True
    scores = np.arange(10.0)
    quiet = Case("silent", np.zeros(1600, np.int16), np.zeros(10, bool), 5.0, "hum")
    cases = [Case("a", np.zeros(1600, np.int16), truth, 5.0, "hum"), quiet]
    heard = judge.Heard([scores, scores], [decided, ~decided], scores, decided)
    found = judge.outcomes(cases, heard, GRID)
    assert found == {
        "mixture_auc": Values({"a": (1.0, 1)}), "misses": Values({"a": (0.4, 5)}),
        "false_alarms": Values({"a": (0.2, 5), "silent": (0.6, 10)}),
    }  # fmt: skip


def test_a_recipes_gate_becomes_steps_and_q15(monkeypatch: pytest.MonkeyPatch) -> None:
    r = recipe(decision={"on": 0.75, "off": 0.25, "attack_ms": 20.0, "hold_ms": 41.0, "release_ms": 60.0})
    taken: dict[str, Any] = {}
    monkeypatch.setattr(type(TASK), "graph_class", lambda self: lambda **parts: taken.update(parts))
    TASK.lowered(SimpleNamespace(recipe=r, tables=None), {})  # type: ignore[arg-type]
    assert taken["decision"] == Gate(24576, 8192, 1, 3, 3)
    assert taken["delay_ms"] == r.train.delay_ms


# Stretches ---------------------------------------------------------------------------


def told(active: list[int], posteriors: list[int], monkeypatch: pytest.MonkeyPatch, block: int) -> list[dict[str, Any]]:
    """Stretches of a detector that gives these, in blocks of so many steps of 10 ms."""
    at = [0]

    def run(pcm: Any) -> Any:
        part = slice(at[0], at[0] + len(pcm) // 160)
        at[0] += len(pcm) // 160
        return SimpleNamespace(output=np.array(active[part])[:, None], posteriors=np.array(posteriors[part])[:, None])

    monkeypatch.setattr(activity, "make_runtime", lambda *_: SimpleNamespace(run=run))
    graph: Any = SimpleNamespace(step_samples=160, steps_per_second=100.0)
    blocks = (np.zeros(160 * min(block, len(active) - i), np.int16) for i in range(0, len(active), block))
    return list(activity.stretches_of_speech(graph, blocks))


@pytest.mark.parametrize("block", [1, 3, 100])
def test_stretches_have_their_ends_and_mean_confidence(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One from the very first step, one in between, one that is open at the end."""
    active = [1, 1, 0, 0, 1, 0, 1, 1, 1]
    posteriors = [32768, 16384, 9999, 9999, 8192, 9999, 16384, 16384, 24576]
    assert told(active, posteriors, monkeypatch, block) == [
        {"begin_s": 0.01, "end_s": 0.03, "confidence": 0.75}, {"begin_s": 0.05, "end_s": 0.06, "confidence": 0.25},
        {"begin_s": 0.07, "end_s": 0.1, "confidence": 0.583},
    ]  # fmt: skip
    assert told([0, 0], [1, 1], monkeypatch, block) == []


# Training ---------------------------------------------------------------------------


def test_truth_is_taken_at_the_middle_of_a_frame() -> None:
    said = np.array([0, 1, 0, 1, 1, 0], bool)
    assert banks._on_frames(said, 160, 6).tolist() == said.tolist()
    assert banks._on_frames(said, 320, 3).tolist() == [True, True, False]
    assert banks._on_frames(said, 80, 4).tolist() == [False, False, True, True]
    assert banks._on_frames(said, 160, 8).tolist() == [*said.tolist(), False, False]


def test_training_and_validation_draw_from_other_seeds(tmp_path: Path) -> None:
    """One recording a kind, the same in both splits: only the generator can tell them apart."""
    data = replace(small_corpus(tmp_path / "data"), path=tmp_path / "data")
    rows = tuple(replace(r, split="validation") for r in data.rows if r.split == "train")
    both = replace(data, rows=(*(r for r in data.rows if r.split == "train"), *rows))
    train, validation = (banks.kept_banks(recipe(), both, split, 3, QUIET) for split in ("train", "validation"))
    assert not np.array_equal(train.talk, validation.talk)
    assert not np.array_equal(train.noise, validation.noise)


def test_a_decibel_is_a_third_of_an_octave_of_power() -> None:
    from edgernn.tasks.vad.fresh import FreshStreams

    logs = np.full((1, 10, 20), 512 * 20, np.int16)
    fresh = FreshStreams(recipe().mix, recipe().frontend, banks.Banks(logs, np.ones((1, 10), bool), logs))
    object.__setattr__(fresh._energies, "filters", lambda count, *_: np.full((count, 20), 10.0, np.float32))
    object.__setattr__(fresh, "_moves", lambda count, frames, rng: np.zeros((count, frames), np.float32))
    assert np.allclose(fresh._one(2, np.random.default_rng(0)) / 2.0**20, 10, rtol=1e-3)


def test_answers_are_late_by_the_delay_and_validation_is_over_all_streams() -> None:
    torch = pytest.importorskip("torch")
    from edgernn.tasks.vad.train import VadTrainer

    t = VadTrainer.__new__(VadTrainer)
    t.recipe = recipe(train={"delay_ms": 40.0})
    t.device, t.mean, t.deviation = torch.device("cpu"), np.zeros(20), np.full(20, 512.0)
    said = np.zeros((130, 12), bool)
    said[:, 5:8] = True
    assert t._asked(np.zeros((130, 12, 20), np.int16), said)[1][0].tolist() == [0.0] * 7 + [1.0] * 3 + [0.0] * 2
    logits = torch.zeros(130, 12)
    logits[:64] = 3.0  # the first part of three is far worse than the others
    seen: list[int] = []

    def net(x: Any) -> Any:
        part = logits[sum(seen) : sum(seen) + len(x)]
        seen.append(len(x))
        return part[..., None], None

    t.optimization = SimpleNamespace(average=net)  # type: ignore[assignment]
    t.heard = np.zeros((130, 12, 20), np.int16), said
    (found,) = t.validate()
    answers = torch.tensor([0.0] * 7 + [1.0] * 3 + [0.0] * 2).expand(130, 12)
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(logits, answers)
    assert found == pytest.approx(float(wanted), rel=1e-4)
    assert sum(seen) == 130
