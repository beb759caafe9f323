"""The verbs over a run folder: each reads artifacts and writes artifacts. The command line adds only words to these.

recipe.json            the resolved recipe              quantize-<scheme>.json   tensor by tensor
data/                  prepared dataset                 simulate-<scheme>.json   float against integer
                                                        compare-<scheme>.json    runtimes side by side
model.safetensors      float checkpoint                 build-<board>.json       flash, RAM
metrics.csv            training, one line an epoch      run-<board>.json         bits, instructions, stack
graph-<scheme>.ern     quantized graph                  c/                       exported C
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgernn.artifacts import read_json, write_json
from edgernn.denoise.graph import DenoiseGraph
from edgernn.denoise.pipeline import (
    compare_denoiser,
    export_denoise_graph,
    load_denoise_graph,
    prepare_denoise_data,
    quantize_denoise_model,
    run_denoise_board,
    simulate_denoise_model,
    train_denoise_model,
    whole_denoiser,
)
from edgernn.denoise.recipe import TASK, DenoiseRecipe, make_denoise_recipe
from edgernn.errors import EdgernnError
from edgernn.recipe import Recipe, make_recipe, read_recipe

if TYPE_CHECKING:
    from edgernn.data.corpus import Dataset
    from edgernn.graph import Graph

AnyRecipe = Recipe | DenoiseRecipe

Progress = Callable[[str, int, int], None]
RUN_CLIPS = 10  #: test clips that an emulated core is given when nothing else is asked for


def recipe_dir() -> Path:
    """The recipes that come with edgernn."""
    return Path(__file__).parent / "recipes"


def recipe_path(name_or_path: str) -> Path:
    """The file of a recipe that comes with edgernn, by name, or of the user's own."""
    known = sorted(p.stem for p in recipe_dir().glob("*.toml"))
    if name_or_path in known:
        return recipe_dir() / f"{name_or_path}.toml"
    if not Path(name_or_path).is_file():
        raise EdgernnError(f"no recipe {name_or_path!r}: neither a file nor one of {', '.join(known)}")
    return Path(name_or_path)


def find_recipe(name_or_path: str) -> AnyRecipe:
    """A recipe that comes with edgernn, by name, or a file."""
    path = recipe_path(name_or_path)
    return any_recipe(read_recipe(path), str(path))


def any_recipe(values: Mapping[str, Any], where: str) -> AnyRecipe:
    """A recipe of the task that its values name: `denoise`, or keyword spotting where they name none."""
    return make_denoise_recipe(values, where) if "task" in values else make_recipe(values, where)


def keep_recipe(recipe: AnyRecipe, folder: Path) -> None:
    """Write the resolved recipe into the run folder; a folder of another recipe is refused."""
    path = folder / "recipe.json"
    if path.exists() and any_recipe(read_json(path), str(path)) != recipe:
        raise EdgernnError(f"{folder} holds a run of another recipe; choose another folder or delete it")
    write_json(path, recipe.to_dict())


def run_recipe(folder: Path) -> AnyRecipe:
    """The recipe a run folder was made with."""
    path = folder / "recipe.json"
    if not path.is_file():
        raise EdgernnError(f"{folder} is not a run folder (no recipe.json); make one with `edgernn data` or `edgernn kws`")
    return any_recipe(read_json(path), str(path))


def is_denoiser(where: Path) -> bool:
    """Whether a run folder or a graph file is a denoiser's."""
    if where.is_dir():
        return isinstance(run_recipe(where), DenoiseRecipe)
    from edgernn import graph as graphs

    return where.is_file() and graphs.load_any(where).task == TASK


