"""ONNX: the integer form keeps every bit in ONNX Runtime and in the reference evaluator, the float form follows torch."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from needs import need_module, need_older_cpu
from nets import FRONTS, LABELS, assert_alive, log_energies, quantized, random_net, recurrent_cells
from numpy.typing import NDArray
from test_conformance import features, gate_values

from edgernn.cells import all_cells
from edgernn.core import qmath
from edgernn.core.primitives import PRIMITIVES, SCHEMES
from edgernn.core.structure import Op
from edgernn.errors import EdgernnError
from edgernn.runtimes import Trace, make_runtime
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.recipe import SpotNet

need_module("onnx")
need_module("onnxruntime")

import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402

from edgernn.exports import onnx as export  # noqa: E402
from edgernn.exports import onnx_float, onnx_qdq  # noqa: E402
from edgernn.exports._onnx_file import metadata_of, parse, read  # noqa: E402
from edgernn.exports.onnx import integer_model  # noqa: E402
from edgernn.exports.onnx_files import export_onnx, qdq_distance, qdq_warning  # noqa: E402
from edgernn.runtimes.onnx import LEVELS, OnnxRuntime, session  # noqa: E402

STEPS = 10_000


class ReferenceRuntime(OnnxRuntime):
    """The same file in ONNX's own evaluator."""

    def __init__(self, graph: SpotGraph) -> None:
        super().__init__(graph)
        self._session = ReferenceEvaluator(onnx.load_from_string(integer_model(graph)))


def same(expected: Trace, found: Trace) -> bool:
    return expected.differing(found) == dict.fromkeys(dict(expected.arrays()), 0)


def graph_of(cell: str, front: str, scheme: str) -> SpotGraph:
    return quantized(random_net(cell, 64 if front == "bare" else 32, front), scheme)


def test_every_primitive_and_cell_has_its_row() -> None:
    assert set(export.LOWER) == set(onnx_qdq.LOWER) == set(PRIMITIVES)
    assert set(onnx_float.LOWER) == {name for name, cell in all_cells().items() if not cell.mixes_rows}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_every_level_and_the_reference_equal_numpy(cell: str, front: str, scheme: str) -> None:
    g = graph_of(cell, front, scheme)
    frames = features(g, 150 * g.frames_per_step)
    expected = make_runtime("numpy", g).run_features(frames)
    for level in LEVELS:
        assert same(expected, OnnxRuntime(g, level=level).run_features(frames)), level
    part = frames[: 50 * g.frames_per_step]
    assert same(make_runtime("numpy", g).run_features(part), ReferenceRuntime(g).run_features(part))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_ten_thousand_steps(cell: str, front: str, scheme: str) -> None:
    """Against the C twin, which test_conformance holds to NumPy over these very streams; it is a thousand times faster."""
    g = graph_of(cell, front, scheme)
    frames = features(g, STEPS * g.frames_per_step)
    found = OnnxRuntime(g).run_features(frames)
    assert len(found.logits) == STEPS
    assert_alive(g, found, gate_values(g, frames[: 400 * g.frames_per_step], cell))
    assert same(make_runtime("c", g).run_features(frames), found)


def test_numpy_itself_over_ten_thousand_steps() -> None:
    g = graph_of("gru", "bare", "int8x16")
    frames = features(g, STEPS, seed=9)
    assert same(make_runtime("numpy", g).run_features(frames), OnnxRuntime(g).run_features(frames))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(("units", "bands"), [(1, 1), (7, 10), (1, 40), (64, 1)])
def test_odd_sizes_and_stacks(units: int, bands: int, scheme: str) -> None:
    for cell in recurrent_cells():
        g = quantized(random_net(cell, units, bands=bands, seed=units + bands, stack=2), scheme)
        frames = features(g, 60)
        assert same(make_runtime("numpy", g).run_features(frames), OnnxRuntime(g).run_features(frames))


def test_whole_path_from_pcm_in_pieces_and_after_a_reset() -> None:
    g = graph_of("gru", "separable", "int8")
    pcm = (np.random.default_rng(3).normal(size=16000 * 4) * 3000).astype(np.int16)
    expected, runtime = make_runtime("numpy", g).run(pcm), make_runtime("onnx", g)
    cut = 40 * g.step_samples
    parts = runtime.run(pcm[:cut]), runtime.run(pcm[cut:])
    assert np.array_equal(expected.posteriors, np.concatenate([p.posteriors for p in parts]))
    runtime.reset()
    assert same(expected, runtime.run(pcm))


