"""Misses against false accepts: peaks, curves, the threshold for a rate, and the decision stage that keeps it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from edgernn.signal.audio import SAMPLE_RATE
from edgernn.tasks.spot import det, hearing
from edgernn.tasks.spot.decision import Decision, detect
from edgernn.tasks.spot.det import LEAST, MOST, RATES, Evidence, choose, peaks, smoothed


def brute_peaks(sums: Any, apart: int) -> list[int]:
    """The definition, word by word."""
    left, found = {i: int(s) for i, s in enumerate(sums)}, []
    while left and max(left.values()) > 0:
        at = min(i for i in left if left[i] == max(left.values()))
        found.append(left[at])
        left = {i: s for i, s in left.items() if abs(i - at) >= apart}
    return found


def test_peaks_equal_brute_force() -> None:
    rng = np.random.default_rng(3)
    for apart in (1, 2, 7):
        sums = rng.integers(0, 50, 300)
        places, heights = peaks(sums, apart)
        assert heights.tolist() == brute_peaks(sums, apart) == sums[places].tolist()
        assert np.diff(np.sort(places)).min() >= apart
    assert peaks(np.array([5, 9, 5, 0, 7]), 2, least=6)[1].tolist() == [9, 7]
    assert peaks(np.zeros(4, np.int64), 2)[1].tolist() == []


def test_curves_fall_and_equal_brute_force() -> None:
    rng = np.random.default_rng(4)
    e = Evidence(3, rng.integers(0, 3 * 32767, 40), rng.integers(0, 3 * 32767, 60), 10.0)
    curve = e.curve()
    assert len(curve) == len(RATES) and all(a >= b for a, b in itertools.pairwise(curve)) and curve[0] > curve[-1]
    for rate, misses in zip(RATES, curve, strict=True):
        fits = (t for t in range(LEAST, MOST + 1) if np.sum(e.false_ >= 3 * t) <= max(rate, 0.1) * 10)
        assert misses == np.mean(e.said < 3 * next(fits))


def test_a_threshold_lies_just_above_the_first_peak_that_is_too_many() -> None:
    """Ten peaks in two hours; one and a half an hour allow three."""
    e = Evidence(4, np.array([4 * 20000]), 4 * np.arange(10000, 20000, 1000), 2.0)
    t = e.threshold(1.5)
    assert t == 16001, "19000, 18000, 17000 are allowed, 16000 is not"
    assert (e.false_accepts(t), e.false_accepts(t - 1)) == (3, 4)
    assert e.threshold(0.4) == 19001 and e.false_accepts(19001) == 0
    assert e.threshold(100) == LEAST
    assert Evidence(4, np.array([1]), np.array([4 * 32767]), 1.0).threshold(0.5) == MOST


def heights(odds: Any, steps: int) -> Any:
    return np.sort(np.floor(steps * 32768 / (1 + np.exp(-odds)))).astype(np.int64)


def test_a_threshold_for_hours_to_come_keeps_the_rate_where_the_lowest_one_lets_twice_as_much_pass() -> None:
    """Peaks whose log odds fall off exponentially, 60 above -2 in two hours; what a threshold lets pass is known exactly."""
    rng, lowest, expected = np.random.default_rng(5), [], []
    for _ in range(400):
        e = Evidence(6, np.array([1]), heights(-2 + rng.exponential(0.9, rng.poisson(60)), 6), 2.0)
        for found, t in ((lowest, e.threshold(0.5)), (expected, e.expected(0.5))):
            found.append(30 * np.exp(-(np.log(t / (32768 - t)) + 2) / 0.9))
            assert e.false_accepts(t) <= 1, "the rate is kept where it was set too"
    assert np.mean(lowest) > 0.9, "an hour"
    assert 0.45 < np.mean(expected) < 0.65, "and their mean is not far from the 0.5 that were asked for"


def test_a_threshold_for_hours_to_come_by_hand() -> None:
    """Forty peaks, in the mean ln 3 above a level that one more peak has: one of them is expected ln 3 ln 40 above it."""
    level, above = np.log(1 / 9), np.log(3)
    odds = np.concatenate([np.full(30, level - 1), [level], np.full(20, level + 0.5 * above), np.full(20, level + 1.5 * above)])
    e = Evidence(4, np.array([1]), heights(odds, 4), 2.0)
    wanted = 32768 / (1 + np.exp(-(level + above * np.log(40))))
    assert det.TAIL == 40 and e.threshold(0.5) < wanted and abs(e.expected(0.5) - wanted) <= 2
    more = Evidence(4, np.array([1]), heights(odds, 4), 32.0)
    assert more.expected(0.5) == more.threshold(0.5), "the sixteen that are allowed lie higher than the tail says"


def test_what_cannot_be_told_from_the_tail_is_left_at_the_lowest_threshold() -> None:
    peaks_, said = heights(np.linspace(-4, 0, det.TAIL), 4), np.array([1])
    for e, rate in (
        (Evidence(4, said, peaks_, 2.0), 0.5),
        (Evidence(4, said, peaks_[:0], 2.0), 0.5),
        (Evidence(4, said, peaks_, 0.0), 0.5),
    ):
        assert e.expected(rate) == e.threshold(rate)
    more = heights(np.linspace(-4, 0, 3 * det.TAIL), 4)
    assert Evidence(4, said, more, 2.0).expected(det.TAIL) == Evidence(4, said, more, 2.0).threshold(det.TAIL)
    highest = np.full(2 * det.TAIL, 4 * 32767)
    assert Evidence(4, said, highest, 2.0).expected(0.5) == MOST


def test_the_decision_stage_counts_what_the_threshold_promised() -> None:
    """A stream with five wakes of known heights: chosen for two, two fire."""
    posteriors = np.zeros((1000, 1), np.int16)
    for i, height in enumerate((9000, 21000, 12000, 30000, 15000)):
        posteriors[100 + 150 * i : 110 + 150 * i, 0] = height
    (e,) = hearing.heard(posteriors[:0], [], [posteriors], ["stop"], 5, 20, 25.0, SAMPLE_RATE)
    assert sorted(e.false_) == [5 * h for h in (9000, 12000, 15000, 21000, 30000)] and e.hours == 40 / 3600
    for allowed in range(5):
        t = e.threshold(allowed / e.hours)
        assert len(detect(posteriors, Decision(5, 20, 1, (t,)))) == e.false_accepts(t) == allowed
        assert allowed == 4 or len(detect(posteriors, Decision(5, 20, 1, (t - 1,)))) == allowed + 1


def test_the_smoothing_with_the_fewest_misses_is_chosen_and_of_equals_the_shortest() -> None:
    def one(steps: int, said: int, other: int) -> Evidence:
        return Evidence(steps, steps * np.array([said, 30000]), steps * np.array([other, 10000]), 1.0)

    c = choose({6: [one(6, 15000, 20000)], 8: [one(8, 25000, 20000)], 10: [one(10, 25000, 20000)]}, 0.5)
    assert (c.smoothing, c.thresholds, c.misses) == (8, (20001,), 0.0)


def test_thresholds_are_chosen_for_hours_to_come() -> None:
    e = Evidence(6, 6 * np.array([30000, 31000]), heights(np.linspace(-3, 1, 100), 6), 2.0)
    c = choose({6: [e]}, 0.5)
    assert c.thresholds == (e.expected(0.5),) and c.thresholds[0] > e.threshold(0.5)


def test_a_detection_counts_from_the_words_beginning_to_half_a_second_after_its_end() -> None:
    """A word from 1 to 2 s; steps of 40 ms."""
    for step, counts in ((24, False), (25, True), (50, True), (62, True), (63, False)):
        posteriors = np.zeros((200, 1), np.int16)
        posteriors[step] = 30000
        (e,) = hearing.heard(posteriors, [(16000, 32000, "stop")], [], ["stop"], 1, 20, 25.0, SAMPLE_RATE)
        assert (e.said.tolist() == [30000]) is counts, step
    assert (e.hours, e.misses(1)) == (0.0, 1.0)


def test_sums_are_those_of_the_decision_stage() -> None:
    x = np.arange(1, 7, dtype=np.int16)[:, None] * np.array([1, 10], np.int16)
    assert smoothed(x, 3)[:, 0].tolist() == [1, 3, 6, 9, 12, 15] and smoothed(x, 3)[:, 1].tolist() == [10, 30, 60, 90, 120, 150]
