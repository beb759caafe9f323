"""Which recordings are learnt from and which are tested on: splits disjoint by speaker, by a hash of seed and name."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from edgernn.data.corpus import NOISE, RESERVED, SPLITS, UNKNOWN, Item, group_of


def assign_splits(items: Sequence[Item], keywords: Sequence[str], seed: int) -> list[Item]:
    """Give items without a split one, disjoint by speaker: about 80 % train, 10 % validation, 10 % test.

    The choice is a hash of (seed, speaker), so that it does not change when other recordings are added; an
    unknown speaker counts as a person of their own. Noise goes by its kind, where there is one for each split.

    A keyword (or UNKNOWN, or a RESERVED label) left without clips in a split takes the lowest hash from the split where it has
    most speakers, as far as one can be spared. A label of words with fewer speakers than there are splits is split by
    recording; its items are then `mixed`.
    """
    named = _with_speakers(items)
    few = _labels_of_few_speakers(named, keywords)
    named = [replace(item, mixed=group_of(item, keywords) in few) for item in named]
    fixed = {_unit(item): item.split for item in named if item.split}
    hashes = {_unit(item): hashed(seed, _unit(item)) for item in named if _unit(item) not in fixed}
    split = fixed | {unit: _bucket(value) for unit, value in hashes.items()}
    groups: dict[str, set[str]] = {label: set() for label in (*keywords, UNKNOWN, *RESERVED)}
    for item in named:
        groups[group_of(item, keywords)].add(_unit(item))
    for units in groups.values():
        _cover(sorted(units, key=lambda unit: (hashes.get(unit, 1.0), unit)), hashes, split)
    return [replace(item, split=item.split or split[_unit(item)]) for item in named]


def _with_speakers(items: Sequence[Item]) -> list[Item]:
    """Who is not known is named after the kind of noise or the recording."""
    by_kind = len({item.word for item in items if _is_kind(item)}) >= len(SPLITS)
    return [
        item if item.speaker else replace(item, speaker=f"kind {item.word}" if by_kind and _is_kind(item) else item.source)
        for item in items
    ]


def _unit(item: Item) -> str:
    """What stays in one split: all of a speaker, or one recording where there are too few speakers."""
    return item.source if item.mixed else item.speaker


def _labels_of_few_speakers(items: Sequence[Item], keywords: Sequence[str]) -> set[str]:
    speakers: dict[str, set[str]] = {}
    for item in items:
        speakers.setdefault(group_of(item, keywords), set()).add(item.speaker)
    given = {group_of(item, keywords) for item in items if item.split}
    counts = Counter(group_of(item, keywords) for item in items)
    return {
        label
        for label, found in speakers.items()
        if label not in (*RESERVED, *given) and len(found) < len(SPLITS) <= counts[label]
    }


def _is_kind(item: Item) -> bool:
    """Noise of a known kind that has no split yet."""
    return item.label == NOISE and bool(item.word) and not item.split and not item.speaker


def _cover(speakers: list[str], movable: Mapping[str, float], split: dict[str, str]) -> None:
    """Change `split` so that every split has one of `speakers`, as far as `movable` ones can be spared."""
    for wanted in [name for name in SPLITS if name not in {split[speaker] for speaker in speakers}]:
        count = Counter(split[speaker] for speaker in speakers)
        spare = [speaker for speaker in speakers if speaker in movable and count[split[speaker]] > 1]
        if spare:
            split[max(spare, key=lambda speaker: count[split[speaker]])] = wanted


def hashed(seed: int, speaker: str) -> float:
    """A number in [0, 1) that follows a seed and a name and nothing else."""
    return int(hashlib.sha256(f"{seed}:{speaker}".encode()).hexdigest()[:13], 16) / 16**13


def _bucket(value: float) -> str:
    return "test" if value < 0.1 else "validation" if value < 0.2 else "train"
