"""The verbs over a run folder: each reads artifacts and writes artifacts (`runs.py` says which). The command line adds words.

Nothing here knows what a net is for: where that matters the run's task is asked (`edgernn/tasks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgernn import boards
from edgernn.artifacts import made_folder, read_json, write_json
from edgernn.data.paths import expanded
from edgernn.data.sources import prepare
from edgernn.errors import EdgernnError, needs_extra
from edgernn.notes import note
from edgernn.runs import (
    CHECKPOINT,
    find_graph,
    find_recipe,
    keep_recipe,
    load_data,
    located,
    locked,
    one_at_a_time,
    refuse_another,
    run_checkpoint,
    run_recipe,
    run_task,
)
from edgernn.tasks import checked_options, find_task, load_graph, quantize_net
from edgernn.tasks.base import Material, Question
from edgernn.zoo import model_at, refuse_to_write

if TYPE_CHECKING:
    from edgernn.core.floatnet import FloatNet
    from edgernn.core.graph import NetGraph
    from edgernn.data.corpus import Dataset
    from edgernn.recipe import Recipe
    from edgernn.tasks.base import Task

Progress = Callable[[str, int, int], None]
Values = Mapping[str, Any]
NONE: Values = {}


# Data and training ---------------------------------------------------------------------------


def chosen_recipe(
    name: str, verb: str, options: Values = NONE, seed: int | None = None, epochs: int | None = None, shown: str = ""
) -> Recipe:
    """A recipe by name or file, with what the options of a verb change in it. shown: what messages call the verb."""
    recipe = find_recipe(name)
    task = find_task(recipe.task, name)
    recipe = task.adapted(recipe, checked_options(task, verb, options, shown))
    if epochs is not None:
        recipe = replace(recipe, train=replace(recipe.train, epochs=epochs))
    return recipe if seed is None else replace(recipe, seed=seed)


def data_recipe(folder: Path, name: str | None, options: Values, seed: int | None) -> Recipe:
    """The recipe of `edgernn data`: that of the run folder if nothing is asked for, else the one asked for or the embedded."""
    if name is None and not options and seed is None and (folder / "recipe.json").is_file():
        return run_recipe(folder)
    return chosen_recipe(name or "demo", "data", options, seed or 0)


def prepare_data(recipe: Recipe, folder: Path, progress: Progress, strict: bool = False) -> Dataset:
    """Collect the recipe's sources into `folder`/data, unless it is there already.

    strict: a recording that cannot be used is an error; else it is passed over and named.
    """
    task = find_task(recipe.task, recipe.name)
    refuse_another(recipe, folder)
    task.check_data(recipe)
    if (folder / "data" / "index.json").is_file():
        keep_recipe(recipe, folder)
        return load_data(folder)
    tables = [expanded(table) for table in recipe.sources]
    with made_folder(folder), locked(folder):  # a folder is claimed by data that stands, not by data that could not be read
        dataset = prepare(tables, recipe.keywords, folder / "data", recipe.seed, task.clip_seconds(recipe), progress, strict)
        keep_recipe(recipe, folder)
    return dataset


@one_at_a_time
def train_model(folder: Path, progress: Progress, device: str = "auto", options: Values = NONE) -> dict[str, Any]:
    """Train on the run folder's data; resumes what was interrupted. options: what the task's `train` takes."""
    recipe, task = run_recipe(folder), run_task(folder)
    given = checked_options(task, "train", options)
    check_device(device)
    task.before_training(recipe, given)
    dataset = load_data(folder)
    net = task.train(recipe, dataset, folder, progress, device, given)
    return {"checkpoint": str(folder / CHECKPOINT), "parameters": net.parameters, "labels": list(net.labels)}


def check_device(name: str) -> None:
    """Refuse to train without PyTorch, or on a device that is not here, before anything is read."""
    try:
        from edgernn.core.training import find_device
    except ImportError as error:
        raise needs_extra("training needs PyTorch", "train", error) from None
    find_device(name)


# Quantizing and judging ---------------------------------------------------------------------------


@one_at_a_time
def quantize_model(folder: Path, scheme: str | None = None, options: Values = NONE) -> dict[str, Any]:
    """Checkpoint to graph, calibrated on streams of training audio. options: what the task's `quantize` takes; it is kept."""
    refuse_to_write(folder)
    net = _net_of(folder)
    task = find_task(net.recipe.task, str(folder))
    if given := checked_options(task, "quantize", options):
        net = replace(net, recipe=task.adapted(net.recipe, given))
        refuse_another(net.recipe, folder)
    scheme, dataset = scheme or net.recipe.quantize.scheme, load_data(folder)
    _say_other_data(net, dataset, folder)
    graph, report = quantize_net(net, task.calibration(net, dataset), scheme)
    graph = task.tuned(net, graph, dataset)
    path = folder / f"graph-{scheme}.ern"
    if given:
        keep_recipe(net.recipe, folder)
    result = {"graph": graph.save(path), "path": str(path), "scheme": scheme, "weight_bytes": graph.weight_bytes,
              "table_bytes": graph.table_bytes, "macs_per_step": graph.macs_per_step, "checkpoint": net.fingerprint,
              **report.to_dict()}  # fmt: skip
    write_json(folder / f"quantize-{scheme}.json", result)
    return result


