"""A denoiser's verbs over a run folder; `edgernn.pipeline` hands over here where the recipe says so.

recipe.json            the resolved recipe              quantize-<scheme>.json   tensor by tensor
data/                  prepared dataset                 simulate-<scheme>.json   float against integer, file by file
model.safetensors      float checkpoint                 build-<board>.json       flash, RAM
metrics.csv            training, one line an epoch      run-<board>.json         bits, instructions, stack
graph-<scheme>.ern     quantized graph                  c/                       exported C
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgernn.artifacts import write_json
from edgernn.audio import SAMPLE_RATE, read_audio
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixer, Mixture, make_mixtures, read_mixtures
from edgernn.denoise.floatnet import check_start, load_denoise_checkpoint
from edgernn.denoise.graph import DenoiseGraph
from edgernn.denoise.recipe import DenoiseRecipe
from edgernn.errors import EdgernnError
from edgernn.features import Int16

if TYPE_CHECKING:
    from edgernn.denoise.floatnet import DenoiseNet

Progress = Callable[[str, int, int], None]
MIXTURES = 50  #: judged by `simulate` when nothing else is asked for
RUN_SECONDS = 4.0  #: of noisy speech that an emulated core is given when nothing else is asked for


def load_denoise_graph(path: Path) -> DenoiseGraph:
    """A denoiser's graph file; another task's is an error."""
    from edgernn import graph as graphs

    graph = graphs.load_any(path)
    if not isinstance(graph, DenoiseGraph):
        raise EdgernnError(f"{path} is a keyword spotter's graph, not a denoiser's; use it with `edgernn detect`")
    return graph


def prepare_denoise_data(recipe: DenoiseRecipe, folder: Path, progress: Progress) -> Dataset:
    """Collect the recipe's sources into `folder`/data, unless it is there already."""
    from edgernn.data.sources import prepare
    from edgernn.pipeline import expanded, keep_recipe

    keep_recipe(recipe, folder)
    if not recipe.data.sources:
        raise EdgernnError("the recipe names no data: give at least one [[data.sources]] table of speech and one of noise")
    if (folder / "data" / "index.json").is_file():
        return Dataset.load(folder / "data")
    return prepare([expanded(table) for table in recipe.data.sources], (), folder / "data", recipe.seed, None, progress)


def train_denoise_model(
    recipe: DenoiseRecipe, folder: Path, progress: Progress, device: str, start: Path | None = None
) -> dict[str, Any]:
    """Train on the run folder's data, from the weights of another run if given; resumes what was interrupted."""
    try:
        from edgernn.denoise.train import train_denoiser
    except ImportError as error:
        raise EdgernnError(f"training needs PyTorch ({error}): `pip install edgernn[train]`") from None
    net = train_denoiser(recipe, Dataset.load(folder / "data"), folder, progress, device, start)
    parameters = sum(w.size for w in net.weights.values())
    return {"checkpoint": str(folder / "model.safetensors"), "parameters": parameters, "bands": recipe.stft.bands}


def quantize_denoise_model(folder: Path, scheme: str | None) -> dict[str, Any]:
    """Checkpoint to graph, calibrated on mixtures of training audio."""
    from edgernn.denoise.quantize import quantize_denoiser

    net = load_denoise_checkpoint(folder / "model.safetensors")
    scheme = scheme or net.recipe.quantize.scheme
    graph, report = quantize_denoiser(net, calibration_logs(net, Dataset.load(folder / "data")), scheme)
    path = folder / f"graph-{scheme}.ern"
    result = {"graph": graph.save(path), "path": str(path), "scheme": scheme, "weight_bytes": graph.weight_bytes,
              "table_bytes": graph.table_bytes, "macs_per_step": graph.macs_per_step, **report.to_dict()}  # fmt: skip
    write_json(folder / f"quantize-{scheme}.json", result)
    return result


def calibration_logs(net: DenoiseNet, dataset: Dataset) -> list[Int16]:
    """Q9 log band powers of streams of training mixtures, end to end."""
    from edgernn import native

    q, r = net.recipe.quantize, net.recipe
    mixer = Mixer(r.mix, dataset, "train", np.random.default_rng([r.seed, 9]))
    return [native.analyze(mixer.stream(q.stream_seconds), r.stft, net.tables)[1] for _ in range(q.streams)]


