"""The claim: NumPy, host C and every emulated core compute the same bits, with carried state, over 10,000 steps."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import FRONTS, assert_alive, log_energies, quantized, random_net, recurrent_cells
from numpy.typing import NDArray

from edgernn.cells import all_cells
from edgernn.core import definition, qmath
from edgernn.core.primitives import PRIMITIVES, SCHEMES
from edgernn.runtimes import Trace, make_runtime
from edgernn.tasks.spot.graph import SpotGraph
from firmware_export.kernels import Kernel
from firmware_export.plan import EMIT

STEPS = 10_000


def test_every_backend_has_every_primitive() -> None:
    assert PRIMITIVES
    assert set(PRIMITIVES) == set(definition.KERNELS) == set(EMIT)


def test_cells_are_discovered() -> None:
    assert {"gru", "lstm", "rnn_tanh", "rnn_relu", "conv", "depthwise", "dense"} <= set(all_cells())
    assert len(recurrent_cells()) >= 4


def features(g: SpotGraph, frames: int, seed: int = 5) -> NDArray[np.int16]:
    from edgernn.tasks.spot.recipe import SpotRecipe

    return g.affine.apply(log_energies(SpotRecipe(frontend=g.frontend), frames, seed))


def gate_values(g: SpotGraph, frames: NDArray[np.int16], cell: str) -> dict[str, NDArray[np.int64]]:
    """Every gate's integers over a stream, from the definition."""
    net = definition.IntegerNet(g)
    names = [op.output for op in g.ops if op.output.split(".")[-1] in all_cells()[cell].gates]
    state, seen = net.zero_state(1), {name: [] for name in names}
    for i in range(0, len(frames) - g.frames_per_step + 1, g.frames_per_step):
        values, state = net.step(frames[None, i : i + g.frames_per_step], state)
        for name in names:
            seen[name].append(values[name])
    return {name: np.concatenate(v) for name, v in seen.items()}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_numpy_equals_c_over_ten_thousand_steps(cell: str, front: str, scheme: str) -> None:
    g = quantized(random_net(cell, 64 if front == "bare" else 32, front), scheme)
    frames = features(g, STEPS * g.frames_per_step)
    expected = make_runtime("numpy", g).run_features(frames)
    assert len(expected.logits) == STEPS
    assert_alive(g, expected, gate_values(g, frames[:2000], cell))
    c = make_runtime("c", g)
    # in two parts: the state must carry from call to call
    cut = 1234 * g.frames_per_step
    parts = c.run_features(frames[:cut]), c.run_features(frames[cut:])
    assert expected.differing(joined(*parts)) == dict.fromkeys(dict(expected.arrays()), 0)


def joined(a: Trace, b: Trace) -> Trace:
    states = {k: np.concatenate([v, b.states[k]]) for k, v in a.states.items()}
    pairs = zip((a.features, a.logits, a.posteriors), (b.features, b.logits, b.posteriors), strict=True)
    return Trace(*(np.concatenate(p) for p in pairs), states)


@pytest.mark.parametrize(("units", "bands"), itertools.product((1, 7, 64), (1, 10, 40)))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_odd_sizes(units: int, bands: int, scheme: str) -> None:
    for cell in recurrent_cells():
        g = quantized(random_net(cell, units, bands=bands, seed=units + bands), scheme)
        frames = features(g, 500)
        expected = make_runtime("numpy", g).run_features(frames)
        assert sum(expected.differing(make_runtime("c", g).run_features(frames)).values()) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_stacked_cells_and_whole_path_from_pcm(scheme: str) -> None:
    rng = np.random.default_rng(3)
    pcm = (rng.normal(size=16000 * 20) * 3000 * np.abs(np.sin(np.arange(16000 * 20) / 5000))).astype(np.int16)
    for cell in recurrent_cells():
        g = quantized(random_net(cell, 16, "separable", stack=2), scheme)
        expected = make_runtime("numpy", g).run(pcm)
        c = make_runtime("c", g)
        assert sum(expected.differing(c.run(pcm)).values()) == 0
        assert c.self_test() == 0  # type: ignore[attr-defined]


