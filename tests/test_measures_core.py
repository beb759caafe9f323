"""Measures of the core: something is wrong in what they are given, and they must say how much and where."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgernn import drift as drifting
from edgernn.core import quantize
from edgernn.core.affine import Affine, fit_affine
from edgernn.core.measure import snr_db
from edgernn.core.qmath import PREACT_SCALE
from edgernn.core.quantize import GraphBuilder, calibrate
from edgernn.core.structure import Value
from edgernn.core.trace import Trace
from edgernn.errors import EdgernnError


def trace(**changes: Any) -> Trace:
    """Six steps of two frames: three bands, two scores, one state of four, and an output."""

    def numbers(*shape: int) -> Any:
        return np.arange(math.prod(shape), dtype=np.int16).reshape(shape)

    states = {"gru0.h": numbers(6, 1, 4)}
    return replace(Trace(numbers(12, 3), numbers(6, 2), numbers(6, 2), states, numbers(6, 2)), **changes)


def altered(name: str, *at: int) -> Trace:
    """The trace with one entry changed."""
    arrays = {key: np.array(a) for key, a in trace().arrays()}
    arrays[name][at] += 1
    return Trace(arrays["features"], arrays["logits"], arrays["posteriors"], {"gru0.h": arrays["gru0.h"]}, arrays["output"])


# Traces ---------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "at"), [("features", (7, 1)), ("logits", (5, 0)), ("posteriors", (0, 1)),
                                          ("gru0.h", (2, 0, 3)), ("output", (4, 1))])  # fmt: skip
def test_one_wrong_entry_of_any_array_counts_one_and_is_placed(name: str, at: tuple[int, ...]) -> None:
    wrong = altered(name, *at)
    assert trace().differing(wrong) == {key: int(key == name) for key, _ in trace().arrays()}
    step = at[0] // 2 if name == "features" else at[0]
    assert trace().first_difference(wrong, 2) == (step, name)


def test_what_is_missing_or_of_another_shape_counts_whole() -> None:
    """Never as equal: a runtime that gives nothing has not computed the same."""
    whole = {key: a.size for key, a in trace().arrays()}
    shorter = trace(logits=trace().logits[:-1], features=trace().features.reshape(18, 2))
    assert trace().differing(shorter) == {**dict.fromkeys(whole, 0), "logits": 12, "features": 36}
    assert trace().differing(trace(states={}))["gru0.h"] == 24
    assert trace().differing(trace(output=None))["output"] == 12
    empty = trace(logits=np.zeros((0, 2), np.int16))
    assert empty.differing(trace())["logits"] == 1, "of no entries at all, one"
    assert "output" not in trace(output=None).differing(trace())
    assert trace().differing(trace(posteriors=trace().posteriors + np.int16(1)))["posteriors"] == 12, "each entry counts"


def test_the_earliest_difference_is_told_and_of_equals_the_first_array() -> None:
    first = altered("logits", 3, 1)
    assert trace().first_difference(trace(), 2) is None
    both = replace(first, states={"gru0.h": altered("gru0.h", 2, 0, 0).states["gru0.h"]})
    assert trace().first_difference(both, 2) == (2, "gru0.h")
    same = replace(first, posteriors=altered("posteriors", 3, 0).posteriors)
    assert trace().first_difference(same, 2) == (3, "logits")


# Signal to noise ---------------------------------------------------------------------------


def test_snr_is_the_references_power_over_the_errors() -> None:
    reference = np.array([30000, -30000, 10, 0], np.int16)  # whose squares no int16 holds
    assert snr_db(reference, reference * 1.1) == pytest.approx(20, abs=1e-9)
    assert snr_db(np.array([1.0]), np.array([3.0])) == pytest.approx(-6.0206, abs=1e-4)
    assert snr_db(np.array([3.0]), np.array([1.0])) == pytest.approx(3.5218, abs=1e-4)
    assert snr_db(reference, reference) == 200.0
    assert snr_db(reference, -reference) == pytest.approx(-6.0206, abs=1e-4), "nor do their differences wrap"
    assert snr_db(np.zeros(3), np.ones(3)) < -100, "of nothing, noise is infinitely more"


def graph(**values: Value) -> Any:
    """What drift asks of a graph: one step of a second."""
    return SimpleNamespace(steps_per_second=1.0, values=values)


def test_a_minute_that_drifts_shows_in_its_row_and_in_no_other() -> None:
    g = graph(**{"a.h": Value((1, 1), "int16", 15), "b.h": Value((1, 1), "int8", 7)})
    rng = np.random.default_rng(0)
    logits, a, b = (
        rng.integers(-9000, 9000, (150, 2)),
        rng.integers(-9000, 9000, (150, 1, 1)),
        rng.integers(-99, 99, (150, 1, 1)),
    )
    floats = {"logits": logits * PREACT_SCALE, "a.h": a * 2.0**-15, "b.h": b * 2.0**-7}
    floats["a.h"][60:120] *= 1.1  # the second minute's states are off by a tenth
    no = np.zeros((150, 1), np.int16)
    found = drifting.drift(g, floats, Trace(no, logits.astype(np.int16), no, {"a.h": a, "b.h": b}))
    assert [row["minute"] for row in found["minutes"]] == [0, 1, 2]
    assert [row["a.h"] > 100 for row in found["minutes"]] == [True, False, True]
    assert found["minutes"][1]["a.h"] == pytest.approx(20.83, abs=0.01)
    assert 20.83 < found["whole"]["a.h"] < 30
    assert all(row[name] > 100 for row in (*found["minutes"], found["whole"]) for name in ("logits", "b.h"))
    assert (found["seconds"], found["steps"]) == (150.0, 150)


def test_saturated_entries_are_those_at_either_end_of_their_type() -> None:
    g = graph(a=Value((1, 4), "int16", 15), b=Value((1, 4), "int8", 7))
    states = {"a": np.array([[[32767, -32768, 32766, -32767]]]), "b": np.array([[[127, -128, 126, -127]]])}
    assert drifting.saturation(g, states) == {"a": 0.5, "b": 0.5}
    for name, largest in (("a", 32768), ("b", 128)):
        ends = np.array([largest - 1, -largest, largest - 2, 1 - largest])
        moments = quantize._moments(np.zeros(4), ends, g.values[name])
        assert moments[2:].tolist() == [2, 4]


def test_the_float_trace_carries_its_state_from_step_to_step() -> None:
    def step(frames: Any, state: Any) -> Any:
        total = state["gru0"]["h"] + frames.sum()
        return total[:, 0], {"gru0": {"h": total}}, {}

    net = SimpleNamespace(frames_per_step=2, step=step, zero_state=lambda n: {"gru0": {"h": np.zeros((n, 1, 1))}})
    for frames in (6, 7):
        found = drifting.float_trace(net, np.ones((frames, 3)))  # type: ignore[arg-type]
        assert found["gru0.h"].ravel().tolist() == found["logits"].ravel().tolist() == [6, 12, 18]


def test_the_best_time_is_the_least(monkeypatch: pytest.MonkeyPatch) -> None:
    clock: Iterator[float] = iter([0, 5, 10, 12, 20, 29])
    monkeypatch.setattr(drifting.time, "perf_counter", lambda: next(clock))
    assert drifting.best_of(3, lambda: None) == 2


# Quantization ---------------------------------------------------------------------------


def streaming(*steps: dict[str, list[float]]) -> Any:
    """A float net whose stream gives these taps."""
    return SimpleNamespace(stream=lambda _: iter([(None, {k: np.array(v) for k, v in taps.items()}) for taps in steps]))


def test_calibration_keeps_the_largest_magnitude_of_every_step() -> None:
    """Not the last step's, not the largest positive one: first, middle and last step, and both signs."""
    found = calibrate(streaming({"a": [-5.0, 1], "b": [1.0]}, {"a": [2.0], "b": [-7.0]}, {"a": [1.0], "b": [3], "c": [9]}),
                      np.zeros(1, np.float32))  # fmt: skip
    assert found == {"a": 5.0, "b": 7.0, "c": 9.0}
    with pytest.raises(EdgernnError, match="at least one step"):
        calibrate(streaming(), np.zeros(1, np.float32))


