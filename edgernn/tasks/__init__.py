"""Tasks: what a net is trained for. Each is a folder here (or one of $EDGERNN_EXTENSIONS) and nothing else lists them.

`base.py` says what a task answers. The rest of edgernn asks through the functions here and knows no task by name.
"""

from __future__ import annotations

import difflib
import functools
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgernn.errors import EdgernnError
from edgernn.extensions import folders, found_module
from edgernn.ranges import shown
from edgernn.tasks.base import Option, Task

if TYPE_CHECKING:
    from edgernn.core.floatnet import FloatNet
    from edgernn.core.graph import NetGraph
    from edgernn.core.quantize import QuantizeReport
    from edgernn.recipe import GateParams, Recipe

__path__ += folders("tasks")

#: the task of recipes, graphs and figures that name none: those were written when there was only this one
FIRST = "spot"


@functools.cache
def all_tasks() -> Mapping[str, Task]:
    """Every task by name, in alphabetical order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg and not m.name.startswith("_"))
    return {name: found_module(__name__, name).TASK for name in names}


def find_task(name: Any, where: str) -> Task:
    """The task of that name (None: the first one); an unknown one is an error that names `where`."""
    found = all_tasks().get(FIRST if name is None else name) if name is None or isinstance(name, str) else None
    if found is None:
        known = ", ".join(all_tasks())
        raise EdgernnError(f"{where}: unknown task {shown(name)}; known: {known}; a newer edgernn may know it")
    return found


def task_of(graph: NetGraph) -> Task:
    """The task of a graph."""
    return find_task(graph.task, graph.name)


def make_recipe(values: Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe of the task that its values name, from plain values; every problem in one error."""
    from edgernn.recipe import build_recipe

    task = find_task(values.get("task"), where)
    recipe = build_recipe(task.recipe_class(), {**values, "task": task.name}, where)
    _check_tolerances(task, recipe.gate.tolerances, where)
    task.check_recipe(recipe, where)
    return recipe


def recipe_gate(values: Mapping[str, Any], where: str = "recipe") -> GateParams:
    """How a recipe wants its runs judged, from its plain values; what else stands in them may be another version's."""
    from edgernn.recipe import build_gate

    own = build_gate(values, where)
    _check_tolerances(find_task(values.get("task"), where), own.tolerances, where)
    return own


def _check_tolerances(task: Task, tolerances: Mapping[str, float], where: str) -> None:
    """Tolerances must be of figures that the task's runs have, those of groups of figures that have groups."""
    known = set(task.known_figures) | {f"{name}[]" for name, x in task.known_figures.items() if x.group is not None}
    for name in tolerances:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1, 0.5)
            remedy = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise EdgernnError(f"{where}: gate.tolerances has the unknown figure {shown(name)}, {remedy}")


def load_graph(path: Path) -> NetGraph:
    """Read and check a graph file; anything wrong is an EdgernnError that names the file."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EdgernnError(f"cannot read graph file {path}: {error.strerror}") from None
    return graph_from_bytes(data, str(path))


def graph_from_bytes(data: bytes, where: str = "graph") -> NetGraph:
    """Parse and check a graph file's bytes."""
    from edgernn.core.graph import build_graph

    return build_graph(data, where, lambda name: find_task(name, where).graph_class())


def load_checkpoint(path: Path) -> FloatNet[Any]:
    """Read a float checkpoint of any task; a missing or damaged one is an EdgernnError that names the file."""
    from edgernn.core.cell import strip
    from edgernn.core.floatnet import FloatNet, read_checkpoint

    def build(meta: dict[str, Any], tensors: dict[str, Any]) -> FloatNet[Any]:
        recipe = make_recipe(meta["recipe"], "checkpoint")
        return FloatNet(
            recipe=recipe,
            labels=tuple(meta.get("labels", ())),
            tables=recipe.signal.tables_type(**strip(tensors, "tables.")),
            mean=tensors["mean"],
            deviation=tensors["deviation"],
            weights=strip(tensors, "net."),
            source=meta["source"],
        )

    return read_checkpoint(path, build)


def quantize_net(net: FloatNet[Any], streams: Sequence[Any], scheme: str) -> tuple[NetGraph, QuantizeReport]:
    """The integer graph of a float net, calibrated on streams of Q9 log-energies [T, bands], and what the quantizer did."""
    from edgernn.core.quantize import quantize

    task = find_task(net.recipe.task, net.recipe.name)
    return quantize(net, streams, scheme, task.posteriors, lambda parts: task.lowered(net, parts))


def recipe_paths() -> dict[str, Path]:
    """The recipes that come along, by name, from every task's folder."""
    found = [p for task in all_tasks().values() for p in sorted((task.folder / "recipes").glob("*.toml"))]
    return {p.stem: p for p in sorted(found, key=lambda p: p.stem)}


def declared_options(verb: str) -> dict[str, list[tuple[Task, Option]]]:
    """Every option that some task adds to a verb, by name, with the tasks that have it."""
    found: dict[str, list[tuple[Task, Option]]] = {}
    for task in all_tasks().values():
        for option in task.options_of(verb):
            found.setdefault(option.name, []).append((task, option))
    return found


def checked_options(task: Task, verb: str, values: Mapping[str, Any], shown: str = "") -> dict[str, Any]:
    """The options that were given, once the task has them all and each lies in its range.

    values: name -> what was given; None, False and empty count as not given. shown: what messages call the verb.
    """
    given = {name: value for name, value in values.items() if value not in (None, False, [], ())}
    own = {option.name: option for option in task.options_of(verb)}
    for name, value in given.items():
        if name not in own:
            raise EdgernnError(_not_its_own(task, verb, name, shown or verb))
        _check_range(own[name], value)
    return given


def _not_its_own(task: Task, verb: str, name: str, shown: str) -> str:
    others = declared_options(verb).get(name, [])
    flag = others[0][1].flag if others else "--" + name.replace("_", "-")
    owners = " and ".join(t.noun for t, _ in others) or "no task"
    return f"{flag} of `edgernn {shown}` belongs to {owners}; this is {task.noun}, leave it out"


def _check_range(option: Option, value: Any) -> None:
    numbers: Sequence[Any] = value if isinstance(value, (list, tuple)) else [value]
    for x in numbers:
        low, high = option.low, option.high
        if isinstance(x, (int, float)) and not ((low is None or x >= low) and (high is None or x <= high)):
            raise EdgernnError(f"{option.flag} {x:g} must lie in {low:g}..{high:g}" if low is not None and high is not None
                               else f"{option.flag} {x:g} is out of range")  # fmt: skip


__all__ = [
    "Option", "Task", "all_tasks", "checked_options", "declared_options", "find_task", "graph_from_bytes", "load_checkpoint",
    "load_graph", "make_recipe", "quantize_net", "recipe_gate", "recipe_paths", "task_of",
]  # fmt: skip
