"""The run folder: its files, its recipe, its graphs. Each verb reads some of them and writes others.

recipe.json            the resolved recipe              quantize-<scheme>.json   tensor by tensor
data/                  prepared dataset                 simulate-<scheme>.json   float against integer
                                                        compare-<scheme>.json    runtimes side by side
model.safetensors      float checkpoint                 build-<board>.json       flash, RAM
progress.pt            a training that can go on        run-<board>.json         bits, instructions, stack
metrics.csv            training, one line an epoch      c/, tflite/, onnx/       exports
graph-<scheme>.ern     quantized graph                  summary.json             all of it in one table
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from edgernn.artifacts import lock, read_json, write_all, write_json
from edgernn.core.primitives import SCHEMES
from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.recipe import Recipe, read_recipe
from edgernn.tasks import all_tasks, find_task, load_checkpoint, load_graph, make_recipe, recipe_paths, task_of
from edgernn.zoo import Card, checked, default_model, located, model_at, model_folders, refuse_to_write

if TYPE_CHECKING:
    from edgernn.core.floatnet import FloatNet
    from edgernn.tasks.base import Task

CHECKPOINT = "model.safetensors"
PROGRESS = "progress.pt"  #: a training that can go on


def recipe_values(name_or_path: str) -> tuple[dict[str, Any], str]:
    """The values of a recipe that comes along, by name, or of a file, not yet checked; and what messages call it."""
    known = recipe_paths()
    path = known.get(name_or_path, Path(name_or_path))
    if not path.is_file():
        raise EdgernnError(f"no recipe {name_or_path!r}: neither a file nor one of {', '.join(known)}")
    return read_recipe(path), str(path)


def find_recipe(name_or_path: str) -> Recipe:
    """A recipe that comes along, by name, or a file."""
    return make_recipe(*recipe_values(name_or_path))


P = ParamSpec("P")
R = TypeVar("R")
_held: set[Path] = set()  #: run folders that this process has locked


def one_at_a_time(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb that changes its argument `folder`, a run folder: another process that wants to meanwhile is told so."""
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def alone(*args: P.args, **kwargs: P.kwargs) -> R:
        with locked(signature.bind(*args, **kwargs).arguments["folder"]):
            return verb(*args, **kwargs)

    return alone


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder for this process alone; the lock is the system's and ends with its process. No folder, no lock."""
    if folder.is_dir():
        refuse_to_write(folder)
    key = folder.resolve()
    if key in _held or not folder.is_dir() or os.name != "posix":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        if not lock(handle):
            raise EdgernnError(f"another edgernn is working in {folder}; wait for it, or choose another folder")
        _held.add(key)
        yield
    finally:
        _held.discard(key)
        os.close(handle)


def refuse_another(recipe: Recipe, folder: Path) -> None:
    """A run folder of another recipe is refused."""
    path = folder / "recipe.json"
    if path.exists() and make_recipe(_values(path), str(path)) != recipe:
        raise EdgernnError(f"{folder} holds a run of another recipe; choose another folder or delete it")


def keep_recipe(recipe: Recipe, folder: Path) -> None:
    """Write the resolved recipe into the run folder; a folder of another recipe is refused, but for how it is judged."""
    refuse_another(recipe, folder)
    write_json(folder / "recipe.json", recipe.kept())


def run_recipe(folder: Path) -> Recipe:
    """The recipe a run folder was made with."""
    path = folder / "recipe.json"
    if not folder.exists():
        refuse_to_write(folder)
    if not path.is_file():
        what = "is not a run folder (no recipe.json)"
        if not folder.is_dir():
            what = "is a file, not a run folder" if folder.exists() else "does not exist, so it is not a run folder"
        makers = " or ".join(f"`edgernn {verb}`" for verb in ("data", *(t.whole.verb for t in all_tasks().values())))
        raise EdgernnError(f"{folder} {what}; make one with {makers}")
    return make_recipe(_values(path), str(path))


def _values(path: Path) -> Mapping[str, Any]:
    found = read_json(path)
    if not isinstance(found, Mapping):
        raise EdgernnError(f"{path} is damaged (no table of sections); delete it and prepare the run again")
    return found


