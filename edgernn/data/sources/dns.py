"""The DNS Challenge's layout (Reddy et al. 2020): a folder with `clean`, `noise` and, where there are any, room responses.

    path/clean*/**   running speech; a file's reader is what its name says after `reader_`, else the file itself
    path/noise*/**   noise
    path/impulse_responses/**   rooms

The corpus has no splits of its own: speakers, noise files and rooms are divided by a hash of their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.data.corpus import NOISE, ROOM, SPEECH, Clip, Item, Progress, quiet
from edgernn.data.options import SourceOptions, parse
from edgernn.data.recordings import load_clips, sound_files
from edgernn.data.splits import assign_splits
from edgernn.errors import EdgernnError

_FOLDERS = {"clean*": SPEECH, "noise*": NOISE, "impulse_responses*": ROOM}
_READER = re.compile(r"reader_(\d+)")


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    path: str  # the folder that holds clean*, noise* and impulse_responses
    note: str = "DNS Challenge"  # origin and licence, kept in the dataset


def scan(config: Mapping[str, Any]) -> list[Item]:
    """The recordings with their kinds, speakers and splits, without reading any sound."""
    options = parse(Options, config, "data source dns")
    root = Path(options.path)
    found: list[Item] = []
    for pattern, label in _FOLDERS.items():
        files = sound_files(root, f"{pattern}/**/*")
        if not files and label != ROOM:
            raise EdgernnError(f"{root} has no sound files in {pattern}; give the corpus' folder")
        # a name may stand for a speaker in one folder and for a noise in another: splits are told apart by folder
        items = [_item(path, root, label, options.note) for path in files]
        found += assign_splits(items, (), options.seed)
    return found


def _item(path: Path, root: Path, label: str, note: str) -> Item:
    source = path.relative_to(root).as_posix()
    reader = _READER.search(path.name) if label == SPEECH else None
    return Item(source, label, f"reader_{reader.group(1)}" if reader else source, "", note)


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """The clips of the corpus; errors name the file or the folder."""
    items = scan(config)
    yield from load_clips(Path(config["path"]), items, progress, "reading the DNS corpus", bool(config.get("strict")))
