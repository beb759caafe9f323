"""Features made harder in training: other microphones, missing frames and bands."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgernn.tasks.spot.recipe import SpotTrain


def tilt(x: Tensor, amount: float, rng: np.random.Generator) -> Tensor:
    """Another microphone: level, slope and bend of the spectrum vary by `amount` standard deviations from clip to clip."""
    if amount <= 0:
        return x
    at = np.linspace(-1, 1, x.shape[2])
    shapes = np.stack([np.ones_like(at), at, np.cos(np.pi * at)])
    curves = amount * rng.standard_normal((len(x), 3)) @ shapes
    return x + torch.from_numpy(curves.astype(np.float32))[:, None]


def mask(x: Tensor, p: SpotTrain, rng: np.random.Generator, clip_frames: int) -> Tensor:
    """SpecAugment (Park et al. 2019): set random spans of frames (of the clip's own) and of bands to the mean, 0."""
    batch, frames, _ = x.shape
    for _ in range(p.time_masks):
        begin = frames - clip_frames + rng.integers(clip_frames, size=(batch, 1))
        x = x * _outside(frames, begin, rng.integers(p.time_mask_frames + 1, size=(batch, 1)))[:, :, None]
    return mask_bands(x, p, rng)


def mask_bands(x: Tensor, p: SpotTrain, rng: np.random.Generator) -> Tensor:
    """Random spans of bands set to 0."""
    batch, _, bands = x.shape
    for _ in range(p.band_masks):
        begin = rng.integers(bands, size=(batch, 1))
        x = x * _outside(bands, begin, rng.integers(p.band_mask_bands + 1, size=(batch, 1)))[:, None, :]
    return x


def _outside(size: int, begin: NDArray[np.int64], length: NDArray[np.int64]) -> Tensor:
    at = np.arange(size)[None]
    return torch.from_numpy(~((at >= begin) & (at < begin + length))).float()
