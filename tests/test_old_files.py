"""Files of earlier versions live on: the same ids, the same bits; old run folders are taken, or refused in one sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import fixture_run
from needs import need_module
from typer.testing import CliRunner

from edgernn import cli, pipeline, runs
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks import load_checkpoint, load_graph, task_of

OLD = Path(__file__).parent / "fixtures" / "old"
DENOISER = Path(__file__).parent / "fixtures" / "denoise" / "dn-small.safetensors"


@pytest.mark.parametrize("name", ["keywords", "sound"])
def test_graphs_keep_their_ids(name: str) -> None:
    wanted = re.search(rf"`{name}\.ern`: ([0-9a-f]{{64}})", (OLD / "README.md").read_text())
    assert wanted
    assert load_graph(OLD / f"{name}.ern").id == wanted[1]


@pytest.mark.parametrize("runtime", ["numpy", "c"])
def test_graphs_keep_their_bits(runtime: str) -> None:
    answers = np.load(OLD / "answers.npz")
    spotter = load_graph(OLD / "keywords.ern")
    found = make_runtime(runtime, spotter).run(answers["pcm"])
    assert np.array_equal(found.logits, answers["logits"])
    assert np.array_equal(found.posteriors, answers["posteriors"])
    assert found.output is not None
    # what was told then: the step in which a keyword fires, with the score that it has in it
    events = [(i, label, score) for i, (label, score, age, _) in enumerate(found.output.tolist()) if label >= 0 and age == 0]
    assert events == [tuple(e) for e in answers["events"].tolist()]
    assert events, "nothing was heard: the fixture proves nothing"
    denoiser = load_graph(OLD / "sound.ern")
    assert task_of(denoiser).name == "denoise"
    sound = make_runtime(runtime, denoiser).run(answers["pcm"])
    assert np.array_equal(sound.posteriors, answers["gains"])
    assert sound.output is not None
    assert np.array_equal(sound.output.ravel(), answers["denoised"])
    assert np.abs(answers["denoised"].astype(int)).max() > 300


def test_checkpoints_that_name_no_task_or_no_labels() -> None:
    assert load_checkpoint(DENOISER).labels == ()
    assert load_checkpoint(DENOISER).recipe.task == "denoise"


def test_a_run_folder_whose_recipe_names_no_task(tmp_path: Path) -> None:
    """As every keyword spotter's did."""
    folder = fixture_run(tmp_path / "run")
    values = json.loads((folder / "recipe.json").read_text())
    del values["task"]
    (folder / "recipe.json").write_text(json.dumps(values))
    assert runs.run_task(folder).name == "spot"
    runs.keep_recipe(runs.run_recipe(folder), folder)
    assert pipeline.quantize_model(folder, "int8")["graph"]


def test_figures_that_name_no_task_are_a_keyword_spotters(tmp_path: Path) -> None:
    from edgernn import gate

    folder = fixture_run(tmp_path / "run")
    pipeline.quantize_model(folder, "int8")
    result = pipeline.simulate_model(folder, lambda *_: None, "int8")
    figures = gate.collect(folder)
    del result["task"]
    (folder / "simulate-int8.json").write_text(json.dumps(result))
    assert gate.collect(folder) == figures


def test_a_training_of_before_goes_on(tmp_path: Path) -> None:
    """Its kept recipe names no task."""
    need_module("torch")
    import torch

    from edgernn.runs import PROGRESS

    folder = fixture_run(tmp_path / "run")
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["train"]["epochs"] = 2
    (folder / "recipe.json").write_text(json.dumps(recipe))
    pipeline.train_model(folder, lambda *_: None)
    state = torch.load(folder / PROGRESS, weights_only=True)
    del state["recipe"]["task"]
    torch.save(state, folder / PROGRESS)
    assert pipeline.train_model(folder, lambda *_: None)["parameters"] > 100
    state["recipe"]["train"]["epochs"] = 3
    torch.save(state, folder / PROGRESS)
    with pytest.raises(EdgernnError, match="belongs to another recipe"):
        pipeline.train_model(folder, lambda *_: None)


def test_a_run_folder_of_a_task_that_is_not_here(tmp_path: Path) -> None:
    folder = fixture_run(tmp_path / "run")
    values = json.loads((folder / "recipe.json").read_text())
    (folder / "recipe.json").write_text(json.dumps({**values, "task": "transcribe"}))
    result = CliRunner().invoke(cli.app, ["quantize", str(folder)])
    said = CliRunner().invoke(cli.app, ["simulate", str(folder)])
    assert isinstance(said.exception, EdgernnError)
    assert "unknown task 'transcribe'; known:" in str(said.exception)
    assert result.exit_code == 0, "the checkpoint says itself what it is"