def test_an_exponent_holds_its_range_with_headroom_just_inside_and_not_just_outside() -> None:
    inside, outside = 32767 / 2**12, 32767.5 / 2**12
    for ranges, headroom, wanted in (
        ({"a": inside}, 1.0, 12), ({"a": outside}, 1.0, 11), ({"a": inside / 2}, 2.0, 12), ({"a": outside / 2}, 2.0, 11),
        ({"a": 0.1, "b": inside}, 1.0, 12), ({"a": inside, "b": outside}, 1.0, 11), ({"a": 0.0}, 1.0, 15),
    ):  # fmt: skip
        assert GraphBuilder("int8", ranges).exponent(*ranges, headroom=headroom) == wanted
    b = GraphBuilder("int8", {"a": 32767.0, "b": 32768.0})
    assert b.exponent("a") == 0
    with pytest.raises(EdgernnError, match="does not fit int16"):
        b.exponent("b")
    assert b.exponent("b", choices=(12, 11, 9), saturating=True) == 9


@pytest.mark.parametrize(
    ("ratio", "wanted"),
    [
        (0.0, (16384, 46)), (2.0**-32, (16384, 46)), (2.0**-32 * (1 + 2**-15), (16385, 46)), (1.0, (16384, 14)),
        (1.5, (24576, 14)), (32767 / 2**14, (32767, 14)), (32767.5 / 2**14, (16384, 13)), (32767 / 2**8, (32767, 8)),
    ],
)  # fmt: skip
def test_a_ratio_becomes_the_smallest_multiplier_and_shift_that_reach_it(ratio: float, wanted: tuple[int, int]) -> None:
    assert quantize._representable(ratio, "x") == wanted


