"""Float to integers: cells equal torch, row scales cannot overflow, and what cannot be held is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from needs import need_module
from nets import FRONTS, log_energies, quantized, random_net, recurrent_cells

from edgernn.core.primitives import SCHEMES
from edgernn.core.quantize import row_scales
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks import quantize_net


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_float_net_equals_torch_with_carried_state(cell: str, front: str) -> None:
    need_module("torch")
    import torch

    from edgernn.core.net import Net
    from edgernn.tasks.spot.recipe import SpotNet

    base = random_net(cell, 16, front)
    torch.manual_seed(0)
    module = Net(base.layers)
    with torch.no_grad():  # batch norms that do something
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_()
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 2)
    module.eval()
    net = SpotNet(base.recipe, base.labels, base.tables, base.mean, base.deviation, module.weights(module.state_dict()))
    x = np.random.default_rng(1).normal(size=(3, 60, 40)).astype(np.float32)
    with torch.no_grad():
        first, state = module(torch.from_numpy(x[:, :24]))
        second, _ = module(torch.from_numpy(x[:, 24:]), state)
    expected = torch.cat([first, second], 1).numpy()
    assert np.abs(net.run(x) - expected).max() < 2e-5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_integer_net_follows_the_float_net(cell: str, scheme: str) -> None:
    """SNR of the logits over a fresh stream; random nets are harder than trained ones."""
    net = random_net(cell, 32, "separable")
    _, report = quantize_net(net, [log_energies(net.recipe, 200, i) for i in range(4)], scheme)
    rows = {t.name: t for t in report.tensors}
    assert rows["logits"].snr_db > (30 if scheme == "int8x16" else 18)
    assert {"logits", f"{cell}2.h_next", f"{cell}2.fx", "depthwise0.y"} <= set(rows)
    assert all(0 <= t.saturated < 0.05 and t.largest > 0 for t in report.tensors)


def scaled(weight: Any, bias: Any, largest: int = 32768, step_in: float = 2.0**-12) -> Any:
    w, b = np.atleast_2d(np.asarray(weight, np.float32)), np.asarray(bias, np.float32)
    return row_scales(w, b, step_in, 3 * 2.0**-13, largest, "layer.fx")


def test_row_scale_is_the_smallest_representable() -> None:
    rng = np.random.default_rng(0)
    w = rng.normal(size=(50, 40)).astype(np.float32)
    constants, enlarged = scaled(w, np.zeros(50))
    scale = constants["multiplier"] * 2.0 ** -constants["shift"].astype(float) * 3 * 2.0**-13 / 2.0**-12
    exact = np.abs(w).max(1) / 127
    assert not enlarged
    assert np.all(scale >= exact)
    assert np.all(scale <= exact * (1 + 2.0**-13))
    assert np.all((constants["multiplier"] >= 16384) & (constants["multiplier"] <= 32767))
    assert np.abs(constants["weight"] * scale[:, None] - w).max() <= 0.5001 * scale.max()


def test_tiny_row_with_large_bias_is_enlarged_and_reported() -> None:
    constants, enlarged = scaled([[1e-7] * 4, [0.5] * 4], [3.0, 0.1])
    assert [(e.tensor, e.row) for e in enlarged] == [("layer.fx", 0)]
    assert enlarged[0].factor > 10
    bound = np.abs(constants["weight"].astype(np.int64)).sum(1) * 32768 + np.abs(constants["bias"].astype(np.int64))
    assert np.all(bound < 2**31)
    value = constants["bias"].astype(float) * constants["multiplier"] * 2.0 ** -constants["shift"].astype(float) * 3 * 2.0**-13
    assert np.allclose(value, [3.0, 0.1], atol=2e-3)


def test_wide_row_is_enlarged() -> None:
    constants, enlarged = scaled(np.ones((1, 1000)), [0.0])
    assert len(enlarged) == 1
    assert int(np.abs(constants["weight"].astype(np.int64)).sum()) * 32768 < 2**31


def test_zero_row() -> None:
    constants, enlarged = scaled(np.zeros((1, 8)), [0.0])
    assert not constants["weight"].any()
    assert not enlarged


def test_impossible_scale_is_refused_by_name() -> None:
    with pytest.raises(EdgernnError, match=r"layer\.fx row 0: .*contract"):
        scaled([[1e30] * 4], [0.0])


def test_a_cell_state_beyond_its_range_saturates() -> None:
    """c grows by about one a step while forget and input gates are open: tanh(c) is 1 long before 64."""
    net = random_net("lstm", 4)
    bias = np.repeat(np.float32([9, 9, 9, 0]), 4)
    open_gates = {"lstm0.bias_ih": bias, "lstm0.bias_hh": 0 * bias}
    open_gates |= {k: 0 * v for k, v in net.weights.items() if k.startswith("lstm0.weight")}
    net = replace(net, weights={**net.weights, **open_gates})
    graph, report = quantize_net(net, [log_energies(net.recipe, 200, 0)], "int8x16")
    trace = make_runtime("numpy", graph).run_features(graph.affine.apply(log_energies(net.recipe, 200, 1)))
    assert (graph.values["lstm0.c"].scale, trace.states["lstm0.c"][-1].min()) == (9, 32767)
    assert next(t for t in report.to_dict()["tensors"] if t["name"] == "lstm0.c_next")["saturated"] > 0.5
    assert np.all(trace.states["lstm0.h"][-1] > 15000)


def test_calibrated_range_that_fits_nowhere_is_refused_by_name() -> None:
    net = random_net("gru", 8, "conv")
    huge = {k: v * np.float32(1e9) if k.startswith("conv0") else v for k, v in net.weights.items()}
    with pytest.raises(EdgernnError, match=r"conv0\.y: calibrated range .* does not fit int16"):
        quantize_net(replace(net, weights=huge), [log_energies(net.recipe, 40, 0)], "int8x16")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_weights_are_refused_by_name(bad: float) -> None:
    net = random_net("gru", 8)
    weights = {k: v.copy() for k, v in net.weights.items()}
    weights["gru0.weight_hh"][0, 0] = bad
    with pytest.raises(EdgernnError, match=r"gru0\.weight_hh holds NaN or infinity"):
        replace(net, weights=weights)


def test_unknown_scheme_and_empty_calibration() -> None:
    net = random_net("gru", 8)
    with pytest.raises(EdgernnError, match="unknown scheme 'int4'; known: int8, int8x16"):
        quantize_net(net, [log_energies(net.recipe, 20, 0)], "int4")
    with pytest.raises(EdgernnError, match="at least one step"):
        quantize_net(net, [np.zeros((0, 40), np.int16)], "int8")


def test_lstm_cell_takes_the_largest_exponent_that_holds_it() -> None:
    for gain, expected in ((0.2, 12), (30.0, 9)):
        net = random_net("lstm", 8)
        weights = dict(net.weights)
        bias = np.zeros(32, np.float32)
        bias[8:16], bias[16:24], bias[0:8] = 8.0, 8.0 if gain > 1 else 0.0, 8.0  # f, g, i: an integrator
        weights["lstm0.bias_ih"] = bias
        weights["lstm0.weight_ih"] = weights["lstm0.weight_ih"] * np.float32(0.02 if gain < 1 else 1)
        weights["lstm0.weight_hh"] = weights["lstm0.weight_hh"] * np.float32(0.02)
        frames = 14 if gain > 1 else 6
        g = quantize_net(replace(net, weights=weights), [log_energies(net.recipe, frames, i) for i in range(2)], "int8x16")[0]
        assert g.values["lstm0.c"].scale == (expected if gain < 1 else pytest.approx(11, abs=2))


def test_weight_bytes_count_every_constant() -> None:
    g = quantized(random_net("gru", 48), "int8x16")
    rows = 3 * 48 * 2 + 5
    assert g.weight_bytes == 144 * 40 + 144 * 48 + 5 * 48 + rows * (4 + 2 + 1)
    assert g.macs_per_step == 144 * 40 + 144 * 48 + 5 * 48


def test_relu_rnn_uses_one_scale() -> None:
    g = quantized(random_net("rnn_relu", 16), "int8")
    scales = {g.values[f"rnn_relu0.{n}"].scale for n in ("fx", "fh", "h", "h_next")}
    assert len(scales) == 1
    assert make_runtime("numpy", g).run(np.zeros(16000, np.int16)).logits.shape == (50, 5)
