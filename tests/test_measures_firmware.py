"""What is told of an emulated core, with an emulator that is made up: planted bits, a failed self-test, a deep stack."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import quantized, random_net

from edgernn import firmware
from edgernn.core.trace import Trace
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks.spot.graph import SpotGraph
from firmware_export.emit import STACK_BYTES
from firmware_export.plan import state_fields
from targets import load_board
from targets.run_types import RunResult

BOARD = load_board("microbit")
STEPS = 12
COUNTS = [100, 200, 600]


@pytest.fixture(scope="module", params=["int8", "int8x16"])
def material(request: pytest.FixtureRequest) -> tuple[SpotGraph, Any, Trace]:
    """A graph with states of both widths, sound, and what the definition makes of it."""
    g = quantized(random_net("gru", 6, "conv"), request.param)
    pcm = (np.random.default_rng(0).normal(size=STEPS * g.step_samples + 7) * 3000).astype(np.int16)
    return g, pcm, make_runtime("numpy", g).run(pcm)


def dumped(g: SpotGraph, t: Trace) -> Any:
    """The trace as the firmware's memory holds it, step by step: output, features, scores, carried state."""
    features = t.features.astype(np.int8 if g.affine.bits == 8 else "<i2").reshape(STEPS, -1)
    parts = [t.output, features, t.logits, t.posteriors, *(t.states[f.value].reshape(STEPS, -1) for f in state_fields(g))]
    return np.concatenate([np.ascontiguousarray(p).view(np.uint8).reshape(STEPS, -1) for p in parts], axis=1)


def made_up(
    monkeypatch: pytest.MonkeyPatch, raw: Any, change: Callable[[list[int]], None] = lambda _: None, code: int = 0
) -> list[Any]:
    """An emulator that leaves these bytes and totals; the jobs it was given."""
    jobs: list[Any] = []

    def run(built: Any, board: Any, *, args: Any, workdir: Path, count: bool = False, **_: Any) -> Any:
        jobs.append((args, count, (workdir / "in.wav").stat().st_size))
        total = [0, len(raw), 3, 100, raw.shape[1]]
        change(total)
        (workdir / "out.bin").write_bytes(raw.tobytes())
        (workdir / "out.bin.sum").write_bytes(np.array(total, "<u4").tobytes())
        return RunResult(code, "HardFault\n", COUNTS if count else [], "made up")

    monkeypatch.setattr(firmware, "run", run)
    return jobs


def test_a_core_that_computes_the_same_has_no_differing_bits(
    material: tuple[SpotGraph, Any, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    g, pcm, t = material
    jobs = made_up(monkeypatch, dumped(g, t))
    report = firmware.run_firmware(g, None, BOARD, pcm)  # type: ignore[arg-type]
    assert report.bits_differing == 0
    assert report.entries == sum(a.size for _, a in t.arrays())
    assert (report.steps, report.events, report.stack_bytes, report.counted_steps) == (STEPS, 3, 100, 3)
    assert (report.instructions_per_step, report.emulator, report.graph) == (300, "made up", g.id)
    assert report.instructions_per_second == pytest.approx(300 * g.steps_per_second)
    assert report.mhz_for_real_time == pytest.approx(300 * g.steps_per_second / 1e6, abs=0.01)
    whole = 44 + 2 * STEPS * g.step_samples
    assert jobs == [(("in.wav", "out.bin"), False, whole), (("in.wav", "o", "count"), True, whole)]


def test_every_byte_that_differs_is_an_entry_that_differs(
    material: tuple[SpotGraph, Any, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit of each column of the dump in turn: never 0, and one entry."""
    g, pcm, t = material
    right = dumped(g, t)
    for column in range(0, right.shape[1], 7):
        wrong = right.copy()
        wrong[column % STEPS, column] ^= 4
        made_up(monkeypatch, wrong)
        assert firmware.run_firmware(g, None, BOARD, pcm).bits_differing == 1, column  # type: ignore[arg-type]
    made_up(monkeypatch, np.roll(right, 1, axis=0))
    assert firmware.run_firmware(g, None, BOARD, pcm).bits_differing > 100  # type: ignore[arg-type]


def test_steps_that_the_core_did_not_take_differ(
    material: tuple[SpotGraph, Any, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    g, pcm, t = material
    made_up(monkeypatch, dumped(g, t)[:-1])
    assert firmware.run_firmware(g, None, BOARD, pcm).bits_differing == sum(a.size for _, a in t.arrays())  # type: ignore[arg-type]


def setting(index: int, value: int) -> Callable[[list[int]], None]:
    def change(total: list[int]) -> None:
        total[index] = value

    return change


def test_a_failed_self_test_an_exit_code_and_a_deep_stack_end_the_run(
    material: tuple[SpotGraph, Any, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    g, pcm, t = material
    for change, code, said in (
        (setting(0, 1), 0, "self-test failed at output 0"), (setting(0, 16), 0, "self-test failed at output 15"),
        (setting(0, 2**32 - 1), 0, "self-test failed"), (setting(3, STACK_BYTES + 1), 0, "513 bytes of stack"),
        (setting(3, 0), 3, "ended with code 3 HardFault"), (setting(3, 0), 125, "ended with code 125"),
    ):  # fmt: skip
        made_up(monkeypatch, dumped(g, t), change, code)
        with pytest.raises(EdgernnError, match=said):
            firmware.run_firmware(g, None, BOARD, pcm)  # type: ignore[arg-type]
    made_up(monkeypatch, dumped(g, t), setting(3, STACK_BYTES))
    assert firmware.run_firmware(g, None, BOARD, pcm).stack_bytes == STACK_BYTES  # type: ignore[arg-type]


def test_a_counting_run_that_fails_is_no_count(material: tuple[SpotGraph, Any, Trace], monkeypatch: pytest.MonkeyPatch) -> None:
    g, pcm, t = material
    made_up(monkeypatch, dumped(g, t), code=9)
    with pytest.raises(EdgernnError, match="ended with code 9"):
        firmware.count_instructions(g, None, BOARD, pcm)  # type: ignore[arg-type]


def test_sound_shorter_than_a_step_is_refused_and_fifty_steps_are_counted(
    material: tuple[SpotGraph, Any, Trace], monkeypatch: pytest.MonkeyPatch
) -> None:
    g, _, _ = material
    with pytest.raises(EdgernnError, match=f"shorter than one step of {g.step_samples} samples"):
        firmware.run_firmware(g, None, BOARD, np.zeros(g.step_samples - 1, np.int16))  # type: ignore[arg-type]
    counted: list[int] = []
    done = RunResult(0, "", [7] * 50, "e")
    monkeypatch.setattr(firmware, "counted_run", lambda g, f, b, pcm, e: counted.append(len(pcm)) or done)
    firmware.emulation_report(g, None, BOARD, np.zeros(60 * g.step_samples, np.int16), "auto", [0, 60, 0, 9, 1], 5, 4)  # type: ignore[arg-type]
    assert counted == [50 * g.step_samples]
