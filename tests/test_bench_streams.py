"""The report on streams: thresholds that share a budget of false accepts, chosen on validation, judged on test."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT  # it puts tools/ on the path

from edgernn.tasks.spot.decision import Decision
from edgernn.tasks.spot.det import LEAST, MOST, Evidence

assert ROOT
import bench_streams  # noqa: E402

RATE, STEP = 16000, 640


def evidence(said: list[int], false: list[int], steps: int = 2) -> Evidence:
    return Evidence(steps, np.array(said, np.int64) * steps, np.array(false, np.int64) * steps, 1.0)


def missed(found: Any, words: list[Evidence]) -> int:
    return round(sum(e.misses(t) * len(e.said) for e, t in zip(words, found, strict=True)))


def test_a_budget_of_false_accepts_goes_where_it_saves_most_words() -> None:
    rng = np.random.default_rng(4)
    words = [evidence(list(rng.integers(4000, 32000, 30)), list(rng.integers(3300, hard, 12))) for hard in (9000, 20000, 30000)]
    every = [sorted({LEAST, MOST, *(int(f) // e.steps + 1 for f in e.false_)}) for e in words]
    for budget in (0, 2, 6):
        found = bench_streams.allotted(words, budget)
        assert found is not None
        taken = sum(e.false_accepts(t) for e, t in zip(words, found, strict=True))
        best = min(missed(t, words) for t in itertools.product(*every)
                   if sum(e.false_accepts(x) for e, x in zip(words, t, strict=True)) <= budget)  # fmt: skip
        assert taken <= budget and missed(found, words) == best
    alike = bench_streams.allotted([evidence([9000, 9000], []), evidence([9000], [20000, 8000])], 0)
    assert alike == (LEAST, 20001), "a word without false accepts takes nothing of the budget"


def test_no_budget_can_be_kept_where_silence_scores_all() -> None:
    assert bench_streams.allotted([evidence([MOST], [MOST + 1] * 3)], 2) is None


class Heard:
    """A split: one word of half a second, said at 2 s and at 6 s; posteriors [T, labels] come from the test."""

    spans = ((2 * RATE, 5 * RATE // 2, "go"), (6 * RATE, 13 * RATE // 2, "go"))


def runtime() -> Any:
    decision = Decision(smoothing=1, refractory=20, clip_steps=1, thresholds=(30000,))
    return SimpleNamespace(graph=SimpleNamespace(
        decision=decision, labels=("go", "unknown"), steps_per_second=RATE / STEP, step_samples=STEP, sample_rate=RATE
    ))  # fmt: skip


def scores(*at: tuple[float, int], seconds: float = 10.0) -> Any:
    x = np.zeros((round(seconds * RATE / STEP), 2), np.int16)
    for time, height in at:
        x[round(time * RATE / STEP) : round((time + 0.6) * RATE / STEP), 0] = height
    return x


def test_smoothing_and_thresholds_are_those_of_the_streams_they_are_chosen_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_streams, "GOAL", 2.0)
    said = scores((2.2, 20000), (6.2, 12000))
    quiet = [scores((5.0, 15000), seconds=1800.0)] * 2
    decision = bench_streams.chosen(runtime(), Heard(), said, quiet)  # type: ignore[arg-type]
    assert decision.thresholds[0] <= 12000, "two false accepts an hour are allowed, so both words may be heard"
    judged = bench_streams.judged(runtime(), decision, Heard(), said, quiet)  # type: ignore[arg-type]
    assert (judged["missed"], judged["keywords"], judged["false_accepts"]) == (0.0, 2, 2)
    monkeypatch.setattr(bench_streams, "GOAL", 1.0)
    decision = bench_streams.chosen(runtime(), Heard(), said, quiet)  # type: ignore[arg-type]
    judged = bench_streams.judged(runtime(), decision, Heard(), said, quiet)  # type: ignore[arg-type]
    assert (judged["missed"], judged["false_accepts"]) == (0.5, 0)


def test_words_that_are_missed_and_events_where_none_is_are_counted() -> None:
    decision = replace(runtime().graph.decision, thresholds=(16000,))
    said = scores((2.2, 20000), (4.0, 30000), (6.2, 15000))  # one heard, one where none is, one too soft
    judged = bench_streams.judged(runtime(), decision, Heard(), said, [scores((1.0, 20000), seconds=3590.0)])  # type: ignore[arg-type]
    assert judged == {"missed": 0.5, "keywords": 2, "false_accepts": 2, "hours": 1.0, "per_hour": [2.0, 0.24, 7.22]}