# scalar functions over their whole domain


def evaluate(kind: str, *operands: NDArray[Any], **attrs: int) -> list[NDArray[Any]]:
    """One primitive on rows [1, n], in ONNX Runtime and in the reference evaluator."""
    w = export._Integers()
    names = [w.cast(w.input(f"x{i}", "int16", [1, 1, "n"]), np.int64) for i in range(len(operands))]
    w.cast(export.LOWER[kind](w, names, Op(kind, "y", (), attrs), {}, (1, 1)), np.int64, "y")
    w.output("y", np.int64, [1, 1, "n"])
    data = w.model("one").SerializeToString()
    feeds = {f"x{i}": x.astype(np.int16)[None, None] for i, x in enumerate(operands)}
    sessions = [session(data), session(data, "disable_all"), ReferenceEvaluator(onnx.load_from_string(data))]
    return [s.run(None, feeds)[0][0, 0] for s in sessions]


ALL = np.arange(-32768, 32768)


def test_scalar_functions_over_their_whole_domain() -> None:
    expected = {"sigmoid": qmath.sigmoid(ALL), "tanh": qmath.tanh(ALL), "narrow": qmath.view8(ALL)}
    for kind, values in expected.items():
        assert all(np.array_equal(values, found) for found in evaluate(kind, ALL)), kind
    for e in (9, 10, 11, 12):
        found = evaluate("cell_to_preact", ALL, exponent=e)
        assert all(np.array_equal(qmath.cell_to_preact(ALL, e), f) for f in found)


@pytest.mark.parametrize("shift", range(14, 21))
def test_products_at_every_rounding(shift: int) -> None:
    """Random pairs, the corners, and products around every tie of the two roundings."""
    rng = np.random.default_rng(shift)
    a, b = rng.integers(-32768, 32768, (2, 20000))
    corners = np.array([-32768, -32767, -1, 0, 1, 32766, 32767])
    near = np.arange(-3, 4) + (np.arange(-8, 8)[:, None] << min(shift, 14))
    ties = np.clip(near.ravel(), -32768, 32767)
    a = np.concatenate([a, np.repeat(corners, 7), ties, ties])
    b = np.concatenate(
        [b, np.tile(corners, 7), np.full(len(ties), 1 << (shift - 13)), np.full(len(ties), -(1 << (shift - 13)))]
    )
    assert all(np.array_equal(qmath.mul(a, b, shift), found) for found in evaluate("mul", a, b, shift=shift))


@pytest.mark.parametrize("relu", [0, 1])
def test_requantization_over_all_shifts_and_accumulators(relu: int) -> None:
    """One weight of 0: the accumulator is the bias, from end to end of int32, at every k and both ends of m."""
    rng = np.random.default_rng(1)
    shift = np.repeat(np.arange(8, 47), 60).astype(np.uint8)
    wide = (rng.integers(-(2**31) + 1, 2**31, len(shift)) >> rng.integers(0, 31, len(shift))).astype(np.int32)
    multiplier = rng.choice([16384, 16385, 32767], len(shift)).astype(np.int16)
    c = {"weight": np.zeros((len(shift), 1), np.int8), "bias": wide, "multiplier": multiplier, "shift": shift}
    w = export._Integers()
    x = w.cast(w.input("x", "int16", [1, 1, 1]), np.int64)
    w.cast(export.LOWER["matvec"](w, [x], Op("matvec", "y", ("x",), {"relu": relu}), c, (1, 1)), np.int64, "y")
    w.output("y", np.int64, [1, 1, len(shift)])
    data, feeds = w.model("one").SerializeToString(), {"x": np.zeros((1, 1, 1), np.int16)}
    expected = qmath.requantize(wide.astype(np.int64), multiplier.astype(np.int64), shift.astype(np.int64))
    expected = np.maximum(expected, 0) if relu else expected
    for s in (session(data), session(data, "disable_all"), ReferenceEvaluator(onnx.load_from_string(data))):
        assert np.array_equal(s.run(None, feeds)[0][0, 0], expected)


