"""Teachers that a recipe brings itself: nets of other seeds, trained first, on the same data, in the folder `teachers`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.runs import CHECKPOINT, find_recipe
from edgernn.tasks import load_checkpoint
from edgernn.tasks.spot.recipe import SpotNet, SpotRecipe
from edgernn.tasks.spot.train_taught import check_hearing

Progress = Callable[[str, int, int], None]
TrainOne = Callable[[SpotRecipe, Dataset, Path, Progress], SpotNet]
FOLDER = "teachers"  #: in the run folder, one folder a teacher


def teacher_recipes(recipe: SpotRecipe) -> list[SpotRecipe]:
    """What each teacher is trained by: `train.taught_by`, or the recipe itself, with this data and a seed of its own."""
    if not recipe.train.teachers:
        return []
    model: Any = find_recipe(recipe.train.taught_by) if recipe.train.taught_by else recipe
    if not isinstance(model, SpotRecipe):
        raise EdgernnError(
            f"train: taught_by = {recipe.train.taught_by!r} is the recipe of {model.task}, not of a keyword spotter"
        )
    if model.train.kind != recipe.train.kind:
        raise EdgernnError(
            f"train: taught_by = {recipe.train.taught_by!r} trains on {model.train.kind}, this recipe on {recipe.train.kind}: "
            "their labels differ"
        )
    model = replace(model, data=recipe.data, augment=recipe.augment, train=replace(model.train, teachers=0, taught_by=""))
    first = recipe.seed * recipe.train.teachers  # so that runs of two seeds share none
    made = [replace(model, seed=first + i) for i in range(recipe.train.teachers)]
    check_hearing(recipe, made)
    return made


def trained_teachers(recipe: SpotRecipe, dataset: Dataset, folder: Path, progress: Progress, train: TrainOne) -> list[SpotNet]:
    """The recipe's own teachers, those that the run folder does not hold yet trained by `train`."""
    recipes = teacher_recipes(recipe)
    return [
        _trained(own, dataset, folder / FOLDER / str(i), _named(progress, f"teacher {i + 1} of {len(recipes)}: "), train)
        for i, own in enumerate(recipes)
    ]


def _trained(recipe: SpotRecipe, dataset: Dataset, folder: Path, progress: Progress, train: TrainOne) -> SpotNet:
    """One that is there counts if it was trained by this recipe on this data."""
    if (folder / CHECKPOINT).is_file():
        net: Any = load_checkpoint(folder / CHECKPOINT)
        if net.recipe == recipe and net.source.get("dataset") == dataset.id:
            return net  # type: ignore[no-any-return]
        raise EdgernnError(f"{folder} holds a teacher of another recipe or other data; delete it, and it is trained anew")
    folder.mkdir(parents=True, exist_ok=True)
    return train(recipe, dataset, folder, progress)


def _named(progress: Progress, before: str) -> Progress:
    return lambda what, done, whole: progress(before + what, done, whole)
