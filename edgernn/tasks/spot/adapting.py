"""A recipe for a user's own words, language, voices and recordings: what the options of `edgernn kws` change."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgernn.data.recordings import sound_files
from edgernn.data.voices import engine_names, quick
from edgernn.errors import EdgernnError
from edgernn.tasks.spot.recipe import SpotRecipe

VOICES = "synthetic"  #: the source that makes its recordings up
SPOKEN = "spoken"  #: the one that makes running speech up
RECORDED = "recorded"  #: the engine that plays what people said


def adapted(recipe: SpotRecipe, options: Mapping[str, Any]) -> SpotRecipe:
    """The recipe with every option that was given."""
    steps: dict[str, Callable[[SpotRecipe, Any], SpotRecipe]] = {
        "keywords": with_words, "language": with_language, "voices": with_voices, "more_recordings": with_recordings,
        "more_negatives": with_negatives, "false_accepts_per_hour": with_rate,
    }  # fmt: skip
    for name, step in steps.items():
        if name in options:
            recipe = step(recipe, options[name])
    return recipe


def with_words(recipe: SpotRecipe, text: str) -> SpotRecipe:
    """The recipe for other words, separated by commas."""
    words = tuple(w.strip() for w in text.split(",") if w.strip())
    if not words:
        raise EdgernnError(f'--keywords {text!r} names no word; give them with commas between: "hey robin,stop"')
    return replace(recipe, data=replace(recipe.data, keywords=words))


def with_language(recipe: SpotRecipe, language: str) -> SpotRecipe:
    """The recipe with voices of another language wherever they are made."""
    sources = tuple({**t, "language": language} if t.get("kind") in (VOICES, SPOKEN) else t for t in recipe.sources)
    if sources == recipe.sources:
        raise EdgernnError(
            f"--language {language}: the recipe makes no voices ([[data.sources]] of kind {VOICES}); leave it out"
        )
    return _with_sources(recipe, *sources)


def with_voices(recipe: SpotRecipe, text: str) -> SpotRecipe:
    """The recipe with words spoken by the engines named, commas between; running speech by those of them that are quick."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    strange = [name for name in names if name.split(":")[0] not in engine_names()]
    if strange or not names:
        what = f"there are no voices {', '.join(strange)}" if strange else "it names none"
        raise EdgernnError(f"--voices {text!r}: {what}; the engines are {', '.join(engine_names())}")
    talkers = [name for name in names if quick(name.split(":")[0])]
    said = {VOICES: names, SPOKEN: talkers}
    sources = [{**t, "voices": v} if (v := said.get(str(t.get("kind")))) else t for t in recipe.sources]
    if not any(t.get("kind") == VOICES for t in sources):
        raise EdgernnError(f"--voices {text}: the recipe makes no voices ([[data.sources]] of kind {VOICES}); leave it out")
    return _with_sources(recipe, *sources)


def with_recordings(recipe: SpotRecipe, folder: Path) -> SpotRecipe:
    """The recipe with a folder of recordings of its words and of others, WORD/SPEAKER_000.wav."""
    return _with_folder(recipe, folder, "--more-recordings")


def with_negatives(recipe: SpotRecipe, folder: Path) -> SpotRecipe:
    """The recipe with a folder of sound in which no keyword is said: all to train against, none to be judged by."""
    return _with_folder(recipe, folder, "--more-negatives", speech=True, split="train")


def with_rate(recipe: SpotRecipe, rate: float) -> SpotRecipe:
    """The recipe with thresholds for another rate of false accepts."""
    if recipe.train.kind != "streams":
        raise EdgernnError(
            "--false-accepts-per-hour is for nets trained on streams; of one trained on clips it is decision.threshold"
        )
    return replace(recipe, decision=replace(recipe.decision, false_accepts_per_hour=rate))


def _with_folder(recipe: SpotRecipe, folder: Path, option: str, **more: Any) -> SpotRecipe:
    if not folder.is_dir():
        raise EdgernnError(f"{option} {folder}: there is no such folder; check its path")
    if not sound_files(folder, "**/*"):
        raise EdgernnError(f"{option} {folder}: there is no sound file in it, at any depth; put some there, or leave it out")
    return _with_sources(recipe, *recipe.sources, {"kind": "folder", "path": str(folder.resolve()), **more})


def _with_sources(recipe: SpotRecipe, *sources: Mapping[str, Any]) -> SpotRecipe:
    return replace(recipe, data=replace(recipe.data, sources=sources))


def check_voices(recipe: SpotRecipe) -> None:
    """English voices spell words of another script letter by letter: that is no keyword. What people said may be any."""
    for table in recipe.sources:
        language = str(table.get("language", "en"))
        foreign = [word for word in recipe.keywords if not _latin(word)]
        people = list(table.get("voices", ())) == [RECORDED]
        if table.get("kind") == VOICES and not people and foreign and language.split("-")[0] == "en":
            raise EdgernnError(
                f"English voices cannot say {foreign[0]!r}; give the language of your words, such as --language ru, or "
                f'language = "ru" in the recipe\'s {VOICES} source'
            )


def _latin(word: str) -> bool:
    return all("LATIN" in unicodedata.name(c, "LATIN") for c in word if c.isalpha())
