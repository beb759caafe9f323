"""Models that come in and go out: what does not fit or is of something else is refused, and numbers keep their units."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from needs import need_module
from nets import quantized, random_net
from test_import import INPUTS, X, onnx_model, op

from edgernn.core.graph_file import FORMAT_VERSION
from edgernn.errors import EdgernnError
from edgernn.exports import _tflite_file as sealed
from edgernn.exports.metadata import input_ports, metadata, output_ports
from edgernn.exports.onnx import integer_model
from edgernn.exports.onnx_qdq import _Pairs, row_steps
from edgernn.exports.tflite import TFLM_CONCAT_INPUTS, load_schema, model_bytes
from edgernn.imports import read_model
from edgernn.imports._base import Part, assemble, dense, recurrent, reorder
from edgernn.runtimes import make_runtime
from edgernn.runtimes._tflite import checked_file
from edgernn.tasks.spot import importing

# Exports ---------------------------------------------------------------------------


def test_metadata_names_ports_in_order() -> None:
    g = quantized(random_net("lstm", 4, "conv"), "int8")
    reads, writes = [s.read for s in g.states], [s.write for s in g.states]
    assert len(reads) == 4
    assert [(p.name, p.value) for p in input_ports(g)] == [
        ("features", g.input),
        *((f"state_{i}", r) for i, r in enumerate(reads)),
    ]
    assert [(p.name, p.value) for p in output_ports(g)] == [
        ("logits", "logits"), ("posteriors", "posteriors"), *((f"state_{i}_out", w) for i, w in enumerate(writes))
    ]  # fmt: skip
    said = metadata(g)
    assert said["edgernn.graph_id"] == g.id and said["edgernn.graph_format"] == str(FORMAT_VERSION)
    assert json.loads(said["edgernn.inputs"])[0] == {
        "name": "features",
        "dtype": "int8",
        "shape": [2, 40],
        "step": (2.0**-4).hex(),
    }
    assert json.loads(said["edgernn.labels"]) == list(g.labels)
    assert (said["edgernn.sample_rate"], said["edgernn.frames_per_step"]) == ("16000", "2")


@pytest.mark.parametrize(
    ("cell", "front", "scheme"), [("gru", "conv", "int8"), ("rnn_relu", "separable", "int8x16"), ("lstm", "bare", "int8")]
)
def test_tflite_runs_odd_nets_alike(cell: str, front: str, scheme: str) -> None:
    g = quantized(random_net(cell, 7, front, bands=13), scheme)
    frames = g.affine.apply(np.random.default_rng(0).integers(4000, 14000, (60, 13)).astype(np.int16))
    expected = make_runtime("numpy", g).run_features(frames)
    for runtime in ("litert", "onnx"):
        assert sum(expected.differing(make_runtime(runtime, g).run_features(frames)).values()) == 0, runtime


def test_no_operator_has_more_inputs_than_tflm_takes() -> None:
    g = quantized(random_net("gru", 3, bands=8), "int8")
    model = load_schema().Model.GetRootAsModel(model_bytes(g, clip_steps=TFLM_CONCAT_INPUTS + 1), 0)
    graph = model.Subgraphs(0)
    counts = [graph.Operators(i).InputsLength() for i in range(graph.OperatorsLength())]
    assert max(counts) <= TFLM_CONCAT_INPUTS == 10


def test_a_clip_of_no_steps_is_refused() -> None:
    g = quantized(random_net("gru", 3, bands=8), "int8")
    model_bytes(g, clip_steps=1)
    for steps in (0, -1, 4097):
        with pytest.raises(EdgernnError, match=f"clip_steps = {steps} must lie in 1..4096"):
            model_bytes(g, clip_steps=steps)
    with pytest.raises(EdgernnError, match="stateful must be off"):
        model_bytes(g, clip_steps=2, stateful=True)


def test_a_tflite_file_of_another_graph_or_form_is_refused() -> None:
    g, other = (quantized(random_net("gru", 3, bands=8, seed=s), "int8") for s in (0, 1))
    assert checked_file(g, model_bytes(g)) == checked_file(g, None)
    with pytest.raises(EdgernnError, match="exported from graph"):
        checked_file(g, model_bytes(other))
    for form, data in (("stateful", model_bytes(g, stateful=True)), ("clip", model_bytes(g, clip_steps=2))):
        with pytest.raises(EdgernnError, match=f"of the form {form}"):
            checked_file(g, data)


def test_damage_behind_the_checksum_is_found_too() -> None:
    data = model_bytes(quantized(random_net("gru", 3, bands=8), "int8"))
    begin = sealed._slot(data)
    assert 100 < begin < len(data) - 100
    for at in (8, begin - 30, begin, begin + 7, begin + 8, len(data) - 1):
        wrong = bytearray(data)
        wrong[at] ^= 1
        with pytest.raises(EdgernnError):
            sealed.verify(bytes(wrong))
    sealed.verify(data)


def test_a_tflite_file_with_two_marks_is_refused() -> None:
    data = model_bytes(quantized(random_net("gru", 3, bands=8), "int8"))
    with pytest.raises(EdgernnError, match="did not write"):
        sealed.verify(data + sealed.checksum_slot())


def test_a_sealed_onnx_file_without_its_checksum_is_refused(tmp_path: Path) -> None:
    import onnx

    from edgernn.exports._onnx_file import read

    path = tmp_path / "m.onnx"
    path.write_bytes(integer_model(quantized(random_net("gru", 3, bands=8), "int8")))
    read(path)
    whole = onnx.load(path)
    for change in (lambda m: m.metadata_props.pop(), lambda m: m.metadata_props.reverse(),
                   lambda m: m.metadata_props.add(key="x", value="y")):  # fmt: skip
        model = onnx.ModelProto()
        model.CopyFrom(whole)
        change(model)
        path.write_bytes(model.SerializeToString(deterministic=True))
        with pytest.raises(EdgernnError, match="checksum differs"):
            read(path)


def test_a_sealed_onnx_file_with_another_number_is_refused(tmp_path: Path) -> None:
    import onnx

    from edgernn.exports._onnx_file import read

    path = tmp_path / "m.onnx"
    path.write_bytes(integer_model(quantized(random_net("gru", 3, bands=8), "int8")))
    model = onnx.load(path)
    model.graph.initializer[0].raw_data = bytes(len(model.graph.initializer[0].raw_data))
    path.write_bytes(model.SerializeToString(deterministic=True))
    with pytest.raises(EdgernnError, match="checksum differs"):
        read(path)


def test_qdq_rows_have_the_steps_of_the_graph() -> None:
    """A row's integer weights times its step are the float weights; of seven bits half as many at twice the step."""
    net = random_net("gru", 4)
    g = quantized(net, "int8x16")
    fx = next(o for o in g.ops if o.output == "gru0.fx")
    steps = row_steps(g, fx)
    found = g.constants["gru0.fx.weight"] * steps[:, None]
    assert np.abs(found - net.weights["gru0.weight_ih"]).max() <= steps.max() * 0.5001
    taken: list[Any] = []
    for bits in (8, 7):
        pairs = _Pairs(g, bits)
        pairs.rows = lambda values, scales, axis=0: taken.append((values, scales)) or "x"  # type: ignore[method-assign]
        pairs.weights(g.constants["gru0.fx.weight"], steps)
    (whole, step), (half, double) = taken
    assert np.array_equal(double, 2 * step) and np.abs(half).max() <= 64
    assert np.abs(whole * step[:, None] - half * double[:, None]).max() <= step.max() * 1.001


