"""What is easily taken for a keyword and what is not, by espeak-ng's phonemes: texts for counter-examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files

from edgernn.data.voices import espeak

_NEAREST = 8  # words of the list taken as confusable with each word of a keyword
_SHORT = 3  # letters of its sound; a keyword of fewer is in too many words


def english_words() -> list[str]:
    """The list of English words that comes along."""
    return (files("edgernn.data") / "words" / "en.txt").read_text("utf-8").split()


def english_sentences() -> list[str]:
    """Everyday sentences that come along."""
    return (files("edgernn.data") / "words" / "en_sentences.txt").read_text("utf-8").splitlines()


def unknown_phrases(keywords: Sequence[str], words: Sequence[str], language: str) -> tuple[list[str], list[str]]:
    """(phrases easily confused with a keyword, other words), neither sounding like a keyword.

    Confusable: parts of a keyword, a keyword with one word exchanged for one near in sound (edit distance
    over espeak-ng's phonemes), and, for phrases, for a word of another keyword.
    """
    words = list(words) or english_words()
    parts = sorted({part for keyword in keywords for part in keyword.split()})
    vocabulary = list(dict.fromkeys([*words, *parts, *keywords]))
    sound = dict(zip(vocabulary, map(_plain, espeak.phonemes(vocabulary, language)), strict=True))
    taken = [sound[keyword] for keyword in keywords]
    near = sorted({phrase for word in keywords for phrase in _variations(word, words, parts, sound)})
    said = [" ".join(sound[part] for part in phrase.split()) for phrase in near]
    near = [phrase for phrase, heard in zip(near, said, strict=True) if not _contains(heard, taken)]
    return near, [word for word in words if not _contains(sound[word], taken)]


def without(keywords: Sequence[str], texts: Sequence[str], language: str) -> list[str]:
    """The texts in which no keyword is heard, word by word."""
    parts = {text: re.sub(r"[^\w' ]", " ", text.lower()).split() for text in texts}
    vocabulary = list(dict.fromkeys([*keywords, *(part for split in parts.values() for part in split)]))
    sound = dict(zip(vocabulary, map(_plain, espeak.phonemes(vocabulary, language)), strict=True))
    taken = [sound[keyword] for keyword in keywords]
    return [text for text in texts if not _contains(" ".join(sound[part] for part in parts[text]), taken)]


def remarks(keywords: Sequence[str], language: str) -> list[str]:
    """What a user should know of the keywords before an hour is spent."""
    said = espeak.phonemes(keywords, language)
    sound = {keyword: _plain(mnemonics).replace(" ", "") for keyword, mnemonics in zip(keywords, said, strict=True)}
    short = [keyword for keyword, heard in sound.items() if 0 < len(heard) < _SHORT]
    inside = [(a, b) for a in sound for b in sound if a != b and sound[a] and sound[a] in sound[b]]
    found = [f"keyword {word!r} is so short that many words hold it; choose one of three syllables or more" for word in short]
    return found + [
        f"keyword {a!r} is heard within {b!r}, so saying the longer one may wake both; exchange one of them" for a, b in inside
    ]


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
