"""Both decision stages in both languages, on streams that reach ties and thresholds exactly; and the self-test's edges."""

from __future__ import annotations

import ctypes
import functools
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import quantized, random_net

from edgernn.hostcc import host_compiler, shared_library
from edgernn.signal.native import runtime_dir
from edgernn.tasks.spot import TASK
from edgernn.tasks.spot.decision import Decider, Decision, Event, detect
from edgernn.tasks.vad.decision import MOST_STEPS, Gate, activity
from edgernn.tasks.vad.decision import Decider as GateDecider
from firmware_export.emit import export_c
from firmware_export.golden import GOLDEN_STEPS, golden_checksums, golden_signal


class _Decision(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint16) for name in ("labels", "keywords", "smoothing", "refractory")]


class _Event(ctypes.Structure):
    _fields_ = [("label", ctypes.c_int32), ("score", ctypes.c_int32), ("step", ctypes.c_uint32)]


@functools.cache
def library() -> Any:
    return shared_library([runtime_dir() / "ern_decide.c"], [runtime_dir()], ("-O1",))


def in_c(rows: Any, d: Decision) -> list[Event]:
    """What a stream from reset is told; where that is nothing, label and score must say so."""
    thresholds = np.array(d.thresholds, np.int16)
    keywords = len(thresholds)
    decision = _Decision(rows.shape[1], keywords, d.smoothing, d.refractory)
    state, ring, held = np.zeros(5, np.uint32), np.zeros(d.smoothing * keywords, np.int16), np.zeros(keywords, np.uint8)
    events, event = [], _Event()
    for step, row in enumerate(np.ascontiguousarray(rows, np.int16)):
        told = library().ern_decide(
            ctypes.byref(decision), thresholds.ctypes, state.ctypes, ring.ctypes, held.ctypes, row.ctypes, ctypes.byref(event)
        )
        assert (told != 0) == (event.label >= 0)
        if told:
            assert told in ((3,) if d.refractory == 0 else (1, 2)) and (event.step == step) == (told != 2)
            events.append(Event(event.step, event.label, event.score, over=told != 1))
        else:
            assert (event.label, event.score, event.step) == (-1, 0, step)
    return events


def in_numpy(rows: Any, d: Decision) -> list[Event]:
    decider = Decider(d)
    return [event for row in rows if (event := decider.push(row))]


def ended(told: list[Event]) -> list[Event]:
    return [event for event in told if event.over]