# Imports ---------------------------------------------------------------------------


def gru(name: str = "g", n_in: int = 6, units: int = 5, dtype: Any = np.float32) -> Part:
    return recurrent(name, "gru", np.ones((3 * units, n_in), dtype), np.ones((3 * units, units), dtype))


def head(n_in: int = 5, relu: bool = False, **change: Any) -> Part:
    weight = change.get("weight", np.ones((4, n_in), np.float32))
    return dense("h", weight, change.get("bias"), relu)


def test_parts_that_do_not_fit_are_refused() -> None:
    assert assemble("m", [gru(), head()]).n_out == 4
    bad = np.ones((4, 5), np.float32)
    for index, value in ((0, np.nan), (3, np.inf), (1, -np.inf)):
        spoilt = bad.copy()
        spoilt[index, 1] = value
        with pytest.raises(EdgernnError, match="NaN or infinity in weight"):
            assemble("m", [gru(), head(weight=spoilt)])
    for parts, said in (
        ([], "holds no layer"),
        ([gru()], "ends in the gru 'g'"),
        ([head()], "only the dense layer"),
        ([gru(), head(relu=True)], "applies ReLU to its outputs"),
        ([gru(), head(4)], "takes 4 inputs, but 'g' before it gives 5"),
        ([gru(), head(6)], "takes 6 inputs, but 'g' before it gives 5"),
        ([gru(), head(weight=np.ones((4, 5), np.int8))], "of type int8; save the float model"),
        ([gru(dtype=np.int32), head()], "of type int32"),
        ([gru(), head(weight=np.full((4, 5), 1e300))], "NaN or infinity"),
        (
            [replace(gru(), weights={**gru().weights, "bias_ih": np.zeros(14, np.float32)}), head()],
            r"has bias_ih of shape \(14,\)",
        ),
    ):
        with pytest.raises(EdgernnError, match=said):
            assemble("m", parts)