def prepare_data(recipe: AnyRecipe, folder: Path, progress: Progress) -> Dataset:
    """Collect the recipe's sources into `folder`/data, unless it is there already."""
    from edgernn.data.corpus import Dataset
    from edgernn.data.sources import prepare

    if isinstance(recipe, DenoiseRecipe):
        return prepare_denoise_data(recipe, folder, progress)
    keep_recipe(recipe, folder)
    d = recipe.data
    if not d.keywords or not d.sources:
        raise EdgernnError("the recipe names no data: give data.keywords and at least one [[data.sources]] table")
    if (folder / "data" / "index.json").is_file():
        return Dataset.load(folder / "data")
    tables = [expanded(table) for table in d.sources]
    return prepare(tables, d.keywords, folder / "data", recipe.seed, d.clip_seconds or None, progress)


def expanded(table: Mapping[str, Any]) -> dict[str, Any]:
    """${NAME} in texts becomes the environment variable; an unset one is an error that names it."""

    def expand(value: Any) -> Any:
        return re.sub(r"\$\{(\w+)\}", _variable, value) if isinstance(value, str) else value

    return {key: expand(value) for key, value in table.items()}


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match.group(1))
    if value is None:
        raise EdgernnError(f"the recipe's data needs the environment variable {match.group(1)}; set it to a folder")
    return value


def load_data(folder: Path) -> Dataset:
    """The prepared dataset of a run folder."""
    from edgernn.data.corpus import Dataset

    return Dataset.load(folder / "data")


def train_model(
    folder: Path, progress: Progress, device: str = "auto", teachers: Sequence[Path] = (), start: Path | None = None
) -> dict[str, Any]:
    """Train on the run folder's data; resumes what was interrupted.

    Keyword spotters can be taught by the models of other run folders, denoisers can start from the weights of one.
    """
    from edgernn.floatnet import load_checkpoint

    recipe, dataset = run_recipe(folder), load_data(folder)
    if isinstance(recipe, DenoiseRecipe):
        if teachers:
            raise EdgernnError("a denoiser learns from mixtures alone; leave --teacher out")
        return train_denoise_model(recipe, folder, progress, device, start)
    if start is not None:
        raise EdgernnError("only a denoiser starts from another run; leave --start out (--teacher learns from one)")
    try:
        from edgernn.train import train
    except ImportError as error:
        raise EdgernnError(f"training needs PyTorch ({error}): `pip install edgernn[train]`") from None
    taught = [load_checkpoint(t / "model.safetensors") for t in teachers]
    net = train(recipe, dataset, folder, progress, device, taught)
    parameters = sum(w.size for w in net.weights.values())
    return {"checkpoint": str(folder / "model.safetensors"), "parameters": parameters, "labels": list(net.labels)}


def quantize_model(folder: Path, scheme: str | None = None) -> dict[str, Any]:
    """Checkpoint to graph, calibrated on streams of training audio."""
    if is_denoiser(folder):
        return quantize_denoise_model(folder, scheme)
    from edgernn.clips import calibration_streams
    from edgernn.floatnet import load_checkpoint
    from edgernn.quantize import quantize

    net = load_checkpoint(folder / "model.safetensors")
    scheme = scheme or net.recipe.quantize.scheme
    graph, report = quantize(net, list(calibration_streams(load_data(folder), net.recipe, net.tables)), scheme)
    path = folder / f"graph-{scheme}.ern"
    result = {"graph": graph.save(path), "path": str(path), "scheme": scheme, "weight_bytes": graph.weight_bytes,
              "table_bytes": graph.table_bytes, "macs_per_step": graph.macs_per_step, **report.to_dict()}  # fmt: skip
    write_json(folder / f"quantize-{scheme}.json", result)
    return result


def find_graph(where: Path, scheme: str | None = None) -> Path:
    """A graph file: `where` itself, or that of a run folder (of its recipe's scheme unless another is asked for)."""
    if where.is_file():
        return where
    scheme = scheme or run_recipe(where).quantize.scheme
    path = where / f"graph-{scheme}.ern"
    if not path.is_file():
        raise EdgernnError(f"no graph at {path}; run `edgernn quantize {where} --scheme {scheme}` first")
    return path


