"""Who speaks: the engines a source names, their voices spread over the splits, and how each utterance is varied.

A voice is a speaker, so splits are disjoint by voice. An engine of a few voices speaks in the training alone; whole engines are
kept for judging by a source of their own with `split = "test"`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from edgernn.data.corpus import SPLITS
from edgernn.data.engine import Engine, Utterance
from edgernn.data.options import SourceOptions
from edgernn.data.voices import engine_names, make_engine
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.ranges import Ranges

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}  #: of a source's clips
NORMAL_SPEED = 175  #: words a minute that count as rate 1
_PITCHES, _SPREADS, _TAKES = (0.85, 1.18), (0.5, 1.5), 16
_MANY = 6  # families of voices from which an engine can spare some for validation and test


@dataclass(frozen=True, kw_only=True)
class CastOptions(SourceOptions):
    """Options of sources that speak."""

    language: str = "en"  # espeak-ng language code; "en" takes every English accent
    voices: tuple[str, ...] = ()  # engines ("flite"), or single voices ("flite:slt"); none: espeak-ng as it always was
    exclude: tuple[str, ...] = ()  # engines or voices left out of those
    split: str = ""  # all clips for this split, such as "test"; "": voices are spread over the splits
    path: str = ""  # folder of the engine `recorded`: TEXT/SPEAKER_000.wav
    min_tract: float = 0.84  # range of vocal-tract factors; 1.2: all resonances a fifth higher, as of a shorter tract
    max_tract: float = 1.2

    TRACTS: ClassVar[Ranges] = {"min_tract": (0.7, 1.4), "max_tract": (0.7, 1.4)}


@dataclass(frozen=True)
class Line:
    """One text for one voice, played `tract` times faster than it was said (and said as much slower)."""

    engine: Engine
    utterance: Utterance
    tract: float = 1.0

    @property
    def speaker(self) -> str:
        """See `Engine.speaker`."""
        return self.engine.speaker(self.utterance.voice)

    @property
    def origin(self) -> str:
        """Engine and licence, one line."""
        return f"spoken by {self.engine.name} ({self.engine.LICENCE})"

    def __str__(self) -> str:
        u = self.utterance
        numbers = ":".join(f"{x:.4g}" for x in (u.rate, u.pitch, u.spread, u.take, self.tract))
        return f"{self.engine.name}:{u.voice}:{numbers}:{u.text}"


@dataclass(frozen=True)
class Cast:
    """The voices of every split, engine by engine, and how they are varied."""

    voices: Mapping[str, Mapping[Engine, Sequence[str]]]  # split -> engine -> voices
    seed: int
    speeds: tuple[int, int]  # words a minute
    tracts: tuple[float, float]

    @property
    def shares(self) -> dict[str, float]:
        """Which share of the clips each split gets, in order."""
        chosen = {split: SHARES[split] for split in SPLITS if split in self.voices}
        return chosen if len(chosen) > 1 else dict.fromkeys(chosen, 1.0)

    def lines(self, split: str, texts: Iterable[str]) -> Iterator[Line]:
        """Each text by the engines in turn, in a drawn voice; one that nobody can say is an EdgernnError.

        A text, an engine and the text's number with that engine decide all that is drawn for it, so that more clips, words or
        engines change no other line.
        """
        able: dict[str, dict[Engine, list[str]]] = {}
        turns: Counter[str] = Counter()
        said: Counter[tuple[Engine, str]] = Counter()
        for text in texts:
            if text not in able:
                able[text] = self._able(split, text)
            engine = list(able[text])[(_hash(text) + turns[text]) % len(able[text])]
            yield self._line(engine, able[text][engine], text, f"{split}:{said[engine, text]}")
            turns[text] += 1
            said[engine, text] += 1

    def _able(self, split: str, text: str) -> dict[Engine, list[str]]:
        found = {e: own for e, voices in self.voices[split].items() if (own := [v for v in voices if e.says(v, text)])}
        if not found:
            names = ", ".join(engine.name for engine in self.voices[split])
            raise EdgernnError(
                f"no voice can say {text!r} in the {split} split; write it in letters of the voices' language, "
                f"or name other voices than {names}"
            )
        return found

    def can_say(self, split: str, text: str) -> bool:
        """Whether some voice of the split can."""
        return any(engine.says(voice, text) for engine, voices in self.voices[split].items() for voice in voices)

    def _line(self, engine: Engine, voices: Sequence[str], text: str, number: str) -> Line:
        rng = np.random.default_rng([self.seed, 4, _hash(f"{engine.name}:{number}:{text}")])
        drawn: dict[str, Any] = {
            "rate": rng.uniform(*self.speeds) / NORMAL_SPEED,
            "pitch": _log_uniform(rng, _PITCHES),
            "spread": rng.uniform(*_SPREADS),
            "take": int(rng.integers(_TAKES)),
        }
        used = {key: round(value, 4) for key, value in drawn.items() if key in engine.CONTROLS}
        return Line(engine, Utterance(str(rng.choice(voices)), text, **used), round(_log_uniform(rng, self.tracts), 4))


def _log_uniform(rng: np.random.Generator, limits: tuple[float, float]) -> float:
    return float(np.exp(rng.uniform(*np.log(limits))))


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())


def make_cast(options: CastOptions, speeds: tuple[int, int]) -> Cast:
    """The voices that a source names and that can speak here; those that cannot are said, none at all is an EdgernnError."""
    found = _chosen_voices(options)
    by_split = {options.split: found} if options.split else _spread(found, options.seed)
    tracts = min(options.min_tract, options.max_tract), max(options.min_tract, options.max_tract)
    return Cast(by_split, options.seed, (min(speeds), max(speeds)), tracts)


def check_options(options: CastOptions) -> None:
    """Refuse what cannot be meant, before anything is spent."""
    alone = [name for name in ("exclude", "split", "path") if getattr(options, name) and not options.voices]
    if alone:
        raise EdgernnError(f'{alone[0]} goes with the voices of a source; name some, such as voices = ["espeak"]')
    if options.split not in ("", *SPLITS):
        raise EdgernnError(f"split {options.split!r} is not one of {', '.join(SPLITS)}")
    unknown = [name for name in (*options.voices, *options.exclude) if name.split(":")[0] not in engine_names()]
    if unknown:
        raise EdgernnError(f"there are no voices {unknown[0]!r}; the engines are {', '.join(engine_names())}")


def _chosen_voices(options: CastOptions) -> dict[Engine, list[str]]:
    """Engine -> voices, engines in the order they are named."""
    found: dict[Engine, list[str]] = {}
    absent: list[str] = []
    named = dict.fromkeys(x.split(":")[0] for x in options.voices)
    for name in [x for x in named if x not in options.exclude]:
        engine = make_engine(name, options.language, options.path)
        reason = engine.missing() or ("" if engine.voices() else f"it has no voice for the language {options.language}")
        chosen = [] if reason else _named(engine, options.voices, options.exclude)
        if chosen:
            found[engine] = chosen
        elif reason:
            absent.append(f"{name} ({reason})")
    if not found:
        reasons = "; ".join(absent) or "all are excluded"
        raise EdgernnError(f"none of the voices {', '.join(options.voices)} can speak here: {reasons}")
    if absent and options.strict:
        raise EdgernnError(f"some voices cannot speak here: {'; '.join(absent)}")
    for text in absent:
        note(f"these voices cannot speak here and are left out: {text}")
    return found


def _named(engine: Engine, wanted: Sequence[str], excluded: Sequence[str]) -> list[str]:
    """The engine's voices that are wanted; a name it does not have is an error."""
    known = engine.voices()
    names = [x.partition(":")[2] for x in (*wanted, *excluded) if x.partition(":")[0] == engine.name]
    strange = [name for name in names if name and name not in known]
    if strange:
        some = ", ".join(known[:8]) + (", .." if len(known) > 8 else "")
        raise EdgernnError(f"{engine.name} has no voice {strange[0]!r} for the language {engine.language}; it has {some}")
    own = {x for x in wanted if x.startswith(f"{engine.name}:")}
    chosen = known if engine.name in wanted else [name for name in known if f"{engine.name}:{name}" in own]
    return [name for name in chosen if f"{engine.name}:{name}" not in excluded]