def test_gates_are_put_in_another_order() -> None:
    stacked = np.repeat([[10], [20], [30], [40]], 2, axis=0)
    assert reorder(stacked, (1, 0, 3, 2)).ravel().tolist() == [20, 20, 10, 10, 40, 40, 30, 30]
    assert reorder(stacked, (2, 3, 1, 0)).ravel().tolist() == [30, 30, 40, 40, 20, 20, 10, 10]


def test_a_pt_file_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    need_module("torch")
    import torch

    class Code:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"fc.weight": torch.ones(2, 3), "x": Code()}, tmp_path / "m.pt")
    with pytest.raises(EdgernnError, match="tensors alone"):
        read_model(tmp_path / "m.pt")
    assert not (tmp_path / "ran").exists()


def test_an_onnx_gemm_keeps_its_factors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    k, b = rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    for transposed in (0, 1):
        shape = op("Reshape", "h", "shape", "flat")
        gemm = op("Gemm", "flat", "K", "b", "Y", alpha=0.5, beta=3.0, transB=transposed)
        weights = {"K": k.T.copy() if transposed else k, "b": b, "shape": np.array([-1, 5])}
        path = onnx_model(tmp_path / f"{transposed}.onnx", tail=[shape, gemm], weights=weights, rank=2, linear_before_reset=1)
        found = read_model(path).weights
        assert np.allclose(found["head.weight"][:, 0], 0.5 * k.T)
        assert np.allclose(found["head.bias"], 3 * b)


@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_an_onnx_gru_that_runs_backwards_is_refused(direction: str, tmp_path: Path) -> None:
    from edgernn.imports._onnx_cells import _check_variant

    file: Any = SimpleNamespace(refuse=lambda node, why: EdgernnError(why))

    def node(attributes: dict[str, str]) -> Any:
        return SimpleNamespace(kind="GRU", name="n", attributes=attributes)

    _check_variant(file, node({"direction": "forward"}), ())
    with pytest.raises(EdgernnError, match=f"direction '{direction}', which needs the future"):
        _check_variant(file, node({"direction": direction}), ())


def test_an_onnx_gru_that_starts_from_something_is_refused(tmp_path: Path) -> None:
    start = np.zeros((1, 2, 5), np.float32)
    more = {"more": ["", "H"], "linear_before_reset": 1}
    read_model(onnx_model(tmp_path / "zero.onnx", weights={"H": start}, **more))
    start[0, 1, 3] = 0.1
    with pytest.raises(EdgernnError, match="starts from the state 'H', which is not zero"):
        read_model(onnx_model(tmp_path / "some.onnx", weights={"H": start}, **more))


