"""SVOX Pico, the synthesiser of old Android phones, by the package py-nanotts: one voice a language variety.

The library draws noise as it goes on, so equal lists of utterances give equal bits only in a fresh process.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version

import numpy as np

from edgernn.data.engine import Engine, Utterance, latin
from edgernn.data.voices._child import ask
from edgernn.errors import extra_command
from edgernn.signal.audio import Int16

_RATE = 16000  # Hz
_VOICES = ("de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "it-IT")
_QUIET = 0.6  # of its own volume, at which it clips


class Pico(Engine):
    """See the module's text."""

    LICENCE = "SVOX Pico, Apache-2.0"
    CONTROLS = frozenset({"rate", "pitch"})
    REMEMBERS = True
    SECONDS = 0.01

    def missing(self) -> str:
        """See the base class."""
        return "" if importlib.util.find_spec("py_nanotts") else extra_command("voices")

    def voices(self) -> list[str]:
        """See the base class."""
        wanted = self.language.lower()
        return [voice for voice in _VOICES if voice.lower() == wanted or voice.split("-")[0] == wanted]

    def identity(self) -> str:
        """See the base class."""
        return version("py-nanotts")

    def sample_rate(self) -> int:
        """See the base class."""
        return _RATE

    def says(self, voice: str, text: str) -> bool:
        """Its languages are all written in Latin letters."""
        return super().says(voice, text) and latin(text)

    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        """See the base class."""
        jobs = [(u.voice, _plain(u.text), u.rate, u.pitch) for u in utterances]
        yield from (np.frombuffer(data, np.int16) for data in ask(__name__, "speak", jobs, "SVOX Pico"))


def _plain(text: str) -> str:
    """Without what Pico takes for markup."""
    return re.sub(r"[<>&\\]", " ", text)


ENGINE = Pico


# In the process of its own ---------------------------------------------------------------------------


def serve(task: str) -> Callable[..., bytes]:
    """The function that answers the jobs of a task, "speak" alone."""
    from py_nanotts import NanoTTS

    engine = NanoTTS()

    def speak(voice: str, text: str, rate: float, pitch: float) -> bytes:
        data: bytes = engine.speak(text, voice=voice, speed=rate, pitch=pitch, volume=_QUIET)
        return data

    return {"speak": speak}[task]
