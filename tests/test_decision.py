"""The decision stage: what fires and when, the same in NumPy and C."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nets import quantized, random_net

from edgernn.core.primitives import SCHEMES
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks.spot.decision import Decider, Decision, Event, clip_label, detect
from edgernn.tasks.spot.scoring import StreamScore, match_events, paired_interval, poisson_interval, score_clips

D = Decision(smoothing=3, refractory=4, clip_steps=2, thresholds=(16384, 16384))


def posteriors(*rows: tuple[int, int]) -> np.ndarray:
    return np.array([(*row, 0) for row in rows], np.int16)


def test_fires_when_the_mean_reaches_the_threshold() -> None:
    exactly = posteriors((16384, 0), (16384, 0), (16384, 0))
    assert detect(exactly, D) == [Event(2, 0, 16384)]
    below = posteriors((16384, 0), (16384, 0), (16383, 0))
    assert detect(below, D) == []


def test_refractory_silences_exactly_r_steps() -> None:
    two = posteriors(*[(32767, 0)] * 3, *[(0, 32767)] * 20)
    assert [(e.step, e.label) for e in detect(two, D)] == [(1, 0), (6, 1)]
    assert [(e.step, e.label) for e in detect(two, replace(D, refractory=0))] == [(1, 0), (4, 1)]


def test_a_held_posterior_is_one_event_until_it_falls_below_three_quarters() -> None:
    d = replace(D, smoothing=1, refractory=2)
    held = [(20000, 0)] * 9
    assert [e.step for e in detect(posteriors(*held, (12288, 0), *held), d)] == [0]
    assert [e.step for e in detect(posteriors(*held, (12287, 0), *held), d)] == [0, 10]
    assert [e.step for e in detect(posteriors((20000, 0), (0, 0), *held), d)] == [0, 3], "released while waiting"


@pytest.mark.parametrize("smoothing", [1, 2, 5])
@pytest.mark.parametrize("refractory", [0, 3, 11])
def test_whole_streams_give_the_events_of_single_steps(smoothing: int, refractory: int) -> None:
    rng = np.random.default_rng(smoothing * 100 + refractory)
    walk = np.cumsum(rng.integers(-4000, 4001, (3000, 3)), 0) // 2
    rows = (np.abs(walk) % 32768).astype(np.int16)
    decision = replace(D, smoothing=smoothing, refractory=refractory, thresholds=(21000, 18000))
    decider = Decider(decision)
    told = [event for row in rows if (event := decider.push(row))]
    expected = [event for event in told if event.over]
    assert len(expected) > 20
    assert (len(told) > len(expected)) == (refractory > 0), "each is told twice, unless it is over at once"
    found = detect(rows, decision)
    assert found[: len(expected)] == expected
    assert [(e.step, e.label) for e in found[len(expected) :]] == [(e.step, e.label) for e in told[-1:] if not e.over]
    assert detect(rows[:0], decision) == []


def test_largest_margin_wins_and_ties_go_to_the_first() -> None:
    assert detect(posteriors((20000, 30000), (20000, 30000), (20000, 30000)), D)[0].label == 1
    assert detect(posteriors(*[(30000, 30000)] * 3), D)[0].label == 0
    uneven = replace(D, thresholds=(30000, 10000))
    assert detect(posteriors(*[(31000, 20000)] * 3), uneven)[0].label == 1


def test_unknown_and_silence_never_fire() -> None:
    assert detect(np.array([(0, 0, 32767)] * 10, np.int16), D) == []


def test_clip_rule_sums_the_last_steps_and_takes_the_first_of_equals() -> None:
    logits = np.zeros((2, 5, 3), np.int64)
    logits[0, 0, 2] = 10**6
    logits[0, 4, 1] = 1
    assert clip_label(logits, 2).tolist() == [1, 0]
    assert clip_label(logits, 5).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"smoothing": 0}, "smoothing = 0"), ({"refractory": -1}, "refractory = -1"), ({"thresholds": (0,)}, "thresholds")],
)
def test_impossible_decisions_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(EdgernnError, match=message):
        replace(D, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_c_fires_the_same_events(scheme: str) -> None:
    g = quantized(random_net("gru", 16), scheme)
    rng = np.random.default_rng(0)
    pcm = (rng.normal(size=16000 * 60) * 4000 * (np.arange(16000 * 60) // 9000 % 2)).astype(np.int16)
    for threshold, smoothing, refractory in ((9000, 1, 0), (14000, 5, 7), (16384, 12, 40)):
        decision = Decision(smoothing, refractory, 5, (threshold, threshold + 500, threshold - 300))
        graph = replace(g, decision=decision)
        c = make_runtime("c", graph)
        found = c.run(pcm)
        expected = make_runtime("numpy", graph).run(pcm)
        assert np.array_equal(found.posteriors, expected.posteriors)
        assert np.array_equal(found.output, expected.output)
        events = [(i - age, x, score) for i, (x, score, age, over) in enumerate(found.output.tolist()) if over]
        assert events == [(e.step, e.label, e.score) for e in detect(expected.posteriors, decision)][: len(events)]
        assert events and len(detect(expected.posteriors, decision)) - len(events) in (0, 1)


def test_an_event_has_the_highest_score_of_its_time() -> None:
    """From the step in which it fires to its release, or for R steps; what comes later is not its own."""
    d = replace(D, smoothing=1, refractory=4)

    def scores(*row: int) -> list[Event]:
        return detect(posteriors(*((x, 0) for x in row)), d)

    assert scores(20000, 30000, 25000) == [Event(0, 0, 30000)]
    assert scores(20000, 12288, 30000, 0) == [Event(0, 0, 30000)], "three quarters of the threshold hold it"
    assert scores(20000, 12287, 30000, 0, 0, 0) == [Event(0, 0, 20000)], "it was released before"
    assert scores(20000, 20000, 20000, 20000, 21000, 0) == [Event(0, 0, 21000)], "R steps after it fired count"
    assert scores(20000, 20000, 20000, 20000, 20000, 30000) == [Event(0, 0, 20000)], "and no later one"
    decider = Decider(d)
    told = [decider.push(row) for row in posteriors((20000, 0), (24000, 0), (100, 0), (0, 0), (0, 20000), (0, 30000), (0, 0))]
    assert told == [Event(0, 0, 20000, over=False), None, Event(0, 0, 24000), None, None, Event(5, 1, 30000, over=False),
                    Event(5, 1, 30000)]  # fmt: skip


def test_events_match_spans_once_and_not_too_late() -> None:
    spans = [(16000, 32000, "a"), (64000, 72000, "b")]
    events = [Event(s, label, 1) for s, label in ((40, 0), (45, 0), (70, 1), (200, 1), (300, 0))]
    hits, false = match_events(events, spans, ("a", "b"), 640, 16000)
    assert (hits, false) == (1, 4)
    assert match_events([Event(105, 1, 1)], spans, ("a", "b"), 640, 16000) == (1, 0)
    # the same at half the rate: an event may come one second late, not two
    half = [(a // 2, b // 2, label) for a, b, label in spans]
    assert match_events([Event(s, 1, 1) for s in (136, 138)], half[1:], ("a", "b"), 320, 8000) == (1, 1)
    assert match_events([Event(138, 1, 1)], half[1:], ("a", "b"), 320, 8000) == (0, 1)


def test_stream_scores_add_up() -> None:
    total = StreamScore(10, 9, 1, 0.5) + StreamScore(10, 6, 2, 1.5)
    assert (total.frr, total.fa_per_hour) == (pytest.approx(0.25), 1.5)


def test_poisson_interval_against_published_values() -> None:
    """Garwood (1936), 95 %."""
    for count, low, high in ((0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (50, 37.1110, 65.9188)):
        assert poisson_interval(count) == (pytest.approx(low, abs=2e-4), pytest.approx(high, abs=2e-4))


@pytest.mark.parametrize("count", [700, 5000, 10**6])
def test_poisson_interval_of_many(count: int) -> None:
    """Fisher's approximation is right to a part in thousands there."""
    for found, z in zip(poisson_interval(count), (-1.959964, 1.959964), strict=True):
        shifted = count + (z > 0)
        assert found == pytest.approx(shifted * (1 - 1 / (9 * shifted) + z / (3 * shifted**0.5)) ** 3, rel=1e-5)


