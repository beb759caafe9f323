"""What a recording was found to be while it was read: clipped, silent, of a lower rate than is wanted.

Nothing here changes a sample. Whoever reads says what was found, once (`edgernn/notes.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError

FULL_SCALE = 32768
SILENT_PEAK = 8  #: int16 units (-72 dB of full scale): no microphone in a room is as quiet
QUIET_PEAK = 1 / 256  #: of full scale: 24-bit values in a file of 32 bits are no louder
CLIPPED_SHARE = 1e-3  #: of samples at full scale, above which a recording counts as clipped
_INTEGER_UNITS = 16.0  #: a float sample this far above full scale is no overshoot, it is in other units
_CANCELLED = 0.01  #: of the channels' mean power that their average must keep

Block = NDArray[np.int16] | NDArray[np.float32]  # [frames, channels]


def in_other_units(loudest: float) -> str:
    """What is wrong with float samples up to `loudest`, and what to do; empty where nothing is."""
    if not np.isfinite(loudest) or loudest <= _INTEGER_UNITS:
        return ""
    return (
        f"float samples up to {loudest:g}, whose full scale is 1; they seem to be integers: divide them by their full scale "
        "(32768 for 16 bits)"
    )


@dataclass
class Condition:
    """Filled block by block; whole when the recording has been read. Rates in Hz."""

    name: str
    rate: int = 0  #: wanted
    source_rate: int = 0  #: the recording's own
    frames: int = 0  #: of the recording, at its own rate
    clipped: int = 0  #: frames with a sample at or beyond full scale
    peak: float = 0.0  #: of the average of the channels, full scale 1
    _channels: float = 0.0  # sum of squares, mean over the channels
    _average: float = 0.0  # sum of squares of their average

    def take(self, block: Block) -> None:
        """Count one block. Float samples in the units of integers: EdgernnError."""
        if not len(block):
            return
        x = block.astype(np.float32) / FULL_SCALE if block.dtype == np.int16 else block
        size = np.abs(x)
        if units := in_other_units(float(size.max())):
            raise EdgernnError(f"{self.name} holds {units} and save the file again")
        mono = x.mean(axis=1)
        self.frames += len(block)
        self.clipped += int((size >= (FULL_SCALE - 1) / FULL_SCALE).any(axis=1).sum())
        self.peak = max(self.peak, float(np.abs(mono).max()))
        self._channels += float(np.square(x, dtype=np.float64).mean(axis=1).sum())
        self._average += float(np.square(mono, dtype=np.float64).sum())

    @property
    def cancelled(self) -> bool:
        """The channels are each other's opposite: their average is next to nothing."""
        return self._average < _CANCELLED * self._channels and self._channels > self.frames * (SILENT_PEAK / FULL_SCALE) ** 2

    @property
    def silent(self) -> bool:
        """Nothing is left to hear."""
        return self.cancelled or self.peak <= SILENT_PEAK / FULL_SCALE

    @property
    def silence(self) -> str:
        """Why it is silent, with what to do; empty where it is not."""
        if self.cancelled:
            return "its channels cancel each other; keep one of them"
        if not self.silent:
            return ""
        hint = ""
        if self.peak > 0:
            hint = "; if these are 16-bit values in a file of more bits, scale them up"
        return f"it is silent, its peak is {20 * np.log10(max(self.peak, 1e-12)):.0f} dB of full scale{hint}"

    @property
    def narrow(self) -> str:
        """What a lower rate than the wanted one means; empty where it is none."""
        if self.source_rate >= self.rate:
            return ""
        return f"has {self.source_rate} Hz, {self.rate} are wanted: nothing above {self.source_rate / 2000:g} kHz is in it"

    @property
    def clipping(self) -> str:
        """The share of clipped frames; empty where it is negligible."""
        share = self.clipped / max(1, self.frames)
        return f"is clipped: {100 * share:.2g} % of its samples lie at full scale" if share > CLIPPED_SHARE else ""

    @property
    def quietness(self) -> str:
        """What a very low level may mean; empty where it is none."""
        if self.silent or self.peak > QUIET_PEAK:
            return ""
        return (
            f"is very quiet, its peak is {20 * np.log10(self.peak):.0f} dB of full scale: 24-bit values in a file of 32 bits?"
        )

    def troubles(self) -> list[str]:
        """All that a user should know, each to be read after the recording's name."""
        silence = f"tells nothing: {self.silence}" if self.silent else ""
        return [text for text in (self.narrow, self.clipping, self.quietness, silence) if text]