def newest_graph(denoiser: bool = False) -> Path:
    """The newest graph of a task under ./run, for verbs that were not told which."""
    found = sorted(Path("run").rglob("graph-*.ern"), key=lambda p: p.stat().st_mtime, reverse=True)
    for path in found:
        if is_denoiser(path) == denoiser:
            return path
    how = "`make demo-denoise` or `edgernn denoise-train`" if denoiser else "`make demo` or `edgernn kws`"
    raise EdgernnError(f"no graph under ./run; name one with --graph, or make one with {how}")


def simulate_model(
    folder: Path, progress: Progress, scheme: str | None = None, split: str = "test", seconds: float = 600.0,
    runtime: str = "auto", mixtures: Path | None = None, mos: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Float against integer: clips (mixtures) of a split, one long stream without a reset, latency and speed."""
    if is_denoiser(folder):
        return simulate_denoise_model(folder, progress, scheme, split, seconds, runtime, mixtures, mos=mos)
    if mixtures or mos:
        raise EdgernnError("--mixtures and --mos belong to denoisers; a keyword spotter is judged on the clips of --split")
    from edgernn import graph as graphs
    from edgernn.clips import clip_pcm
    from edgernn.floatnet import load_checkpoint
    from edgernn.runtimes import make_runtime
    from edgernn.simulate import compare_clips, compare_stream, speed

    graph = graphs.load(find_graph(folder, scheme))
    net, dataset = load_checkpoint(folder / "model.safetensors"), load_data(folder)
    chosen = make_runtime(fast_runtime() if runtime == "auto" else runtime, graph)
    rows = dataset.clips(split)
    result = {
        "graph": graph.id, "scheme": graph.scheme, "runtime": chosen.name, "dataset": dataset.id,
        "weight_bytes": graph.weight_bytes, "clips": compare_clips(net, chosen, dataset, split, progress),
        "stream": compare_stream(net, chosen, dataset, split, seconds),
        "latency_ms": round(graph.latency_ms, 2), "step_ms": 1000.0 / graph.steps_per_second,
    }  # fmt: skip
    if fast_runtime() == "c":
        result["speed"] = speed(net, graph, clip_pcm(dataset, rows[:60]).ravel())
    write_json(folder / f"simulate-{graph.scheme}.json", result)
    return result


def compare_model(
    folder: Path, names: str, progress: Progress, scheme: str | None = None, split: str = "test", seconds: float = 600.0,
    wav: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The graph in several runtimes ("all", or names with commas), side by side."""
    from edgernn import graph as graphs
    from edgernn.audio import read_audio
    from edgernn.compare import compare_runtimes

    if is_denoiser(folder):
        result = compare_denoiser(folder, names, progress, scheme, split, seconds, wav)
        write_json(folder / f"compare-{result['scheme']}.json", result)
        return result
    graph = graphs.load(find_graph(folder, scheme))
    recording = read_audio(wav, graph.frontend.sample_rate) if wav else None
    result = compare_runtimes(graph, names, load_data(folder), split, seconds, progress, recording)
    write_json(folder / f"compare-{graph.scheme}.json", result)
    return result


def fast_runtime() -> str:
    """The C runtime where this host can compile, else NumPy."""
    from edgernn.hostcc import host_compiler

    try:
        host_compiler()
    except EdgernnError:
        return "numpy"
    return "c"


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be asked for.

    prefix of C names (c, tflite), kws or dn where it is empty; stateful or clip (tflite); qdq (onnx).
    """

    prefix: str = ""
    stateful: bool = False
    clip: bool = False
    qdq: bool = False


def export_graph(
    where: Path, out: Path, form: str = "c", scheme: str | None = None, options: ExportOptions | None = None
) -> dict[str, Any]:
    """Write the graph in another form: `c`, `tflite` or `onnx`."""
    from edgernn import graph as graphs

    writers: dict[str, Callable[..., Written]] = {"c": _export_c, "tflite": _export_tflite, "onnx": _export_onnx}
    if form not in writers:
        raise EdgernnError(f"unknown export format {form!r}; known: {', '.join(writers)}")
    options = options or ExportOptions()
    wrong = [name for name, forms in _OPTION_FORMS.items() if getattr(options, name) and form not in forms]
    if wrong:
        raise EdgernnError(f"--{wrong[0]} belongs to --format {' or '.join(_OPTION_FORMS[wrong[0]])}, not to {form}")
    graph = graphs.load_any(find_graph(where, scheme))
    if isinstance(graph, DenoiseGraph):
        files, report = _export_denoiser(graph, out, form, options)
    else:
        files, report = writers[form](graph, where, out, options)
    return {"graph": graph.id, "format": form, "files": [str(f) for f in files], **report}


_OPTION_FORMS = {"stateful": ["tflite"], "clip": ["tflite"], "qdq": ["onnx"]}
Written = tuple[list[Path], dict[str, Any]]


def _export_c(graph: Graph, where: Path, out: Path, options: ExportOptions) -> Written:
    from firmware_export.emit import export_c

    return export_c(graph, out, options.prefix or "kws"), {}


def _export_denoiser(graph: DenoiseGraph, out: Path, form: str, options: ExportOptions) -> Written:
    unknown = [name for name in _OPTION_FORMS if getattr(options, name)]
    if unknown:
        raise EdgernnError(f"--{unknown[0]} belongs to keyword spotters; a denoiser's net is exported as one step")
    return export_denoise_graph(graph, out, form, options.prefix or "dn")


def _export_tflite(graph: Graph, where: Path, out: Path, options: ExportOptions) -> Written:
    from edgernn.export.tflite import export_tflite

    steps = clip_steps(graph, where) if options.clip else None
    files, report = export_tflite(graph, out, stateful=options.stateful, clip_steps=steps, prefix=options.prefix or "kws")
    return files, {**report, "clip_steps": steps}


def clip_steps(graph: Graph, where: Path) -> int:
    """Steps of one clip of the run folder's data; one second for a lone graph file."""
    samples = load_data(where).clip_samples if where.is_dir() else graph.frontend.sample_rate
    return int(samples) // graph.step_samples


def _export_onnx(graph: Graph, where: Path, out: Path, options: ExportOptions) -> Written:
    from edgernn.export.onnx import export_onnx
    from edgernn.floatnet import load_checkpoint

    checkpoint = where / "model.safetensors"
    return export_onnx(graph, out, load_checkpoint(checkpoint) if checkpoint.is_file() else None, options.qdq)


def build_board(
    where: Path, board_name: str, out: Path, toolchain: str = "auto", optimize: str = "-O2", scheme: str | None = None
) -> dict[str, Any]:
    """Compile the graph and the test harness for a board."""
    from edgernn import graph as graphs
    from edgernn.denoise.firmware import build_denoiser
    from edgernn.firmware import build_firmware
    from targets import load_board

    graph, board = graphs.load_any(find_graph(where, scheme)), load_board(board_name)
    if isinstance(graph, DenoiseGraph):
        _, report = build_denoiser(graph, board, out / board.name, toolchain, optimize)
    else:
        assert isinstance(graph, graphs.Graph)  # there are two tasks
        _, report = build_firmware(graph, board, out / board.name, toolchain, optimize)
    result = report.to_dict()
    write_json(out / f"build-{board.name}.json", result)
    return result


def run_board(
    where: Path, board_name: str, out: Path, wav: Path | None = None, toolchain: str = "auto", emulator: str = "auto",
    optimize: str = "-O2", scheme: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Build, run on an emulated core, compare every bit with the definition and count instructions."""
    if is_denoiser(where):
        denoiser = load_denoise_graph(find_graph(where, scheme))
        return run_denoise_board(where, denoiser, board_name, out, wav, toolchain, emulator, optimize)
    from edgernn import graph as graphs
    from edgernn.audio import read_audio
    from edgernn.firmware import build_firmware, run_firmware
    from targets import load_board

    graph, board = graphs.load(find_graph(where, scheme)), load_board(board_name)
    pcm = read_audio(wav, graph.frontend.sample_rate) if wav else _test_sound(where, graph)
    firmware, built = build_firmware(graph, board, out / board.name, toolchain, optimize)
    result = {**built.to_dict(), **run_firmware(graph, firmware, board, pcm, emulator).to_dict()}
    write_json(out / f"build-{board.name}.json", built.to_dict())
    write_json(out / f"run-{board.name}.json", result)
    return result


def _test_sound(where: Path, graph: Graph) -> Any:
    """Some test clips of the run folder end to end; for a lone graph file the self-test's signal."""
    from edgernn.clips import clip_pcm
    from firmware_export.golden import golden_signal

    if where.is_dir():
        dataset = load_data(where)
        rows = dataset.clips("test")
        every = max(1, len(rows) // RUN_CLIPS)
        return clip_pcm(dataset, rows[::every][:RUN_CLIPS]).ravel()
    return golden_signal(graph.step_samples, 250)


def data_recipe(folder: Path, recipe: str | None, keywords: list[str] | None, seed: int | None) -> AnyRecipe:
    """The recipe of `edgernn data`: that of the run folder if nothing is asked for, else the one asked for or the embedded."""
    if recipe is None and not keywords and seed is None and (folder / "recipe.json").is_file():
        return run_recipe(folder)
    return demo_recipe(keywords, recipe, seed or 0, None)


def demo_recipe(keywords: list[str] | None, recipe: str | None, seed: int, epochs: int | None) -> AnyRecipe:
    """The recipe of `edgernn kws`: the embedded one with the user's words, or a file."""
    chosen = find_recipe(recipe or "demo")
    if isinstance(chosen, DenoiseRecipe):
        if keywords:
            raise EdgernnError(f"the recipe {recipe} trains a denoiser, which has no keywords; leave --keywords out")
        return replace(chosen, seed=seed, train=replace(chosen.train, epochs=epochs or chosen.train.epochs))
    if keywords:
        chosen = replace(chosen, data=replace(chosen.data, keywords=tuple(keywords)))
    if epochs:
        chosen = replace(chosen, train=replace(chosen.train, epochs=epochs))
    return replace(chosen, seed=seed)


def whole(recipe: AnyRecipe, folder: Path, boards: list[str], progress: Progress, device: str = "auto") -> dict[str, Any]:
    """Every verb in turn, from data to the emulated board; returns the summary that the table shows."""
    if isinstance(recipe, DenoiseRecipe):
        return whole_denoiser(recipe, folder, boards, progress, device)
    prepare_data(recipe, folder, progress)
    train_model(folder, progress, device)
    progress("quantizing", 0, 0)
    quantize_model(folder)
    simulated = simulate_model(folder, progress)
    export_graph(folder, folder / "c")
    runs = []
    for i, board in enumerate(boards):
        progress(f"emulating {board}", i, len(boards))
        runs.append(run_board(folder, board, folder))
    summary = summarize(folder, simulated, runs)
    write_json(folder / "summary.json", summary)
    return summary


def summarize(folder: Path, simulated: Mapping[str, Any], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The one table: what the model does and what it costs."""
    clips = simulated["clips"]
    return {
        "graph": simulated["graph"], "scheme": simulated["scheme"], "split": clips["split"],
        "clips": clips["float"]["clips"], "float_accuracy": clips["float"]["accuracy"],
        "int8_accuracy": clips["integer"]["accuracy"], "agreement": clips["agreement"],
        "weight_bytes": simulated["weight_bytes"], "latency_ms": simulated["latency_ms"],
        "real_time_factor": simulated.get("speed", {}).get("real_time_factor_c"), "boards": runs, "folder": str(folder),
    }  # fmt: skip
