"""The signal path from sound to sound: int16 PCM to a spectrum and band features, gains, and back to int16 PCM, integers only.

This NumPy code is the definition (SPEC.md, 15); `firmware_export/runtime/ern_stft.c` is its twin and equals it on
every input. With every gain at 1 the path gives its input back, one window later, to within two steps of int16.

    PCM -> root-Hann window Q15 -> real FFT, every stage halved -> X [window/2 + 1]
    X -> band power -> log2 Q9 -> affine -> features -> net -> band gains Q15
    X * gain -> inverse FFT -> root-Hann window -> overlap-add -> PCM

No step can overflow 32 bits. Forward, the halvings keep |X| below 2^30. Backward, gains are at most 1, so by Parseval's
theorem the gained frame holds no more energy than the windowed input, and by Cauchy and Schwarz every partial sum of the
inverse transform stays below sqrt(window/2) * 2^(30 - GAIN_SHIFT), which is 2^29.5 for the longest window.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.core import qmath
from edgernn.core.affine import Affine
from edgernn.core.qmath import Ints
from edgernn.errors import EdgernnError
from edgernn.ranges import shown
from edgernn.signal import fft
from edgernn.signal.log2 import POWER_SHIFT, log2_q9

Int16 = NDArray[np.int16]
Int32 = NDArray[np.int32]

WINDOWS = (64, 128, 256, 512, 1024)
GAIN_ONE = 32767  #: the largest int16 gain counts as exactly 1
GAIN_SHIFT = 5  #: bits the spectrum gives up so that the inverse transform cannot overflow
OUTPUT_SHIFT = 15 - GAIN_SHIFT - 1  #: of the overlap-added sum; the synthesis window's product takes off one more bit
MAX_BANDS = 256
_CHUNK_FRAMES = 1024  # bounds the memory of the vectorised FFT


@dataclass(frozen=True)
class StftParams:
    """What a recipe says about the signal path. Lengths in samples; frames overlap by half.

    The first `single` FFT bins are bands of their own, the rest form bands of `wide` bins each.
    """

    sample_rate: int = 16000
    window: int = 512
    single: int = 64
    wide: int = 3
    floor_log2: int = 8  #: 2^floor is added to each band's power: quieter than this is silence to the net

    def __post_init__(self) -> None:
        """Refuse what the integer signal path cannot hold."""
        _require(1 <= self.sample_rate <= 384_000, "sample_rate", self.sample_rate, "must lie in 1..384000 Hz")
        _require(self.window in WINDOWS, "window", self.window, f"must be one of {', '.join(map(str, WINDOWS))} samples")
        _require(0 <= self.single <= self.window // 2, "single", self.single, f"must lie in 0..{self.window // 2}")
        rest = self.window // 2 - self.single
        _require(self.wide >= 1 and rest % self.wide == 0, "wide", self.wide, f"must divide the other {rest} bins")
        _require(1 <= self.bands <= MAX_BANDS, "single and wide", (self.single, self.wide), f"give over {MAX_BANDS} bands")
        _require(0 <= self.floor_log2 <= 40, "floor_log2", self.floor_log2, "must lie in 0..40")

    @property
    def tables_type(self) -> type[StftTables]:
        """The class of its tables."""
        return StftTables

    @property
    def hop(self) -> int:
        """New samples a frame: half a window."""
        return self.window // 2

    @property
    def bands(self) -> int:
        """Bands, each with one feature and one gain."""
        return self.single + (self.window // 2 - self.single) // self.wide

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency: a sample comes out one window after it went in."""
        return 1000.0 * self.window / self.sample_rate

    def band_of_bin(self) -> NDArray[np.int64]:
        """The band of each bin 0 .. window/2; the bin at Nyquist belongs to the last band, for its gain only."""
        single = np.arange(self.single)
        wide = self.single + np.arange(self.window // 2 - self.single) // self.wide
        return np.concatenate([single, wide, [self.bands - 1]])


def _require(ok: bool, name: str, value: object, rule: str) -> None:
    if not ok:
        raise EdgernnError(f"stft: {name} = {shown(value)} {rule}")


@dataclass(frozen=True)
class StftTables:
    """The constants of one signal path; they travel in the graph file.

    window int16 [window], root-Hann in Q15, with squares half a window apart summing to 2^30 as nearly as integers can;
    cosine int32 [3/4 window], cos(2 pi k / window) in Q31.
    """

    window: Int16
    cosine: Int32


def make_tables(p: StftParams) -> StftTables:
    """Compute window and twiddle tables from the parameters."""
    cosine = np.cos(2 * np.pi * np.arange(3 * p.window // 4) / p.window)
    q31 = np.clip(np.rint(cosine * 2.0**31), -(2**31), 2**31 - 1).astype(np.int32)
    return StftTables(_root_hann(p.window), q31)


def _root_hann(n: int) -> Int16:
    """sin(pi (i + 1/2) / n) in Q15, moved by some steps of 2^-15 so that squares half a window apart sum to 2^30.

    The value i of the rising half is paired with n/2 - 1 - i. A step of the smaller one changes the sum least, so that
    one does most of the moving.
    """
    angle = np.pi * (np.arange(n // 4) + 0.5) / n
    small = np.rint(32768 * np.sin(angle)).astype(np.int64)[:, None, None] + np.arange(-32, 33)[:, None]
    large = np.minimum(np.rint(32768 * np.cos(angle)).astype(np.int64)[:, None, None] + np.arange(-1, 2), 32767)
    error = np.abs(np.maximum(small, 0) ** 2 + large**2 - 2**30).reshape(n // 4, -1)
    best = np.unravel_index(error.argmin(axis=1), (65, 3))
    every = np.arange(n // 4)
    rising = np.concatenate([np.maximum(small, 0)[every, best[0], 0], large[every, 0, best[1]][::-1]])
    return np.concatenate([rising, rising[::-1]]).astype(np.int16)


def analyze(pcm: Int16, p: StftParams, t: StftTables, history: Int16 | None = None) -> tuple[Int32, Int32]:
    """Spectra of PCM [n]: real and imaginary part int32 [n // hop, window/2 + 1]; `history`: the hop samples before it."""
    frames = _frames(pcm, p, history)
    blocks = [_analyze_block(frames[i : i + _CHUNK_FRAMES], t) for i in range(0, len(frames), _CHUNK_FRAMES)]
    if not blocks:
        return np.zeros((0, p.hop + 1), np.int32), np.zeros((0, p.hop + 1), np.int32)
    return np.concatenate([b[0] for b in blocks]).astype(np.int32), np.concatenate([b[1] for b in blocks]).astype(np.int32)


def _frames(pcm: Int16, p: StftParams, history: Int16 | None) -> Int16:
    count = len(pcm) // p.hop
    if not count:
        return np.zeros((0, p.window), np.int16)
    past = np.zeros(p.hop, np.int16) if history is None else history
    return np.lib.stride_tricks.sliding_window_view(np.concatenate([past, pcm[: count * p.hop]]), p.window)[:: p.hop]


def _analyze_block(frames: Int16, t: StftTables) -> tuple[Ints, Ints]:
    cosine = t.cosine.astype(np.int64)
    z = fft.packed_spectrum(frames.astype(np.int64) * t.window, frames.shape[1], cosine, qmath.mul_high)
    re, im = fft.split_real(z, cosine, qmath.mul_high)
    nyquist = (z[0][:, :1] >> 1) - (z[1][:, :1] >> 1)
    return np.concatenate([re, nyquist], axis=1), np.concatenate([im, np.zeros_like(nyquist)], axis=1)


def log_bands(re: Int32, im: Int32, p: StftParams) -> Int16:
    """Log2 band powers in Q9, int16 [T, bands], of spectra [T, window/2 + 1]."""
    r, i = re[:, : p.hop].astype(np.int64), im[:, : p.hop].astype(np.int64)
    power = (r * r + i * i) >> POWER_SHIFT
    wide = power[:, p.single :].reshape(len(power), p.bands - p.single, p.wide).sum(axis=2)
    return log2_q9(np.concatenate([power[:, : p.single], wide], axis=1) + (1 << p.floor_log2)).astype(np.int16)


def features(re: Int32, im: Int32, p: StftParams, affine: Affine) -> Int16:
    """What the net sees: normalised log band powers, int16 [T, bands], in the affine's range."""
    return affine.apply(log_bands(re, im, p))


def floored(gains: Int16, floor: int) -> Int16:
    """Band gains Q15, none below the floor: what is left of the noise keeps its colour, and pauses do not sound dead."""
    return np.maximum(gains, np.int16(floor))


def synthesize(
    re: Int32, im: Int32, gains: Int16, p: StftParams, t: StftTables, overlap: Int32 | None = None
) -> tuple[Int16, Int32]:
    """Spectra [T, window/2 + 1] times band gains Q15 [T, bands] -> PCM int16 [T * hop], and the overlap to go on with.

    overlap: int32 [hop], what the frame before left behind (None: silence). Gains must lie in 0..32767.
    """
    tail = np.zeros(p.hop, np.int64) if overlap is None else overlap.astype(np.int64)
    if not len(re):
        return np.zeros(0, np.int16), tail.astype(np.int32)
    blocks = [
        _synthesize_block(re[i : i + _CHUNK_FRAMES], im[i : i + _CHUNK_FRAMES], gains[i : i + _CHUNK_FRAMES], p, t)
        for i in range(0, len(re), _CHUNK_FRAMES)
    ]
    frames = np.concatenate(blocks)
    sums = frames[:, : p.hop] + np.concatenate([tail[None], frames[:-1, p.hop :]])
    pcm = qmath.sat16(qmath.round_shift(sums, OUTPUT_SHIFT)).astype(np.int16)
    return pcm.ravel(), frames[-1, p.hop :].astype(np.int32)


def _synthesize_block(re: Int32, im: Int32, gains: Int16, p: StftParams, t: StftTables) -> Ints:
    """Windowed frames int32 [T, window] in steps of 2^-OUTPUT_SHIFT."""
    g = gains.astype(np.int64)[:, p.band_of_bin()]
    g = g + (g >> 14)  # 0..32767 -> 0..32768
    x = (re * g) >> (15 + GAIN_SHIFT), (im * g) >> (15 + GAIN_SHIFT)
    cosine = t.cosine.astype(np.int64)
    z = fft.joined_real(x, cosine, qmath.mul_high)
    order = fft.bit_reversed(p.hop)
    even, odd = fft.inverse((z[0][:, order], z[1][:, order]), cosine, qmath.mul_high)
    return qmath.mul_wide(np.stack([even, odd], axis=2).reshape(len(re), p.window), t.window.astype(np.int64))