def _net_of(folder: Path) -> FloatNet[Any]:
    """The folder's net, with the folder's recipe where that differs from the net's in nothing that it was trained by."""
    net = run_checkpoint(folder)
    try:
        recipe = run_recipe(folder)
    except EdgernnError:  # the checkpoint says itself what it is
        return net
    return replace(net, recipe=recipe) if recipe == net.recipe else net


def _say_other_data(net: FloatNet[Any], dataset: Dataset, folder: Path) -> None:
    """Figures of a net on data that it was not trained beside may flatter: its training may have heard the test."""
    trained = net.source.get("dataset", dataset.id)
    if trained != dataset.id:
        note(f"{folder}: the checkpoint was trained on dataset {trained[:12]}, the folder now holds {dataset.id[:12]}")


def _refuse_another_net(net: FloatNet[Any], graph: NetGraph, folder: Path) -> None:
    """A graph that another checkpoint was quantized to is not compared with this one, nor written beside it."""
    path = folder / f"quantize-{graph.scheme}.json"
    kept = read_json(path) if path.is_file() else {}
    made = kept.get("checkpoint") if isinstance(kept, dict) and kept.get("graph") == graph.id else None
    if made not in (None, net.fingerprint):
        raise EdgernnError(
            f"{folder}: graph-{graph.scheme}.ern was made from another checkpoint; run `edgernn quantize {folder} --scheme "
            f"{graph.scheme}` again"
        )
    if run_recipe(folder) != net.recipe:
        note(f"{folder}: the checkpoint was trained by another recipe than recipe.json now holds; the checkpoint's counts")


def simulate_model(
    folder: Path, progress: Progress, scheme: str | None = None, question: Question | None = None
) -> dict[str, Any]:
    """Float against integer: what the task judges on a split, one long stream without a reset, latency and speed."""
    refuse_to_write(folder)
    task, question = run_task(folder), question or Question()
    question = replace(question, options=checked_options(task, "simulate", question.options))
    graph = load_graph(find_graph(folder, scheme))
    net, dataset = _net_of(folder), load_data(folder)
    _say_other_data(net, dataset, folder)
    _refuse_another_net(net, graph, folder)
    judged = task.judge(net, graph, dataset, question, progress)
    result = {
        "task": task.name, "name": graph.name, "labels": list(graph.labels), "graph": graph.id, "scheme": graph.scheme,
        "dataset": dataset.id, "split": question.split,
        "weight_bytes": graph.weight_bytes, "latency_ms": round(graph.latency_ms, 2), "step_ms": graph.step_ms,
        "mmacs_per_second": round(graph.macs_per_step * graph.steps_per_second / 1e6, 2), **judged,
    }  # fmt: skip
    write_json(folder / f"simulate-{graph.scheme}.json", result)
    return result


