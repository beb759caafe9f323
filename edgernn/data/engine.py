"""What a voice engine provides: a program or a model that says any text, in voices that have names.

One file a engine in `edgernn/data/voices/`. Who speaks when is decided in `cast`, what is kept of it in `speech`.
"""

from __future__ import annotations

import os
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from edgernn.signal.audio import Int16


@dataclass(frozen=True)
class Utterance:
    """One text in one voice. rate, pitch and spread are ratios to how the voice speaks by itself."""

    voice: str
    text: str
    rate: float = 1.0  # speed
    pitch: float = 1.0  # of the fundamental
    spread: float = 1.0  # how far the fundamental moves
    take: int = 0  # another reading of the same text, where an engine has several


class Engine(ABC):
    """See the module's text. A file in `voices/` defines `ENGINE`, a subclass; its name is the file's."""

    LICENCE: ClassVar[str]  #: of the engine and its voices; kept with every clip
    CONTROLS: ClassVar[frozenset[str]] = frozenset({"rate", "pitch", "spread"})  #: fields of an utterance that it follows
    REMEMBERS: ClassVar[bool] = False  #: whether what was said before changes the bits of what comes after
    KEPT: ClassVar[bool] = True  #: whether what it says is worth keeping on disk
    SECONDS: ClassVar[float] = 0.02  #: of one core that a word takes it, about
    NATURAL: ClassVar[float] = 1.0  #: how often it is drawn among other engines: the nearer to people, the more

    def __init__(self, name: str, language: str = "en", folder: str = "") -> None:
        """`folder`: where its recordings lie, for an engine that has some."""
        self.name, self.language, self.folder = name, language, folder

    @abstractmethod
    def missing(self) -> str:
        """Why it cannot speak here, and what to do about it; empty: it can."""

    @abstractmethod
    def voices(self) -> list[str]:
        """The names of its voices in this language, sorted; none: it has none."""

    @abstractmethod
    def identity(self) -> str:
        """What its bits depend on beside the utterance: a version or a checksum."""

    @abstractmethod
    def sample_rate(self) -> int:
        """Hz, of everything it says."""

    @abstractmethod
    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        """int16 [n] for each utterance, in order; equal lists, equal bits. Fields outside CONTROLS are ignored."""

    def says(self, voice: str, text: str) -> bool:
        """Whether this voice can say the text at all."""
        return any(letter.isalnum() for letter in text)

    def family(self, voice: str) -> str:
        """Voices of one family are too alike to be in two splits."""
        return voice

    def speaker(self, voice: str) -> str:
        """The voice's name among all speakers of a dataset."""
        return f"{self.name}:{voice}"


def latin(text: str) -> bool:
    """Whether every letter is a Latin one: voices of English spell the others, or leave them out."""
    return all("LATIN" in unicodedata.name(letter, "LATIN") for letter in text if letter.isalpha())


def in_parallel(say: Callable[[Utterance], Int16], utterances: Sequence[Utterance]) -> Iterator[Int16]:
    """`say` of each, in order, on every core."""
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        yield from pool.map(say, utterances)
    finally:
        pool.shutdown(cancel_futures=True)
