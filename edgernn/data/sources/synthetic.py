"""Spoken keywords, confusable words and noise, made by voice engines: any words in their languages, no recordings.

Without `voices` espeak-ng speaks alone: a speaker is a language variety with a voice variant ("en-us+f2"), splits are disjoint
by variant, so that a test voice is unheard in every accent. With `voices` the engines named speak in turn, see `cast`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgernn.data.cast import SHARES, CastOptions, Line, check_options, make_cast, split_voices
from edgernn.data.confusable import remarks, unknown_phrases
from edgernn.data.corpus import NOISE, SPLITS, Clip, Item, Progress, quiet
from edgernn.data.noise import KINDS, make_noise
from edgernn.data.options import parse
from edgernn.data.speech import say, trimmed
from edgernn.data.voices import espeak
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.ranges import Ranges
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16

_NOTE = "synthesised by espeak-ng"
_TRIES = 100  # for an unknown text that the voices of a split can say
BABBLE_CLIPS = 60  # utterances a split keeps to mix babble from


@dataclass(frozen=True, kw_only=True)
class Options(CastOptions):
    """Configuration of this source. Counts are over all splits (80 / 10 / 10 %; noise 60 / 20 / 20 %)."""

    clips_per_keyword: int = 300
    unknown_clips: int = 900  # half of them confusable with a keyword, half random words
    noise_seconds: float = 210.0
    words: tuple[str, ...] = ()  # words for the unknown class; default: a list of English words
    min_speed: int = 130  # words a minute
    max_speed: int = 230

    RANGES: ClassVar[Ranges] = {
        **CastOptions.TRACTS,
        "clips_per_keyword": (0, 1_000_000), "unknown_clips": (0, 1_000_000), "noise_seconds": (0, 1e6),
        "min_speed": (80, 450), "max_speed": (80, 450),
    }  # fmt: skip


@dataclass(frozen=True)
class Said:
    """One utterance of a split by espeak-ng alone, and the label it gets."""

    label: str
    split: str
    job: espeak.Job


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """Keyword clips, unknown clips and noise; the same configuration gives the same bytes."""
    options = parse(Options, config, "data source synthetic")
    check_options(options)
    _check_counts(options)
    babble: dict[str, list[Int16]] = {split: [] for split in SPLITS}
    if options.voices:
        clips, total = _by_cast(options)
    else:
        plan = _plan(options)
        clips, total = espeak_clips(plan, options.seed), len(plan)
    for text in remarks(options.keywords, options.language):
        note(text)
    if options.clips_per_keyword and not options.unknown_clips and options.split != "test":
        note(f"{', '.join(options.voices)} say keywords alone: their sound may be learnt for the word; set unknown_clips")
    for number, clip in enumerate(clips, 1):
        if clip.item.label not in options.keywords and len(babble[clip.item.split]) < BABBLE_CLIPS:
            babble[clip.item.split].append(clip.pcm)
        yield clip
        progress("synthesising speech", number, total)
    yield from generated_noise(options.noise_seconds, options.seed, babble, options.split)


def _check_counts(options: Options) -> None:
    """Every split needs clips; where voices are named another source may bring the keywords or the unknown words."""
    counts = options.clips_per_keyword, options.unknown_clips
    if not options.keywords or (min(counts) < len(SPLITS) and not options.voices):
        raise EdgernnError("the synthetic source needs keywords, at least 3 clips of each, and 3 of unknown words")
    if options.voices and not options.split and (not any(counts) or any(0 < count < len(SPLITS) for count in counts)):
        raise EdgernnError(
            f"the synthetic source cannot spread {counts[0]} clips a keyword and {counts[1]} of unknown words over the splits; "
            "ask for at least 3, or for none of one kind"
        )


def espeak_clips(plan: Sequence[Said], seed: int) -> Iterator[Clip]:
    """What espeak-ng says alone, as clips."""
    audio = espeak.speak([said.job for said in plan])
    for number, (said, pcm) in enumerate(zip(plan, audio, strict=True)):
        yield make_clip(said, pcm, np.random.default_rng([seed, 2, number]))


def _by_cast(options: Options) -> tuple[Iterator[Clip], int]:
    """(clips, how many) by the voices that the options name."""
    cast = make_cast(options, (options.min_speed, options.max_speed))
    near, words = unknown_phrases(options.keywords, options.words, options.language)
    lengths = [len(keyword.split()) for keyword in options.keywords]
    plan: list[tuple[str, Line]] = []
    for split, share in cast.shares.items():
        texts = [keyword for keyword in options.keywords for _ in range(_count(share, options.clips_per_keyword))]
        rng = np.random.default_rng([options.seed, 5, SPLITS.index(split)])
        others = functools.partial(_phrase, words, lengths, rng)
        texts += _unknown_texts(functools.partial(cast.can_say, split), near, others, _count(share, options.unknown_clips), rng)
        plan += [(split, line) for line in cast.lines(split, texts)]
    return cast_clips(plan, options.seed), len(plan)


def _count(share: float, total: int) -> int:
    """A split's share, at least one of any."""
    return max(1, round(share * total)) if total else 0


