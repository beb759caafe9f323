"""No split hears another: what trains, validates, calibrates and judges is asked which recordings it took."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from denoisers import random_denoiser
from denoisers import recipe as denoise_recipe
from listening import Heard, listening, small_corpus
from needs import need_module
from nets import quantized, random_net

from edgernn.data.augment import StreamConfig, make_stream
from edgernn.data.corpus import NOISE, ROOM, SPEECH, SPLITS, Dataset
from edgernn.data.mixing import MixConfig, Mixer, draw_ingredients, make_mixtures
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks import all_tasks, make_recipe
from edgernn.tasks._mixtures import calibration_sounds, stream_of
from edgernn.tasks.spot import clips, judge

QUIET: Any = lambda *_: None  # noqa: E731
TASKS = all_tasks()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_corpus(tmp_path_factory.mktemp("leaks") / "data")


def splits(heard: Heard) -> set[str]:
    return {split for split, _ in heard}


def spot_recipe(**train: Any) -> Any:
    layers = [{"cell": "gru", "units": 4}]
    return make_recipe(
        {"name": "s", "data": {"keywords": ["stop"]}, "frontend": {"bands": 20}, "layers": layers,
         "train": {"epochs": 1, "variants": 1, "batch": 4, "silence": 1.0, "speech": 1.0, "context_s": 0.2, **train},
         "quantize": {"streams": 2, "stream_seconds": 3.0}}
    )  # fmt: skip


def spotter(recipe: Any) -> Any:
    """A random net over the corpus' labels."""
    net = random_net("gru", 4, bands=20)
    head = {k: v[:3] if k.startswith("head") else v for k, v in net.weights.items()}
    return replace(
        net, recipe=replace(net.recipe, quantize=recipe.quantize), labels=("stop", "unknown", "silence"), weights=head
    )


# Keyword spotting ---------------------------------------------------------------------------


def test_a_spotter_learns_from_the_train_split_and_stops_by_the_validation_split(data: Dataset, tmp_path: Path) -> None:
    need_module("torch")
    from edgernn.tasks.spot.train import _validation, train

    recipe, (own, heard) = spot_recipe(), listening(replace(data, path=tmp_path / "data"))
    found = clips.training_set(own, recipe, random_net("gru", 4, bands=20).tables, QUIET)
    assert found.label.tolist() == [0] * 4 + [1] * 4 + [2] * 8 + [1] * 8, "words, then silence and running speech"
    assert len(found.label) == found.log_mel.shape[1]
    assert heard == {("train", label) for label in ("stop", "unknown", NOISE, SPEECH)}
    heard.clear()
    _validation(own, recipe, np.zeros(20), np.ones(20))
    assert heard == {("validation", "stop"), ("validation", "unknown")}
    heard.clear()
    train(recipe, own, tmp_path / "run", QUIET, "cpu")
    assert splits(heard) <= {"train", "validation"}


def test_a_spotter_is_calibrated_on_words_and_noise_of_the_train_split(data: Dataset) -> None:
    own, heard = listening(data)
    clips.calibration_streams(own, spot_recipe(), random_net("gru", 4, bands=20).tables)
    assert heard == {("train", label) for label in ("stop", "unknown", NOISE)}


@pytest.mark.parametrize("split", SPLITS)
def test_a_spotter_is_judged_on_the_split_that_was_asked_for(data: Dataset, split: str) -> None:
    """Clips, silence and the noise of the stream."""
    (own, heard), net = listening(data), spotter(spot_recipe())
    g = quantized(net, "int8")
    runtime = make_runtime("c", g)
    clips.silence_pcm(own, split, 4, np.random.default_rng(0), 16000)
    assert heard == {(split, NOISE)}
    heard.clear()
    judge.compare_clips(net, runtime, own, split, QUIET)
    assert heard == {(split, label) for label in ("stop", "unknown", NOISE)}
    heard.clear()
    judge.compare_stream(net, runtime, own, split, 4.0)
    assert heard == {(split, label) for label in ("stop", "unknown", NOISE)}
    heard.clear()
    found = judge.material(net, g, own, split, 4.0)
    assert (splits(heard), found.split, len(found.clips)) == ({split}, split, 8 if split == "train" else 6)


def test_a_stream_takes_its_noise_from_its_own_split(data: Dataset) -> None:
    for split in SPLITS:
        own, heard = listening(data)
        make_stream(own.clips(split), own, np.random.default_rng(0), 5.0, StreamConfig())
        assert splits(heard) == {split}


# Mixtures ---------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
def test_mixtures_are_of_one_split(data: Dataset, split: str) -> None:
    """Speech and noise; only rooms are shared where a split has none of its own."""
    own, heard = listening(data)
    mixer = Mixer(MixConfig(seconds=0.5), own, split, np.random.default_rng(0))
    for _ in range(20):
        mixer()
    assert heard == {(split, SPEECH), (split, NOISE), ("train", ROOM)}
    heard.clear()
    list(draw_ingredients(own, split, 12, 0))
    make_mixtures(own, split, 2, 3)
    assert heard == {(split, SPEECH), (split, NOISE)}


def test_a_split_with_rooms_of_its_own_takes_those(tmp_path: Path) -> None:
    own, heard = listening(small_corpus(tmp_path / "d", rooms=("train", "test")))
    Mixer(MixConfig(seconds=0.5), own, "test", np.random.default_rng(0))
    assert heard == {("test", ROOM)}


