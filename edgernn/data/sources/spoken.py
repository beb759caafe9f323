"""Running speech and noise for mixtures, both made here: espeak-ng says strings of words, noise is generated.

Splits are disjoint by voice, as in the source `synthetic`. Synthetic voices teach a net what speech is roughly like; for
a good one add recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgernn.data import espeak
from edgernn.data.corpus import SPEECH, SPLITS, Clip, Progress, quiet
from edgernn.data.options import SourceOptions, parse
from edgernn.data.sources.synthetic import (
    BABBLE_CLIPS,
    Said,
    english_words,
    generated_noise,
    make_clip,
    make_job,
    split_variants,
    voices,
)
from edgernn.errors import EdgernnError
from edgernn.ranges import Ranges
from edgernn.signal.audio import Int16

_SPEEDS = (130, 230)


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    language: str = "en"  # espeak-ng language code; "en" takes every English accent
    utterances: int = 200  # over all splits: 80 / 10 / 10 %
    words: int = 10  # in one utterance
    noise_seconds: float = 420.0  # over all splits and kinds of noise: 60 / 20 / 20 %

    RANGES: ClassVar[Ranges] = {"utterances": (0, 1_000_000), "words": (0, 1000), "noise_seconds": (0, 1e6)}


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """Speech, then noise; the same configuration gives the same bytes."""
    options = parse(Options, config, "data source spoken")
    if options.utterances < len(SPLITS) or options.words < 1:
        raise EdgernnError("the source spoken needs at least 3 utterances of at least one word")
    plan = _plan(options)
    babble: dict[str, list[Int16]] = {split: [] for split in SPLITS}
    audio = espeak.speak([said.job for said in plan])
    for number, (said, pcm) in enumerate(zip(plan, audio, strict=True)):
        clip = make_clip(said, pcm, np.random.default_rng([options.seed, 2, number]))
        if len(babble[said.split]) < BABBLE_CLIPS:
            babble[said.split].append(clip.pcm)
        yield clip
        progress("synthesising speech", number + 1, len(plan))
    yield from generated_noise(options.noise_seconds, options.seed, babble)


def _plan(options: Options) -> list[Said]:
    rng = np.random.default_rng([options.seed, 1])
    accents, variants = voices(options.language)
    by_split, words = split_variants(variants, options.seed), english_words()
    plan = []
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        for _ in range(max(1, round(share * options.utterances))):
            text = " ".join(rng.choice(words, options.words))
            plan.append(Said(SPEECH, split, make_job(text, accents, by_split[split], _SPEEDS, rng)))
    return plan