def run_task(folder: Path) -> Task:
    """The task of a run folder."""
    return find_task(run_recipe(folder).task, str(folder))


def load_data(folder: Path) -> Dataset:
    """The prepared dataset of a run folder."""
    return Dataset.load(folder / "data")


def run_checkpoint(folder: Path) -> FloatNet[Any]:
    """The trained float net of a run folder, or of a model that comes along."""
    if card := model_at(folder):
        return load_checkpoint(checked(card, card.folder / CHECKPOINT))
    if not folder.is_dir():
        raise EdgernnError(f"no checkpoint at {folder}: there is no such folder; make a run folder with `edgernn data`")
    return load_checkpoint(folder / CHECKPOINT)


def find_graph(where: Path, scheme: str | None = None) -> Path:
    """A graph file: `where` itself, that of a run folder (of its recipe's scheme unless another is asked for), or a model's."""
    if where.is_file():
        return where
    if card := model_at(where):
        return _graph_of_model(card, scheme)
    if not where.exists():
        models = ", ".join(model_folders()) or "none"
        raise EdgernnError(f"{where} does not exist: it is not a run folder, nor a graph file (.ern), nor a model ({models})")
    if str(where) in model_folders():
        note(f"{where} is the folder here, not the model of that name; `edgernn models {where}` shows where that lies")
    scheme = scheme or run_recipe(where).quantize.scheme
    path = where / f"graph-{scheme}.ern"
    if not path.is_file():
        raise EdgernnError(f"no graph at {path}; run `edgernn quantize {where} --scheme {scheme}` first")
    return path


def _graph_of_model(card: Card, scheme: str | None) -> Path:
    own = card.graph["scheme"]
    if scheme not in (None, *SCHEMES):
        raise EdgernnError(f"unknown scheme {scheme!r}; known: {', '.join(SCHEMES)}")
    if scheme not in (None, own):
        raise EdgernnError(
            f"the model {card.name} comes in {own} alone; for {scheme} copy it with `edgernn models {card.name} --out FOLDER`, "
            "then run `edgernn data` and `edgernn quantize` on that folder"
        )
    return checked(card, card.file)


def find_graph_of(task: Task, where: Path | None, scheme: str | None = None) -> Path:
    """As `find_graph`, of a task; another task's is an error.

    Where none is named: the newest of the task's graphs under ./run, else its default model. Which it is, is said.
    """
    if where is None:
        return _usual_graph(task, scheme)
    path = find_graph(where, scheme)
    found = task_of(load_graph(path))
    if found.name != task.name:
        raise EdgernnError(f"{path} is the graph of {found.noun}, not of {task.noun}; name another with --graph")
    return path


def _usual_graph(task: Task, scheme: str | None) -> Path:
    if newest := newest_graph(task):
        note(f"by {newest}, the newest graph of {task.noun} under ./run")
        return newest
    if card := default_model(task.name):
        note(f"by the model {card.name}, which comes along; `edgernn models {card.name}` says what it is for")
        return _graph_of_model(card, scheme)
    raise EdgernnError(f"no graph under ./run; name one with --graph, or make one with `edgernn {task.whole.verb}`")


def newest_graph(task: Task) -> Path | None:
    """The newest graph of a task under ./run."""
    for path in sorted(Path("run").rglob("graph-*.ern"), key=lambda p: p.stat().st_mtime, reverse=True):
        if task_of(load_graph(path)).name == task.name:
            return path
    return None


def copy_model(card: Card, folder: Path) -> list[Path]:
    """A model as a run folder of one's own, to be trained further, quantized again, judged; a folder in use is refused."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EdgernnError(f"{folder} is in use; name a folder that does not exist, or an empty one")
    files = [checked(card, card.file), checked(card, card.folder / CHECKPOINT), card.folder / "recipe.json"]
    return write_all({folder / path.name: path.read_bytes() for path in files})


__all__ = [
    "CHECKPOINT", "PROGRESS", "copy_model", "find_graph", "find_graph_of", "find_recipe", "keep_recipe", "load_data", "located",
    "locked", "newest_graph", "one_at_a_time", "recipe_values", "refuse_another", "run_checkpoint", "run_recipe", "run_task",
]  # fmt: skip