# faults in the lowering

#: one-line faults: text of edgernn/exports/onnx.py, replacement, cell whose stream must show it
FAULTS = {
    "requantize rounding": ("w.scalar(1 - 2 * INT16_MIN)", "w.scalar(-2 * INT16_MIN)", "gru"),
    "shift + 1": ("1 << max(k - 1, 0)", "1 << k", "gru"),
    "shift - 1": ("1 << max(k - 1, 0)", "1 << max(k - 2, 0)", "gru"),
    "bias off by one": ('w.stored(c["bias"], np.int32)', 'w.stored(c["bias"] + np.int32(1), np.int32)', "gru"),
    "multiplier off by one": ('w.stored(c["multiplier"])', 'w.stored(c["multiplier"] - np.int16(1))', "gru"),
    "lost relu": ('-INT16_MIN if op.attrs["relu"] else 0', "0", "gru"),
    "mul rounding": ("x, x, -1, 1 + (1 << shift)", "x, x, -1, (1 << shift)", "gru"),
    "mul of negatives": ("low, high, less=2)", "low, high, less=0)", "gru"),
    "narrow shift": ("x[0], 7, INT8_MIN", "x[0], 8, INT8_MIN", "gru"),
    "sigmoid rounding": ("end, 512, 1024", "end, 511, 1024", "gru"),
    "sigmoid of negatives": ("1, INT16_MAX, less=1)", "1, INT16_MAX, less=0)", "gru"),
    "tanh rounding": ("256 - (1 << 24)", "255 - (1 << 24)", "rnn_tanh"),
    "tanh of negatives": ("-INT16_MAX, INT16_MAX, less=2)", "-INT16_MAX, INT16_MAX, less=0)", "rnn_tanh"),
    "input of the table": ("1 + 2 * end, 2, 0", "2 * end, 2, 0", "gru"),
    "a table entry": ("SIGMOID_TABLE])\n", "SIGMOID_TABLE + (np.arange(256) == 5)])\n", "gru"),
    "gates swapped": ('x[0], 2, op.attrs["begin"]', 'x[0], 2, {0: 32, 32: 0}.get(op.attrs["begin"], 64)', "gru"),
    "history shifted": ('x[0], 1, op.attrs["begin"]', 'x[0], 1, op.attrs["begin"] - 1', "gru"),
    "filters reversed": (".transpose(2, 0, 1)", ".transpose(2, 0, 1)[::-1]", "gru"),
    "cell rounding": ("scaled, 3, 6", "scaled, 1, 6", "lstm"),
    "lost floor of the ReLU cell": ('w.node("Add", *x), 0, INT16_MAX', 'w.node("Add", *x), -9, INT16_MAX', "rnn_relu"),
    "saturation": ('w.clip(w.node("Sub", *x), INT16_MIN', 'w.clip(w.node("Sub", *x), -9000', "gru"),
}


def faulty_lowering(old: str, new: str) -> ModuleType:
    """The module of edgernn/exports/onnx.py with one text replaced."""
    text = Path(str(export.__file__)).read_text()
    assert text.count(old) == 1, f"edgernn/exports/onnx.py no longer contains {old!r} once: mend this test"
    module = ModuleType("faulty")
    exec(compile(text.replace(old, new), "faulty", "exec"), vars(module))
    return module


