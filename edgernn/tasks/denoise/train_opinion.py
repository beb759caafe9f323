"""What listeners would say, as a part of the loss: DNSMOS P.835 (Reddy et al. 2022), with a gradient through it.

The weights are those of the package speechmos; nothing of them comes along. A net that is trained by a judge may learn to
please the judge alone, so what is trained with it has to be judged by others too.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgernn.errors import EdgernnError, needs_extra

_FRAME, _HOP = 320, 160  # samples at 16 kHz
_LEAST_POWER = 1e-12
_CONVOLUTIONS = ("conv2d", *(f"conv2d_{i}" for i in range(1, 7)))
_DENSE = ("dense", "dense_1", "dense_3")
_POOLED = (3, 4, 5)  #: convolutions that a pooling of 2 x 2 follows
_OVERALL = 2  #: of the three marks: speech, background, overall
#: from the net's mark to the published scale: squared, linear, constant
_SCALE = (-0.06766283, 1.11546468, 0.04602535)


class Listener(nn.Module):
    """Sound [B, n] at 16 kHz, -1..1 -> the overall mark [B], about 1..5, as `edgernn simulate --mos` gives it.

    The package repeats a sound until it lasts nine seconds; here it is heard as it is, half a second at least.
    """

    def __init__(self) -> None:
        super().__init__()
        kept = _weights()
        try:
            self._fourier = nn.ParameterList(kept[f"time2freq/stft-{part}/kernel:0"][:, :, 0].T for part in ("real", "imag"))
            self._kernels = nn.ParameterList(kept[f"{name}/kernel:0"] for name in _CONVOLUTIONS)
            self._biases = nn.ParameterList(kept[f"{name}/bias:0"] for name in _CONVOLUTIONS)
            dense = "mos_estimator_logpow/{}/{}/ReadVariableOp/resource:0"
            self._matrices = nn.ParameterList(kept[dense.format(name, "MatMul")] for name in _DENSE)
            self._offsets = nn.ParameterList(kept[dense.format(name, "BiasAdd")] for name in _DENSE)
        except KeyError as error:
            raise EdgernnError(
                f"speechmos holds another DNSMOS than the one known here (no {error}); install speechmos 0.0.1.1, "
                "or set train.opinion_loss = 0"
            ) from None
        self.requires_grad_(False)

    def forward(self, sound: Tensor) -> Tensor:
        """See the class."""
        mark = self.marks(sound)[:, _OVERALL]
        squared, linear, constant = _SCALE
        return squared * mark.square() + linear * mark + constant

    def marks(self, sound: Tensor) -> Tensor:
        """The net's own marks [B, 3]: speech, background, overall; not yet on the published scale."""
        frames = sound[:, : sound.shape[1] // _HOP * _HOP].unfold(1, _FRAME, _HOP)
        power = torch.stack([(frames @ kernel).square() for kernel in self._fourier]).sum(0)
        x = power.clamp(min=_LEAST_POWER).log10()[:, None].contiguous(memory_format=torch.channels_last)
        for i, (kernel, bias) in enumerate(zip(self._kernels, self._biases, strict=True)):
            x = F.relu(F.conv2d(x, kernel, bias, padding=1))
            x = F.max_pool2d(x, 2) if i in _POOLED else x
        x = x.amax((2, 3))
        for i, (matrix, offset) in enumerate(zip(self._matrices, self._offsets, strict=True)):
            x = F.relu(x) if i else x
            x = x @ matrix + offset
        return x


def _weights() -> dict[str, Tensor]:
    """The net's constants by name."""
    try:
        import onnx
        from onnx import numpy_helper

        found = importlib.util.find_spec("speechmos")
    except ImportError as error:
        raise needs_extra("train.opinion_loss needs the package onnx", "mos", error) from None
    if found is None or found.origin is None:
        raise needs_extra("train.opinion_loss needs the package speechmos (or set it to 0)", "mos")
    path = Path(found.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    try:
        model: Any = onnx.load(str(path))
    except Exception as error:  # protobuf raises what it likes
        raise EdgernnError(f"{path} cannot be read ({error}); install speechmos anew, or set train.opinion_loss = 0") from None
    return {x.name: torch.from_numpy(numpy_helper.to_array(x).copy()) for x in model.graph.initializer}