def rotate_gates(g: SpotGraph) -> SpotGraph:
    """r and z change places."""
    ops = tuple(
        replace(op, attrs={**op.attrs, "begin": {0: 32, 32: 0}.get(op.attrs["begin"], op.attrs["begin"])})
        if op.kind == "slice_columns"
        else op
        for op in g.ops
    )
    return replace(g, ops=ops)


def change_constant(output: str, key: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[SpotGraph], SpotGraph]:
    def mutate(g: SpotGraph) -> SpotGraph:
        name = f"{output}.{key}"
        return replace(g, constants={**g.constants, name: change(g.constants[name])})

    return mutate


def shift_history(g: SpotGraph) -> SpotGraph:
    """The convolution keeps the oldest frames instead of the newest."""
    ops = tuple(
        replace(op, attrs={**op.attrs, "begin": op.attrs["begin"] - 1}) if op.output.endswith("history_next") else op
        for op in g.ops
    )
    return replace(g, ops=ops)


def swap_state(g: SpotGraph) -> SpotGraph:
    """h' is what was fresh, without what was kept."""
    states = tuple(replace(s, write="gru2.fresh") if s.read == "gru2.h" else s for s in g.states)
    return replace(g, states=states)


MUTATIONS: dict[str, Callable[[SpotGraph], SpotGraph]] = {
    "gate order": rotate_gates,
    "lost b_hn": change_constant("gru2.fh", "bias", lambda b: b * 0),
    "shift + 1": change_constant("gru2.fx", "shift", lambda k: k + np.uint8(1)),
    "shift - 1": change_constant("gru2.fx", "shift", lambda k: k - np.uint8(1)),
    "one multiplier off by one": change_constant("gru2.fh", "multiplier", lambda m: _bump(m, 5, -1)),
    "one weight off by one": change_constant("gru2.fh", "weight", lambda w: _bump(w, 77, 1 if w.flat[77] < 127 else -1)),
    "one bias off by one": change_constant("depthwise0.y", "bias", lambda b: _bump(b, 3, 100)),
    "transposed weights": change_constant("dense1.y", "weight", lambda w: w[::-1].copy()),
    "history shift": shift_history,
    "state write": swap_state,
}


def _bump(a: NDArray[Any], index: int, by: int) -> NDArray[Any]:
    out = a.copy()
    out.flat[index] += by
    return out


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_battery_catches_a_fault_in_the_graph(mutation: str) -> None:
    """C runs the mutated graph, NumPy the right one: the comparison must see it."""
    g = quantized(random_net("gru", 32, "separable"), "int8x16")
    frames = features(g, 4000)
    expected = make_runtime("numpy", g).run_features(frames)
    wrong = make_runtime("c", MUTATIONS[mutation](g)).run_features(frames)
    assert expected.differing(wrong)["logits"] > 0


#: one-line faults in the C runtime: file, text, replacement
C_FAULTS = {
    "requantize rounding": ("ern_math.h", "((int64_t)1 << (k - 1))", "((int64_t)1 << (k - 2))"),
    "mul first rounding": ("ern_math.h", "((int32_t)a * b + 1) >> 1", "((int32_t)a * b) >> 1"),
    "mul second rounding": ("ern_math.h", "- (t < 0)) >> shift", ") >> shift"),
    "narrow rounding": ("ern_math.h", "(t + 64 - (t < 0)) >> 7", "(t + 63) >> 7"),
    "sigmoid table entry": ("ern_net.c", "36169", "36170"),
    "sigmoid negative half": ("ern_entry.h", "((1 << 25) - r + 511)", "((1 << 25) - r + 512)"),
    "tanh negative half": ("ern_entry.h", "(-r + (1 << 23) + 127)", "(-r + (1 << 23) + 128)"),
    "matvec bias": ("ern_products.h", "int32_t a = l->bias[row], b", "int32_t a = 0, b"),
    "relu": ("ern_net.c", "y < l->floor ? l->floor : y", "y"),
    "depthwise channel": ("ern_products.h", "window + row / each", "window + (row / each + 1u) % channels"),
    "FFT twiddle": ("ern_fft.h", "cosine[turn + quarter]", "cosine[turn + quarter / 2u]"),
    "front-end history": ("ern_frontend.c", "pcm[f->hop - past + i]", "pcm[i]"),
    "affine rounding": ("ern_log.h", "((int32_t)1 << (shift - 1))", "0"),
    "log table entry": ("ern_log.h", "15055", "15155"),
    "mel weight": ("ern_frontend.c", "s.whole * MEL_ONE - s.upper", "s.whole * (MEL_ONE - 1u) - s.upper"),
}


