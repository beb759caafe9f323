"""Spoken keywords, confusable words and noise, made by espeak-ng: any words in its languages, no recordings.

A speaker is a language variety with a voice variant ("en-us+f2"). Splits are disjoint by variant, so that a
test voice is unheard in every accent, and variants that differ by a number (steph, steph2) stay together.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, ClassVar

import numpy as np

from edgernn.data import espeak
from edgernn.data.corpus import NOISE, SPLITS, Clip, Item, Progress, quiet
from edgernn.data.noise import KINDS, make_noise
from edgernn.data.options import SourceOptions, parse
from edgernn.errors import EdgernnError
from edgernn.ranges import Ranges
from edgernn.signal.audio import SAMPLE_RATE, Float32, Int16, to_float, to_int16

_NOT_HUMAN = re.compile(r"robo|demon|whisper|croak|serious", re.IGNORECASE)
_NOTE = "synthesised by espeak-ng"
_NEAREST = 8  # words of the list taken as confusable with each word of a keyword
BABBLE_CLIPS = 60  # utterances a split keeps to mix babble from


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source. Counts are over all splits (80 / 10 / 10 %; noise 60 / 20 / 20 %)."""

    language: str = "en"  # espeak-ng language code; "en" takes every English accent
    clips_per_keyword: int = 300
    unknown_clips: int = 900  # half of them confusable with a keyword, half random words
    noise_seconds: float = 210.0
    words: tuple[str, ...] = ()  # words for the unknown class; default: a list of English words
    min_speed: int = 130  # words a minute
    max_speed: int = 230

    RANGES: ClassVar[Ranges] = {
        "clips_per_keyword": (0, 1_000_000), "unknown_clips": (0, 1_000_000), "noise_seconds": (0, 1e6),
        "min_speed": (80, 450), "max_speed": (80, 450),
    }  # fmt: skip


@dataclass(frozen=True)
class Said:
    """One utterance of a split, and the label it gets."""

    label: str
    split: str
    job: espeak.Job


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """Keyword clips, unknown clips and noise; the same configuration gives the same bytes."""
    options = parse(Options, config, "data source synthetic")
    if not options.keywords or min(options.clips_per_keyword, options.unknown_clips) < len(SPLITS):
        raise EdgernnError("the synthetic source needs keywords, at least 3 clips of each, and 3 of unknown words")
    plan = _plan(options)
    babble: dict[str, list[Int16]] = {split: [] for split in SPLITS}
    audio = espeak.speak([said.job for said in plan])
    for number, (said, pcm) in enumerate(zip(plan, audio, strict=True)):
        clip = make_clip(said, pcm, np.random.default_rng([options.seed, 2, number]))
        if said.label not in options.keywords and len(babble[said.split]) < BABBLE_CLIPS:
            babble[said.split].append(clip.pcm)
        yield clip
        progress("synthesising speech", number + 1, len(plan))
    yield from generated_noise(options.noise_seconds, options.seed, babble)


def voices(language: str) -> tuple[list[str], list[str]]:
    """(accents, variants) that espeak-ng has for a language code, sorted. Unknown language: EdgernnError."""
    root = espeak.data_path()
    names = sorted(path.name.lower() for path in (root / "lang").rglob("*") if path.is_file())
    accents = [name for name in names if name == language.lower() or name.startswith(f"{language.lower()}-")]
    accents = [name for name in accents if name != "en-shaw"]  # reads the Shavian alphabet only
    if not accents:
        raise EdgernnError(f"espeak-ng has no language {language!r}; use a code such as en, en-us, de or fr")
    variants = sorted(path.name for path in (root / "voices" / "!v").iterdir())
    return accents, [name for name in variants if not _NOT_HUMAN.search(name)]


def split_variants(variants: Sequence[str], seed: int) -> dict[str, list[str]]:
    """Variants of each split, about 70 / 15 / 15 %; a numbered family never crosses splits."""
    families: dict[str, list[str]] = {}
    for name in variants:
        stem = re.sub(r"\d+$", "", name).lower()
        families.setdefault(stem if len(stem) > 1 else name, []).append(name)
    order = sorted(families, key=lambda stem: hashlib.sha256(f"{seed}:{stem}".encode()).hexdigest())
    held = max(1, round(0.15 * len(order)))
    chosen = {"validation": order[:held], "test": order[held : 2 * held], "train": order[2 * held :]}
    return {split: sorted(name for stem in chosen[split] for name in families[stem]) for split in SPLITS}


# What is said ---------------------------------------------------------------------------


def _plan(options: Options) -> list[Said]:
    rng = np.random.default_rng([options.seed, 1])
    accents, variants = voices(options.language)
    by_split = split_variants(variants, options.seed)
    near, words = unknown_phrases(options)
    lengths = [len(keyword.split()) for keyword in options.keywords]
    speeds = options.min_speed, options.max_speed
    plan: list[Said] = []
    for split, share in zip(SPLITS, (0.8, 0.1, 0.1), strict=True):
        count = max(1, round(share * options.clips_per_keyword))
        texts = [keyword for keyword in options.keywords for _ in range(count)]
        for number in range(max(1, round(share * options.unknown_clips))):
            confusable = near and number % 2
            texts.append(str(rng.choice(near)) if confusable else " ".join(rng.choice(words, rng.choice(lengths))))
        plan += [Said(text, split, make_job(text, accents, by_split[split], speeds, rng)) for text in texts]
    return plan