def levels(d: Decision) -> list[int]:
    """Posteriors whose sums reach the goals and three quarters of them exactly, and miss both by one."""
    found = {0, 1, 32767}
    for t in d.thresholds:
        found |= {min(32767, max(0, x)) for x in (t - 1, t, t + 1, 3 * t // 4 - 1, 3 * t // 4, 3 * t // 4 + 1)}
    return sorted(found)


DECISIONS = [
    Decision(1, 0, 1, (16384, 16384)), Decision(1, 2, 1, (16384, 12000, 16384)), Decision(2, 0, 1, (1000, 1000)),
    Decision(3, 4, 1, (20000, 8000)), Decision(2, 1, 1, (1, 32767)), Decision(5, 9, 1, (400,)), Decision(4, 300, 1, (4, 4, 4)),
]  # fmt: skip


@pytest.mark.parametrize("d", DECISIONS, ids=str)
def test_c_and_numpy_fire_alike_on_ties_and_exact_thresholds(d: Decision) -> None:
    rng, keywords = np.random.default_rng(len(d.thresholds) * 100 + d.smoothing), len(d.thresholds)
    picked = rng.choice(levels(d), (1500, keywords + 2))
    held = np.repeat(rng.choice(levels(d), (300, keywords + 2)), rng.integers(1, 12, 300), axis=0)
    tied = np.tile(held[:, :1], (1, keywords + 2))
    rows = np.concatenate([picked, held, tied]).astype(np.int16)
    rows[:, keywords:] = 32767  # what is no keyword never fires
    wanted = in_numpy(rows, d)
    assert len(ended(wanted)) > 5
    assert {e.label for e in wanted} <= set(range(keywords))
    assert in_c(rows, d) == wanted
    found = detect(rows, d)
    assert found[: len(ended(wanted))] == ended(wanted) and len(found) - len(ended(wanted)) in (0, 1)


def rows_of(*values: int) -> Any:
    return np.array([(v, 0) for v in values], np.int16)


ONE = Decision(1, 0, 1, (1000,))


@pytest.mark.parametrize(
    ("d", "rows", "steps"),
    [
        (ONE, (999, 1000), [1]), (ONE, (1000, 1000, 750, 1000), [0]), (ONE, (1000, 749, 1000), [0, 2]),
        (replace(ONE, thresholds=(1001,)), (1001, 751, 1001), [0]),
        (replace(ONE, thresholds=(1001,)), (1001, 750, 1001), [0, 2]),
        (replace(ONE, refractory=2), (1000, 0, 0, 1000), [0, 3]), (replace(ONE, refractory=2), (1000, 0, 1000, 1000), [0, 3]),
        (replace(ONE, refractory=3), (1000, 0, 0, 1000, 1000), [0, 4]),
        (replace(ONE, smoothing=2), (2000, 0), [0]), (replace(ONE, smoothing=2), (1999, 1), [1]),
        (replace(ONE, smoothing=2), (1999, 0), []), (replace(ONE, smoothing=3), (0, 1500, 1500), [2]),
        (replace(ONE, smoothing=3), (3000, 0, 0, 0, 3000), [0, 4]),
    ],
)  # fmt: skip
def test_when_a_keyword_fires_by_hand(d: Decision, rows: tuple[int, ...], steps: list[int]) -> None:
    """At its threshold, again only once its sum was below three quarters, and after R steps of silence."""
    for told in (in_numpy(rows_of(*rows), d), in_c(rows_of(*rows), d)):
        assert [e.step for e in told if d.refractory == 0 or not e.over] == steps
    assert [e.step for e in detect(rows_of(*rows), d)] == steps


def test_scores_are_floors_of_the_mean_and_equal_margins_go_to_the_first() -> None:
    d = Decision(2, 0, 1, (100, 200))
    rows = np.array([(0, 0), (301, 500)], np.int16)  # margins 101 and 100
    equal = np.array([(0, 0), (300, 500)], np.int16)
    second = np.array([(0, 0), (299, 500)], np.int16)
    for of in (in_numpy, in_c, detect):
        assert of(rows, d) == [Event(1, 0, 150)]
        assert of(equal, d) == [Event(1, 0, 150)]
        assert of(second, d) == [Event(1, 1, 250)]


def test_a_reset_forgets_all() -> None:
    decider = Decider(Decision(2, 5, 1, (1000,)))
    for value in (2000, 2000):
        decider.push(np.array([value], np.int16))
    decider.reset()
    assert decider.push(np.array([1999], np.int16)) is None
    assert decider.push(np.array([1], np.int16)) == Event(1, 0, 1000, over=False)


# Voice activity ---------------------------------------------------------------------------


@functools.cache
def gate_source() -> str:
    """The decision of the exported C, for any gate: its numbers become variables."""
    from test_vad import random_graph

    from firmware_export.emit import render_header

    body = re.search(r"static int vad_decide\(vad_state \*s\)\n\{.*?\n\}", render_header(random_graph()), re.DOTALL)
    assert body
    numbers = "static int32_t VAD_ON, VAD_OFF, VAD_ATTACK, VAD_HOLD, VAD_RELEASE;\n"
    state = "typedef struct { uint16_t active, age, count; int16_t posteriors[1]; } vad_state;\n"
    text = body[0]
    run = (
        "void run(const int32_t *gate, const int16_t *p, int32_t n, uint8_t *out);\n"
        "void run(const int32_t *gate, const int16_t *p, int32_t n, uint8_t *out)\n{\n    vad_state s = { 0, 0, 0, { 0 } };\n"
        "    int32_t i;\n    VAD_ON = gate[0]; VAD_OFF = gate[1]; VAD_ATTACK = gate[2];\n"
        "    VAD_HOLD = gate[3]; VAD_RELEASE = gate[4];\n"
        "    for (i = 0; i < n; i++) { s.posteriors[0] = p[i]; out[i] = (uint8_t)vad_decide(&s); }\n}\n"
    )
    return f"#include <stdint.h>\n{numbers}{state}{text}\n{run}"


@pytest.mark.parametrize(
    "gate",
    [Gate(100, 100, 1, 1, 1), Gate(101, 98, 2, 3, 2), Gate(103, 97, 3, 40, 5), Gate(102, 99, 1, 5, 1),
     Gate(100, 99, 4, 1, 4), Gate(101, 100, MOST_STEPS, MOST_STEPS, MOST_STEPS), Gate(32767, 1, 1, 1, 1)],
    ids=str,
)  # fmt: skip
def test_c_and_numpy_tell_speech_alike_on_exact_thresholds(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "gate.c").write_text(gate_source())
    c = shared_library([tmp_path / "gate.c"], [tmp_path], ("-O1",))
    rng = np.random.default_rng(gate.on + gate.hold)
    p = np.repeat(rng.integers(96, 105, 4000), rng.integers(1, 9, 4000))
    # longer than any counter counts: 30,000 steps for and 70,000 against, then for as long as 16 bits hold and some more
    spans = ((30001, 32767), (70000, 0), (30005, 32767), (70000, 0), (65546, 32767), (100, 0))
    long = np.concatenate([np.full(n, level) for n, level in spans])
    p = np.concatenate([p, [gate.off - 1, gate.off, gate.on - 1, gate.on] * 50, long]).astype(np.int16)
    out, numbers = np.zeros(len(p), np.uint8), np.array((gate.on, gate.off, gate.attack, gate.hold, gate.release), np.int32)
    c.run(numbers.ctypes, p.ctypes, len(p), out.ctypes)
    wanted = activity(p, gate)
    assert wanted.any() and not wanted.all()
    assert np.array_equal(out != 0, wanted)


def said(gate: Gate, *posteriors: int) -> list[int]:
    return activity(np.array(posteriors, np.int16), gate).astype(int).tolist()


def test_speech_begins_lasts_and_ends_just_at_its_numbers() -> None:
    g = Gate(100, 50, 1, 1, 1)
    assert said(g, 99, 100, 50, 49, 99) == [0, 1, 1, 0, 0]
    assert said(replace(g, attack=3), 100, 100, 99, 100, 100, 100) == [0, 0, 0, 0, 0, 1]
    assert said(replace(g, release=2), 100, 49, 50, 49, 49, 49) == [1, 1, 1, 1, 0, 0]
    assert said(replace(g, hold=3), 100, 0, 0, 0, 0) == [1, 1, 1, 0, 0], "three steps at least"
    assert said(replace(g, hold=3), 100, 0, 0, 60, 0) == [1, 1, 1, 1, 0]
    decider = GateDecider(replace(g, attack=2))
    decider.push(100)
    decider.reset()
    assert not decider.push(100)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("on", 50, 32767), ("off", 1, 100), ("attack", 1, 30000), ("hold", 1, 30000), ("release", 1, 30000)],
)
def test_a_gate_is_checked_at_its_bounds(name: str, low: int, high: int) -> None:
    from edgernn.errors import EdgernnError

    good = Gate(100, 50, 2, 3, 4)
    for number in (low, high):
        replace(good, **{name: number})
    for number in (low - 1, high + 1):
        with pytest.raises(EdgernnError, match=name):
            replace(good, **{name: number})