@functools.cache
def alive_material(cell: str, scheme: str) -> tuple[SpotGraph, NDArray[np.int16], NDArray[np.int16], list[Trace]]:
    """A graph, sound for its front end, live features for its net, and what the definition makes of both."""
    g = quantized(random_net(cell, 32, "separable"), scheme)
    pcm = (np.random.default_rng(1).normal(size=16000 * 10) * 2000).astype(np.int16)
    pcm *= (np.arange(len(pcm)) // 8000 % 3).astype(np.int16)
    frames = features(g, 6000)
    runtime = make_runtime("numpy", g)
    expected = [runtime.run(pcm), runtime.run_features(frames)]
    assert_alive(g, expected[1], {})
    return g, pcm, frames, expected


@pytest.mark.parametrize("fault", C_FAULTS)
def test_battery_catches_a_fault_in_the_runtime(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each one-line fault in a copy of the runtime must change some bit."""
    from edgernn.runtimes import c

    name, old, new = C_FAULTS[fault]
    real = c.export_c

    def faulty(g: SpotGraph, folder: Path, prefix: str, kernel: Kernel | None) -> list[Path]:
        written = real(g, folder, prefix, kernel)
        text = (folder / name).read_text()
        assert old in text, f"{name} no longer contains {old!r}: mend this test"
        (folder / name).write_text(text.replace(old, new))
        return written

    monkeypatch.setattr(c, "export_c", faulty)
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path))
    cell = "rnn_tanh" if fault.startswith("tanh") else "gru"
    g, pcm, frames, expected = alive_material(cell, "int8" if fault == "narrow rounding" else "int8x16")
    runtime = make_runtime("c", g)
    found = [runtime.run(pcm), runtime.run_features(frames)]
    assert sum(sum(e.differing(f).values()) for e, f in zip(expected, found, strict=True)) > 0


def test_scalar_functions_over_their_whole_domain() -> None:
    """sigmoid, tanh, narrow and the LSTM's cell conversion, every int16, against C and against their real values."""
    import ctypes

    from edgernn.hostcc import shared_library
    from edgernn.signal.native import runtime_dir

    x = np.arange(-32768, 32768, dtype=np.int16)
    library = shared_library([runtime_dir() / "ern_net.c"], [runtime_dir()])
    n = ctypes.c_uint32(len(x))

    def call(name: str, out: Any, *extra: int) -> NDArray[np.int64]:
        y = np.zeros(len(x), out)
        getattr(library, name)(y.ctypes, x.ctypes, *map(ctypes.c_uint32, extra), n)
        return y.astype(np.int64)

    wide = x.astype(np.int64)
    assert np.array_equal(call("ern_sigmoid", np.int16), qmath.sigmoid(wide))
    assert np.array_equal(call("ern_tanh", np.int16), qmath.tanh(wide))
    assert np.array_equal(call("ern_narrow16", np.int8), qmath.view8(wide))
    for e in (9, 10, 11, 12):
        assert np.array_equal(call("ern_cell_to_preact", np.int16, e), qmath.cell_to_preact(wide, e))
    real = wide * qmath.PREACT_SCALE
    assert np.abs(qmath.sigmoid(wide) / 32768 - 1 / (1 + np.exp(-real))).max() < 3.6e-5
    assert np.abs(qmath.tanh(wide) / 32768 - np.tanh(real)).max() < 7.5e-5
    assert np.all(np.diff(qmath.sigmoid(wide)) >= 0)
    assert np.all(np.diff(qmath.tanh(wide)) >= 0)
