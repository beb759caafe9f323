"""What a denoiser is trained to lower: three parts on spectra and sound, one that follows intelligibility, one on what is left.

magnitude, complex: squared errors of magnitudes compressed to the power of 0.3, and of spectra compressed alike (Rong et al.
2024; Braun & Tashev 2021). sdr: the negative signal-to-distortion ratio of the sound that comes out. intelligibility: one minus
STOI (Taal et al. 2011) on the frames of the signal path instead of its own 25.6 ms at 10 kHz. residue: decibels that lie above
the clean spectrum, every bin alike: the others hardly hear what is left in pauses, nor above 4.3 kHz.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from edgernn.signal.stft import StftParams
from edgernn.tasks.denoise.recipe import DenoiseTrain

_COMPRESSION = 0.3
_TINY = 1e-10
# STOI's constants
_THIRD_OCTAVES = 15
_LOWEST_CENTRE = 150.0  #: Hz
_SEGMENT_SECONDS = 0.384
_CLIP = 1 + 10 ** (15 / 20)  #: -15 dB: distortion beyond it counts no more
_ACTIVE_RANGE = 1e-4  #: segments 40 dB below the loudest count as silence
_SEGMENT_STEP = 2  #: frames from one segment to the next; STOI takes every one
_UNHEARD = 3e-3  #: magnitude of noise at some -75 dBFS, below which nothing needs to be quieter


@dataclass(frozen=True)
class Losses:
    """Scalars; `sdr` in dB, negative; `residue` in dB."""

    magnitude: Tensor
    complex: Tensor
    sdr: Tensor
    intelligibility: Tensor
    residue: Tensor

    def weighted(self, p: DenoiseTrain) -> Tensor:
        """The recipe's sum."""
        return (
            p.magnitude_loss * self.magnitude
            + p.complex_loss * self.complex
            + p.sdr_loss * self.sdr
            + p.intelligibility_loss * self.intelligibility
            + p.residue_loss * self.residue
        )


def measure(enhanced: Tensor, clean: Tensor, sound: Tensor, p: StftParams) -> Losses:
    """Losses of enhanced spectra against clean ones, complex [B, T, bins], and the clean sound [B, (T - 1) * hop].

    Pairs without speech do not count in `sdr` and `intelligibility`.
    """
    magnitude, wanted = ((x.real**2 + x.imag**2 + _TINY).sqrt() for x in (enhanced, clean))
    small, target = magnitude**_COMPRESSION, wanted**_COMPRESSION
    shape, shaped = enhanced * (small / magnitude), clean * (target / wanted)
    error = torch.view_as_real(shape - shaped).square().sum(-1).mean()
    return Losses(
        (small - target).square().mean(),
        error,
        -_sdr(overlap_added(enhanced, p), sound),
        1 - intelligibility(magnitude, wanted, p),
        _residue(magnitude, wanted),
    )


def overlap_added(spectra: Tensor, p: StftParams) -> Tensor:
    """Complex [B, T, bins] -> sound [B, (T - 1) * hop]: what the integer synthesis gives one hop later."""
    taper = torch.sin(torch.pi * (torch.arange(p.window, device=spectra.device) + 0.5) / p.window)
    frames: Tensor = torch.fft.irfft(spectra, n=p.window) * taper
    return (frames[:, :-1, p.hop :] + frames[:, 1:, : p.hop]).flatten(1)


def _sdr(y: Tensor, target: Tensor) -> Tensor:
    """Mean over the pairs with speech of 10 log10(|target|^2 / |y - target|^2)."""
    signal, noise = target.square().sum(1), (y - target).square().sum(1)
    spoken = (signal > 1e-7 * target.shape[1]).float()
    ratio = 10 * torch.log10((signal + 1e-6) / (noise + 1e-6) + 1e-4)
    mean: Tensor = (ratio * spoken).sum() / spoken.sum().clamp(min=1)
    return mean


def intelligibility(magnitude: Tensor, wanted: Tensor, p: StftParams) -> Tensor:
    """Mean STOI, -1..1, of magnitudes [B, T, bins] against those of clean speech; 1 where there is no speech."""
    bands = _third_octaves(p).to(wanted.device)
    clean, ours = (_segments((x.square() @ bands + _TINY).sqrt(), p) for x in (wanted, magnitude))
    ours = ours * (clean.norm(dim=-1, keepdim=True) / (ours.norm(dim=-1, keepdim=True) + 1e-6))
    ours = torch.minimum(ours, clean * _CLIP)
    loudness = clean.square().sum(dim=(1, 3))  # [B, segments]
    active = (loudness > loudness.amax(1, keepdim=True) * _ACTIVE_RANGE) & (loudness > 1e-4)
    counted = active[:, None].expand(clean.shape[:3]).float()
    x, y = (s - s.mean(-1, keepdim=True) for s in (clean, ours))
    correlation = (x * y).sum(-1) / (x.norm(dim=-1) * y.norm(dim=-1) + 1e-6)
    missed: Tensor = ((1 - correlation) * counted).sum() / counted.sum().clamp(min=1)
    return 1 - missed


def _residue(magnitude: Tensor, wanted: Tensor) -> Tensor:
    """Mean dB by which bins are louder than those of clean speech; what is softer counts nothing."""
    ours, clean = (torch.log10(x.square() + _UNHEARD**2) for x in (magnitude, wanted))
    mean: Tensor = 10 * torch.relu(ours - clean).mean()
    return mean


def _third_octaves(p: StftParams) -> Tensor:
    """0 or 1, float [bins, 15]: the bins of each third-octave band from 150 Hz up; an empty one takes the nearest bin."""
    frequency = np.arange(p.window // 2 + 1) * p.sample_rate / p.window
    centres = _LOWEST_CENTRE * 2 ** (np.arange(_THIRD_OCTAVES) / 3)
    inside = (frequency[:, None] >= centres / 2 ** (1 / 6)) & (frequency[:, None] < centres * 2 ** (1 / 6))
    nearest = np.abs(frequency[:, None] - centres).argmin(axis=0)
    inside[nearest, np.arange(_THIRD_OCTAVES)] = True
    return torch.from_numpy(inside.astype(np.float32))


def _segments(envelopes: Tensor, p: StftParams) -> Tensor:
    """[B, T, bands] -> [B, bands, segments, frames of 384 ms]; a shorter T is one segment."""
    frames = min(round(_SEGMENT_SECONDS * p.sample_rate / p.hop), envelopes.shape[1])
    segments: Tensor = envelopes.transpose(1, 2).unfold(2, frames, _SEGMENT_STEP)
    return segments
