"""Running speech and noise for mixtures, both made here: espeak-ng says strings of words, noise is generated.

Splits are disjoint by voice, as in the source `synthetic`. Synthetic voices teach a net what speech is roughly like; for
a good one add recordings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgernn.data.cast import SHARES, CastOptions, Line, check_options, make_cast
from edgernn.data.confusable import english_sentences, english_words, unknown_phrases, without
from edgernn.data.corpus import SPEECH, SPLITS, Clip, Progress, quiet
from edgernn.data.options import parse
from edgernn.data.sources.synthetic import (
    BABBLE_CLIPS,
    Said,
    cast_clips,
    espeak_clips,
    espeak_voices,
    generated_noise,
    make_job,
)
from edgernn.errors import EdgernnError
from edgernn.ranges import Ranges
from edgernn.signal.audio import Int16

_SPEEDS = (130, 230)


@dataclass(frozen=True, kw_only=True)
class Options(CastOptions):
    """Configuration of this source."""

    utterances: int = 200  # over all splits: 80 / 10 / 10 %
    words: int = 10  # in one utterance; with `voices`, English sentences until there are so many
    noise_seconds: float = 420.0  # over all splits and kinds of noise: 60 / 20 / 20 %

    RANGES: ClassVar[Ranges] = {
        **CastOptions.TRACTS, "utterances": (0, 1_000_000), "words": (0, 1000), "noise_seconds": (0, 1e6),
    }  # fmt: skip


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """Speech, then noise; the same configuration gives the same bytes."""
    options = parse(Options, config, "data source spoken")
    check_options(options)
    if options.utterances < (1 if options.split else len(SPLITS)) or options.words < 1:
        raise EdgernnError("the source spoken needs at least 3 utterances of at least one word")
    babble: dict[str, list[Int16]] = {split: [] for split in SPLITS}
    clips, total = _by_cast(options) if options.voices else _by_espeak(options)
    for number, clip in enumerate(clips, 1):
        if len(babble[clip.item.split]) < BABBLE_CLIPS:
            babble[clip.item.split].append(clip.pcm)
        yield clip
        progress("synthesising speech", number, total)
    yield from generated_noise(options.noise_seconds, options.seed, babble, options.split)


def _by_espeak(options: Options) -> tuple[Iterator[Clip], int]:
    """(clips, how many): strings of words by espeak-ng alone."""
    rng = np.random.default_rng([options.seed, 1])
    accents, by_split = espeak_voices(options.language, options.seed)
    words = without(options.keywords, english_words(), options.language) if options.keywords else english_words()
    plan = []
    for split, share in SHARES.items():
        for _ in range(max(1, round(share * options.utterances))):
            text = " ".join(rng.choice(words, options.words))
            plan.append(Said(SPEECH, split, make_job(text, accents, by_split[split], _SPEEDS, rng)))
    return espeak_clips(plan, options.seed), len(plan)


def _by_cast(options: Options) -> tuple[Iterator[Clip], int]:
    """(clips, how many) by the voices that the options name: sentences, and between them what is near to a keyword."""
    cast = make_cast(options, _SPEEDS)
    near, words = unknown_phrases(options.keywords, (), options.language) if options.keywords else ([], english_words())
    english = options.language.split("-")[0] == "en"
    pool = without(options.keywords, english_sentences() if english else words, options.language)
    plan: list[tuple[str, Line]] = []
    for split, share in cast.shares.items():
        rng = np.random.default_rng([options.seed, 6, SPLITS.index(split)])
        texts = [_text(pool, near, options.words, rng) for _ in range(max(1, round(share * options.utterances)))]
        plan += [(split, line) for line in cast.lines(split, texts)]
    return cast_clips(plan, options.seed, SPEECH), len(plan)


def _text(pool: Sequence[str], near: Sequence[str], words: int, rng: np.random.Generator) -> str:
    """Of at least so many words; every third time a confusable phrase stands in it."""
    parts: list[str] = []
    while sum(len(part.split()) for part in parts) < words:
        parts.append(str(rng.choice(pool)))
    if near and rng.uniform() < 1 / 3:
        parts.insert(int(rng.integers(len(parts) + 1)), f"{rng.choice(near)},")
    return " ".join(parts)
