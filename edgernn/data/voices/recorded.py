"""A folder of recorded voices, `text/speaker_000.wav` as `edgernn record` makes it, read as one more engine.

Each speaker is a voice that says only what was recorded of them. Voices that another program spoke into files go this way too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgernn.data.corpus import composed
from edgernn.data.engine import Engine, Utterance
from edgernn.data.sources import folder
from edgernn.errors import EdgernnError
from edgernn.signal.audio import SAMPLE_RATE, Int16, read_audio


class Recorded(Engine):
    """See the module's text."""

    LICENCE = "as its owner says"
    CONTROLS = frozenset({"take"})
    KEPT = False
    NATURAL = 3.0
    SECONDS = 0.0

    def missing(self) -> str:
        """Nothing but its folder, and to name that is the user's: an error of `voices`."""
        return ""

    @functools.cached_property
    def _takes(self) -> dict[tuple[str, str], list[str]]:
        """(speaker, text) -> files."""
        if not self.folder:
            raise EdgernnError(
                'the voices "recorded" need a folder of TEXT/SPEAKER_000.wav; give their data source its path = ".."'
            )
        found: dict[tuple[str, str], list[str]] = {}
        for item in folder.scan({"path": self.folder}):
            found.setdefault((item.speaker, item.label), []).append(item.source)
        return found

    def voices(self) -> list[str]:
        """The speakers."""
        return sorted({speaker for speaker, _ in self._takes})

    def speaker(self, voice: str) -> str:
        """A person is the same in every source."""
        return voice

    def identity(self) -> str:
        """See the base class."""
        return self.folder

    def sample_rate(self) -> int:
        """See the base class."""
        return SAMPLE_RATE

    def says(self, voice: str, text: str) -> bool:
        """What was recorded."""
        return (voice, composed(text)) in self._takes

    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        """See the base class; a damaged recording is an error that names it."""
        for utterance in utterances:
            takes = self._takes[utterance.voice, composed(utterance.text)]
            yield read_audio(Path(self.folder) / takes[utterance.take % len(takes)], SAMPLE_RATE)


ENGINE = Recorded
