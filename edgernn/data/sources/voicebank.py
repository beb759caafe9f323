"""VoiceBank-DEMAND in its own layout (Valentini-Botinhao et al. 2016, CC BY 4.0): folders of clean and of noisy speech.

`clean_trainset_28spk_wav/p226_001.wav` and `noisy_trainset_28spk_wav/p226_001.wav` are a pair. Each pair gives the clean
speech and, by difference, its noise. The folders named `testset` are the test split; of the training speakers, some are
set aside for validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.data.corpus import NOISE, SPEECH, Clip, Item, Progress, quiet
from edgernn.data.options import SourceOptions, parse
from edgernn.data.recordings import Reader, sound_files
from edgernn.data.splits import hashed
from edgernn.errors import EdgernnError
from edgernn.signal.audio import Int16, to_float, to_int16

_NOTE = "VoiceBank-DEMAND, CC BY 4.0"
_VALIDATION = 0.1  #: of the training speakers


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    path: str  # the folder that holds clean_*_wav and noisy_*_wav
    noise: bool = True  # give the noise of each pair too


def scan(config: Mapping[str, Any]) -> list[tuple[Path, Path, str]]:
    """(clean file, noisy file, split) of every pair, without reading any sound."""
    options = parse(Options, config, "data source voicebank")
    root = Path(options.path)
    folders = sorted(p for p in root.glob("clean_*") if p.is_dir())
    if not folders:
        raise EdgernnError(f"{root} has no folder clean_*; give the folder that holds clean_trainset_28spk_wav and its like")
    pairs = []
    for folder in folders:
        noisy = root / folder.name.replace("clean_", "noisy_", 1)
        for clean in sound_files(root, f"{folder.name}/*"):
            if not (noisy / clean.name).is_file():
                raise EdgernnError(f"{clean} has no noisy counterpart {noisy / clean.name}")
            pairs.append((clean, noisy / clean.name, _split(folder.name, _speaker(clean), options.seed)))
    if not pairs:
        raise EdgernnError(f"the folders clean_* in {root} hold no .wav files")
    return pairs


def _speaker(path: Path) -> str:
    return path.name.split("_")[0]


def _split(folder: str, speaker: str, seed: int) -> str:
    if "test" in folder:
        return "test"
    return "validation" if hashed(seed, speaker) < _VALIDATION else "train"


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """The clips of the corpus; errors name the file or the folder."""
    pairs, options = scan(config), parse(Options, config, "data source voicebank")
    reader = Reader(options.strict)
    if len({split for _, _, split in pairs}) < 3:
        pairs = _spread(pairs)
    for done, (clean, noisy, split) in enumerate(pairs, 1):
        progress("reading VoiceBank-DEMAND", done, len(pairs))
        speech, both = reader(clean), reader(noisy) if options.noise else None
        if speech is None or (options.noise and both is None):
            continue
        item = Item(f"{clean.parent.name}/{clean.name}", SPEECH, _speaker(clean), split, _NOTE)
        yield Clip(item, speech)
        if both is not None:
            # the corpus has mixed a few kinds of noise into each speaker's files without saying which
            source = f"{noisy.parent.name}/{noisy.name}"
            noise = replace(item, source=source, label=NOISE, speaker=source, word=split)
            yield Clip(noise, _difference(speech, both))
    reader.finish()


def _spread(pairs: list[tuple[Path, Path, str]]) -> list[tuple[Path, Path, str]]:
    """A part of the corpus may lack a split by chance: then the last training speaker validates."""
    speakers = sorted({_speaker(clean) for clean, _, split in pairs if split == "train"})
    if len(speakers) < 2 or any(split == "validation" for _, _, split in pairs):
        return pairs
    return [(c, n, "validation" if split == "train" and _speaker(c) == speakers[-1] else split) for c, n, split in pairs]


def _difference(clean: Int16, noisy: Int16) -> Int16:
    """What was added, [shorter length]."""
    n = min(len(clean), len(noisy))
    return to_int16(np.clip(to_float(noisy[:n]) - to_float(clean[:n]), -1, 1))