# Into a run folder ---------------------------------------------------------------------------


def imported(bands: int = INPUTS) -> Any:
    """A random net whose labels stand in an order of the user's own."""
    net = random_net("gru", 4, bands=bands)
    return replace(net, labels=("silence", "b", "unknown", "a", "c"), mean=np.zeros(bands), deviation=np.ones(bands))


def test_an_import_that_differs_from_its_own_answers_is_refused(tmp_path: Path) -> None:
    net, path = imported(), tmp_path / "check.npz"
    x = X[:, :, :INPUTS]
    y = net.run(x)
    for output, answers in (
        ("logits", y),
        ("sigmoid", 1 / (1 + np.exp(-y))),
        ("softmax", np.exp(y) / np.exp(y).sum(-1, keepdims=True)),
        ("logsoftmax", y - np.log(np.exp(y).sum(-1, keepdims=True))),
    ):
        said: Any = SimpleNamespace(output=output, half="")
        for part in (answers, answers[:, -1]):
            np.savez(path, x=x, y=part)
            assert importing._difference(net, said, path)[0] < 1e-5
            for off in (0.01, -0.01):
                wrong = part.copy()
                wrong.flat[3] += off
                np.savez(path, x=x, y=wrong)
                with pytest.raises(EdgernnError, match="differs from its own answers"):
                    importing._difference(net, said, path)


def test_imported_outputs_are_put_in_order() -> None:
    net = imported()
    found, notes = importing._arranged(net, ("a", "b", "c"))
    assert (found.labels, notes) == (("a", "b", "c", "unknown", "silence"), [])
    order = [3, 1, 4, 2, 0]
    assert np.array_equal(found.weights["head.bias"], net.weights["head.bias"][order])
    assert np.allclose(found.run(X[:, :, :INPUTS]), net.run(X[:, :, :INPUTS])[..., order], atol=1e-5)


def test_an_import_of_plain_energies_gives_the_same_scores() -> None:
    """The net read log2 energies as they are; edgernn normalises them, and undoes it in the first layer."""
    rng = np.random.default_rng(0)
    for cell, front, settled in (("gru", "bare", 0), ("lstm", "conv", 4)):  # a convolution's first history is the mean's
        net = replace(random_net(cell, 4, front, bands=INPUTS), mean=np.zeros(INPUTS), deviation=np.ones(INPUTS))
        logs = rng.integers(25 * 512, 40 * 512, (2, 8, INPUTS)).astype(np.int16)
        wanted = net.run((logs / 512.0).astype(np.float32))
        folded = importing._folded(net)
        assert np.allclose(folded.run(folded.features(logs))[:, settled:], wanted[:, settled:], atol=2e-3)


def test_a_normalisation_is_in_log2_units(tmp_path: Path) -> None:
    net, path = imported(), tmp_path / "n.json"
    path.write_text(json.dumps({"mean": [30.0] * INPUTS, "deviation": 2.5}))
    found = importing._normalized(net, path)
    assert set(found.mean) == {30.0 * 512} and set(found.deviation) == {2.5 * 512}
    for mean, ok in ((0.0, True), (63.99, True), (64.0, False), (-0.01, False)):
        path.write_text(json.dumps({"mean": mean, "deviation": 1.0}))
        if ok:
            importing._normalized(net, path)
        else:
            with pytest.raises(EdgernnError, match="outside 0 to 64"):
                importing._normalized(net, path)
    for deviation, ok in ((8 / 512, True), (7.9 / 512, False)):
        path.write_text(json.dumps({"mean": 1.0, "deviation": deviation}))
        if ok:
            importing._normalized(net, path)
        else:
            with pytest.raises(EdgernnError, match="too small"):
                importing._normalized(net, path)
