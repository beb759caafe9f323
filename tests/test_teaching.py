"""Nets that teach one that listens without end: what they say, how far a net is from it, and who may teach."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from listening import small_corpus
from test_streams import QUIET, recipe

from edgernn.data.corpus import UNKNOWN, Dataset
from edgernn.errors import EdgernnError
from edgernn.runs import CHECKPOINT, find_recipe
from edgernn.tasks import load_checkpoint
from edgernn.tasks.spot import TASK

torch = pytest.importorskip("torch", reason="training needs torch")

from edgernn.tasks.spot.train_streams import StreamTrainer, train_streams  # noqa: E402
from edgernn.tasks.spot.train_taught import Panel, check_teachers, taught_loss  # noqa: E402
from edgernn.tasks.spot.train_teachers import teacher_recipes  # noqa: E402

LABELS = ("stop", UNKNOWN)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_corpus(tmp_path_factory.mktemp("teaching") / "data", ("stop",))


@pytest.fixture(scope="module")
def teachers(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Two small nets, with a convolution whose batch norm is folded in the checkpoint."""
    folder = tmp_path_factory.mktemp("teachers")
    return [train_streams(replace(recipe(), seed=seed), data, folder / str(seed), QUIET, "cpu") for seed in (1, 2)]


def logs(count: int = 3, frames: int = 40) -> Any:
    return np.random.default_rng(7).integers(-3000, 9000, (count, frames, 20)).astype(np.int16)


def test_teachers_say_the_mean_of_what_each_says_of_every_step(teachers: list[Any]) -> None:
    x = logs()
    each = [1 / (1 + np.exp(-t.run(t.features(x)))) for t in teachers]
    assert np.abs(each[0] - each[1]).max() > 0.01, "two that say the same would prove nothing"
    said = Panel(teachers, torch.device("cpu")).posteriors(torch.from_numpy(x))
    assert said.shape == (3, 20, 2) and not said.requires_grad
    np.testing.assert_allclose(said.numpy(), np.mean(each, axis=0), atol=1e-5)


def test_the_loss_is_none_where_the_net_says_what_its_teachers_say() -> None:
    said = torch.tensor([[[0.2, 0.9], [0.5, 0.01]]])
    same = torch.logit(said).requires_grad_()
    loss = taught_loss(same, said)
    loss.backward()  # type: ignore[no-untyped-call]
    assert abs(loss.item()) < 1e-6 and same.grad is not None and same.grad.abs().max() < 1e-6
    sure = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]).repeat(4, 1, 1)
    assert math.isclose(taught_loss(torch.zeros_like(sure), sure).item(), 4 * math.log(2), rel_tol=1e-6), (
        "of a sequence, not all"
    )


def stream_trainer(data: Dataset, teachers: list[Any], **train: Any) -> StreamTrainer:
    asked_for = recipe(taught=0.5)
    asked_for = replace(asked_for, train=replace(asked_for.train, dropout=0.0, **train))
    return StreamTrainer(asked_for, data, LABELS, torch.device("cpu"), QUIET, teachers)


def test_teachers_take_their_share_of_the_loss(data: Dataset, teachers: list[Any]) -> None:
    alone, half = stream_trainer(data, []), stream_trainer(data, teachers, distill=0.25)
    batch = alone.draw(np.random.default_rng(3))
    own, parts = alone.loss(alone.net, batch)
    assert parts[2] == 0.0 and math.isclose(own.item(), parts[0] + parts[1], rel_tol=1e-6)
    whole, (said, quiet, taught) = half.loss(half.net, batch)
    assert (said, quiet) == parts[:2] and taught > 0
    assert math.isclose(whole.item(), 0.75 * (said + quiet) + 0.25 * 0.5 * taught, rel_tol=1e-6)


def test_teachers_hear_the_sound_without_the_masks_that_the_net_must_do_with(data: Dataset, teachers: list[Any]) -> None:
    masked = stream_trainer(data, teachers, band_masks=3, band_mask_bands=12, tilt=0.0)
    plain = stream_trainer(data, teachers, band_masks=0, tilt=0.0)
    (x, _, heard), (y, _, _) = (t.draw(np.random.default_rng(3)) for t in (masked, plain))
    assert heard.dtype == torch.int16 and not torch.equal(x, y)
    clean = (heard.numpy() - plain.mean) / plain.deviation
    np.testing.assert_allclose(np.clip(clean, -8, 8), np.clip(y.numpy(), -8, 8), atol=1e-3)


def test_a_net_that_is_taught_says_more_of_what_its_teachers_say(data: Dataset, teachers: list[Any], tmp_path: Path) -> None:
    panel, x = Panel(teachers, torch.device("cpu")), torch.from_numpy(logs(8))
    far = {}
    for share in (0.0, 1.0):
        asked_for = recipe(taught=1.0)
        asked_for = replace(asked_for, train=replace(asked_for.train, distill=share))
        net = train_streams(asked_for, data, tmp_path / str(share), QUIET, "cpu", teachers)
        said = torch.from_numpy(net.run(net.features(x.numpy())).astype(np.float32))
        far[share] = taught_loss(said, panel.posteriors(x)).item()
    assert far[1.0] < 0.8 * far[0.0], far