def test_of_no_hours_nothing_is_known() -> None:
    assert StreamScore(0, 0, 0, 0.0).poisson_interval() == (0.0, math.inf)
    assert StreamScore(1, 1, 3, 2.0).poisson_interval() == tuple(x / 2 for x in poisson_interval(3))


def test_paired_interval() -> None:
    mean, low, high = paired_interval([1.0, 2.0, 3.0])
    assert (mean, low, high) == (2.0, pytest.approx(2 - 2.4843, abs=1e-3), pytest.approx(2 + 2.4843, abs=1e-3))
    _, low, high = paired_interval([0.0, 1.0] * 10)  # t of 19 degrees of freedom is 2.0930
    assert high - 0.5 == 0.5 - low == pytest.approx(2.0930 * 0.512989 / 20**0.5, abs=1e-4)


def test_confusion_and_per_class() -> None:
    logits = np.eye(3)[[0, 1, 1, 2]][:, None] * 5
    score = score_clips(logits, np.array([0, 1, 2, 2]), ("a", "b", "c"), 1)
    assert score.accuracy == 0.75
    assert score.confusion.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    assert score.per_class() == {"a": 1.0, "b": 1.0, "c": 0.5}


def test_the_report_chooses_thresholds_on_validation_and_reports_test() -> None:
    from fixture_runs import ROOT  # it puts tools/ on the path

    assert ROOT
    import bench_kws

    class Heard:
        def __init__(self, rates: list[float]) -> None:
            self.rates = rates

        def curve(self, runtime: object, smoothing: int) -> list[dict[str, float]]:
            return [{"threshold": i, "fa_per_hour": rate} for i, rate in enumerate(self.rates)]

    runtime = SimpleNamespace(graph=SimpleNamespace(steps_per_second=50.0))
    found: Any = bench_kws.spotting(runtime, {"validation": Heard([9, 2.1, 2.0, 0]), "test": Heard([8, 1.0, 3.0, 2.5])})
    assert [f["chosen"] for f in found.values()] == [{"threshold": 2, "fa_per_hour": 3.0}] * 2
    assert all(f["validation"]["fa_per_hour"] == 2.0 for f in found.values())
    assert bench_kws.chosen([{"fa_per_hour": 5.0}, {"fa_per_hour": 4.0}]) == 1