def test_a_split_without_speech_or_noise_is_refused(data: Dataset) -> None:
    for label, said in ((SPEECH, "running speech"), (NOISE, "no noise")):
        less = replace(data, rows=tuple(r for r in data.rows if (r.label, r.split) != (label, "test")))
        with pytest.raises(EdgernnError, match=said):
            Mixer(MixConfig(), less, "test", np.random.default_rng(0))
        with pytest.raises(EdgernnError, match="test split lacks speech or noise"):
            list(draw_ingredients(less, "test", 1, 0))


def test_a_denoiser_learns_and_is_calibrated_on_the_train_split(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("torch")
    import torch

    from edgernn.tasks import _mixture_trainer
    from edgernn.tasks.denoise import train as training

    monkeypatch.setattr(_mixture_trainer, "STATISTICS_PAIRS", 3)
    monkeypatch.setattr(training, "VALIDATION_MIXTURES", 3)
    recipe = denoise_recipe(mix={"seconds": 0.5, "room_probability": 0.0}, quantize={"streams": 3, "stream_seconds": 1.0})
    own, heard = listening(data)
    trainer = training.DenoiseTrainer.__new__(training.DenoiseTrainer)
    trainer.recipe, trainer.data, trainer.tables = recipe, own, random_denoiser().tables
    trainer._statistics()
    next(iter(trainer.pairs(np.random.default_rng(0)) for _ in range(1)))()
    assert splits(heard) == {"train"}
    heard.clear()
    training.DenoiseTrainer(recipe, own, torch.device("cpu"))
    assert heard - {("train", ROOM)} == {(s, label) for s in ("train", "validation") for label in (SPEECH, NOISE)}
    heard.clear()
    calibration_sounds(recipe, own)
    assert splits(heard) == {"train"}


def test_voice_activity_learns_validates_and_calibrates_on_its_splits(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_module("torch")
    import torch

    from edgernn.tasks.vad import train as training

    recipe = make_recipe(
        {"task": "vad", "frontend": {"bands": 20}, "layers": [{"cell": "gru", "units": 4}], "mix": {"seconds": 2.0},
         "quantize": {"streams": 2, "stream_seconds": 2.0}, "train": {"stems": 6, "validation": 5, "batch": 4}}
    )  # fmt: skip
    asked: list[tuple[str, int]] = []
    real = training.kept_banks
    monkeypatch.setattr(training, "STATISTICS_STREAMS", 4)
    monkeypatch.setattr(training, "kept_banks", lambda r, d, split, n, p: asked.append((split, n)) or real(r, d, split, n, p))
    own, heard = listening(replace(data, path=tmp_path / "data"))
    trainer = training.VadTrainer(recipe, own, torch.device("cpu"), QUIET)
    assert asked == [("train", 6), ("validation", 5)]
    assert splits(heard) == {"train", "validation"}
    assert len(trainer.streams._banks.talk) == 6 and len(trainer.heard[0]) == 5
    assert not set(map(bytes, trainer.streams._banks.talk)) & set(map(bytes, trainer.heard[0]))
    heard.clear()
    TASKS["vad"].calibration(SimpleNamespace(recipe=recipe, tables=random_net("gru", 4, bands=20).tables), own)  # type: ignore[arg-type]
    assert splits(heard) == {"train"}


def test_banks_of_two_splits_differ(data: Dataset, tmp_path: Path) -> None:
    """And are kept apart: the file of one is not taken for the other."""
    from edgernn.tasks.vad.banks import kept_banks

    recipe = make_recipe({"task": "vad", "frontend": {"bands": 20}, "layers": [{"cell": "gru", "units": 4}],
                          "mix": {"seconds": 1.0}})  # fmt: skip
    for split in SPLITS:
        own, heard = listening(replace(data, path=tmp_path / "data"))
        kept_banks(recipe, own, split, 4, QUIET)
        assert heard - {("train", ROOM)} == {(split, SPEECH), (split, NOISE)}


#: what judges a split of mixtures -> how it is called with a dataset and a split
JUDGES: dict[str, Callable[[Dataset, str], Any]] = {
    "the stream of a denoiser": lambda d, s: stream_of(denoise_recipe(mix={"seconds": 0.5}), d, s, 3.0),
    "noise alone": lambda d, s: __import__("edgernn.tasks.vad.judge", fromlist=["x"]).noise_alone(d, s),
    "the material of a detector": lambda d, s: TASKS["vad"].material(
        SimpleNamespace(recipe=make_recipe({"task": "vad", "layers": [{"cell": "gru", "units": 4}], "mix": {"seconds": 1.0}})),  # type: ignore[arg-type]
        None, d, s, 5.0),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("what", JUDGES)
def test_what_is_judged_is_of_the_split_that_was_asked_for(data: Dataset, what: str, split: str) -> None:
    own, heard = listening(data)
    JUDGES[what](own, split)
    assert splits(heard - {("train", ROOM)}) == {split}


@pytest.mark.parametrize("task", ["spot", "denoise", "vad"])
def test_an_emulated_core_hears_the_test_split(data: Dataset, task: str) -> None:
    own, heard = listening(data)
    sound = TASKS[task].sound(SimpleNamespace(sample_rate=16000), own)  # type: ignore[arg-type]
    assert splits(heard) == {"test"}
    assert len(sound) > 8000


def test_drift_of_a_denoiser_is_measured_on_the_split_that_was_asked_for(data: Dataset) -> None:
    from edgernn.tasks.denoise.evaluate import drift

    runtime: Any = SimpleNamespace(graph=SimpleNamespace(step_samples=64), reset=lambda: None, process=lambda pcm: pcm)
    for split in SPLITS:
        own, heard = listening(data)
        drift(runtime, denoise_recipe(mix={"seconds": 0.5}), own, split, 1.0, 0.5)
        assert splits(heard - {("train", ROOM)}) == {split}