def simulate_denoise_model(
    folder: Path, progress: Progress, scheme: str | None, split: str, seconds: float, runtime: str, mixtures: Path | None,
    count: int = MIXTURES, mos: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Float against integer: mixtures judged file by file, one long stream without a reset, latency and speed."""
    from edgernn.denoise.evaluate import differences, drift, enhancer, float_enhancer, judge, real_time_factor
    from edgernn.pipeline import fast_runtime, find_graph
    from edgernn.runtimes import make_denoiser

    graph = load_denoise_graph(find_graph(folder, scheme))
    net, dataset = load_denoise_checkpoint(folder / "model.safetensors"), Dataset.load(folder / "data")
    chosen = make_denoiser(fast_runtime() if runtime == "auto" else runtime, graph)
    judged = judge(
        chosen_mixtures(dataset, split, net.recipe.seed, mixtures, count),
        {"float": float_enhancer(net), "integer": enhancer(chosen)}, progress, mos,
    )  # fmt: skip
    result = {
        "graph": graph.id, "scheme": graph.scheme, "runtime": chosen.name, "dataset": dataset.id, "split": split,
        "list": str(mixtures) if mixtures else None, "weight_bytes": graph.weight_bytes,
        "mmacs_per_second": round(graph.macs_per_step * graph.steps_per_second / 1e6, 2), **judged,
        "integer_minus_float": differences(judged, "integer", "float"),
        "stream": drift(chosen, net.recipe, dataset, split, seconds),
        "latency_ms": round(graph.latency_ms, 2), "step_ms": 1000.0 / graph.steps_per_second,
    }  # fmt: skip
    if chosen.name == "c":
        sound = Mixer(net.recipe.mix, dataset, split, np.random.default_rng(1))
        result["real_time_factor"] = round(real_time_factor(chosen, np.concatenate([sound().noisy for _ in range(5)])), 1)
    write_json(folder / f"simulate-{graph.scheme}.json", result)
    return result


def compare_denoiser(
    folder: Path, names: str, progress: Progress, scheme: str | None, split: str, seconds: float, wav: Path | None
) -> dict[str, Any]:
    """The net in several runtimes, side by side, over a recording or noisy speech of the split."""
    from edgernn.compare import compare_nets
    from edgernn.pipeline import find_graph

    graph = load_denoise_graph(find_graph(folder, scheme))
    if wav:
        return {**compare_nets(graph, names, read_audio(wav, graph.sample_rate), progress), "split": str(wav)}
    r = load_denoise_checkpoint(folder / "model.safetensors").recipe
    mixer = Mixer(r.mix, Dataset.load(folder / "data"), split, np.random.default_rng([r.seed, 13]))
    return {**compare_nets(graph, names, mixer.stream(seconds), progress), "split": split}


def chosen_mixtures(dataset: Dataset, split: str, seed: int, path: Path | None, count: int) -> list[Mixture]:
    """Those of a list, or `count` of a split by the seed."""
    return read_mixtures(path) if path else make_mixtures(dataset, split, count, seed)


def export_denoise_graph(graph: DenoiseGraph, out: Path, form: str, prefix: str) -> tuple[list[Path], dict[str, Any]]:
    """C of the whole denoiser; TFLite or ONNX of its net, features to gains."""
    if form == "c":
        from firmware_export.emit_denoise import export_denoiser_c

        return export_denoiser_c(graph, out, prefix), {}
    if form == "tflite":
        from edgernn.export.tflite import export_tflite

        return export_tflite(graph, out, prefix=prefix)
    from edgernn.export.onnx import export_onnx

    return export_onnx(graph, out)


def test_sound(where: Path, graph: DenoiseGraph) -> Int16:
    """Noisy speech of the run folder's test split; for a lone graph file the self-test's signal."""
    from firmware_export.golden import golden_signal

    if not where.is_dir():
        return golden_signal(graph.step_samples, 250)
    return make_mixtures(Dataset.load(where / "data"), "test", 2, 0)[1].pair.noisy[: round(RUN_SECONDS * SAMPLE_RATE)]


def run_denoise_board(
    where: Path, graph: DenoiseGraph, board_name: str, out: Path, wav: Path | None, toolchain: str, emulator: str, optimize: str
) -> dict[str, Any]:
    """Build, run on an emulated core, compare every bit with the definition and count instructions."""
    from edgernn.denoise.firmware import build_denoiser, run_denoiser
    from targets import load_board

    board = load_board(board_name)
    pcm = read_audio(wav, graph.sample_rate) if wav else test_sound(where, graph)
    firmware, built = build_denoiser(graph, board, out / board.name, toolchain, optimize)
    result = {**built.to_dict(), **run_denoiser(graph, firmware, board, pcm, emulator).to_dict()}
    write_json(out / f"build-{board.name}.json", built.to_dict())
    write_json(out / f"run-{board.name}.json", result)
    return result


def whole_denoiser(
    recipe: DenoiseRecipe, folder: Path, boards: Sequence[str], progress: Progress, device: str, start: Path | None = None
) -> dict[str, Any]:
    """Every verb in turn, from data to the emulated board; returns the summary that the table shows."""
    from edgernn.pipeline import find_graph

    if start:
        check_start(recipe, start)  # before an hour of recordings is read
    prepare_denoise_data(recipe, folder, progress)
    train_denoise_model(recipe, folder, progress, device, start)
    progress("quantizing", 0, 0)
    quantize_denoise_model(folder, None)
    simulated = simulate_denoise_model(folder, progress, None, "test", 180.0, "auto", None, 20)
    graph = load_denoise_graph(find_graph(folder))
    export_denoise_graph(graph, folder / "c", "c", "dn")
    runs = []
    for i, board in enumerate(boards):
        progress(f"emulating {board}", i, len(boards))
        runs.append(run_denoise_board(folder, graph, board, folder, None, "auto", "auto", "-O2"))
    keys = (
        "graph",
        "scheme",
        "split",
        "mixtures",
        "mean",
        "integer_minus_float",
        "weight_bytes",
        "mmacs_per_second",
        "latency_ms",
    )
    summary = {**{k: simulated[k] for k in keys}, "real_time_factor": simulated.get("real_time_factor"),
               "boards": runs, "folder": str(folder)}  # fmt: skip
    write_json(folder / "summary.json", summary)
    return summary