def make_job(
    text: str, accents: Sequence[str], variants: Sequence[str], speeds: tuple[int, int], rng: np.random.Generator
) -> espeak.Job:
    """The text in a random voice, pitch and speed (words a minute)."""
    voice = f"{rng.choice(accents)}+{rng.choice(variants)}"
    speed = int(rng.integers(speeds[0], speeds[1] + 1))
    return espeak.Job(voice, text, speed, pitch=int(rng.integers(30, 71)), range=int(rng.integers(20, 81)))


def english_words() -> list[str]:
    """The list of English words that comes along."""
    return (files("edgernn.data") / "words" / "en.txt").read_text("utf-8").split()


def unknown_phrases(options: Options) -> tuple[list[str], list[str]]:
    """(phrases easily confused with a keyword, other words), neither sounding like a keyword.

    Confusable: parts of a keyword, a keyword with one word exchanged for one near in sound (edit distance
    over espeak-ng's phonemes), and, for phrases, for a word of another keyword.
    """
    words = list(options.words) or english_words()
    parts = sorted({part for keyword in options.keywords for part in keyword.split()})
    vocabulary = list(dict.fromkeys([*words, *parts, *options.keywords]))
    sound = dict(zip(vocabulary, map(_plain, espeak.phonemes(vocabulary, options.language)), strict=True))
    taken = [sound[keyword] for keyword in options.keywords]
    near = sorted({phrase for word in options.keywords for phrase in _variations(word, words, parts, sound)})
    said = [" ".join(sound[part] for part in phrase.split()) for phrase in near]
    near = [phrase for phrase, heard in zip(near, said, strict=True) if not _contains(heard, taken)]
    return near, [word for word in words if not _contains(sound[word], taken)]


def _variations(keyword: str, words: Sequence[str], parts: Sequence[str], sound: Mapping[str, str]) -> Iterator[str]:
    own = keyword.split()
    for position, part in enumerate(own):
        others = [word for word in words if sound[word] != sound[part]]
        nearest = sorted(others, key=lambda word: (_distance(sound[word], sound[part]), word))[:_NEAREST]
        for word in [*nearest, *(parts if len(own) > 1 else [])]:
            yield " ".join([*own[:position], word, *own[position + 1 :]])
        if len(own) > 1:
            yield part


def _plain(mnemonics: str) -> str:
    return re.sub(r"[',%=_|:]", "", mnemonics).strip()


def _contains(heard: str, taken: Sequence[str]) -> bool:
    return any(f" {keyword} " in f" {heard} " for keyword in taken)


def _distance(a: str, b: str) -> float:
    """Edit distance over the longer length, 0 to 1."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1] / max(len(a), len(b), 1)


# What is heard ---------------------------------------------------------------------------


def make_clip(said: Said, pcm: Int16, rng: np.random.Generator) -> Clip:
    """At 16 kHz, without silence around it, at a random peak level."""
    import soxr

    job = said.job
    x = _trim(np.asarray(soxr.resample(to_float(pcm), espeak.RATE, SAMPLE_RATE), np.float32))
    if not len(x):
        raise EdgernnError(f"espeak-ng says nothing for {job.text!r} in voice {job.voice}; spell it in letters")
    x *= np.float32(rng.uniform(0.2, 0.9) / np.abs(x).max())
    source = f"espeak:{job.voice}:{job.speed}:{job.pitch}:{job.range}:{job.text}"
    return Clip(Item(source, said.label, job.voice, said.split, _NOTE), to_int16(x))


def _trim(x: Float32) -> Float32:
    """Cut the ends that lie more than 40 dB under the peak, keeping 30 ms."""
    loud = np.flatnonzero(np.abs(x) > 0.01 * np.abs(x).max(initial=0.0))
    if not len(loud):
        return x[:0]
    margin = SAMPLE_RATE * 30 // 1000
    return x[max(0, loud[0] - margin) : loud[-1] + margin]


def generated_noise(seconds: float, seed: int, babble: Mapping[str, list[Int16]]) -> Iterator[Clip]:
    """Every kind of noise in every split, `seconds` in all; babble is mixed from the split's own speech."""
    for number, (split, share) in enumerate(zip(SPLITS, (0.6, 0.2, 0.2), strict=True)):
        samples = round(share * seconds * SAMPLE_RATE / len(KINDS))
        for index, kind in enumerate(KINDS):
            rng = np.random.default_rng([seed, 3, number, index])
            name = f"synthetic:{kind}:{split}"
            if samples:
                yield Clip(
                    Item(name, NOISE, name, split, "generated noise", kind),
                    make_noise(kind, samples, rng, babble[split]),
                )
