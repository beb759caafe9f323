"""A GRU over whole sequences for training on the CPU: torch's function, with the recurrence and its way back in C.

torch goes through time in a dozen small operations a step; for nets of some dozen units most of their time is not arithmetic.
Values and gradients differ from torch's in the last bits only.
"""

from __future__ import annotations

import ctypes
import functools
import platform
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgernn.hostcc import shared_library

MOST_UNITS = 1024  #: MOST of the C
_TILE = 16
#: what the compiler may use, by what torch found of this processor; part of the key of the compiled library
_FLAGS = {"AVX2": ("-mavx2", "-mfma"), "AVX512": ("-mavx512f", "-mavx512vl", "-mfma", "-mprefer-vector-width=512")}


def serves(core: nn.Module, x: Tensor) -> bool:
    """Whether a core is a GRU that the C computes on such an input."""
    return isinstance(core, nn.GRU) and x.device.type == "cpu" and x.dtype == torch.float32 and core.hidden_size <= MOST_UNITS


def gru_over_time(core: nn.GRU, x: Tensor) -> Tensor:
    """x [N, T, I] -> every state [N, T, H], from state 0."""
    from_input, from_state = ([core.get_parameter(f"{kind}_{side}_l0") for kind in ("weight", "bias")] for side in ("ih", "hh"))
    recurrence: Any = _Recurrence.apply
    states: Tensor = recurrence(functional.linear(x, *from_input), *from_state)
    return states


class _Recurrence(torch.autograd.Function):
    """Products with the input [N, T, 3H], hidden weights [3H, H] and bias [3H] -> states [N, T, H]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous()
        count, steps, units = len(x), x.shape[1], weight.shape[1]
        h, kept = x.new_zeros(count, steps + 1, units), x.new_empty(count, steps, 4 * units)
        matrix, padded = _padded(weight.t()), _padded(bias[None])
        _library().gru_forward(*_sizes(count, steps, units, matrix.shape[1]), *_pointers(x, matrix, padded, h, kept))
        ctx.save_for_backward(weight, h, kept)
        return h[:, 1:]

    @staticmethod
    def backward(ctx: Any, *asked: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, h, kept = ctx.saved_tensors
        count, steps, units = len(h), kept.shape[1], weight.shape[1]
        matrix, wanted = _padded(weight), asked[0].contiguous()
        dx, dy = h.new_empty(count, steps, 3 * units), h.new_empty(count, steps, 3 * units)
        sizes = _sizes(count, steps, units, matrix.shape[1])
        _library().gru_backward(*sizes, *_pointers(wanted, matrix, h, kept, dx, dy))
        flat = dy.reshape(-1, 3 * units)
        return dx, flat.t() @ h[:, :-1].reshape(-1, units), flat.sum(0)


def _padded(matrix: Tensor) -> Tensor:
    """Zeros to the right, up to a multiple of the tile."""
    return functional.pad(matrix, (0, -matrix.shape[1] % _TILE)).contiguous()


def _sizes(*numbers: int) -> list[ctypes.c_size_t]:
    return [ctypes.c_size_t(n) for n in numbers]


def _pointers(*tensors: Tensor) -> list[ctypes.c_void_p]:
    return [ctypes.c_void_p(t.data_ptr()) for t in tensors]


@functools.cache
def _library() -> ctypes.CDLL:
    intel = platform.machine().lower() in ("x86_64", "amd64")
    flags = _FLAGS.get(torch.backends.cpu.get_cpu_capability(), ()) if intel else ()
    source = Path(str(files("edgernn") / "cells" / "gru_training.c"))
    return shared_library([source], [], ("-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", *flags))