def compare_model(
    folder: Path, names: str, progress: Progress, scheme: str | None = None, split: str = "test", seconds: float = 600.0,
    wav: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The graph in several runtimes ("all", or names with commas), side by side."""
    from edgernn.compare import compare_runtimes
    from edgernn.signal.audio import read_audio

    refuse_to_write(folder)
    question = Question(split, seconds)  # whose numbers are checked
    task, graph = run_task(folder), load_graph(find_graph(folder, scheme))
    net, dataset = run_checkpoint(folder), load_data(folder)
    _refuse_another_net(net, graph, folder)
    material: Material = task.material(net, graph, dataset, split, question.seconds)
    if wav:
        material = replace(material, stream=read_audio(wav, graph.sample_rate))
    result = {**compare_runtimes(graph, names, material, progress), "dataset": dataset.id}
    write_json(folder / f"compare-{graph.scheme}.json", result)
    return result


# Exports ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be asked for.

    prefix of C names (c, tflite), the task's own where it is empty; stateful or clip (tflite); qdq (onnx), with weights of
    qdq_bits bits; package: the framework that the C is packed for (c), none where it is empty; kernel: faster C for one kind of
    core (c).
    """

    prefix: str = ""
    stateful: bool = False
    clip: bool = False
    qdq: bool = False
    qdq_bits: int = 8
    package: str = ""
    kernel: str = ""


_OPTION_FORMS = {"stateful": ["tflite"], "clip": ["tflite"], "qdq": ["onnx"], "package": ["c"], "kernel": ["c"]}
Written = tuple[list[Path], dict[str, Any]]


def export_graph(
    where: Path, out: Path, form: str = "c", scheme: str | None = None, options: ExportOptions | None = None
) -> dict[str, Any]:
    """Write the graph in another form: `c`, `tflite` or `onnx`; a package lies in a folder of its own name in `out`."""
    writers: dict[str, Callable[..., Written]] = {"c": _export_c, "tflite": _export_tflite, "onnx": _export_onnx}
    if form not in writers:
        raise EdgernnError(f"unknown export format {form!r}; known: {', '.join(writers)}")
    options = options or ExportOptions()
    wrong = [name for name, forms in _OPTION_FORMS.items() if getattr(options, name) and form not in forms]
    if wrong:
        raise EdgernnError(f"--{wrong[0]} belongs to --format {' or '.join(_OPTION_FORMS[wrong[0]])}, not to {form}")
    refuse_to_write(out)
    graph, where = load_graph(find_graph(where, scheme)), located(where)
    files, report = writers[form](graph, where, out, options)
    return {"graph": graph.id, "format": form, "files": [str(f) for f in files], **report}


def _export_c(graph: NetGraph, where: Path, out: Path, options: ExportOptions) -> Written:
    from firmware_export.emit import export_c
    from firmware_export.kernels import PLAIN, find_kernel
    from firmware_export.package import export_package

    if options.kernel == "auto":
        raise EdgernnError("--kernel auto needs a core; name a kernel, or let `edgernn build --board` choose")
    kernel = find_kernel(options.kernel or PLAIN)
    if options.package:
        return export_package(graph, options.package, out, options.prefix, kernel), {}
    return export_c(graph, out, options.prefix, kernel), {}


def _export_tflite(graph: NetGraph, where: Path, out: Path, options: ExportOptions) -> Written:
    from edgernn.exports.tflite import export_tflite

    steps = clip_steps(graph, where) if options.clip else None
    files, report = export_tflite(graph, out, stateful=options.stateful, clip_steps=steps, prefix=options.prefix)
    return files, {**report, "clip_steps": steps}


def clip_steps(graph: NetGraph, where: Path) -> int:
    """Steps of one clip of the run folder's data; one second for a lone graph file or a model."""
    seconds = load_data(where).clip_seconds if where.is_dir() and not model_at(where) else 1.0
    return round(seconds * graph.sample_rate) // graph.step_samples


def _export_onnx(graph: NetGraph, where: Path, out: Path, options: ExportOptions) -> Written:
    from edgernn.exports.onnx_files import export_onnx

    net = run_checkpoint(where) if (where / CHECKPOINT).is_file() else None
    if net:
        _refuse_another_net(net, graph, where)
    return export_onnx(graph, out, net, options.qdq, options.qdq_bits)


# All of it ---------------------------------------------------------------------------


@one_at_a_time
def whole(
    recipe: Recipe, folder: Path, cores: Sequence[str], progress: Progress, device: str = "auto", options: Values = NONE
) -> dict[str, Any]:
    """Every verb in turn, from data to the emulated boards `cores`; returns the summary that the table shows."""
    from edgernn.firmware import check_board

    task = find_task(recipe.task, recipe.name)
    training = {o.name: options[o.name] for o in task.options_of("train") if options.get(o.name)}
    check_device(device)
    task.before_training(recipe, training)
    for board in cores:
        check_board(board)
    prepare_data(recipe, folder, progress)
    train_model(folder, progress, device, training)
    progress("quantizing", 0, 0)
    quantize_model(folder)
    simulated = simulate_model(folder, progress, question=task.whole_question)
    export_graph(folder, folder / "c")
    runs = []
    for i, board in enumerate(cores):
        progress(f"emulating {board}", i, len(cores))
        runs.append(boards.run_board(folder, board, folder))
    summary = summarize(task, folder, simulated, runs)
    write_json(folder / "summary.json", summary)
    return summary


def summarize(task: Task, folder: Path, simulated: Values, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The one table: what the model does and what it costs."""
    common = ("task", "graph", "scheme", "split", "weight_bytes", "mmacs_per_second", "latency_ms")
    return {
        **{key: simulated[key] for key in common}, **task.summary(simulated),
        "real_time_factor": simulated.get("speed", {}).get("real_time_factor_c"), "boards": runs, "folder": str(folder),
    }  # fmt: skip