@pytest.fixture(scope="module")
def material() -> dict[str, tuple[SpotGraph, NDArray[np.int16], Trace]]:
    """By cell: a graph, live features, and what the definition makes of them."""
    out = {}
    for cell in recurrent_cells():
        g = quantized(random_net(cell, 32, "separable"), "int8")
        frames = features(g, 1200)
        out[cell] = g, frames, make_runtime("numpy", g).run_features(frames)
        assert_alive(g, out[cell][2], {})
    return out


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_lowering_is_caught(fault: str, material: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, cell = FAULTS[fault]
    g, frames, expected = material[cell]
    monkeypatch.setattr(sys.modules["edgernn.runtimes.onnx"], "FORMS", {"integer": faulty_lowering(old, new).integer_model})
    wrong = OnnxRuntime(g).run_features(frames)
    assert sum(expected.differing(wrong).values()) > 0


# the files


def test_bytes_are_deterministic_small_and_carry_the_metadata(tmp_path: Path) -> None:
    from edgernn.exports.metadata import metadata

    net = random_net("gru", 64)
    g = quantized(net, "int8x16")
    files, report = export_onnx(g, tmp_path / "a", net, qdq=True)
    again, _ = export_onnx(quantized(net, "int8x16"), tmp_path / "b", net, qdq=True)
    assert [p.name for p in files] == ["model.onnx", "model_float.onnx", "model_qdq.onnx"]
    assert [p.read_bytes() for p in files] == [p.read_bytes() for p in again]
    assert report["bytes"] == {p.name: p.stat().st_size for p in files}
    assert report["bytes"]["model.onnx"] < g.weight_bytes + 11_000
    model = onnx.load(files[0])
    onnx.checker.check_model(model, full_check=True)
    assert metadata_of(model) == {**metadata(g), "edgernn.form": "integer"}
    floats = [i.name for i in model.graph.initializer if i.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)]
    assert floats == []
    assert list(report["qdq_snr_db"]) == ["as_written", "optimised"]
    assert 60 < report["qdq_snr_db"]["as_written"] < 120
    assert report["qdq_snr_db"]["optimised"] < 120
    assert (report["warning"] is None) == (report["qdq_snr_db"]["optimised"] >= 20)


def test_only_the_integer_form_by_default(tmp_path: Path) -> None:
    files, report = export_onnx(graph_of("rnn_tanh", "bare", "int8"), tmp_path)
    assert [p.name for p in files] == ["model.onnx"]
    assert set(report) == {"bytes"}


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_qdq_stays_near(front: str, scheme: str) -> None:
    """Far from it, scales or weights would be wrong."""
    for cell in recurrent_cells():
        g = quantized(random_net(cell, 16, front), scheme)
        found = qdq_distance(g, steps=100)
        assert found["as_written"] > 20, (cell, found)
        # on x86 with AVX2 but without VNNI the optimised model is worse, and the user must be told
        assert (qdq_warning(found, 8) is None) == (found["optimised"] >= 20), (cell, found)
        seven = qdq_distance(g, 7, steps=100)
        assert min(seven.values()) > 20, (cell, seven)


def test_a_cpu_that_saturates_is_told_of() -> None:
    assert qdq_warning({"as_written": 45.0, "optimised": 32.0}, 8) is None
    said = qdq_warning({"as_written": 45.0, "optimised": 12.5}, 8)
    assert said is not None
    assert "leaves 12.5 dB" in said
    assert "--qdq-bits 7" in said
    again = qdq_warning({"as_written": 45.0, "optimised": 12.5}, 7)
    assert again is not None
    assert "--qdq-bits 7" not in again


def test_an_older_cpu_really_saturates_and_seven_bits_really_cure_it(tmp_path: Path) -> None:
    """The whole command on an emulated CPU with AVX2 and no VNNI, in ONNX Runtime's own kernels for it."""
    older = need_older_cpu()
    quantized(random_net("gru", 16), "int8").save(tmp_path / "g.ern")

    def said(*options: str) -> str:
        command = [*older, sys.executable, "-m", "edgernn", "export", str(tmp_path / "g.ern"), "--format", "onnx", "--qdq"]
        done = subprocess.run(
            [*command, "--out", str(tmp_path / "out"), *options], capture_output=True, text=True, timeout=300, check=True
        )
        return " ".join(done.stdout.split())

    assert "--qdq-bits 7" in said(), "the products saturate here, and nobody is told"
    assert "--qdq-bits 7" not in said("--qdq-bits", "7")


def test_weights_of_seven_bits_leave_a_16_bit_sum_room() -> None:
    """Two products of a 7-bit weight and an 8-bit operand fit 16 bits; the scale is doubled."""
    g = quantized(random_net("gru", 16), "int8")
    sevens = [numpy_helper.to_array(i) for i in onnx.load_from_string(onnx_qdq.qdq_model(g, 7)).graph.initializer]
    weights = [a for a in sevens if a.dtype == np.int8 and a.ndim == 2]
    assert len(weights) >= 3
    assert max(np.abs(a.astype(int)).max() for a in weights) == 64
    assert 2 * 64 * 255 < 2**15 * 2
    with pytest.raises(EdgernnError, match="QDQ weights of 6 bits"):
        onnx_qdq.qdq_model(g, 6)


