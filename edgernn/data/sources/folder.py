"""A folder of recordings, `label/*.wav|flac|ogg|opus|mp3`, as `edgernn record` makes it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.data.corpus import SPLITS, Clip, Item, Progress, assign_splits, load_clips, quiet, reserved_label
from edgernn.data.options import SourceOptions, parse
from edgernn.errors import EdgernnError
from edgernn.signal.audio import SUFFIXES


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    path: str
    noise: bool = False  # every file, at any depth, is noise
    speech: bool = False  # every file, at any depth, is running speech
    room: bool = False  # every file, at any depth, is a room's impulse response
    speaker_pattern: str = ""  # regular expression searched in the file name: group 1 is the speaker
    split: str = ""  # put every file into this split, such as "train"; "": by speaker, 80/10/10
    note: str = ""  # origin and licence, kept in the dataset


def scan(config: Mapping[str, Any]) -> list[Item]:
    """The recordings with their labels, speakers and splits, without reading any sound."""
    options = parse(Options, config, "data source folder")
    root = Path(options.path)
    if not root.is_dir():
        raise EdgernnError(f"the recordings folder {root} does not exist; check its path")
    if options.split not in ("", *SPLITS):
        raise EdgernnError(f"split {options.split!r} is not one of {', '.join(SPLITS)}")
    reserved = reserved_label(options.noise, options.speech, options.room)
    found = sorted(root.rglob("*") if reserved else root.glob("*/*"))
    files = [path for path in found if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not files:
        raise EdgernnError(f"the folder {root} has no recordings; put them into {root}/LABEL/*.wav")
    note = options.note or f"recordings in {root.name}"
    items = [
        Item(
            source=path.relative_to(root).as_posix(),
            label=reserved or path.parent.name,
            speaker=_speaker(path, options.speaker_pattern),
            split=options.split,
            note=note,
            word=path.parent.name if options.noise and path.parent != root else "",
        )
        for path in files
    ]
    return assign_splits(items, options.keywords, options.seed)


def _speaker(path: Path, pattern: str) -> str:
    if not pattern:
        return ""
    try:
        match = re.search(pattern, path.name)
        if match:
            return match.group(1)
    except (re.error, IndexError) as error:
        raise EdgernnError(f"speaker_pattern {pattern!r} is not a regular expression with a group") from error
    raise EdgernnError(f"speaker_pattern {pattern!r} finds no speaker in {path.name}")


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """The clips of a folder; errors name the file or the folder."""
    items = scan(config)
    yield from load_clips(Path(config["path"]), items, progress, "reading recordings")
