"""The core's parts by themselves: kernels of the definition, the float net, the quantizer's report, headrooms, the file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import random_denoiser
from nets import log_energies, quantized, random_net
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from edgernn.cells import all_cells
from edgernn.core.definition import KERNELS, IntegerNet
from edgernn.core.graph_file import METADATA_KEY, canonical, seal
from edgernn.core.quantize import GraphBuilder
from edgernn.core.structure import Op, Value
from edgernn.errors import EdgernnError
from edgernn.tasks import graph_from_bytes, load_checkpoint, quantize_net
from edgernn.tasks.spot.recipe import SpotNet

# Kernels ---------------------------------------------------------------------------


def constants(weight: Any) -> dict[str, Any]:
    """A scale of 1 and biases of 7, 8, .."""
    rows = len(weight)
    return {
        "weight": np.asarray(weight),
        "bias": np.arange(7, 7 + rows),
        "multiplier": np.full(rows, 16384),
        "shift": np.full(rows, 14),
    }


def kernel(kind: str, *x: Any, weight: Any = None, **attrs: int) -> Any:
    found = KERNELS[kind](
        [np.asarray(a, np.int64) for a in x], Op(kind, "y", (), attrs), {} if weight is None else constants(weight)
    )
    return found.tolist()


def test_elementwise_kernels_by_hand() -> None:
    a, b = [[[30000, -30000, 5]]], [[[10000, -10000, 7]]]
    assert kernel("add", a, b) == [[[32767, -32768, 12]]]
    assert kernel("sub", a, b) == [[[20000, -20000, -2]]]
    assert kernel("sub", b, [[[-30000, 30000, 0]]]) == [[[32767, -32768, 7]]]
    assert kernel("add_relu", a, b) == [[[32767, 0, 12]]]
    assert kernel("narrow", [[[127, 126, -128, 32767]]]) == [[[1, 0, -1, 127]]]
    assert kernel("mul", [[[16384, -16384]]], [[[16384, 16384]]], shift=14) == [[[8192, -8192]]]


def test_kernels_that_move_values_by_hand() -> None:
    a, b = [[[1, 2, 3], [4, 5, 6]]], [[[7, 8, 9], [10, 11, 12]]]
    assert kernel("concat", a, b) == [[[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]]
    assert kernel("concat_columns", a, b) == [[[1, 2, 3, 7, 8, 9], [4, 5, 6, 10, 11, 12]]]
    assert kernel("reshape", a, rows=3) == [[[1, 2], [3, 4], [5, 6]]]
    assert kernel("slice_rows", [[[1], [2], [3], [4]]], begin=1, size=2) == [[[2], [3]]]
    assert kernel("slice_columns", a, begin=1, size=2) == [[[2, 3], [5, 6]]]


def test_products_by_hand() -> None:
    """Two streams at once, so that no axis is taken for another."""
    x = [[[1, 2], [3, 4], [5, 6]], [[0, 1], [0, 1], [1, 0]]]
    assert kernel("matvec", x, weight=[[1, 10], [-1, -1]], relu=0) == [
        [[28, 5], [50, 1], [72, -3]], [[17, 7], [17, 7], [8, 7]]
    ]  # fmt: skip
    assert kernel("matvec", x, weight=[[1, 10], [-1, -1]], relu=1)[0] == [[28, 5], [50, 1], [72, 0]]
    assert kernel("conv", x, weight=[[1, 0, 0, 0, 0, 100]], relu=0) == [[[608]], [[7]]]
    channels = [[1, 0, 0], [0, 0, 1], [1, 1, 1], [0, 10, 0]]  # two filters a channel
    assert kernel("depthwise", x, weight=channels, relu=0) == [[[8, 13, 21, 50]], [[7, 9, 11, 20]]]
    rows = [[1, 0, 0, 10, 0, 100]]  # the row before, its own, the row after
    assert kernel("row_conv", x, weight=rows, relu=0)[0] == [[27 + 400], [1 + 40 + 600 + 7], [3 + 60 + 7]]


def test_a_step_hands_on_what_was_written() -> None:
    g = quantized(random_net("gru", 4), "int8x16")
    net = IntegerNet(g)
    values, after = net.step(np.full((1, 1, 40), 3000, np.int16), net.zero_state(1))
    assert np.array_equal(after["gru0.h"], values["gru0.h_next"])
    assert after["gru0.h"].any()


# Float net ---------------------------------------------------------------------------


def test_float_features_end_where_the_integers_do() -> None:
    net = replace(random_net("gru", 4), deviation=np.full(40, 2.0))
    logs = np.tile(np.array([[9000], [9008], [32000], [-32000]], np.int16), (1, 40))
    found = net.features(logs)
    assert found[:, 0].tolist() == [0.0, 1.0, 8 - 2.0**-12, -8.0], "a deviation below 8 counts as 8"


def test_the_float_net_runs_every_whole_step_and_carries_its_state() -> None:
    net = random_net("gru", 4, "conv")  # two frames a step
    x = np.random.default_rng(0).normal(size=(2, 9, 40)).astype(np.float32)
    whole = net.run(x)
    assert whole.shape == (2, 4, 5)
    assert np.array_equal(net.run(x[:, :8]), whole)
    state, rows = net.zero_state(2), []
    for i in range(0, 8, 2):
        logits, state, _ = net.step(x[:, i : i + 2], state)
        rows.append(logits)
    assert np.array_equal(np.stack(rows, 1), whole)
    assert not np.allclose(net.run(x[:, 2:8])[:, -1], whole[:, -1]), "what was heard before counts"


def changed(net: SpotNet, name: str, value: Any) -> SpotNet:
    return replace(net, weights={**net.weights, name: value})


def test_weights_that_do_not_fit_or_are_no_numbers_are_refused() -> None:
    net = random_net("gru", 4)
    w = net.weights["gru0.weight_ih"]
    for bad in (np.nan, np.inf, -np.inf):
        spoilt = w.copy()
        spoilt[1, 2] = bad
        with pytest.raises(EdgernnError, match=r"gru0\.weight_ih holds NaN or infinity"):
            changed(net, "gru0.weight_ih", spoilt)
    with pytest.raises(EdgernnError, match=r"gru0\.weight_ih has shape \(40, 12\)"):
        changed(net, "gru0.weight_ih", w.T.copy())
    with pytest.raises(EdgernnError, match="missing or unknown"):
        changed(net, "gru0.extra", w)


def test_a_fingerprint_follows_weights_and_statistics() -> None:
    net = random_net("gru", 4)
    others = [replace(net, mean=net.mean + 1), replace(net, deviation=net.deviation + 1),
              changed(net, "head.bias", net.weights["head.bias"] + 1)]  # fmt: skip
    assert len({n.fingerprint for n in (net, *others)}) == 4
    assert replace(net, source={"x": "y"}).fingerprint == net.fingerprint


@pytest.mark.parametrize("version", [0, 2])
def test_a_checkpoint_of_another_version_is_refused(version: int, tmp_path: Path) -> None:
    from safetensors import safe_open

    path = tmp_path / "m.safetensors"
    random_net("gru", 4).save(path)
    with safe_open(path, framework="numpy") as file:
        meta = json.loads(file.metadata()["edgernn-checkpoint"])
    text = json.dumps({**meta, "checkpoint": version})
    path.write_bytes(save_tensors(load_tensors(path.read_bytes()), {"edgernn-checkpoint": text}))
    with pytest.raises(EdgernnError, match=f"checkpoint version {version}"):
        load_checkpoint(path)


# Quantizer ---------------------------------------------------------------------------


def test_the_report_is_of_all_steps_and_names_how_far_each_tensor_is_off() -> None:
    net = random_net("gru", 8)
    streams = [log_energies(net.recipe, 30, i) for i in range(3)]
    rows = {t.name: t for t in quantize_net(net, streams, "int8x16")[1].tensors}
    coarse = {t.name: t for t in quantize_net(net, streams, "int8")[1].tensors}
    assert 60 > rows["logits"].snr_db > coarse["logits"].snr_db > 15
    g = quantize_net(net, streams, "int8x16")[0]
    logs = np.stack(streams)
    floats, integers = net.features(logs), IntegerNet(g)
    state, signal, error = integers.zero_state(3), 0.0, 0.0
    for i, (logits, _) in enumerate(net.stream(floats)):
        values, state = integers.step(g.affine.apply(logs)[:, i : i + 1], state)
        off = values["logits"][:, 0] * g.values["logits"].step - logits
        signal, error = signal + float(np.sum(logits.astype(float) ** 2)), error + float(np.sum(off.astype(float) ** 2))
    assert rows["logits"].snr_db == pytest.approx(10 * np.log10(signal / error), abs=0.01)
    assert rows["logits"].largest == pytest.approx(np.abs(net.run(floats)).max(), rel=1e-6)


def test_macs_count_a_shared_product_once_a_row() -> None:
    from denoisers import quantized_denoiser

    g = quantized_denoiser(random_denoiser("rows"), "int8")
    wanted = 0
    for op in g.ops:
        if f"{op.output}.weight" in g.constants:
            wanted += g.constants[f"{op.output}.weight"].size * (g.values[op.inputs[0]].shape[0] if op.kind != "conv" else 1)
    assert g.macs_per_step == wanted > g.constants["gru1.fx.weight"].size * 8


def test_cells_ask_for_their_headroom() -> None:
    """What has no bound may grow beyond what calibration saw: by a quarter, the state of a ReLU cell by two."""
    asked: list[tuple[tuple[str, ...], float]] = []

    class Asking(GraphBuilder):
        def exponent(self, *taps: str, headroom: float = 1.0, **rest: Any) -> int:
            asked.append((tuple(t.split(".", 1)[1] for t in taps), headroom))
            return super().exponent(*taps, headroom=headroom, **rest)

    def lowered(net: Any) -> list[tuple[tuple[str, ...], float]]:
        asked.clear()
        ranges = {name: 1.0 for _, taps in net.stream(np.zeros((1, 4, len(net.mean)), np.float32)) for name in taps}
        b, x = Asking("int8x16", ranges), "features"
        b.values[x] = Value((net.frames_per_step, len(net.mean)), "int16", 12)
        for layer in net.layers[:-1]:
            w = {k.split(".", 1)[1]: v for k, v in net.weights.items() if k.startswith(f"{layer.name}.")}
            x = layer.cell.lower(b, layer.name, layer.options, w, x)
        return list(asked)

    assert lowered(random_net("rnn_relu", 4)) == [(("fx", "fh", "h_next"), 2.0)]
    assert lowered(random_net("gru", 4, "separable")) == [(("y",), 1.25), (("y",), 1.25)]
    assert lowered(random_net("gru", 4, "conv")) == [(("y",), 1.25)] * 2
    assert lowered(random_denoiser("rows")) == [(("local", "up"), 1.25), (("down",), 1.25), (("y",), 1.25)]


def test_options_of_cells_at_their_bounds() -> None:
    cells = all_cells()
    conv = {"units": 4, "kernel": 2, "stride": 2, "relu": 1, "norm": 1}
    assert cells["conv"].check(conv) is None
    assert "shorter than stride" in str(cells["conv"].check({**conv, "stride": 3}))
    assert "must be positive" in str(cells["conv"].check({**conv, "units": 0}))
    rows = {"units": 4, "kernel": 3, "relu": 1}
    assert cells["row_conv"].check(rows) is None
    assert "must be odd" in str(cells["row_conv"].check({**rows, "kernel": 2}))
    fold = {"rows": 4, "units": 4, "kernel": 3, "context": 0, "width": 0}
    for context, width, ok in ((0, 0, True), (2, 2, True), (2, 0, False), (0, 2, False)):
        assert (cells["subbands"].check({**fold, "context": context, "width": width}) is None) is ok


# File ---------------------------------------------------------------------------


def test_canonical_text_is_sorted_and_without_spaces() -> None:
    assert canonical({"b": [1, 2], "a": {"d": None, "c": "x"}}) == '{"a":{"c":"x","d":null},"b":[1,2]}'


def test_a_table_of_another_type_is_refused() -> None:
    g = quantized(random_net("gru", 4), "int8")
    data = g.to_bytes()
    tensors = load_tensors(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    description = json.loads(header["__metadata__"][METADATA_KEY])
    del description["crc32_json"]
    for name in ("frontend.offset", "frontend.mel_start"):
        import zlib

        wide = tensors[name].astype(tensors[name].dtype.kind + "4")
        other = {**description, "crc32": {**description["crc32"], name: zlib.crc32(wide.tobytes())}}
        with pytest.raises(EdgernnError, match=rf"tensor {name} is u?int32, not u?int16"):
            graph_from_bytes(save_tensors({**tensors, name: wide}, {METADATA_KEY: seal(other)}))


def test_sizes_of_steps_follow_the_frames_in_them() -> None:
    one, two = quantized(random_net("gru", 4), "int8"), quantized(random_net("gru", 4, "conv"), "int8")
    assert (one.step_samples, two.step_samples) == (320, 640)
    assert (one.step_ms, two.steps_per_second) == (20.0, 25.0)
    assert (two.frame_samples, two.scores) == (320, 5)
