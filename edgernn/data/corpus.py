"""The prepared dataset: what every later step reads instead of sound files.

A folder with `pcm.npy` (int16, every clip at 16 kHz mono, end to end, memory-mapped when loaded) and
`index.json` (canonical JSON: keywords, rows, notes on origin and licence, sha256 of the samples).
Its id is the sha256 of index.json, so it names both files.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.signal.audio import SAMPLE_RATE, Int16

SPLITS = ("train", "validation", "test")
UNKNOWN = "unknown"
NOISE = "_noise_"
SPEECH = "_speech_"  # running speech of any length: material for unknown words and for streams, never scored
ROOM = "_room_"  # impulse response of a room
RESERVED = (NOISE, SPEECH, ROOM)
VERSION = 1
_FILES = {"pcm.npy", "index.json"}
Progress = Callable[[str, int, int], None]  # (what is being done, done, total; total 0 = not known)


def quiet(stage: str, done: int, total: int) -> None:
    """The progress callback that shows nothing."""


@dataclass(frozen=True)
class Item:
    """One recording before it is read."""

    source: str  # path within its corpus, or an id for what was synthesised
    label: str  # the word said, or one of RESERVED
    speaker: str  # "" when not known
    split: str  # one of SPLITS, or "" when it is to be assigned
    note: str = ""  # origin and licence, one line
    word: str = ""  # what sounds, where the label does not tell: the kind of a noise
    mixed: bool = False  # its speaker is in several splits: the label has too few speakers to keep them apart


@dataclass(frozen=True)
class Clip:
    """An item with its samples: int16 mono [n] at 16 kHz."""

    item: Item
    pcm: Int16


@dataclass(frozen=True)
class Row:
    """One clip of a prepared dataset: samples [offset, offset + length) of pcm.npy."""

    source: str
    label: str  # a keyword, UNKNOWN or one of RESERVED
    word: str  # the label its source gave it; for noise its kind, where that is known
    speaker: str
    split: str
    offset: int
    length: int

    def fits(self, total: int) -> bool:
        """Whether it is what it should be and lies within so many samples."""
        texts = (self.source, self.label, self.word, self.speaker, self.split)
        whole = type(self.offset) is type(self.length) is int and 0 <= self.offset < self.offset + self.length <= total
        return whole and all(type(x) is str for x in texts) and self.split in SPLITS


def reserved_label(noise: bool, speech: bool, room: bool = False) -> str:
    """The label of a source that is noise, running speech or rooms throughout; empty for one of words."""
    chosen = [label for label, wanted in zip(RESERVED, (noise, speech, room), strict=True) if wanted]
    if len(chosen) > 1:
        raise EdgernnError("a data source is one of noise, speech and room; set one of them")
    return chosen[0] if chosen else ""


def group_of(item: Item, keywords: Sequence[str]) -> str:
    """The class an item counts to: its keyword, UNKNOWN, or its RESERVED label."""
    return item.label if item.label in (*keywords, *RESERVED) else UNKNOWN


# Writing ---------------------------------------------------------------------------


def write_dataset(
    clips: Iterable[Clip],
    keywords: Sequence[str],
    out: str | Path,
    clip_seconds: float | None = None,
) -> Dataset:
    """Stream `clips` into the folder `out` (it appears whole or not at all) and load it.

    A label that is neither a keyword nor RESERVED becomes UNKNOWN and stays readable as `word`. `clip_seconds`:
    the length a classified clip is padded to; default 1.0, or the longest keyword clip rounded up to 0.1 s.
    Keywords may be missing only where there is running speech, to be mixed with noise.
    EdgernnError: no clips, a keyword without clips in a split, a speaker in two splits, a bad keyword list.
    """
    keywords = [composed(word) for word in keywords]
    _check_keywords(keywords)
    target = Path(out)
    if target.exists() and not (target.is_dir() and {path.name for path in target.iterdir()} <= _FILES):
        raise EdgernnError(f"{target} exists and is not a prepared dataset; choose another folder")
    partial = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        rows, notes, digest, doubtful = _write_pcm(clips, keywords, partial / "pcm.npy")
        _check_rows(rows, keywords, doubtful.mixed)
        longest = max((row.length for row in rows if row.label in keywords), default=0)
        seconds = clip_seconds or max(1.0, math.ceil(longest * 10 / SAMPLE_RATE) / 10)
        index = {"notes": notes, "pcm_sha256": digest, "clip_samples": round(seconds * SAMPLE_RATE)}
        index |= {"keywords": list(keywords), "rows": [list(vars(row).values()) for row in rows]}
        index |= {"version": VERSION, "sample_rate": SAMPLE_RATE}
        (partial / "index.json").write_bytes(_canonical(index))
        _put(partial, target)
    except OSError as error:
        raise EdgernnError(f"cannot write the dataset {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    dataset = Dataset.load(target, verify=False)
    for text in [*dataset.remarks(), *doubtful.remarks()]:
        note(text)
    return dataset


def composed(word: str) -> str:
    """As keyboards write it (Unicode's NFC): some file systems take accents apart."""
    return unicodedata.normalize("NFC", word)


def _put(partial: Path, target: Path) -> None:
    """`partial` takes the place of `target`, which is deleted when the new one stands."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(partial, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _check_keywords(keywords: Sequence[str]) -> None:
    wrong = [
        word
        for word, n in Counter(keywords).items()
        if n > 1 or word in (UNKNOWN, *RESERVED) or not word.strip() or word != word.strip()
    ]
    if wrong:
        raise EdgernnError(f"keyword {wrong[0]!r} is repeated, reserved or padded with spaces; rename it")


@dataclass
class _Doubtful:
    """What makes figures flatter: speakers that are in several splits, recordings that are."""

    mixed: set[str] = field(default_factory=set)
    twins: list[str] = field(default_factory=list)
    _split_of: dict[bytes, str] = field(default_factory=dict)

    def take(self, item: Item, data: bytes) -> None:
        """One clip and its samples."""
        self.mixed |= {item.speaker} if item.mixed else set()
        first = self._split_of.setdefault(hashlib.sha256(data).digest(), item.split)
        if first != item.split:
            self.twins.append(f"{item.source} ({item.split}, and in {first})")

    def remarks(self) -> list[str]:
        """What to tell of the recordings."""
        if not self.twins:
            return []
        some = ", ".join(self.twins[:3]) + (", .." if len(self.twins) > 3 else "")
        return [f"{len(self.twins)} recordings are in two splits with the same samples, so figures flatter: {some}"]


def _write_pcm(clips: Iterable[Clip], keywords: Sequence[str], path: Path) -> tuple[list[Row], dict[str, int], str, _Doubtful]:
    """(rows, notes, sha256 of the samples, what is doubtful)."""
    rows: list[Row] = []
    doubtful = _Doubtful()
    notes: Counter[str] = Counter()
    digest = hashlib.sha256()
    offset = 0
    with path.open("wb") as file:
        header = _write_header(file, 0)
        for clip in clips:
            data = clip.pcm.astype("<i2").tobytes()
            file.write(data)
            digest.update(data)
            rows.append(_row(clip, keywords, offset))
            notes[clip.item.note] += 1
            doubtful.take(clip.item, data)
            offset += len(clip.pcm)
        file.seek(0)
        assert _write_header(file, offset) == header  # NumPy pads the header so that an array can grow
    return rows, dict(notes), digest.hexdigest(), doubtful


def _write_header(file: BinaryIO, samples: int) -> int:
    np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": (samples,)})
    return file.tell()


def _row(clip: Clip, keywords: Sequence[str], offset: int) -> Row:
    item = clip.item
    if clip.pcm.dtype != np.int16 or clip.pcm.ndim != 1 or not len(clip.pcm):
        raise EdgernnError(f"{item.source} gave {clip.pcm.dtype} {list(clip.pcm.shape)}, not int16 mono [n]")
    if item.split not in SPLITS:
        raise EdgernnError(f"{item.source} has split {item.split!r}; it must be one of {', '.join(SPLITS)}")
    label = group_of(replace(item, label=composed(item.label)), keywords)
    return Row(item.source, label, item.word or composed(item.label), item.speaker, item.split, offset, len(clip.pcm))


def _check_rows(rows: Sequence[Row], keywords: Sequence[str], mixed: set[str]) -> None:
    if not rows:
        raise EdgernnError("the sources gave no clips at all; check their paths and filters")
    if not keywords and not any(row.label == SPEECH for row in rows):
        raise EdgernnError('no keywords were given; name at least one, such as "hey robin"')
    split_of: dict[tuple[str, str], str] = {}
    for row in rows:
        kind = row.label if row.label in (NOISE, ROOM) else ""
        first = split_of.setdefault((kind, row.speaker), row.split)
        if first != row.split and row.speaker not in mixed:
            raise EdgernnError(
                f"speaker {row.speaker!r} is in the {first} and in the {row.split} split ({row.source}); "
                "splits must be disjoint by speaker"
            )
    counts = Counter((row.label, row.split) for row in rows)
    labels = [*keywords, *([UNKNOWN] if any(row.label == UNKNOWN for row in rows) else [])]
    for label, split in [(label, split) for label in labels for split in SPLITS]:
        if not counts[label, split]:
            raise EdgernnError(
                f"label {label!r} has no {split} clips; check its spelling, or add recordings by at least three speakers"
            )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


# Reading ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Dataset:
    """A prepared dataset, see the module's text."""

    path: Path
    id: str  # sha256 of index.json, hex
    keywords: tuple[str, ...]
    rows: tuple[Row, ...]
    clip_samples: int  # length a classified clip is padded to
    notes: dict[str, int]  # origin and licence -> clips
    samples: Int16  # [total], read-only memory map

    @classmethod
    def load(cls, path: str | Path, verify: bool = True) -> Dataset:
        """Open what `write_dataset` wrote; `verify` also hashes the samples. Damaged: EdgernnError."""
        folder = Path(path)
        try:
            content = (folder / "index.json").read_bytes()
            index = json.loads(content)
            samples = np.load(folder / "pcm.npy", mmap_mode="r", allow_pickle=False)
        except OSError as error:
            raise EdgernnError(
                f"{folder} is not a prepared dataset ({error.strerror}: {error.filename}); run `edgernn data` first"
            ) from error
        except (ValueError, EOFError, RecursionError) as error:
            raise EdgernnError(f"the dataset {folder} is damaged ({error}); prepare it again") from error
        dataset = cls._from_index(folder, content, index, samples)
        if verify and hashlib.sha256(samples).hexdigest() != index.get("pcm_sha256"):
            raise EdgernnError(f"the samples of dataset {folder} do not match its index; prepare it again")
        return dataset

    @classmethod
    def _from_index(cls, folder: Path, content: bytes, index: dict[str, Any], samples: Int16) -> Dataset:
        version = index.get("version") if isinstance(index, dict) else None
        if version != VERSION:
            raise EdgernnError(f"the dataset {folder} has format version {version}, not {VERSION}; prepare it again")
        try:
            rows = tuple(Row(*row) for row in index["rows"])
            total = rows[-1].offset + rows[-1].length
            fields = (tuple(index["keywords"]), rows, index["clip_samples"], index["notes"])
            if not (all(row.fits(total) for row in rows) and all(type(word) is str for word in fields[0])):
                raise TypeError("a row or a keyword")
            if type(fields[2]) is not int or fields[2] < 1 or not isinstance(fields[3], dict):
                raise TypeError("clip_samples or notes")
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise EdgernnError(f"the index of {folder} is damaged ({error!r}); prepare it again") from error
        if samples.shape != (total,) or samples.dtype != np.int16:
            held = f"{samples.dtype} {list(samples.shape)}"
            raise EdgernnError(f"{folder} promises {total} int16 samples and holds {held}; prepare it again")
        return cls(folder, hashlib.sha256(content).hexdigest(), *fields, samples)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes in order: the keywords, then UNKNOWN."""
        return (*self.keywords, UNKNOWN)

    @property
    def clip_seconds(self) -> float:
        """Length a classified clip is padded to, in seconds."""
        return self.clip_samples / SAMPLE_RATE

    def clips(self, split: str) -> list[Row]:
        """Rows of keywords and unknown words in a split, in file order."""
        return [row for row in self._split(split) if row.label not in RESERVED]

    def noise(self, split: str) -> list[Row]:
        """Rows of noise in a split, in file order; may be empty."""
        return [row for row in self._split(split) if row.label == NOISE]

    def speech(self, split: str) -> list[Row]:
        """Rows of running speech in a split, in file order; may be empty."""
        return [row for row in self._split(split) if row.label == SPEECH]

    def rooms(self, split: str) -> list[Row]:
        """Rows of room impulse responses in a split, in file order; may be empty."""
        return [row for row in self._split(split) if row.label == ROOM]

    def _split(self, split: str) -> Iterator[Row]:
        if split not in SPLITS:
            raise EdgernnError(f"unknown split {split!r}; use one of {', '.join(SPLITS)}")
        return (row for row in self.rows if row.split == split)

    def pcm(self, row: Row) -> Int16:
        """Samples of a row, int16 [row.length], a read-only view of the memory map."""
        return self.samples[row.offset : row.offset + row.length]

    def remarks(self) -> list[str]:
        """What flatters or surprises: speakers in train and test, keyword recordings longer than a clip."""
        found = []
        for label in self.labels:
            train, test = ({r.speaker for r in self.rows if r.label == label and r.split == s} for s in ("train", "test"))
            if both := sorted(train & test):
                who = ", ".join(both[:3]) + (", .." if len(both) > 3 else "")
                found.append(
                    f"label {label!r}: speaker {who} is in train and in test, so its figures flatter; "
                    f"record at least {len(SPLITS)} people"
                )
        words = [row for row in self.rows if row.label in self.keywords]
        long = sum(row.length > self.clip_samples for row in words)
        if long:
            found.append(
                f"{long} of {len(words)} recordings of keywords are longer than the clip of {self.clip_seconds:g} s: "
                "of each the loudest stretch is taken"
            )
        return found

    def summary(self) -> list[dict[str, str | int | float]]:
        """One row per label: clips and speakers per split, seconds in all."""
        table: list[dict[str, str | int | float]] = []
        for label in (*self.labels, *RESERVED):
            rows = [row for row in self.rows if row.label == label]
            if label in RESERVED and not rows:
                continue
            seconds = round(sum(row.length for row in rows) / SAMPLE_RATE, 1)
            line: dict[str, str | int | float] = {"label": label, "seconds": seconds}
            for split in SPLITS:
                speakers = [row.speaker for row in rows if row.split == split]
                line |= {split: len(speakers), f"{split}_speakers": len(set(speakers))}
            table.append(line)
        return table