# Splits ---------------------------------------------------------------------------


def split_voices(voices: Sequence[str], family: Callable[[str], str], seed: int) -> dict[str, list[str]]:
    """Voices of each split, about 70 / 15 / 15 %; a family never crosses splits."""
    families: dict[str, list[str]] = {}
    for name in voices:
        families.setdefault(family(name), []).append(name)
    order = sorted(families, key=lambda stem: hashlib.sha256(f"{seed}:{stem}".encode()).hexdigest())
    held = max(1, round(0.15 * len(order)))
    chosen = {"validation": order[:held], "test": order[held : 2 * held], "train": order[2 * held :]}
    return {split: sorted(name for stem in chosen[split] for name in families[stem]) for split in SPLITS}


def _spread(found: Mapping[Engine, Sequence[str]], seed: int) -> dict[str, dict[Engine, list[str]]]:
    """Split -> engine -> voices, for splits that have some.

    An engine's own list of voices decides where each is, whatever else is named, so that sources of one recipe agree.
    """
    by_split: dict[str, dict[Engine, list[str]]] = {split: {} for split in SPLITS}
    for engine, chosen in found.items():
        voices = engine.voices()
        many = len({engine.family(voice) for voice in voices}) >= _MANY
        parts = split_voices(voices, engine.family, seed) if many else {"train": voices}
        for split, own in parts.items():
            if kept := [voice for voice in own if voice in chosen]:
                by_split[split][engine] = kept
    lacking = [split for split in SPLITS if not by_split[split]]
    if lacking:
        names = ", ".join(engine.name for engine in found)
        note(
            f"{names}: no voice is left for {' and '.join(lacking)}, since engines of few voices speak in the training alone; "
            'give another source voices for them, or its split = ".."'
        )
    return {split: engines for split, engines in by_split.items() if engines}
