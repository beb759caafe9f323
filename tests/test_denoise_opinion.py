"""The judge that a denoiser's training listens to: the one that `simulate --mos` asks, heard when the recipe says so."""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, recipe, tiny_corpus
from needs import need_module

from edgernn.errors import EdgernnError
from edgernn.signal.audio import to_float
from edgernn.tasks.denoise.evaluate import opinions

torch = pytest.importorskip("torch", reason="training needs torch")
LENGTH = 144_160  # samples that the package hears at once


@pytest.fixture
def listener() -> Any:
    need_module("speechmos")
    from edgernn.tasks.denoise.train_opinion import Listener

    return Listener()


def onnx_marks(sound: Any) -> Any:
    """What ONNX Runtime makes of the package's own file, [B, 3]."""
    import onnxruntime

    found = importlib.util.find_spec("speechmos")
    assert found is not None and found.origin is not None
    session = onnxruntime.InferenceSession(str(Path(found.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"))
    return session.run(None, {session.get_inputs()[0].name: sound})[0]


def test_its_marks_are_those_of_the_package(listener: Any) -> None:
    sounds = np.stack([to_float(noisy_sound(LENGTH, seed) // (1, 9)[seed]) for seed in (0, 1)])
    with torch.no_grad():
        marks = listener.marks(torch.from_numpy(sounds)).numpy()
    expected = onnx_marks(sounds)
    assert np.ptp(expected, axis=0).min() > 0.01, "the two sounds are to differ in every mark"
    assert np.abs(marks - expected).max() < 1e-4


def test_its_opinion_is_the_one_that_simulate_tells(listener: Any) -> None:
    """The package hears a sound of nine seconds in one piece."""
    pcm = noisy_sound(LENGTH, 3)
    with torch.no_grad():
        assert float(listener(torch.from_numpy(to_float(pcm))[None])) == pytest.approx(opinions(pcm)["dnsmos"], abs=1e-3)


def test_a_gradient_leads_to_a_better_opinion_and_its_weights_stay(listener: Any) -> None:
    sound = torch.from_numpy(to_float(noisy_sound(32_000)))[None].requires_grad_()
    before = listener(sound)
    before.sum().backward()
    assert sound.grad is not None and sound.grad.isfinite().all()
    with torch.no_grad():
        step = 0.002 * sound.grad / sound.grad.abs().max()
        assert float(listener(sound - step)) < float(before) < float(listener(sound + step))
    assert all(not p.requires_grad and p.grad is None for p in listener.parameters())


def trained(folder: Path, **train: Any) -> tuple[list[dict[str, str]], bytes]:
    """metrics.csv and the checkpoint of a tiny net after three epochs."""
    from edgernn.tasks.denoise.train import train_denoiser

    few = {"epochs": 3, "batches": 2, "batch": 3, **train}
    folder.mkdir()
    train_denoiser(recipe(mix={"seconds": 1.0}, train=few), tiny_corpus(folder / "data"), folder, lambda *_: None, "cpu")
    return list(csv.DictReader((folder / "metrics.csv").open())), (folder / "model.safetensors").read_bytes()


def test_training_listens_from_the_epoch_that_the_recipe_names(tmp_path: Path) -> None:
    need_module("speechmos")
    deaf, plain = trained(tmp_path / "deaf")
    heard, other = trained(tmp_path / "heard", opinion_loss=40.0, opinion_from=0.6)
    assert [float(row["opinion"]) for row in deaf] == [0, 0, 0]
    marks = [float(row["opinion"]) for row in heard]
    assert marks[:2] == [0, 0] and 0.9 < marks[2] < 5
    assert [row["loss"] for row in heard][:2] == [row["loss"] for row in deaf][:2], "nobody listens before"
    others = ("magnitude", "complex", "sdr", "intelligibility")
    assert abs(float(heard[2]["loss"]) - float(deaf[2]["loss"]) + 40 * marks[2]) < 3, "the same net but for one update"
    assert {part: heard[1][part] for part in others} == {part: deaf[1][part] for part in others}
    assert plain != other
    all_three, _ = trained(tmp_path / "all", opinion_loss=40.0, opinion_from=0.6, opinion_pairs=3)
    assert abs(float(all_three[2]["opinion"]) - marks[2]) > 1e-4, "of one pair, of all of the batch"


def test_a_missing_listener_is_told_before_anything_is_spent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgernn.tasks import find_task

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "speechmos" else found(name, *a))
    task = find_task("denoise", "recipe.toml")
    task.before_training(recipe(), {})
    with pytest.raises(EdgernnError, match=r"train.opinion_loss needs the package speechmos.*edgernn\[mos\]"):
        task.before_training(recipe(train={"opinion_loss": 1.0}), {})


def test_a_package_with_another_net_or_a_damaged_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import onnx
    from onnx import TensorProto, helper

    from edgernn.tasks.denoise.train_opinion import Listener

    package = tmp_path / "speechmos"
    models = package / "dnsmos_models"
    models.mkdir(parents=True)
    spec = importlib.util.spec_from_loader("speechmos", None, origin=str(package / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: spec)
    path = models / "sig_bak_ovr.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(EdgernnError, match="cannot be read"):
        Listener()
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1], [1.0])
    onnx.save(helper.make_model(helper.make_graph([], "other", [], [], [weight])), str(path))
    with pytest.raises(EdgernnError, match="another DNSMOS"):
        Listener()
