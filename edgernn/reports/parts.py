"""What a page is made of. A task gives sections of these; `page.py` sets them as HTML or Markdown.

A section holds lines of text, tables (`edgernn.show.Table`) and pictures. A cell of a table may be a `Sound`: a player in HTML,
its label elsewhere.
"""

from __future__ import annotations

import base64
import io
import wave
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgernn.show import Table

if TYPE_CHECKING:
    from edgernn.signal.audio import Int16


@dataclass(frozen=True)
class Picture:
    """An SVG without a size of its own, its colours those of the page.

    title: what it shows; about: what is to be seen in it, for those who cannot see it.
    """

    title: str
    svg: str
    about: str


@dataclass(frozen=True)
class Sound:
    """PCM int16 [n] at `rate` Hz to listen to."""

    label: str
    pcm: Int16
    rate: int

    def __str__(self) -> str:
        return self.label

    def data_url(self) -> str:
        """A 16-bit mono WAV file as a data URL."""
        held = io.BytesIO()
        with wave.open(held, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(self.rate)
            file.writeframes(self.pcm.astype("<i2").tobytes())
        return "data:audio/wav;base64," + base64.b64encode(held.getvalue()).decode()


Part = Table | Picture | str


@dataclass(frozen=True)
class Section:
    """A titled part of the page; wide: its pictures take the whole width."""

    title: str
    parts: list[Part] = field(default_factory=list)
    wide: bool = False