@pytest.mark.parametrize("ratio", [32767.5 / 2**8, 128.0, 1e9])
def test_a_ratio_beyond_the_largest_shift_is_refused(ratio: float) -> None:
    with pytest.raises(EdgernnError, match="outside what the contract can express"):
        quantize._representable(ratio, "x")


def test_a_row_may_use_the_accumulator_up_to_its_last_number() -> None:
    """127 * 32768 * n + |bias| must stay below 2^31: the row is enlarged just where it would not."""
    width = 516
    room = 2**31 - 127 * 32768 * width - 1
    assert room > 0
    step = 2.0**-15
    scale = 16384 * 2.0**-14  # exactly 1: weights are whole numbers
    for bias, enlarged in ((room, False), (-room, False), (room + 1, True), (-room - 1, True)):
        _, _, factor, q, b = quantize._row(np.full(width, 127.0), bias * step * scale, step, step, 32768, "x")
        assert (factor > 1) == enlarged, bias
        assert int(np.abs(q.astype(np.int64)).sum()) * 32768 + abs(b) < 2**31


def test_weights_and_biases_are_rounded_not_cut() -> None:
    constants, _ = quantize.row_scales(np.array([[127.0, 1.6, -1.6, 1.4]]), np.array([2.6 / 8]), 1 / 8, 1 / 8, 128, "x")
    assert constants["weight"].tolist() == [[127, 2, -2, 1]]
    assert constants["bias"].tolist() == [3]


# Normalisation ---------------------------------------------------------------------------


def test_features_are_centred_scaled_and_saturated_by_hand() -> None:
    """(L - offset) * gain, halves up, at the ends of their width."""
    a = Affine(np.array([100], np.int16), np.array([3], np.int16), 1, 12, 16)
    logs = np.array([[99], [100], [101], [102], [32767], [-32768]], np.int16)
    assert a.apply(logs).ravel().tolist() == [-1, 0, 2, 3, 32767, -32768]
    assert replace(a, bits=8).apply(logs).ravel().tolist() == [-1, 0, 2, 3, 127, -128]
    flat = Affine(np.array([-32768], np.int16), np.array([1], np.int16), 1, 12, 16)
    assert flat.apply(np.array([[32767]], np.int16)).item() == 16384, "the difference saturates before it is scaled"


def test_a_dead_band_is_no_noise_at_full_scale() -> None:
    fitted = fit_affine(np.array([1000.0, 1000.4, 1000.6]), np.array([0.0, 8.0, 512.0]))
    assert fitted.gain[0] == fitted.gain[1] > 60 * fitted.gain[2] > 0
    assert fitted.offset.tolist() == [1000, 1000, 1001]
    assert fitted.gain.max() / 2**fitted.shift == pytest.approx(2**12 / 8, rel=1e-3)
    assert fit_affine(np.zeros(1), np.full(1, 1e12)).gain.tolist() == [1], "never 0"
