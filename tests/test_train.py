"""Training: a run that was killed ends as one that was not, and what goes wrong is said."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import ROOT, fixture_run, gate_fixture
from needs import need_module

from edgernn.artifacts import write_json
from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.spot.recipe import SpotRecipe, SpotTrain


def quiet(*_: object) -> None:
    """No progress."""


def short(epochs: int, **changes: object) -> SpotRecipe:
    base = gate_fixture.recipe()
    return replace(base, train=replace(base.train, epochs=epochs, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_module("torch")
    return fixture_run(tmp_path_factory.mktemp("train") / "run")


def test_killed_and_resumed_equals_uninterrupted(folder: Path, tmp_path: Path) -> None:
    from edgernn.tasks.spot.train import train

    recipe, dataset = short(6), Dataset.load(folder / "data")
    whole = train(recipe, dataset, tmp_path / "whole", quiet, "cpu")
    resumed = tmp_path / "resumed"
    (resumed).mkdir()
    (resumed / "data").symlink_to(folder / "data")
    write_json(resumed / "recipe.json", recipe.to_dict())
    command = [sys.executable, "-m", "edgernn", "train", str(resumed), "--device", "cpu"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not (resumed / "progress.pt").exists() and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (resumed / "progress.pt").exists()
    assert not (resumed / "model.safetensors").exists(), "it ended before it could be killed: give it more epochs"
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    again = load_checkpoint(resumed / "model.safetensors")
    assert set(again.weights) == set(whole.weights)
    assert all(np.array_equal(again.weights[k], v) for k, v in whole.weights.items())
    rows = list(csv.DictReader((resumed / "metrics.csv").open()))
    assert [float(r["epoch"]) for r in rows] == [1, 2, 3, 4, 5, 6]
    assert all(float(r["gradient_norm_max"]) >= float(r["gradient_norm"]) > 0 for r in rows)
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])


def test_two_runs_with_one_seed_are_equal_and_seeds_differ(folder: Path, tmp_path: Path) -> None:
    from edgernn.tasks.spot.train import train

    dataset = Dataset.load(folder / "data")
    nets = [train(replace(short(2), seed=s), dataset, tmp_path / str(i), quiet, "cpu") for i, s in enumerate((3, 3, 4))]
    a, b, c = (n.weights["gru1.weight_hh"] for n in nets)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_it_learns(folder: Path, tmp_path: Path) -> None:
    from edgernn.tasks.spot.train import train

    train(short(20), Dataset.load(folder / "data"), tmp_path, quiet, "cpu")
    rows = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    assert max(float(r["accuracy"]) for r in rows) > 0.85


def test_teacher_shares_the_targets_and_must_fit(folder: Path, tmp_path: Path) -> None:
    from edgernn.tasks.spot.train import train

    dataset, teacher = Dataset.load(folder / "data"), load_checkpoint(folder / "model.safetensors")
    plain = train(short(2), dataset, tmp_path / "a", quiet, "cpu")
    taught = train(short(2), dataset, tmp_path / "b", quiet, "cpu", [teacher])
    assert not np.array_equal(plain.weights["head.weight"], taught.weights["head.weight"])
    other = replace(teacher, labels=("x", *teacher.labels[1:]))
    with pytest.raises(EdgernnError, match="teacher gate has other labels"):
        train(short(1), dataset, tmp_path / "c", quiet, "cpu", [other])


def test_a_training_goes_on_with_its_own_data_and_teachers_only(folder: Path, tmp_path: Path) -> None:
    from edgernn.tasks.spot.train import train

    dataset, teacher = Dataset.load(folder / "data"), load_checkpoint(folder / "model.safetensors")
    other = replace(dataset, id="f" * 64)
    for taught, also in (([], [teacher]), ([teacher], [])):
        out = tmp_path / f"{len(taught)}"
        net = train(short(1), dataset, out, quiet, "cpu", taught)
        kept = (out / "model.safetensors").read_bytes()
        assert net.source.get("teacher", "") == "".join(t.fingerprint for t in taught)
        with pytest.raises(EdgernnError, match="trained with another dataset"):
            train(short(1), other, out, quiet, "cpu", taught)
        with pytest.raises(EdgernnError, match="trained with another teacher"):  # though it is finished
            train(short(1), dataset, out, quiet, "cpu", also)
        assert (out / "model.safetensors").read_bytes() == kept
        train(short(1), dataset, out, quiet, "cpu", taught)
        assert (out / "model.safetensors").read_bytes() == kept


def test_progress_that_does_not_say_its_data_is_refused(folder: Path, tmp_path: Path) -> None:
    import torch

    from edgernn.tasks.spot.train import train

    dataset = Dataset.load(folder / "data")
    train(short(1), dataset, tmp_path, quiet, "cpu")
    state = torch.load(tmp_path / "progress.pt", weights_only=True)
    del state["depends"]
    torch.save(state, tmp_path / "progress.pt")
    with pytest.raises(EdgernnError, match="does not say what it was trained on"):
        train(short(1), dataset, tmp_path, quiet, "cpu")


def test_a_checkpoint_of_other_data_is_said(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from edgernn import pipeline

    run = fixture_run(tmp_path / "run")
    net = load_checkpoint(run / "model.safetensors")
    replace(net, source={"dataset": Dataset.load(run / "data").id}).save(run / "model.safetensors")
    pipeline.quantize_model(run)
    assert "was trained on dataset" not in caplog.text
    replace(net, source={"dataset": "abc" * 10}).save(run / "model.safetensors")
    pipeline.quantize_model(run)
    assert "was trained on dataset abcabcabcabc" in caplog.text


def test_a_graph_of_another_checkpoint_is_not_compared_nor_exported(folder: Path, tmp_path: Path) -> None:
    from edgernn import pipeline
    from edgernn.tasks.base import Question

    run = fixture_run(tmp_path / "run")
    pipeline.quantize_model(run)
    net = load_checkpoint(run / "model.safetensors")
    pipeline.simulate_model(run, quiet, question=Question(seconds=5.0))
    replace(net, weights={k: w * np.float32(1.01) for k, w in net.weights.items()}).save(run / "model.safetensors")
    for verb in (
        lambda: pipeline.simulate_model(run, quiet, question=Question(seconds=5.0)),
        lambda: pipeline.compare_model(run, "numpy,c", quiet, seconds=5.0),
        lambda: pipeline.export_graph(run, tmp_path / "onnx", "onnx"),
    ):
        with pytest.raises(EdgernnError, match=r"made from another checkpoint; run `edgernn quantize"):
            verb()
    pipeline.quantize_model(run)
    pipeline.simulate_model(run, quiet, question=Question(seconds=5.0))


def test_an_edited_recipe_is_said(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from edgernn import pipeline
    from edgernn.runs import run_recipe
    from edgernn.tasks.base import Question

    run = fixture_run(tmp_path / "run")
    pipeline.quantize_model(run)
    pipeline.simulate_model(run, quiet, question=Question(seconds=5.0))
    assert "another recipe" not in caplog.text
    text = (run / "recipe.json").read_text()
    edited = text.replace('"smoothing_ms": 400.0', '"smoothing_ms": 1000.0')
    (run / "recipe.json").write_text(edited)
    before, recipe = load_graph(run / "graph-int8x16.ern").decision.smoothing, run_recipe(run)
    pipeline.quantize_model(run)
    after = load_graph(run / "graph-int8x16.ern").decision.smoothing
    assert after == recipe.steps(1000.0) and before < after, "it is decided after training"
    assert "another recipe" not in caplog.text
    assert '"variants": 3' in edited
    (run / "recipe.json").write_text(edited.replace('"variants": 3', '"variants": 2'))
    pipeline.simulate_model(run, quiet, question=Question(seconds=5.0))
    assert "by another recipe than recipe.json now holds" in caplog.text


def test_divergence_is_said_with_the_value_to_change(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgernn.tasks.spot import train as training

    real = training.clip_loss
    monkeypatch.setattr(training, "clip_loss", lambda *args: real(*args) * float("nan"))
    with pytest.raises(
        EdgernnError, match=r"training diverged in epoch 1 .*lower train\.learning_rate = 0\.01 or train\.clip_n"
    ):
        training.train(short(5, learning_rate=0.01), Dataset.load(folder / "data"), tmp_path, quiet, "cpu")
    assert not (tmp_path / "model.safetensors").exists()


def test_resuming_another_recipe_is_refused(folder: Path, tmp_path: Path) -> None:
    from edgernn.tasks.spot.train import train

    dataset = Dataset.load(folder / "data")
    train(short(1), dataset, tmp_path, quiet, "cpu")
    with pytest.raises(EdgernnError, match="belongs to another recipe"):
        train(short(2), dataset, tmp_path, quiet, "cpu")


def test_early_stop() -> None:
    need_module("torch")
    from edgernn.tasks.spot.train import SpotTrainer

    trainer = SpotTrainer.__new__(SpotTrainer)
    trainer.recipe = SpotRecipe(train=SpotTrain(epochs=100, patience=5))
    trainer.epochs, trainer._epoch = 100, 20
    for since, finished in ((4, False), (5, True)):
        trainer._since_best = since
        assert trainer.finished is finished


def test_clip_loss_scores_the_last_steps() -> None:
    need_module("torch")
    import torch

    from edgernn.tasks.spot.train import clip_loss

    logits = torch.zeros(1, 10, 3)
    logits[0, -2:, 1] = 8.0
    p = SpotTrain(sigmoid_loss=0.0)
    right, wrong = torch.eye(3)[[1]], torch.eye(3)[[0]]
    assert clip_loss(logits, right, 2, p) < 0.01 < clip_loss(logits, wrong, 2, p)
    assert clip_loss(logits, right, 10, p) > 0.1
