"""Run folders, recipes and caches: what was asked for is what is done, and what is there is not made or taken for another."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from listening import small_corpus
from nets import quantized, random_net
from test_notices_leaks import spot_recipe, spotter

from edgernn import boards, pipeline, runs
from edgernn.artifacts import replacing, write_json
from edgernn.errors import EdgernnError
from edgernn.face import Model
from edgernn.hostcc import shared_library
from edgernn.ranges import check_ranges
from edgernn.tasks import checked_options, find_task, load_graph, make_recipe
from edgernn.tasks.base import Option

QUIET: Any = lambda *_: None  # noqa: E731


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spotter's run folder with data and a checkpoint."""
    folder = tmp_path_factory.mktemp("folders") / "run"
    recipe = spot_recipe()
    runs.keep_recipe(recipe, folder)
    data = small_corpus(folder / "data")
    replace(spotter(recipe), recipe=recipe, source={"dataset": data.id}).save(folder / runs.CHECKPOINT)
    return folder


# Verbs ---------------------------------------------------------------------------


def test_a_recipe_takes_the_seed_and_epochs_that_were_asked_for() -> None:
    base = pipeline.chosen_recipe("demo", "data")
    assert pipeline.chosen_recipe("demo", "data", seed=7, epochs=3) == replace(
        base, seed=7, train=replace(base.train, epochs=3)
    )
    assert pipeline.chosen_recipe("demo", "data", seed=0).seed == 0
    words = pipeline.chosen_recipe("demo", "data", {"keywords": "hey robin,stop"})
    assert words.keywords == ("hey robin", "stop") != base.keywords


def test_quantize_takes_the_scheme_that_was_asked_for(run: Path) -> None:
    assert pipeline.quantize_model(run)["scheme"] == "int8x16"
    found = pipeline.quantize_model(run, "int8")
    assert (found["scheme"], found["path"]) == ("int8", str(run / "graph-int8.ern"))
    assert {load_graph(run / f"graph-{s}.ern").scheme for s in ("int8", "int8x16")} == {"int8", "int8x16"}
    assert runs.find_graph(run) == run / "graph-int8x16.ern" and runs.find_graph(run, "int8") == run / "graph-int8.ern"


def test_prepared_data_is_not_prepared_again(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"kind": "folder", "path": "/nowhere"}
    recipe = replace(spot_recipe(), data=replace(spot_recipe().data, sources=(table,)))
    monkeypatch.setattr(pipeline, "keep_recipe", lambda *_: None)
    monkeypatch.setattr(pipeline, "refuse_another", lambda *_: None)
    assert pipeline.prepare_data(recipe, run, QUIET).id == runs.load_data(run).id


def test_a_recipe_without_data_is_refused_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "prepare", lambda *_: pytest.fail("nothing may be read"))
    with pytest.raises(EdgernnError, match="the recipe names no data"):
        pipeline.prepare_data(spot_recipe(), tmp_path / "run", QUIET)