# Self-test ---------------------------------------------------------------------------


def test_the_golden_signal_fades_by_steps_of_eight() -> None:
    x = golden_signal(4, 17)
    seed, wanted = 1, []
    for i in range(4 * 17):
        seed = (seed * 1664525 + 1013904223) % 2**32
        wanted.append(((seed >> 16) - 32768) >> (i // 4 % 8))
    assert x.tolist() == wanted


def test_the_self_test_names_the_first_step_that_differs(tmp_path: Path) -> None:
    """Each golden checksum in turn: 1 for the first step to 16 for the last, -1 for the constants, 0 for none."""
    g = quantized(random_net("gru", 4), "int8")
    export_c(g, tmp_path)
    golden = golden_checksums(g)
    assert len(golden) == len(set(golden)) == GOLDEN_STEPS
    header = (tmp_path / "kws.h").read_text()
    header, count = re.subn(r"static const uint32_t kws_golden", "static uint32_t kws_golden", header)
    header, crcs = re.subn(r"#define KWS_CONSTANTS_CRC32 (\w+)u", r"static uint32_t crc_of_constants = \1u;", header)
    assert count == crcs == 1
    (tmp_path / "kws.h").write_text(header.replace("KWS_CONSTANTS_CRC32", "crc_of_constants"))
    (tmp_path / "t.c").write_text(
        '#define KWS_IMPLEMENTATION\n#include "kws.h"\n#include <stdio.h>\n#include <string.h>\n'
        "int main(void) { static kws_state s, zero; static int16_t p[KWS_HOP]; int i;\n"
        '  printf("%ld ", (long)kws_self_test(&s, p)); kws_reset(&zero); printf("%d", memcmp(&s, &zero, sizeof s) != 0);\n'
        '  for (i = 0; i < 16; i++) { kws_golden[i]++; printf(" %ld", (long)kws_self_test(&s, p)); kws_golden[i]--; }\n'
        '  crc_of_constants++; printf(" %ld", (long)kws_self_test(&s, p)); return 0; }\n'
    )
    sources = [str(tmp_path / "t.c"), *(str(tmp_path / s) for s in TASK.c.sources)]
    subprocess.run([*host_compiler(), "-O1", f"-I{tmp_path}", *sources, "-o", str(tmp_path / "t")], check=True)
    done = subprocess.run([str(tmp_path / "t")], capture_output=True, text=True, check=True)
    assert list(map(int, done.stdout.split())) == [0, 0, *range(1, GOLDEN_STEPS + 1), -1], "and it leaves the state reset"
