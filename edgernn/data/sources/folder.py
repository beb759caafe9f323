"""A folder of recordings, `label/speaker_000.wav` (or flac, ogg, opus, mp3, aiff, ..), as `edgernn record` makes it.

Where a name has that form its first part is the speaker, unless it is the label itself; any other file counts as a person of
its own. `speaker_pattern` reads names of other forms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgernn.data.corpus import RESERVED, SPLITS, Clip, Item, Progress, composed, quiet, reserved_label
from edgernn.data.options import SourceOptions, parse
from edgernn.data.recordings import label_of, load_clips, sound_files
from edgernn.data.splits import assign_splits
from edgernn.errors import EdgernnError
from edgernn.notes import note

RECORDED = re.compile(r"(.+)_\d{3,}")  #: names that `edgernn record` gives


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    path: str
    noise: bool = False  # every file, at any depth, is noise
    speech: bool = False  # every file, at any depth, is running speech
    room: bool = False  # every file, at any depth, is a room's impulse response
    speaker_pattern: str = ""  # regular expression searched in the file name: group 1 is the speaker; "": see above
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
    files = sound_files(root, "**/*") if reserved else _word_files(root)
    if not files:
        raise EdgernnError(f"the folder {root} has no recordings; put them into {root}/LABEL/*.wav")
    note = options.note or f"recordings in {root.name}"
    items = [
        Item(
            source=path.relative_to(root).as_posix(),
            label=reserved or label_of(path),
            speaker=_speaker(path, options.speaker_pattern, reserved),
            split=options.split,
            note=note,
            word=path.parent.name if options.noise and path.parent != root else "",
        )
        for path in files
    ]
    return assign_splits(items, options.keywords, options.seed)


def _word_files(root: Path) -> list[Path]:
    """The recordings of words; folders that hold none are said."""
    files = sound_files(root, "*/*")
    special = sorted({path.parent.name for path in files if path.parent.name.startswith("_")})
    if special:
        note(f"{root}: passed over {', '.join(special)}, no word; a source of its own with noise = true reads noise")
    deeper = len(sound_files(root, "*/*/**/*"))
    if deeper:
        note(f"{root}: passed over {deeper} recordings that lie deeper than {root.name}/LABEL/; move them up")
    return [path for path in files if path.parent.name not in special]


def _speaker(path: Path, pattern: str, reserved: str) -> str:
    if not pattern:
        found = None if reserved else RECORDED.fullmatch(path.stem)
        return "" if found is None or _plain(found[1]) == _plain(label_of(path)) else composed(found[1])
    try:
        match = re.search(pattern, path.name)
        if match:
            return composed(match.group(1))
    except (re.error, IndexError) as error:
        raise EdgernnError(f"speaker_pattern {pattern!r} is not a regular expression with a group") from error
    raise EdgernnError(f"speaker_pattern {pattern!r} finds no speaker in {path.name}")


def _plain(name: str) -> str:
    """Without case and what stands between words: `hey_robin_001.wav` names its word, not who says it."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def speakers_found(items: Sequence[Item], root: Path) -> str:
    """How many people were found in the names, and in which splits they are."""
    known = {item.speaker for item in items if item.speaker != item.source}
    alone = sum(item.speaker not in known for item in items)
    if not known:
        return f"{root}: none of {alone} recordings names its speaker (speaker_pattern reads names); each counts as a person"
    parts = [f"{len({i.speaker for i in items if i.split == s and i.speaker in known})} {s}" for s in SPLITS]
    rest = f"; {alone} recordings do not name one and count as a person each" if alone else ""
    return f"{root}: {len(known)} speaker{'' if len(known) == 1 else 's'} ({', '.join(parts)}){rest}"


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """The clips of a folder; errors name the file or the folder."""
    items, root = scan(config), Path(config["path"])
    if items[0].label not in RESERVED:
        note(speakers_found(items, root))
    yield from load_clips(root, items, progress, "reading recordings", bool(config.get("strict")))