def test_a_board_s_results_are_those_of_its_run(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the emulator found is told and written, whatever was known from the build."""
    from edgernn import firmware

    pipeline.quantize_model(run, "int8")
    built = SimpleNamespace(to_dict=lambda: {"board": "microbit", "flash_bytes": 5})
    emulated = SimpleNamespace(to_dict=lambda: {"board": "microbit", "bits_differing": 3})
    heard: list[int] = []
    monkeypatch.setattr(firmware, "build_firmware", lambda *_: (None, built))
    monkeypatch.setattr(firmware, "run_firmware", lambda g, f, b, pcm, e: heard.append(len(pcm)) or emulated)
    found = boards.run_board(run, "microbit", tmp_path, scheme="int8")
    assert found == {"board": "microbit", "flash_bytes": 5, "bits_differing": 3}
    assert json.loads((tmp_path / "run-microbit.json").read_text()) == found
    boards.run_board(run / "graph-int8.ern", "microbit", tmp_path)
    assert heard == [6 * 8000, 250 * 320], "all six test clips; of a lone graph the self-test's signal"


def test_a_clip_has_whole_steps(run: Path, tmp_path: Path) -> None:
    two = quantized(random_net("gru", 4, "conv"), "int8")  # 40 ms a step
    assert pipeline.clip_steps(two, tmp_path / "x.ern") == 25
    assert pipeline.clip_steps(two, run) == 12


# Folders ---------------------------------------------------------------------------


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe = spot_recipe()
    runs.keep_recipe(recipe, tmp_path)
    runs.keep_recipe(spot_recipe(), tmp_path)
    assert runs.run_recipe(tmp_path) == recipe
    for other in (replace(recipe, seed=1), spot_recipe(silence=0.5)):
        with pytest.raises(EdgernnError, match="holds a run of another recipe"):
            runs.keep_recipe(other, tmp_path)


def test_a_graph_of_another_task_is_refused_and_the_newest_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spot, denoise = find_task("spot", "x"), find_task("denoise", "x")
    graphs = {"run/a/graph-int8.ern": random_net("gru", 3), "run/b/graph-int8.ern": random_net("gru", 4)}
    for age, (name, net) in enumerate(graphs.items()):
        (tmp_path / name).parent.mkdir(parents=True)
        quantized(net, "int8").save(tmp_path / name)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    other = tmp_path / "run/c/graph-int8.ern"
    other.parent.mkdir()
    quantized_denoiser(random_denoiser("no-state"), "int8").save(other)
    monkeypatch.chdir(tmp_path)
    assert runs.find_graph_of(spot, None) == Path("run/a/graph-int8.ern"), "the newest of its own task"
    assert runs.find_graph_of(denoise, None) == Path("run/c/graph-int8.ern")
    assert runs.find_graph_of(denoise, other) == other
    with pytest.raises(EdgernnError, match="is the graph of a denoiser, not of a keyword spotter"):
        runs.find_graph_of(spot, other)


def test_json_is_sorted_and_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": {"d": 1, "c": 2}})
    assert path.read_text() == '{\n  "a": {\n    "c": 2,\n    "d": 1\n  },\n  "b": 1\n}\n'

    def failing() -> None:
        with replacing(path) as scratch:
            scratch.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert json.loads(path.read_text())["b"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_library_is_compiled_anew_when_a_header_or_a_flag_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path / "cache"))
    source, header = tmp_path / "x.c", tmp_path / "x.h"
    source.write_text('#include "x.h"\nint f(void);\nint f(void) { return N + M; }\n')

    def built(text: str, *flags: str) -> int:
        header.write_text(text)
        return int(shared_library([source], [tmp_path], flags).f())

    assert [built("#define N 1\n", "-DM=0"), built("#define N 2\n", "-DM=0"), built("#define N 2\n", "-DM=5")] == [1, 2, 7]
    assert built("#define N 1\n", "-DM=0") == 1
    assert len(list((tmp_path / "cache").glob("ern-*.so"))) == 3


# Recipes ---------------------------------------------------------------------------


def test_numbers_of_a_recipe_end_where_they_say() -> None:
    recipe = spot_recipe()
    for seed in (0, 2**32 - 1):
        replace(recipe, seed=seed)
    for seed in (-1, 2**32):
        with pytest.raises(EdgernnError, match="seed"):
            replace(recipe, seed=seed)
    ends = SimpleNamespace(x=1.0, pair=(1.0, 2.0))
    for name, good, bad in (
        ("x", (0.0, 5, 2.5), (-0.001, 5.001, float("nan"), float("inf"), True, False, "1", None, 10**400)),
        ("pair", ((0.0, 5.0), (3.0, 3.0)), ((2.0, 1.0), (-0.1, 1.0), (1.0, 5.1), (1.0,), (1.0, 2.0, 3.0), (float("nan"), 1.0))),
    ):
        for value in good:
            check_ranges("s", SimpleNamespace(**{**vars(ends), name: value}), {name: (0, 5)})
        for value in bad:
            with pytest.raises(EdgernnError, match=f"s.{name} = "):
                check_ranges("s", SimpleNamespace(**{**vars(ends), name: value}), {name: (0, 5)})


def test_only_the_first_layer_may_stride() -> None:
    conv, gru = {"cell": "conv", "kernel": 3, "stride": 2, "units": 4}, {"cell": "gru", "units": 4}
    assert make_recipe({"layers": [conv, gru]}).frames_per_step == 2
    for layers in ([gru, conv], [gru, gru, conv], [conv, conv]):
        with pytest.raises(EdgernnError, match="only the first layer may have a stride"):
            make_recipe({"layers": layers})


def test_an_option_outside_its_range_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    task = find_task("spot", "x")
    monkeypatch.setattr(type(task), "options", (Option("n", float, "N.", ("data",), low=0, high=1),))
    for value in (0.25, 1):
        assert checked_options(task, "data", {"n": value}) == {"n": value}
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(EdgernnError, match=r"--n .* must lie in 0\.\.1"):
            checked_options(task, "data", {"n": value})
    with pytest.raises(EdgernnError, match="belongs to no task"):
        checked_options(task, "data", {"m": 1})


# The face ---------------------------------------------------------------------------


def test_a_stream_that_is_reset_forgets_what_was_left() -> None:
    model = Model(quantized(random_net("gru", 4), "int8"), "numpy")
    stream, x = model.stream(), noisy_sound(320 * 3)
    assert stream.push(np.zeros(319, np.int16)) == []
    stream.reset()
    stream._task = SimpleNamespace(heard=lambda graph, output, begin: (len(output), begin))  # type: ignore[assignment]
    assert stream.push(x[:1]) == (0, 0), "not a step: what was left is forgotten"
    assert stream.push(x[1:]) == (3, 0)
    assert stream.push(x[:640]) == (2, 3)
    stream.reset()
    assert stream.push(x) == (3, 0)
