"""The recurrence in C that trains a GRU, against torch's own layer: values, gradients, and that it is what nets train with."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
SHAPES = [(9, 31, 22, 28), (4, 12, 24, 24), (5, 7, 3, 1), (3, 4, 2, 50), (1, 1, 1, 16)]  # sequences, steps, inputs, units


def with_gradients(core: Any, x: Any, weights: Any, forward: Any) -> list[Any]:
    """States, and the gradients of a weighted sum of them: of the input, then of every parameter."""
    own = x.detach().clone().requires_grad_()
    core.zero_grad()
    y = forward(own)
    (y * weights).sum().backward()
    return [y.detach(), own.grad, *(p.grad.clone() for p in core.parameters())]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradients_are_torchs(shape: tuple[int, int, int, int]) -> None:
    from edgernn.cells._gru_training import gru_over_time

    count, steps, inputs, units = shape
    torch.manual_seed(1)
    core = torch.nn.GRU(inputs, units, batch_first=True)
    x, weights = 2 * torch.randn(count, steps, inputs), torch.randn(count, steps, units)
    expected = with_gradients(core, x, weights, lambda v: core(v)[0])
    found = with_gradients(core, x, weights, lambda v: gru_over_time(core, v))
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).abs().max()) <= 3e-6 * max(1.0, float(theirs.abs().max()))


@pytest.mark.parametrize("size", [30.0, 300.0, 1e4])
def test_gates_that_are_full_stay_so(size: float) -> None:
    from edgernn.cells._gru_training import gru_over_time

    torch.manual_seed(2)
    core = torch.nn.GRU(3, 4, batch_first=True)
    x = size * torch.randn(2, 5, 3)
    expected = with_gradients(core, x, torch.ones(2, 5, 4), lambda v: core(v)[0])
    found = with_gradients(core, x, torch.ones(2, 5, 4), lambda v: gru_over_time(core, v))
    for ours, theirs in zip(found, expected, strict=True):
        assert float((ours - theirs).abs().max()) <= 3e-6 * max(1.0, float(theirs.abs().max()))


def test_nets_train_with_it_from_reset_and_with_torch_where_a_state_is_given() -> None:
    from edgernn.cells._gru_training import serves
    from edgernn.cells._modules import Recurrent

    module, x = Recurrent(torch.nn.GRU(3, 4, batch_first=True)), torch.randn(2, 6, 3)
    assert serves(module.core, x)
    assert not serves(torch.nn.LSTM(3, 4), x) and not serves(module.core, x.double())
    whole, last = module(x, None)
    first, state = module(x[:, :2], None)
    rest, _ = module(x[:, 2:], state)
    assert type(whole.grad_fn).__name__ == "SliceBackward0" or "Recurrence" in type(whole.grad_fn).__name__
    assert torch.allclose(whole, torch.cat([first, rest], 1), atol=1e-6)
    assert torch.equal(last[0], whole[:, -1])
