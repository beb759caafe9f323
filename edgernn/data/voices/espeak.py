"""espeak-ng through ctypes, always in a process of its own: hundreds of voices in a hundred languages, all made by rules.

The library keeps state from one utterance to the next (echo buffers, random noise of breathy voices), so the
same list of jobs gives the same bytes only in a fresh process: `speak` and `phonemes` start one.

A voice is a language variety with a variant: "en-us+f2". Variants that differ by a number (steph, steph2) are a family.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.data.engine import Engine, Utterance
from edgernn.data.voices._child import ask
from edgernn.errors import EdgernnError, extra_command, needs_extra
from edgernn.signal.audio import Int16

RATE = 22050  # Hz, of everything espeak-ng synthesises
_SYNCHRONOUS, _DONT_EXIT, _UTF8, _IPA = 2, 0x8000, 1, 2
_TIE = ord("^") << 8 | 0x80  # between the letters of one sound
_SPEED, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4  # espeak_PARAMETER
_QUIET = 60  # of 200; the loudest variants clip at the default 100
_NOT_HUMAN = re.compile(r"robo|demon|whisper|croak|serious", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """One utterance. speed: words a minute; pitch and its range: 0 to 99, espeak-ng's default is 50."""

    voice: str  # language, or language+variant: "en-us+f2"
    text: str
    speed: int = 175
    pitch: int = 50
    range: int = 50


def data_path() -> Path:
    """The folder of espeak-ng's voices. Package missing: EdgernnError with the command that installs it."""
    return Path(_loader().get_data_path())


def speak(jobs: Iterable[Job]) -> Iterator[Int16]:
    """int16 [n] at RATE Hz for each job, in order; equal jobs, equal bytes. Unknown voice: EdgernnError."""
    yield from (np.frombuffer(data, np.int16) for data in _ask("speak", [astuple(job) for job in jobs]))


def phonemes(texts: Iterable[str], voice: str) -> list[str]:
    """espeak-ng's phoneme mnemonics of each text, as `voice` says it, stress marks included."""
    return [data.decode() for data in _ask("phonemes", [(voice, text, 0) for text in texts])]


def ipa(texts: Iterable[tuple[str, str]]) -> list[str]:
    """Each (voice, text) in the letters of the International Phonetic Alphabet; `^` ties those of one sound."""
    return [data.decode() for data in _ask("phonemes", [(voice, text, _IPA | _TIE) for voice, text in texts])]


def accents_and_variants(language: str) -> tuple[list[str], list[str]]:
    """(accents, variants) that espeak-ng has for a language code, sorted. Unknown language: EdgernnError."""
    root = data_path()
    names = sorted(path.name.lower() for path in (root / "lang").rglob("*") if path.is_file())
    accents = [name for name in names if name == language.lower() or name.startswith(f"{language.lower()}-")]
    accents = [name for name in accents if name != "en-shaw"]  # reads the Shavian alphabet only
    if not accents:
        raise EdgernnError(f"espeak-ng has no language {language!r}; use a code such as en, en-us, de or fr")
    variants = sorted(path.name for path in (root / "voices" / "!v").iterdir())
    return accents, [name for name in variants if not _NOT_HUMAN.search(name)]


def family(variant: str) -> str:
    """What a variant's name is without its number, if more than a letter is left."""
    stem = re.sub(r"\d+$", "", variant).lower()
    return stem if len(stem) > 1 else variant


class Espeak(Engine):
    """espeak-ng as one of several engines."""

    LICENCE = "espeak-ng, GPL-3.0"
    REMEMBERS = True
    SECONDS = 0.005

    def missing(self) -> str:
        """See the base class."""
        try:
            _loader()
        except EdgernnError:
            return extra_command("synthetic")
        return ""

    @functools.cached_property
    def _voices(self) -> list[str]:
        accents, variants = accents_and_variants(self.language)
        return sorted(f"{accent}+{variant}" for accent in accents for variant in variants)

    def voices(self) -> list[str]:
        """See the base class."""
        return self._voices

    def family(self, voice: str) -> str:
        """A variant is one speaker in every accent."""
        return family(voice.split("+")[1])

    def speaker(self, voice: str) -> str:
        """As espeak-ng names it: nobody else has such names."""
        return voice

    def identity(self) -> str:
        """See the base class."""
        return version("espeakng-loader")

    def sample_rate(self) -> int:
        """See the base class."""
        return RATE

    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        """See the base class."""
        yield from speak(_job(utterance) for utterance in utterances)


def _job(utterance: Utterance) -> Job:
    """In espeak-ng's own units. Around the middle of its pitch, 0 to 99, some 70 of them are an octave."""

    def within(x: float, low: int, high: int) -> int:
        return min(high, max(low, round(x)))

    return Job(
        utterance.voice,
        utterance.text,
        within(175 * utterance.rate, 80, 450),
        within(50 + 70 * math.log2(utterance.pitch), 0, 99),
        within(50 * utterance.spread, 0, 99),
    )


ENGINE = Espeak


def _loader() -> Any:
    try:
        import espeakng_loader
    except ImportError as error:
        raise needs_extra("synthetic speech needs espeak-ng", "synthetic") from error
    return espeakng_loader


def _ask(task: str, jobs: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    _loader()
    yield from ask(__name__, task, jobs, "espeak-ng")


# In the process of its own ---------------------------------------------------------------------------


class _Library:
    def __init__(self) -> None:
        loader = _loader()
        self._c = ctypes.CDLL(loader.get_library_path())
        self._c.espeak_TextToPhonemes.restype = ctypes.c_char_p
        number, pointer = ctypes.c_uint, ctypes.c_void_p
        text = (ctypes.c_char_p, ctypes.c_size_t)
        self._c.espeak_Synth.argtypes = [*text, number, ctypes.c_int, number, number, pointer, pointer]
        rate = self._c.espeak_Initialize(_SYNCHRONOUS, 0, os.fsencode(loader.get_data_path()), _DONT_EXIT)
        if rate != RATE:
            raise SystemExit(f"espeak-ng could not start (sample rate {rate})")
        self._c.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else rough and breathy voices follow the clock
        self._chunks: list[bytes] = []
        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, pointer)
        self._callback = callback(self._collect)  # kept: the library holds only its address
        self._c.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0

    def _voice(self, name: str) -> None:
        if self._c.espeak_SetVoiceByName(name.encode()) != 0:
            raise SystemExit(f"there is no voice {name!r}; use a language code such as en-us, de or fr")

    def speak(self, voice: str, text: str, speed: int, pitch: int, spread: int) -> bytes:
        self._voice(voice)
        for parameter, value in ((_SPEED, speed), (_VOLUME, _QUIET), (_PITCH, pitch), (_RANGE, spread)):
            self._c.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        data = text.encode() + b"\0"
        self._c.espeak_Synth(data, len(data), 0, 1, 0, _UTF8, None, None)
        return b"".join(self._chunks)

    def phonemes(self, voice: str, text: str, mode: int) -> bytes:
        self._voice(voice)
        pointer = ctypes.c_char_p(text.encode())
        parts = []
        while pointer.value:  # one clause a call; the library moves the pointer
            parts.append(self._c.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, mode) or b"")
        return b" ".join(parts)


def serve(task: str) -> Callable[..., bytes]:
    """The function that answers the jobs of a task, "speak" or "phonemes"."""
    answer: Callable[..., bytes] = getattr(_Library(), task)
    return answer
