"""The torch modules behind the cells. Imported only by a cell's `module()`, so torch loads only where someone trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, ...]


class Recurrent(nn.Module):
    """torch's own GRU, LSTM or RNN over time, batch first, with its state as a tuple of [B, H]."""

    def __init__(self, core: nn.RNNBase) -> None:
        super().__init__()
        self.core = core
        self._initialize()

    def _initialize(self) -> None:
        """Orthogonal recurrent matrices a gate (Saxe et al. 2014): gradients start neither vanishing nor exploding."""
        units = self.core.hidden_size
        with torch.no_grad():
            for name, parameter in self.core.named_parameters():
                if name.startswith("bias"):
                    parameter.zero_()
                    continue
                for gate in torch.split(parameter, units):
                    if name.startswith("weight_hh"):
                        nn.init.orthogonal_(gate)
                    else:
                        nn.init.xavier_uniform_(gate)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """x [B, T, I] -> y [B, T, H]."""
        packed = None if state is None else tuple(s.unsqueeze(0) for s in state)
        if packed is not None and not isinstance(self.core, nn.LSTM):
            y, last = self.core(x, packed[0])
        else:
            y, last = self.core(x, packed)
        states = last if isinstance(last, tuple) else (last,)
        return y, tuple(s.squeeze(0) for s in states)


class CausalConv(nn.Module):
    """Convolution over time that sees only the past, with a batch norm and ReLU; state: the last kernel - stride frames."""

    def __init__(self, conv: nn.Conv1d, norm: bool, relu: bool) -> None:
        super().__init__()
        self.conv = conv
        self.norm = nn.BatchNorm1d(conv.out_channels) if norm else None
        self.relu = relu

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """x [B, T, I] -> y [B, T / stride, O]."""
        keep = self.conv.kernel_size[0] - self.conv.stride[0]
        past = x.new_zeros(x.shape[0], keep, x.shape[2]) if state is None else state[0]
        padded = torch.cat([past, x], dim=1)
        y = self._convolve(padded.transpose(1, 2))
        y = self.norm(y) if self.norm is not None else y
        y = torch.relu(y) if self.relu else y
        return y.transpose(1, 2), (padded[:, padded.shape[1] - keep :],)

    def _convolve(self, x: Tensor) -> Tensor:
        """[B, I, T] -> [B, O, T']. As a 2-D convolution of height 1: nine times faster on CPUs for the depthwise kind."""
        conv = self.conv
        y = functional.conv2d(
            x.unsqueeze(2), conv.weight.unsqueeze(2), conv.bias, stride=(1, conv.stride[0]), groups=conv.groups
        )
        return y.squeeze(2)