def test_a_training_on_streams_goes_on_with_its_own_teachers_only(data: Dataset, teachers: list[Any], tmp_path: Path) -> None:
    net = train_streams(recipe(), data, tmp_path / "run", QUIET, "cpu", teachers)
    assert net.source["teacher"] == " ".join(sorted(t.fingerprint for t in teachers))
    with pytest.raises(EdgernnError, match="trained with another teacher"):
        train_streams(recipe(), data, tmp_path / "run", QUIET, "cpu", teachers[:1])


def test_who_cannot_teach_is_refused(teachers: list[Any]) -> None:
    with pytest.raises(EdgernnError, match="teacher streams has other labels"):
        check_teachers(recipe(), ("go", UNKNOWN), teachers)
    asked_for = recipe()
    layers = (replace(asked_for.layers[0], options={**asked_for.layers[0].options, "stride": 1}), *asked_for.layers[1:])
    with pytest.raises(EdgernnError, match="teacher streams takes 2 frames a step, this net 1"):
        check_teachers(replace(asked_for, layers=layers), LABELS, teachers)
    deaf = replace(recipe(), frontend=replace(recipe().frontend, hop=160))
    with pytest.raises(EdgernnError, match="teacher streams has another front end"):
        check_teachers(deaf, LABELS, teachers)
    check_teachers(recipe(), LABELS, teachers)


def taught(count: int, **train: Any) -> Any:
    asked_for = recipe(taught=0.5)
    return replace(asked_for, train=replace(asked_for.train, teachers=count, distill=0.5, **train))


def test_a_recipe_trains_its_own_teachers_first_and_once(data: Dataset, tmp_path: Path) -> None:
    told: list[str] = []
    net = TASK.train(taught(2), data, tmp_path, lambda what, done, whole: told.append(what), "cpu", {})
    made = [load_checkpoint(tmp_path / "teachers" / str(i) / CHECKPOINT) for i in (0, 1)]
    assert net.source["teacher"] == " ".join(sorted(t.fingerprint for t in made)), "it learnt from those"
    assert [t.recipe.seed for t in made] == [0, 1] and not any(t.recipe.train.teachers for t in made)
    assert {what.split(":")[0] for what in told if what.startswith("teacher")} == {"teacher 1 of 2", "teacher 2 of 2"}
    assert told.index("teacher 1 of 2: training") < told.index("teacher 2 of 2: training") < told.index("training")

    before = {path: path.read_bytes() for path in (tmp_path / "teachers").rglob("*") if path.is_file()}
    (tmp_path / CHECKPOINT).unlink()
    told.clear()
    again = TASK.train(taught(2), data, tmp_path, lambda what, done, whole: told.append(what), "cpu", {})
    assert again.fingerprint == net.fingerprint and not any(what.startswith("teacher") for what in told)
    assert before == {path: path.read_bytes() for path in (tmp_path / "teachers").rglob("*") if path.is_file()}

    with pytest.raises(EdgernnError, match=r"teachers/0 holds a teacher of another recipe or other data; delete it"):
        TASK.train(taught(2, weight_decay=0.5), data, tmp_path, QUIET, "cpu", {})


def test_teachers_that_are_named_are_taken_instead(data: Dataset, teachers: list[Any], tmp_path: Path) -> None:
    teachers[0].save(tmp_path / "other" / CHECKPOINT)
    net = TASK.train(taught(2), data, tmp_path / "run", QUIET, "cpu", {"teacher": [str(tmp_path / "other")]})
    assert net.source["teacher"] == teachers[0].fingerprint and not (tmp_path / "run" / "teachers").exists()


def test_a_teacher_has_another_recipes_layers_and_this_ones_data() -> None:
    asked_for = replace(make_taught(), seed=2)
    made = teacher_recipes(asked_for)
    wake: Any = find_recipe("wake")
    assert [t.seed for t in made] == [6, 7, 8], "runs of two seeds share none"
    assert all(t.layers == wake.layers and t.train == wake.train for t in made)
    assert all(t.data == asked_for.data and t.data.keywords == ("hello",) for t in made)
    assert not teacher_recipes(replace(asked_for, train=replace(asked_for.train, teachers=0)))


def make_taught(**train: Any) -> Any:
    """The recipe wake-taught with a word of one's own."""
    found: Any = find_recipe("wake-taught")
    return replace(found, data=replace(found.data, keywords=("hello",)), train=replace(found.train, **train))


def test_teachers_that_cannot_be_trained_are_refused_before_anything_is() -> None:
    for name, words in (
        ("nowhere", "no recipe 'nowhere'"),
        ("dn-small", "taught_by = 'dn-small' is the recipe of denoise, not of a keyword spotter"),
        ("sc12-20k", "taught_by = 'sc12-20k' trains on clips, this recipe on streams"),
    ):
        with pytest.raises(EdgernnError, match=words):
            TASK.before_training(make_taught(taught_by=name), {})
    with pytest.raises(EdgernnError, match="teachers"):
        make_taught(teachers=-1)
    TASK.before_training(make_taught(), {})
