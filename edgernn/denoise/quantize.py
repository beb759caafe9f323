"""Float denoiser to integer graph: the same lowering as every net, and the signal path around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgernn.denoise.floatnet import DenoiseNet
from edgernn.denoise.graph import DenoiseGraph
from edgernn.quantize import QuantizeReport, calibrate, lower_net, report


def quantize_denoiser(
    net: DenoiseNet, log_bands: Sequence[NDArray[np.int16]], scheme: str
) -> tuple[DenoiseGraph, QuantizeReport]:
    """Calibrate on streams of Q9 log band powers [T, bands] (equal lengths), lower, and report tensor by tensor."""
    streams = np.stack(log_bands)
    floats = net.features(streams)
    ranges = calibrate(net, floats)
    parts, enlarged = lower_net(net, ranges, scheme, "gains")
    r = net.recipe
    graph = DenoiseGraph(**parts, name=r.name, stft=r.stft, tables=net.tables, floor=r.gains.floor, source=net.source)
    return graph, report(net, graph, floats, graph.affine.apply(streams), ranges, enlarged)
