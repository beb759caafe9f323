"""The torch modules behind the cells. Imported only by a cell's `module()`, so torch loads only where someone trains."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgernn.cells._gru_training import gru_over_time, serves

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
        if state is None and serves(self.core, x):
            assert isinstance(self.core, nn.GRU)  # `serves` has looked
            y = gru_over_time(self.core, x)
            return y, (y[:, -1],)
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


class RowConvolution(nn.Module):
    """Each row with its neighbours through one linear layer; zeros beyond the ends. No state."""

    def __init__(self, n_in: int, n_out: int, kernel: int, relu: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(kernel * n_in, n_out)
        self.relu = relu
        self.register_buffer("kernel", torch.tensor(kernel))
        self._around = kernel // 2

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """x [B, T, R, I] -> y [B, T, R, O]."""
        flat = x.flatten(2)
        channels = x.shape[3]
        padded = functional.pad(flat, (self._around * channels, self._around * channels))
        y = self.linear(padded.unfold(2, (2 * self._around + 1) * channels, channels))
        return (torch.relu(y) if self.relu else y), ()


class SubbandFold(nn.Module):
    """The torch side of the cell `subbands`: a local convolution over bands beside a GRU over all of them."""

    def __init__(self, bands: int, options: dict[str, int]) -> None:
        super().__init__()
        self.rows, context = options["rows"], options["context"]
        self.local = RowConvolution(bands // self.rows, options["units"], options["kernel"], relu=True)
        self.has_context = bool(context)
        if self.has_context:
            self.down = nn.Linear(bands, context)
            self.gru = Recurrent(nn.GRU(context, context, batch_first=True))
            self.up = nn.Linear(context, self.rows * options["width"])

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """x [B, T, 1, bands] -> y [B, T, rows, U + width]."""
        local, _ = self.local(x.reshape(*x.shape[:2], self.rows, -1), None)
        if not self.has_context:
            return local, ()
        h, after = self.gru(torch.relu(self.down(x.squeeze(2))), state)
        context = torch.relu(self.up(h)).reshape(*local.shape[:3], -1)
        return torch.cat([local, context], dim=3), after