def _phrase(words: Sequence[str], lengths: Sequence[int], rng: np.random.Generator) -> str:
    """Random words, as many as some keyword has."""
    return " ".join(rng.choice(words, rng.choice(lengths)))


def _unknown_texts(
    sayable: Callable[[str], bool], near: Sequence[str], others: Callable[[], str], count: int, rng: np.random.Generator
) -> Iterator[str]:
    """Confusable phrases and others in turn, as far as the voices can say them."""
    near = [text for text in near if sayable(text)]
    for number in range(count):
        for _ in range(_TRIES):
            text = str(rng.choice(near)) if near and number % 2 else others()
            if sayable(text):
                break
        yield text  # if they can say none, whoever speaks it refuses it


def cast_clips(plan: Sequence[tuple[str, Line]], seed: int, label: str = "") -> Iterator[Clip]:
    """(split, line) as clips at a random peak level; label: of all, instead of the text."""
    for number, ((split, line), pcm) in enumerate(zip(plan, say([line for _, line in plan]), strict=True)):
        x = at_level(to_float(pcm), np.random.default_rng([seed, 2, number]))
        yield Clip(Item(str(line), label or line.utterance.text, line.speaker, split, line.origin), x)


# What is said ---------------------------------------------------------------------------


def _plan(options: Options) -> list[Said]:
    rng = np.random.default_rng([options.seed, 1])
    accents, by_split = espeak_voices(options.language, options.seed)
    near, words = unknown_phrases(options.keywords, options.words, options.language)
    lengths = [len(keyword.split()) for keyword in options.keywords]
    speeds = options.min_speed, options.max_speed
    plan: list[Said] = []
    for split, share in SHARES.items():
        count = max(1, round(share * options.clips_per_keyword))
        texts = [keyword for keyword in options.keywords for _ in range(count)]
        for number in range(max(1, round(share * options.unknown_clips))):
            confusable = near and number % 2
            texts.append(str(rng.choice(near)) if confusable else _phrase(words, lengths, rng))
        plan += [Said(text, split, make_job(text, accents, by_split[split], speeds, rng)) for text in texts]
    return plan


def espeak_voices(language: str, seed: int) -> tuple[list[str], dict[str, list[str]]]:
    """(accents, variants of each split) of espeak-ng alone."""
    accents, variants = espeak.accents_and_variants(language)
    return accents, split_voices(variants, espeak.family, seed)


def make_job(
    text: str, accents: Sequence[str], variants: Sequence[str], speeds: tuple[int, int], rng: np.random.Generator
) -> espeak.Job:
    """The text in a random voice, pitch and speed (words a minute)."""
    voice = f"{rng.choice(accents)}+{rng.choice(variants)}"
    speed = int(rng.integers(speeds[0], speeds[1] + 1))
    return espeak.Job(voice, text, speed, pitch=int(rng.integers(30, 71)), range=int(rng.integers(20, 81)))


# What is heard ---------------------------------------------------------------------------


def make_clip(said: Said, pcm: Int16, rng: np.random.Generator) -> Clip:
    """At 16 kHz, without silence around it, at a random peak level."""
    import soxr

    job = said.job
    x = trimmed(np.asarray(soxr.resample(to_float(pcm), espeak.RATE, SAMPLE_RATE), np.float32))
    if not len(x):
        raise EdgernnError(f"espeak-ng says nothing for {job.text!r} in voice {job.voice}; spell it in letters")
    source = f"espeak:{job.voice}:{job.speed}:{job.pitch}:{job.range}:{job.text}"
    return Clip(Item(source, said.label, job.voice, said.split, _NOTE), at_level(x, rng))


def at_level(x: Float32, rng: np.random.Generator) -> Int16:
    """Sound at a random peak level."""
    return to_int16(x * np.float32(rng.uniform(0.2, 0.9) / np.abs(x).max()))


def generated_noise(seconds: float, seed: int, babble: Mapping[str, list[Int16]], only: str = "") -> Iterator[Clip]:
    """Every kind of noise in every split, or in one only, `seconds` in all; babble is mixed from the split's own speech."""
    for number, (split, share) in enumerate(zip(SPLITS, (0.6, 0.2, 0.2), strict=True)):
        if only:
            share = float(split == only)
        samples = round(share * seconds * SAMPLE_RATE / len(KINDS))
        for index, kind in enumerate(KINDS):
            rng = np.random.default_rng([seed, 3, number, index])
            name = f"synthetic:{kind}:{split}"
            if samples:
                yield Clip(
                    Item(name, NOISE, name, split, "generated noise", kind),
                    make_noise(kind, samples, rng, babble[split]),
                )
