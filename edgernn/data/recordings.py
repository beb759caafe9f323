"""Recordings on disk, by one rule for every source: which files are sound, and what is done about those that cannot be used.

A file whose name begins with a dot is none; endings count in any case. A damaged, silent or too short recording is passed
over with its name, or ends the command where the user asked for `--strict`. What was found is said once, when all are read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgernn.data.corpus import ROOM, Clip, Item, Progress, composed
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.signal.audio import SAMPLE_RATE, SUFFIXES, Int16, read_audio
from edgernn.signal.condition import Condition

LEAST_S = 0.1  #: a shorter recording holds no word; a room's response may
_NAMED = 3  #: files named in a note; the rest are counted
#: endings of files that lie beside recordings and are not meant as sound
_PAPERS = ("", ".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".toml", ".yaml", ".yml", ".html", ".pdf", ".py", ".sh",
           ".sha256", ".lab", ".textgrid", ".trans", ".srt", ".log", ".bib", ".npz", ".npy", ".tar", ".gz", ".zip")  # fmt: skip


def sound_files(root: Path, pattern: str) -> list[Path]:
    """The files under `root` that match a glob pattern and are sound, sorted by name; others that might be are said."""
    found = [path for path in sorted(root.glob(pattern)) if path.is_file()]
    files = [path for path in found if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    others = Counter(path.suffix.lower() for path in files if path.suffix.lower() not in (*SUFFIXES, *_PAPERS))
    if others:
        shown = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
        note(f"{root}: passed over {shown}; convert them to one of {' '.join(SUFFIXES)} to use them")
    return [path for path in files if path.suffix.lower() in SUFFIXES]


def label_of(path: Path) -> str:
    """The name of a recording's folder."""
    return composed(path.parent.name)


@dataclass
class Reader:
    """Reads recordings one by one and remembers what to say about them. strict: the first unusable one is an error."""

    strict: bool = False
    read: int = 0
    _unusable: list[str] = field(default_factory=list)
    _remarks: dict[str, list[str]] = field(default_factory=dict)  # kind of remark -> names

    def __call__(self, path: Path, least_s: float = LEAST_S) -> Int16 | None:
        """int16 mono [n] at 16 kHz; None for a recording that is passed over."""
        condition = Condition(str(path))
        try:
            pcm = read_audio(path, SAMPLE_RATE, condition)
            if condition.silent:
                raise EdgernnError(f"{path} tells nothing: {condition.silence}")
            if len(pcm) < least_s * SAMPLE_RATE:
                raise EdgernnError(f"{path} is too short: {len(pcm) / SAMPLE_RATE:.3f} s of at least {least_s:g} s")
        except EdgernnError as error:
            if self.strict:
                raise
            self._unusable.append(str(error))
            return None
        self.read += 1
        if condition.clipping:
            self._remark("clipped: more than a thousandth of their samples lie at full scale", path)
        if condition.quietness:
            self._remark("very quiet: 24-bit values in files of 32 bits?", path)
        if condition.narrow:
            self._remark(f"of less than {SAMPLE_RATE} Hz: nothing above half of their rate is in them", path)
        return pcm

    def _remark(self, kind: str, path: Path) -> None:
        self._remarks.setdefault(kind, []).append(path.name)

    def finish(self) -> None:
        """Say what was found; nothing that can be used is an error."""
        for kind, names in self._remarks.items():
            note(f"{len(names)} of {self.read} recordings are {kind} ({_some(names)})")
        if not self._unusable:
            return
        total = self.read + len(self._unusable)
        if not self.read:
            raise EdgernnError(f"none of {total} recordings can be used; the first: {self._unusable[0]}")
        note(f"passed over {len(self._unusable)} of {total} recordings (--strict stops at the first):")
        for text in self._unusable[:_NAMED]:
            note(f"  {text}")
        if len(self._unusable) > _NAMED:
            note(f"  and {len(self._unusable) - _NAMED} more")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f", and {more} more" if more > 0 else "")


def load_clips(root: Path, items: Sequence[Item], progress: Progress, stage: str, strict: bool = False) -> Iterator[Clip]:
    """Read every item's file, `root` / its source, in order; see `Reader` for those that cannot be used."""
    yield from read_items(items, lambda item: root / item.source, progress, stage, strict)


def read_items(
    items: Sequence[Item], path: Callable[[Item], Path], progress: Progress, stage: str, strict: bool = False
) -> Iterator[Clip]:
    """As `load_clips`, of files that lie where `path` says."""
    reader = Reader(strict)
    for done, item in enumerate(items, 1):
        pcm = reader(path(item), 0.0 if item.label == ROOM else LEAST_S)
        if pcm is not None:
            yield Clip(item, pcm)
        progress(stage, done, len(items))
    reader.finish()
