"""Google Speech Commands v0.01 / v0.02 in its official layout and splits (Pete Warden, CC BY 4.0).

`word/<speaker>_nohash_<n>.wav`; the testing and validation lists decide where present, else the corpus' own
hash rule. Each file of `_background_noise_` is cut into thirds: train, validation, test.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tarfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgernn.data.corpus import NOISE, SPLITS, Clip, Item, Progress, quiet
from edgernn.data.download import download
from edgernn.data.options import SourceOptions, parse
from edgernn.data.recordings import Reader, load_clips, sound_files
from edgernn.errors import EdgernnError
from edgernn.signal.audio import Int16

_BACKGROUND = "_background_noise_"
_MAX_WAVS_PER_CLASS = 2**27 - 1  # of the corpus' rule; never change it
_PERCENT = 10.0  # of speakers, for validation and for testing
_URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v{}.tar.gz"
# version -> (sha256, size in bytes) of its archive
_ARCHIVES = {
    "0.01": ("743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d", 1489096277),
    "0.02": ("af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58", 2428923189),
}


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    path: str  # the corpus folder; filled by the download when it does not exist
    version: str = "0.02"
    download: bool = False  # fetch the archive beside `path` when the folder does not exist
    url: str = ""  # another address of the archive; needs sha256
    sha256: str = ""
    unknown_per_split: int = 0  # at most so many unknown clips in each split, by a seeded choice; 0 = all
    noise: bool = True  # give the background noise too


def which_set(name: str) -> str:
    """The corpus' own rule: the split of a file name, by SHA-1 of what stands before `_nohash_`."""
    speaker = re.sub(r"_nohash_.*$", "", Path(name).name)
    value = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (_MAX_WAVS_PER_CLASS + 1)
    percentage = value * (100.0 / _MAX_WAVS_PER_CLASS)
    if percentage < _PERCENT:
        return "validation"
    return "test" if percentage < 2 * _PERCENT else "train"


def scan(config: Mapping[str, Any]) -> list[Item]:
    """Every word clip with its official split, without reading any sound."""
    options = parse(Options, config, "data source speech_commands")
    root = Path(options.path)
    files = [path for path in sound_files(root, "*/*") if path.parent.name != _BACKGROUND]
    if not files:
        raise EdgernnError(f"{root} is not a Speech Commands folder (no WORD/*.wav); check its path, or set download = true")
    listed = _listed(root, "validation_list.txt", "validation") | _listed(root, "testing_list.txt", "test")
    note = f"Google Speech Commands v{options.version}, CC BY 4.0"
    items = [_item(path, root, listed, note) for path in files]
    return _thin(items, options) if options.unknown_per_split else items


def _listed(root: Path, name: str, split: str) -> dict[str, str]:
    path = root / name
    return dict.fromkeys(path.read_text(encoding="utf-8").split(), split) if path.is_file() else {}


def _item(path: Path, root: Path, listed: Mapping[str, str], note: str) -> Item:
    speaker = re.sub(r"_nohash_.*$", "", path.stem)
    name = path.relative_to(root).as_posix()
    split = listed.get(name, "train") if listed else which_set(name)
    return Item(name, path.parent.name, f"sc_{speaker}", split, note)


def _thin(items: list[Item], options: Options) -> list[Item]:
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for index, item in enumerate(items):
        if item.label not in options.keywords:
            name = f"{options.seed}:{item.source}"
            groups[item.split].append((hashlib.sha256(name.encode()).hexdigest(), index))
    dropped = {index for group in groups.values() for _, index in sorted(group)[options.unknown_per_split :]}
    return [item for index, item in enumerate(items) if index not in dropped]


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """Word clips, then background noise; downloads the corpus first when asked to and it is not there."""
    options = parse(Options, config, "data source speech_commands")
    root = Path(options.path)
    if options.download and not root.exists():
        _fetch(options, root, progress)
    yield from load_clips(root, scan(config), progress, "reading Speech Commands", options.strict)
    if options.noise:
        reader = Reader(options.strict)
        for path in sound_files(root, f"{_BACKGROUND}/*"):
            if (pcm := reader(path)) is not None:
                yield from _thirds(path, pcm, options.version)
        reader.finish()


def _thirds(path: Path, pcm: Int16, version: str) -> Iterator[Clip]:
    third = len(pcm) // 3
    item = Item(
        f"{_BACKGROUND}/{path.name}",
        NOISE,
        "",
        "",
        f"Google Speech Commands v{version} background noise, CC BY 4.0",
    )
    for number, split in enumerate(SPLITS):
        part = pcm[number * third : (number + 1) * third]
        yield Clip(replace(item, speaker=f"sc_noise_{path.stem}_{split}", split=split), part)


def _fetch(options: Options, root: Path, progress: Progress) -> None:
    if options.version not in _ARCHIVES:
        raise EdgernnError(f"Speech Commands version {options.version!r} is not known; use one of {', '.join(_ARCHIVES)}")
    if options.url and not options.sha256:
        raise EdgernnError("a url of your own for Speech Commands needs its sha256 too")
    digest, size = (options.sha256, 0) if options.sha256 else _ARCHIVES[options.version]
    url = options.url or _URL.format(options.version)
    name = url.rsplit("/", 1)[-1]
    if not re.fullmatch(r"[\w.-]*\w", name):
        raise EdgernnError(f"the url {url} does not end in the name of an archive, such as speech_commands_v0.02.tar.gz")
    archive = download(url, root.with_name(name), digest, size, progress)
    partial = root.with_name(f".{root.name}.{os.getpid()}.tmp")
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(partial, filter="data")
        os.replace(partial, root)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise EdgernnError(f"cannot unpack {archive} into {root}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
