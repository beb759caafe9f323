"""Recordings listed in a CSV file: columns path and label, optionally speaker, split, source, licence.

Paths are relative to the CSV file. `filter` keeps the rows whose columns equal the given values, or start
with them where the value ends in `*`; `!` in front turns it round: `filter = { path = "speech_commands/*", label = "!bed" }`.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from edgernn.data.corpus import RESERVED, Clip, Item, Progress, composed, quiet, reserved_label
from edgernn.data.options import SourceOptions, parse
from edgernn.data.recordings import load_clips
from edgernn.data.splits import assign_splits, hashed
from edgernn.errors import EdgernnError
from edgernn.ranges import Ranges

_SPLIT_NAMES = {
    "": "",
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    path: str
    filter: Mapping[str, str] = field(default_factory=dict)  # column -> value, prefix ending in *, or ! and either
    labels: Mapping[str, str] = field(default_factory=dict)  # label in the file -> label in the dataset
    noise: bool = False  # every row is noise
    speech: bool = False  # every row is running speech, of any length
    room: bool = False  # every row is a room's impulse response
    only_keywords: bool = False  # leave out every word that is no keyword
    held_out: float = 0.0  # share of the training speakers, chosen by the seed, that validate instead
    train_per_label: int = 0  # at most so many train recordings of each label, chosen by the seed; 0: all
    validation_per_label: int = 0  # the same of validation; -1: none, where another source validates

    RANGES: ClassVar[Ranges] = {"held_out": (0, 0.99)}


def scan(config: Mapping[str, Any]) -> list[Item]:
    """The rows kept by the filter, with labels, speakers and splits, without reading any sound."""
    options = parse(Options, config, "data source manifest")
    path = Path(options.path)
    rows = [row for row in _rows(path, options) if _kept(row, options.filter)]
    if not rows:
        raise EdgernnError(f"no row of {path} passes the filter {dict(options.filter)}; check its values")
    items = [_item(row, path, options) for row in rows]
    if options.only_keywords:
        items = [item for item in items if item.label in (*options.keywords, *RESERVED)]
    items = _held_out(assign_splits(items, options.keywords, options.seed), options)
    for split, count in (("train", options.train_per_label), ("validation", options.validation_per_label)):
        items = _few(items, split, max(0, count), options.seed) if count else items
    return items


def _held_out(items: list[Item], options: Options) -> list[Item]:
    """With a share of the training speakers in validation."""
    return [
        replace(item, split="validation") if item.split == "train" and _unit(item, options) < options.held_out else item
        for item in items
    ]


def _unit(item: Item, options: Options) -> float:
    """A number in [0, 1) for each speaker, other than the one that splits."""
    return hashed(options.seed, f"held out:{item.speaker or item.source}")


def _few(items: list[Item], split: str, count: int, seed: int) -> list[Item]:
    """All items but those of a split that exceed `count` a label, in their order."""
    candidates = sorted((item for item in items if item.split == split), key=lambda item: hashed(seed, item.source))
    taken: Counter[str] = Counter()
    chosen = set()
    for item in candidates:
        if taken[item.label] < count:
            taken[item.label] += 1
            chosen.add(item.source)
    return [item for item in items if item.split != split or item.source in chosen]


def _rows(path: Path, options: Options) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            columns = list(reader.fieldnames or [])
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EdgernnError(f"cannot read the manifest {path}: {error}") from error
    needed = ["path", *([] if options.noise or options.speech or options.room else ["label"]), *options.filter]
    missing = [column for column in needed if column not in columns]
    if missing:
        raise EdgernnError(f"{path} has no column {missing[0]!r}; its columns are {', '.join(columns)}")
    own = [column for column in needed if column not in options.filter]
    short = next((n for n, row in enumerate(rows, 2) if not all(row[column] for column in own)), 0)
    if short:
        raise EdgernnError(f"{path}: line {short} lacks its {' or '.join(own)}; complete it")
    return rows


def _kept(row: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(_equal(row[column] or "", value) for column, value in wanted.items())


def _equal(text: str, wanted: str) -> bool:
    if wanted.startswith("!"):
        return not _equal(text, wanted[1:])
    return text.startswith(wanted[:-1]) if wanted.endswith("*") else text == wanted


def _item(row: Mapping[str, str], path: Path, options: Options) -> Item:
    split = _SPLIT_NAMES.get((row.get("split") or "").lower())
    if split is None:
        raise EdgernnError(f"{path}: {row['path']} has split {row['split']!r}; use train, validation or test")
    label = reserved_label(options.noise, options.speech, options.room) or options.labels.get(row["label"], row["label"])
    origin = [row[column] for column in ("source", "licence") if row.get(column)]
    note = ", ".join(origin) or f"listed in {path.name}"
    kind = (row.get("label") or "") if options.noise else ""
    return Item(row["path"], label, composed(row.get("speaker") or ""), split, note, kind)


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """The clips of a manifest; errors name the file, the row or the column."""
    items = scan(config)
    strict = bool(config.get("strict"))
    yield from load_clips(Path(config["path"]).parent, items, progress, "reading the manifest's clips", strict)