def test_given_file_must_be_of_this_graph_and_form(tmp_path: Path) -> None:
    net = random_net("gru", 8)
    g, other = quantized(net, "int8"), quantized(net, "int8x16")
    files, _ = export_onnx(g, tmp_path, net)
    frames = features(g, 50)
    runtime = OnnxRuntime(g, files[0])
    assert runtime.file_bytes == files[0].stat().st_size
    assert same(make_runtime("numpy", g).run_features(frames), runtime.run_features(frames))
    with pytest.raises(EdgernnError, match=f"exported from graph {g.id[:12]}, not from {other.id[:12]}"):
        OnnxRuntime(other, files[0])
    with pytest.raises(EdgernnError, match="is the float export, not the integer one"):
        OnnxRuntime(g, files[1])
    with pytest.raises(EdgernnError, match="unknown optimisation level 'most'; known: disable_all"):
        OnnxRuntime(g, level="most")
    with pytest.raises(EdgernnError, match=r"cannot read ONNX file .*none\.onnx"):
        OnnxRuntime(g, tmp_path / "none.onnx")


def test_a_foreign_or_changed_file_is_refused(tmp_path: Path) -> None:
    g = quantized(random_net("gru", 8), "int8")
    path = export_onnx(g, tmp_path)[0][0]
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    onnx.save(model, path)
    with pytest.raises(EdgernnError, match="was changed after the export"):
        OnnxRuntime(g, path)
    del model.metadata_props[:]
    onnx.save(model, path)
    with pytest.raises(EdgernnError, match="exported from graph none"):
        OnnxRuntime(g, path)
    with pytest.raises(EdgernnError, match="ONNX Runtime refuses the model"):
        session(b"\x08\x0a")


def test_external_data_is_loaded_or_named(tmp_path: Path) -> None:
    g = quantized(random_net("gru", 8), "int8")
    path = export_onnx(g, tmp_path)[0][0]
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=64)
    assert (tmp_path / "weights.bin").stat().st_size > 500
    frames = features(g, 20)
    assert same(make_runtime("numpy", g).run_features(frames), OnnxRuntime(g, path).run_features(frames))
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(EdgernnError, match=r"keeps tensor .* in 'weights.bin', which is missing"):
        OnnxRuntime(g, path)


def damaged(data: bytes, count: int, seed: int = 0) -> list[bytes]:
    """Bytes changed, cut out, put in and cut off."""
    rng, out = np.random.default_rng(seed), []
    for i in range(count):
        at, n = int(rng.integers(len(data))), int(rng.integers(1, 9))
        noise = rng.bytes(n)
        kinds = [data[:at] + noise + data[at + n :], data[:at] + data[at + n :], data[:at] + noise + data[at:], data[:at]]
        out.append(kinds[i % 4])
    return [d for d in out if d != data]


def test_damaged_files_never_reach_the_runtime(tmp_path: Path) -> None:
    g = quantized(random_net("gru", 8), "int8")
    files = damaged(integer_model(g), 400)
    assert len(files) > 390
    path = tmp_path / "model.onnx"
    for data in files:
        path.write_bytes(data)
        with pytest.raises(EdgernnError, match=r"model\.onnx"):
            OnnxRuntime(g, path)


def test_unsealed_damage_is_a_sentence() -> None:
    """Without our metadata there is no checksum: the parser alone must cope."""
    model = onnx.load_from_string(integer_model(quantized(random_net("gru", 8), "int8")))
    del model.metadata_props[:]
    refused = 0
    for data in damaged(model.SerializeToString(), 300, seed=1):
        with contextlib.suppress(EdgernnError):
            refused += 1
            parse(data, "model", Path())
            refused -= 1
    assert refused > 50


# batches and the float form


def zeros(s: Any, batch: int) -> dict[str, NDArray[Any]]:
    """Every state of a session's model after a reset."""
    types = {"tensor(float)": np.float32, "tensor(int16)": np.int16, "tensor(int8)": np.int8}
    states = [i for i in s.get_inputs() if i.name != "features"]
    return {i.name: np.zeros([batch if d == "batch" else d for d in i.shape], types[i.type]) for i in states}


