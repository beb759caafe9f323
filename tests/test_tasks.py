"""The door of a task: one battery takes every discovered task through every verb and its C through every kind of core."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import tiny_corpus
from fixture_runs import gate_fixture
from needs import need_module
from typer.testing import CliRunner

from edgernn import cli, runs
from edgernn.core.primitives import SCHEMES
from edgernn.data.corpus import write_dataset
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import write_wav
from edgernn.tasks import all_tasks, declared_options, load_graph, make_recipe, recipe_paths, task_of
from targets import available_toolchains, load_board, usable_emulators

CORES = ("cortex-m0-4m", "mps2-an386", "riscv32-virt")
GRU = {"cell": "gru", "units": 8}
Prepare = Callable[[Path], Any]


def spotting(folder: Path) -> None:
    write_dataset(gate_fixture.corpus(), gate_fixture.recipe().keywords, folder, 1.0)


def mixing(folder: Path) -> None:
    tiny_corpus(folder)


#: of each task the sections of a tiny recipe, and what makes its data; a new task needs a row here
TINY: dict[str, tuple[dict[str, Any], Prepare]] = {
    "spot": ({**gate_fixture.recipe().to_dict(), "train": {"epochs": 1, "variants": 1, "batch": 16}}, spotting),
    "denoise": (
        {"stft": {"window": 128, "single": 16, "wide": 3}, "layers": [{"cell": "subbands", "rows": 8, "units": 6}, GRU],
         "mix": {"seconds": 1.0}, "train": {"epochs": 1, "batches": 2, "batch": 2}},
        mixing,
    ),
    "vad": (
        {"frontend": {"bands": 20}, "layers": [GRU], "mix": {"seconds": 3.0},
         "train": {"epochs": 2, "updates": 2, "stems": 8, "batch": 4, "validation": 4}},
        mixing,
    ),
}  # fmt: skip


def edgernn(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in args])
    if isinstance(result.exception, EdgernnError):
        assert code == 2, result.exception
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


@pytest.fixture(scope="module", params=sorted(all_tasks()))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of each task, trained for a moment and quantized in both schemes."""
    need_module("torch")
    need_module("pesq")
    values, prepare = TINY[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    recipe = make_recipe(
        {"quantize": {"streams": 4, "stream_seconds": 3.0}, **values, "task": request.param, "name": request.param}
    )
    runs.keep_recipe(recipe, folder)
    prepare(folder / "data")
    assert json.loads(edgernn("train", folder, "--json"))["parameters"] > 100
    for scheme in SCHEMES:
        assert json.loads(edgernn("quantize", folder, "--scheme", scheme, "--json"))["scheme"] == scheme
    return folder


def test_tasks_are_discovered_and_each_has_a_tiny_recipe() -> None:
    assert {"spot", "denoise", "vad"} <= set(all_tasks())
    assert set(TINY) == set(all_tasks())


def test_every_task_answers_the_questions_of_the_door() -> None:
    verbs, nouns, prefixes = set(), set(), set()
    for name, task in all_tasks().items():
        assert (task.name, task.folder.name) == (name, name)
        assert task.template().is_file() and task.harness().is_file()
        assert task.noun.startswith(("a ", "an "))
        verbs |= {task.whole.verb, *task.commands()}
        nouns.add(task.noun)
        prefixes.add(task.c.prefix)
        assert recipe_paths()[task.whole.recipe].parent.parent == task.folder
        for option in task.options:
            assert option.help.endswith(".") and set(option.verbs) <= {"data", "train", "quantize", "simulate", "whole"}
    assert len(nouns) == len(prefixes) == len(all_tasks())
    assert verbs <= {c.name for c in cli.app.registered_commands}


def test_options_of_a_verb_are_shown_and_refused_by_one_sentence(run: Path) -> None:
    own = {o.name for o in task_of(load_graph(run / "graph-int8.ern")).options_of("train")}
    for name, found in declared_options("train").items():
        assert found[0][1].flag in edgernn("train", "--help")
        if name not in own:
            said = edgernn("train", run, found[0][1].flag, run, code=2)
            assert "of `edgernn train` belongs to" in said
            assert "leave it out" in said


def test_simulate_compare_check(run: Path, tmp_path: Path) -> None:
    task = runs.run_task(run)
    result = json.loads(edgernn("simulate", run, "--seconds", 10, "--json"))
    assert (result["task"], result["split"]) == (task.name, "test")
    assert "graph" in edgernn("simulate", run, "--seconds", 10, "--split", "validation")
    compared = json.loads(edgernn("simulate", run, "--compare", "c,litert,tflm,onnx", "--seconds", 6, "--json"))["rows"]
    assert [row["runtime"] for row in compared] == ["numpy", "c", "litert", "tflm", "onnx"]
    assert all(row["differing"] == 0 and row["entries"] > 1000 for row in compared)
    edgernn("simulate", run, "--seconds", 10, "--json")
    baseline = tmp_path / "b.json"
    edgernn("check", run, "--baseline", baseline, "--update")
    kept = json.loads(baseline.read_text())
    optional = {
        "int8_dnsmos",
        "float_dnsmos",
        "int8_p808",
        "float_p808",
        "onset_ms",
        "misses",
        "misses_at_baselines_rate",
        "false_accepts_per_hour",
    }
    found = {name for name in task.gated if f"int8x16.{name}" in kept["metrics"]}
    assert set(task.gated) - found <= optional and len(found) >= 8
    edgernn("check", run, "--baseline", baseline)
    alone = {**kept, "outcomes": {}}
    for name in found:
        figure, before = task.gated[name], kept["metrics"][f"int8x16.{name}"]
        change = 2 * figure.tolerance * (abs(before) or 1.0) if figure.relative else 2 * figure.tolerance
        if not figure.relative or before:
            worse = {**kept["metrics"], f"int8x16.{name}": before + figure.better * change}
            (tmp_path / "worse.json").write_text(json.dumps({**alone, "metrics": worse}))
            assert "WORSE" in edgernn("check", run, "--baseline", tmp_path / "worse.json", code=1), name


def test_exports_and_inspect(run: Path, tmp_path: Path) -> None:
    files = [run / "graph-int8x16.ern"]
    for form in ("c", "tflite", "onnx"):
        written = json.loads(edgernn("export", run, "--format", form, "--out", tmp_path / form, "--json"))["files"]
        assert all(Path(f).is_file() for f in written)
        files += [Path(f) for f in written if f.endswith((".tflite", "model.onnx"))]
    assert len({f["graph_id"] for f in json.loads(edgernn("inspect", *files, "--json")).values()}) == 1
    again = load_graph(files[0])
    assert again.to_bytes() == files[0].read_bytes()
    assert (tmp_path / "c" / task_of(again).c.header()).is_file()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_bits_from_sound_to_output_on_every_kind_of_core(run: Path, scheme: str, tmp_path: Path) -> None:
    g = load_graph(run / f"graph-{scheme}.ern")
    rng = np.random.default_rng(0)
    pcm = (rng.normal(size=16000 * 3) * 3000 * np.abs(np.sin(np.arange(48000) / 3000))).astype(np.int16)
    expected = make_runtime("numpy", g).run(pcm)
    assert expected.output is not None and expected.output.shape == (len(expected.logits), g.output.width)
    assert np.ptp(expected.logits) > 0
    c = make_runtime("c", g)
    found = c.run(pcm)
    assert expected.differing(found) == dict.fromkeys(dict(expected.arrays()), 0)
    c.reset()
    assert np.array_equal(c.process(pcm), expected.output)
    c.reset()
    steps = [c.process(pcm[i : i + g.step_samples]) for i in range(0, len(expected.output) * g.step_samples, g.step_samples)]
    assert np.array_equal(np.concatenate(steps), expected.output), "one step a call"
    assert c.self_test() == 0  # type: ignore[attr-defined]
    write_wav(tmp_path / "x.wav", pcm)
    for name in CORES:
        board = load_board(name)
        if os.environ.get("CI") != "true" and not (available_toolchains(board) and usable_emulators(board)):
            pytest.skip(f"no compiler or emulator for {name}")
        ran = json.loads(edgernn("run", run, "--board", name, "--scheme", scheme, "--wav", tmp_path / "x.wav", "--json"))
        assert (ran["bits_differing"], ran["steps"]) == (0, len(expected.output))
        assert ran["entries"] == sum(a.size for _, a in expected.arrays())


def test_a_planted_bit_shows_on_an_emulated_board(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bit of the firmware's output, and of each other array in turn: the count must say 1."""
    from edgernn import firmware

    g, board = load_graph(run / "graph-int8.ern"), load_board("mps2-an386")
    if os.environ.get("CI") != "true" and not (available_toolchains(board) and usable_emulators(board)):
        pytest.skip("no compiler or emulator for a Cortex-M4")
    built, _ = firmware.build_firmware(g, board, tmp_path)
    pcm = np.random.default_rng(1).integers(-2000, 2000, g.step_samples * 60).astype(np.int16)
    trace, total = firmware.emulated_trace(g, built, board, pcm)
    for name in dict(trace.arrays()):
        wrong = {k: np.array(a) for k, a in trace.arrays()}
        wrong[name].reshape(-1)[wrong[name].size // 2] ^= 1
        states = {k: wrong[k] for k in trace.states}
        planted = type(trace)(wrong["features"], wrong["logits"], wrong["posteriors"], states, wrong["output"])
        monkeypatch.setattr(firmware, "emulated_trace", lambda *_, planted=planted: (planted, total))
        assert firmware.run_firmware(g, built, board, pcm).bits_differing == 1, name


def test_a_recipe_of_an_unknown_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('task = "sing"\n[[layers]]\ncell = "gru"\nunits = 4\n')
    said = edgernn("data", tmp_path / "run", "--recipe", tmp_path / "r.toml", code=2)
    assert "unknown task 'sing'; known: denoise, spot, vad" in said
    assert not (tmp_path / "run").exists()
