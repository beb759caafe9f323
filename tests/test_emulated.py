"""The firmware on emulated cores: every bit of features, logits, posteriors and carried state over 10,000 steps."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from nets import assert_alive, quantized, random_net, recurrent_cells
from numpy.typing import NDArray
from trained import trained_net

from edgernn.cells import all_cells
from edgernn.core.primitives import SCHEMES
from edgernn.errors import EdgernnError
from edgernn.firmware import build_firmware, counted_run, emulated_trace, run_firmware
from edgernn.runtimes import Trace, make_runtime
from edgernn.signal.native import NativeFrontEnd
from edgernn.tasks import quantize_net
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.recipe import SpotNet
from firmware_export.emit import STACK_BYTES
from targets import available_toolchains, load_board, usable_emulators
from targets.elf import read_elf

STEPS = 10_000
#: M0 code on a machine with room, M4 with DSP, rv32imc
CORES = ("cortex-m0-4m", "mps2-an386", "riscv32-virt")


def need(board: str, toolchain: str, emulator: str) -> None:
    b = load_board(board)
    for what, there in ((toolchain, available_toolchains(b)), (emulator, usable_emulators(b, count=True))):
        if what not in there:
            if os.environ.get("CI") == "true":
                pytest.fail(f"{what} for {board} is missing")
            pytest.skip(f"{what} for {board} is missing")


@functools.cache
def sound(samples: int) -> NDArray[np.int16]:
    """Noise whose loudness and colour move as speech does: int16 [samples]."""
    rng = np.random.default_rng(11)
    white = rng.normal(size=samples)
    smooth = np.convolve(white, np.ones(8) / 3, "same")
    at = np.repeat(rng.uniform(0, 1, samples // 1600 + 1), 1600)[:samples]
    loud = np.repeat(10 ** rng.uniform(1.5, 3.8, samples // 2400 + 1), 2400)[:samples]
    return np.clip((at * white + (1 - at) * smooth) * loud, -32768, 32767).astype(np.int16)


def fitted(net: SpotNet, pcm: NDArray[np.int16], scheme: str) -> SpotGraph:
    """The net with the statistics of this sound, calibrated on it."""
    mels = NativeFrontEnd(net.recipe.frontend, net.tables)(pcm[: 16000 * 60])
    own = SpotNet(net.recipe, net.labels, net.tables, mels.mean(0), mels.std(0), net.weights)
    return quantize_net(own, list(mels[: len(mels) // 8 * 8].reshape(8, -1, mels.shape[1])), scheme)[0]


@functools.cache
def material(cell: str, scheme: str, weights: str) -> tuple[SpotGraph, NDArray[np.int16], Trace]:
    """A graph, 10,000 steps of sound, and the definition's trace, shown to be alive."""
    net = random_net(cell, 32, "conv") if weights == "random" else trained_net(cell)
    pcm = sound(STEPS * net.recipe.frontend.hop * net.recipe.frames_per_step)
    g = fitted(net, pcm, scheme)
    trace = make_runtime("numpy", g).run(pcm)
    assert len(trace.logits) == STEPS
    assert_alive(g, trace, {})
    return g, pcm, trace


@pytest.mark.parametrize("weights", ["random", "trained"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_bits_on_every_core(cell: str, scheme: str, weights: str, tmp_path: Path) -> None:
    g, pcm, expected = material(cell, scheme, weights)
    assert sum(expected.differing(make_runtime("c", g).run(pcm)).values()) == 0
    for board in CORES:
        need(board, "gcc", "qemu")
        firmware, _ = build_firmware(g, load_board(board), tmp_path / board, "gcc")
        trace, (self_test, steps, _, stack, _) = emulated_trace(g, firmware, load_board(board), pcm, "qemu")
        assert (self_test, steps) == (0, STEPS)
        assert expected.differing(trace) == dict.fromkeys(dict(expected.arrays()), 0), board
        assert 0 < stack <= STACK_BYTES, board


@pytest.mark.parametrize("cell", recurrent_cells())
def test_pip_only_path_gives_the_same_bits(cell: str, tmp_path: Path) -> None:
    """zig and unicorn, on the default schemes' worst case for alignment: M0 code that faults on unaligned loads."""
    need("cortex-m0-4m", "zig", "unicorn")
    g, pcm, _ = material(cell, "int8", "random")
    some = pcm[: 200 * g.step_samples]
    firmware, _ = build_firmware(g, load_board("cortex-m0-4m"), tmp_path, "zig")
    trace, _ = emulated_trace(g, firmware, load_board("cortex-m0-4m"), some, "unicorn")
    assert sum(make_runtime("numpy", g).run(some).differing(trace).values()) == 0


def test_unicorn_over_ten_thousand_steps(tmp_path: Path) -> None:
    need("mps2-an386", "zig", "unicorn")
    g, pcm, expected = material("gru", "int8x16", "random")
    firmware, _ = build_firmware(g, load_board("mps2-an386"), tmp_path, "zig")
    trace, _ = emulated_trace(g, firmware, load_board("mps2-an386"), pcm, "unicorn")
    assert sum(expected.differing(trace).values()) == 0


def test_runs_on_the_microbit_with_16_kilobytes(tmp_path: Path) -> None:
    """The M0 of QEMU's microbit: 16 KB of RAM, faults on unaligned loads."""
    need("microbit", "gcc", "qemu")
    g = fitted(trained_net("gru"), sound(16000 * 60), "int8")
    board = load_board("microbit")
    firmware, built = build_firmware(g, board, tmp_path, "gcc")
    report = run_firmware(g, firmware, board, sound(16000 * 20), "qemu")
    assert report.bits_differing == 0
    assert built.ram_bytes < 8 * 1024
    assert report.counted_steps == 50


def test_instruction_counts_are_exact_and_the_same_in_both_emulators(tmp_path: Path) -> None:
    need("mps2-an386", "gcc", "qemu")
    need("mps2-an386", "gcc", "unicorn")
    g = fitted(random_net("gru", 16, "conv"), sound(16000 * 20), "int8x16")
    board = load_board("mps2-an386")
    firmware, _ = build_firmware(g, board, tmp_path, "gcc")
    some = sound(16000 * 20)[: 5 * g.step_samples]
    done = [counted_run(g, firmware, board, some, e) for e in ("qemu", "qemu", "unicorn")]
    runs = [d.instructions for d in done]
    assert len(runs[0]) == 5
    assert runs[0] == runs[1] == runs[2]
    functions = [read_elf(firmware.elf).by_function(d.by_address) for d in done]
    assert functions[0] == functions[1] == functions[2] and sum(functions[0].values()) == sum(runs[0])
    assert {"ern_decide", "model_net_step", "mel_bands"} <= set(functions[0])


def test_a_net_that_does_not_fit_is_refused_with_the_numbers(tmp_path: Path) -> None:
    need("microbit", "gcc", "qemu")
    g = quantized(random_net("gru", 320), "int8")
    with pytest.raises(EdgernnError, match=r"(?i)flash.*\d{6}"):
        build_firmware(g, load_board("microbit"), tmp_path, "gcc")
    assert not list(tmp_path.glob("*.elf"))


def test_every_gate_of_the_trained_nets_opens_and_closes() -> None:
    for cell in recurrent_cells():
        if all_cells()[cell].gates:
            g, pcm, _ = material(cell, "int8x16", "trained")
            from test_conformance import gate_values

            frames = make_runtime("c", g).features(pcm[: 2000 * g.step_samples])
            for name, values in gate_values(g, frames, cell).items():
                low, high = np.percentile(values / 32768, [1, 99])
                assert high - low > 0.3, name