def run_stream(s: Any, x: NDArray[Any], per_call: int) -> list[NDArray[Any]]:
    """Feed the stream [batch, T, bands] call by call; results of all calls, then the last states."""
    state, rows = zeros(s, len(x)), []
    for i in range(0, x.shape[1], per_call):
        logits, posteriors, *after = s.run(None, {"features": x[:, i : i + per_call], **state})
        state = dict(zip(state, after, strict=True))
        rows.append((logits, posteriors))
    return [*(np.concatenate(part, axis=1) for part in zip(*rows, strict=True)), *state.values()]


@pytest.mark.parametrize("form", ["integer", "float", "qdq"])
@pytest.mark.parametrize("front", FRONTS)
def test_a_batch_of_three_is_three_streams(front: str, form: str) -> None:
    net = random_net("lstm", 16, front)
    g = quantized(net, "int8")
    models = {"integer": integer_model, "qdq": onnx_qdq.qdq_model, "float": lambda g: onnx_float.float_model(net, g)}
    s = session(models[form](g))
    streams = np.stack([features(g, 40, seed) for seed in (1, 2, 3)]).astype(g.values["features"].dtype)
    x = (streams * np.float32(g.values["features"].step)) if form == "float" else streams
    whole = run_stream(s, x, g.frames_per_step)
    alone = [run_stream(s, x[i : i + 1], g.frames_per_step) for i in range(3)]
    for together, *parts in zip(whole, *alone, strict=True):
        if form == "float":
            np.testing.assert_allclose(together, np.concatenate(parts), atol=1e-6)
        else:
            assert np.array_equal(together, np.concatenate(parts))


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_float_form_follows_the_float_net(cell: str, front: str) -> None:
    net = random_net(cell, 32, front)
    g = quantized(net, "int8x16")
    s = session(onnx_float.float_model(net, g))
    x = net.features(log_energies(net.recipe, 240, 3)).reshape(2, 120, -1)
    for per_call in (g.frames_per_step, 40):
        logits, posteriors, *_ = run_stream(s, x, per_call)
        np.testing.assert_allclose(logits, net.run(x), atol=1e-5)
        np.testing.assert_allclose(posteriors, 1 / (1 + np.exp(-logits)), atol=1e-6)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_float_form_follows_torch(cell: str, front: str) -> None:
    """torch's modules with batch norms of their own statistics, against one call over the whole sequence."""
    need_module("torch")
    import torch

    from edgernn.core.net import Net

    torch.manual_seed(0)
    frame = random_net(cell, 24, front)
    model = Net(frame.layers).eval()
    for name, tensor in model.state_dict().items():
        if "norm" in name or "bias" in name:
            tensor.copy_(torch.rand_like(tensor.float()) * 0.5 + (0.5 if "var" in name or "norm.weight" in name else 0.0))
    net = SpotNet(frame.recipe, LABELS, frame.tables, frame.mean, frame.deviation, model.weights(model.state_dict()))
    s = session(onnx_float.float_model(net, quantized(net, "int8x16")))
    x = net.features(log_energies(net.recipe, 200, 8)).reshape(2, 100, -1)
    with torch.no_grad():
        expected = model(torch.from_numpy(x))[0].numpy()
    logits = s.run(["logits"], {"features": x, **zeros(s, 2)})[0]
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_float_net_must_be_the_graphs(tmp_path: Path) -> None:
    net, other = random_net("gru", 8), random_net("gru", 8, bands=20)
    with pytest.raises(EdgernnError, match="is not the one this graph was made from"):
        export_onnx(quantized(net, "int8"), tmp_path, other)
    assert not list(tmp_path.iterdir())


def test_float_file_says_what_it_takes(tmp_path: Path) -> None:
    net = random_net("lstm", 8, "conv")
    files, _ = export_onnx(quantized(net, "int8"), tmp_path, net)
    model = read(files[1])
    shapes = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input}
    assert shapes["features"] == ["batch", "frames", 40]
    assert shapes["state_3"] == ["batch", 1, 8]
