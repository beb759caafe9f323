"""Training: schedule, averages, clipping, what is kept and what is refused; each number by hand or by a planted fault."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgernn.errors import EdgernnError
from edgernn.tasks.spot.recipe import SpotTrain

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from edgernn.core import training  # noqa: E402
from edgernn.tasks.spot import train as spotting  # noqa: E402

CPU = torch.device("cpu")


def settings(**changes: Any) -> Any:
    return replace(SpotTrain(epochs=2, learning_rate=0.1, weight_decay=0.0, warmup=0.0, clip_norm=1.0, average=0.5), **changes)


def number(parameter: Any) -> float:
    return float(parameter.detach())


def layer(weight: float) -> nn.Linear:
    net = nn.Linear(1, 1)
    with torch.no_grad():
        net.weight.fill_(weight)
        net.bias.zero_()
    return net


# Schedule and averages ---------------------------------------------------------------------------


def test_the_rate_rises_linearly_and_falls_as_a_cosine_to_a_hundredth() -> None:
    rates = [training.warm_cosine(i, 100, 0.2) for i in range(101)]
    assert rates[:3] == pytest.approx([1 / 20, 2 / 20, 3 / 20])
    assert rates[19] == rates[20] == 1.0
    assert rates[60] == pytest.approx(0.01 + 0.99 / 2)
    assert rates[100] == pytest.approx(0.01) == training.warm_cosine(150, 100, 0.2)
    assert np.all(np.diff(rates[20:]) < 0)
    assert training.warm_cosine(0, 0, 0.0) == 1.0


def test_weights_decay_only_in_matrices() -> None:
    groups = training.parameter_groups(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), 0.25)
    assert [(g["weight_decay"], sorted(p.ndim for p in g["params"])) for g in groups] == [(0.25, [2]), (0.0, [1, 1, 1])]


def test_the_average_follows_fast_at_first_then_by_its_decay() -> None:
    for done, decay, wanted in ((0, 0.999, 0.9), (10, 0.999, 0.45), (10**6, 0.9, 0.1), (5, 0.0, 1.0)):
        mean, net = layer(0.0), layer(1.0)
        training.follow(mean, net, decay, done)
        assert number(mean.weight) == pytest.approx(wanted, rel=1e-4), (done, decay)
    counted, net2 = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    net2.num_batches_tracked += 7
    training.follow(counted, net2, 0.9, 100)
    assert int(counted.num_batches_tracked) == 7, "whole numbers are taken over"


def test_gradients_are_clipped_and_their_own_norm_is_told() -> None:
    """A gradient of 3 and 4 has a norm of 5; clipped to 1 it moves by its direction alone (plain descent for once)."""
    net = layer(1.0)
    optimization = training.Optimization(net, settings(), 10)
    optimization._optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    optimization._schedule = torch.optim.lr_scheduler.LambdaLR(optimization._optimizer, lambda _: 1.0)
    value, norm = optimization.update((3 * net.weight + 4 * net.bias).sum(), 1)
    assert (value, norm) == (pytest.approx(3.0), pytest.approx(5.0))
    assert (number(net.weight), number(net.bias)) == (pytest.approx(1 - 0.6, abs=1e-4), pytest.approx(-0.8, abs=1e-4))
    again = optimization.update((3 * net.weight + 4 * net.bias).sum(), 1)[1]
    assert again == pytest.approx(5.0), "gradients of the update before do not add up"


def test_the_average_is_updated_with_every_step() -> None:
    net = layer(1.0)
    optimization = training.Optimization(net, settings(average=0.9), 10)
    optimization.update(net.weight.sum(), 1)
    assert number(optimization.average.weight) == pytest.approx(1 - 0.1 * (1 - 2 / 11), rel=1e-3)
    assert number(net.weight) == pytest.approx(0.9, rel=1e-3)
    optimization.update(net.weight.sum(), 1)
    assert optimization.rate == pytest.approx(0.1 * training.warm_cosine(2, 10, 0.0))


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan), (1.0, math.inf), (-math.inf, 1.0)]
)
def test_a_loss_or_a_gradient_that_is_no_number_ends_the_run(loss: float, norm: float) -> None:
    training.check_finite(1e30, 1e30, 3, 0.1, 1.0)
    with pytest.raises(EdgernnError, match=r"diverged in epoch 3 .*learning_rate = 0.1 or train.clip_norm = 2"):
        training.check_finite(loss, norm, 3, 0.1, 2.0)


def test_features_are_normalised_as_the_float_net_does() -> None:
    x = training.normalised(np.array([[0, 100, 32767, -32768]], np.int16), np.full(4, 50.0), np.array([25.0, 1.0, 8.0, 8.0]))
    assert x.tolist() == [[-2.0, 50 / 8, 8.0, -8.0]]


# What is kept ---------------------------------------------------------------------------


class Counting(training.Trainer):
    """Two batches an epoch that pull a weight down; validated by the average."""

    parts = ("double",)

    def __init__(self, seed: int = 0, depends: dict[str, str] | None = None, **changes: Any) -> None:
        torch.manual_seed(0)
        super().__init__({"seed": seed}, layer(1.0), settings(**changes), 2, CPU, depends or {"dataset": "d"})
        self.seen: list[float] = []
        self.modes: list[tuple[bool, bool]] = []

    def batches(self, rng: np.random.Generator) -> Any:
        for _ in range(2):
            self.seen.append(float(rng.random()) + float(torch.rand(1)))
            yield self.seen[-1]

    def loss(self, net: Any, batch: float) -> Any:
        self.modes.append((net.training, self.average.training))
        return (net.weight * batch).sum(), (2.0 * batch,)

    def validate(self) -> tuple[float, ...]:
        assert not self.average.training
        assert not torch.is_grad_enabled()
        return (number(self.average.weight),)


QUIET: Any = lambda *_: None  # noqa: E731


def test_an_epoch_follows_seed_and_number_alone(tmp_path: Path) -> None:
    whole, other = Counting(), Counting(seed=1)
    whole.net.eval()
    whole.run(tmp_path / "a", QUIET)
    other.run(tmp_path / "b", QUIET)
    assert len(set(whole.seen)) == 4 and not set(whole.seen) & set(other.seen)
    first = Counting(epochs=1)
    first.run(tmp_path / "c", QUIET)
    torch.manual_seed(999)
    second = Counting()
    second.resume(tmp_path / "c", lambda r: r == {"seed": 0})
    second.run(tmp_path / "c", QUIET)
    assert first.seen + second.seen == whole.seen
    assert whole.modes == [(True, True), (True, True), (True, False), (True, False)]


def test_a_resumed_optimizer_goes_on_with_its_moments(tmp_path: Path) -> None:
    whole, first, second = Counting(epochs=3), Counting(epochs=3), Counting(epochs=3)
    whole.run(tmp_path / "a", QUIET)
    first.epoch(QUIET)
    first.keep(tmp_path)
    assert second.resume(tmp_path, lambda _: True)
    second.run(tmp_path, QUIET)
    assert number(second.net.weight) == number(whole.net.weight)
    assert number(second.average.weight) == number(whole.average.weight)
    assert second.history == whole.history


def test_metrics_say_what_was_measured(tmp_path: Path) -> None:
    trainer = Counting()
    steps: list[tuple[int, int]] = []
    trainer.run(tmp_path, lambda _, done, total: steps.append((done, total)))
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    first, last = trainer.history
    assert (first["epoch"], last["epoch"]) == (1, 2)
    assert first["double"] == pytest.approx(2 * np.mean(trainer.seen[:2]))
    assert last["validation"] == pytest.approx(number(trainer.average.weight))
    assert first["gradient_norm"] == pytest.approx(np.mean(trainer.seen[:2]))
    assert first["gradient_norm_max"] == pytest.approx(max(trainer.seen[:2]))
    assert first["clipped"] == np.mean([x > 1 for x in trainer.seen[:2]])
    assert last["learning_rate"] == pytest.approx(0.1 * training.warm_cosine(4, 4, 0.0))
    always = Counting(clip_norm=0.01)
    always.epoch(QUIET)
    assert always.history[0]["clipped"] == 1
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0].split(",") == list(trainer.columns)
    assert len(lines) == 3


def test_nothing_but_tensors_and_plain_values_is_ever_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A progress file that would run code when it is read is refused, and its code is not run."""

    class Code:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    torch.save({"recipe": {}, "depends": {}, "x": Code()}, tmp_path / "progress.pt")
    with pytest.raises(EdgernnError, match="is damaged"):
        training.load_progress(tmp_path / "progress.pt", lambda _: True, CPU, {})
    optimization = training.Optimization(layer(1.0), settings(), 1)
    with pytest.raises(Exception, match=r"(?i)weights"):
        optimization.start_from(tmp_path / "progress.pt", CPU)
    assert not (tmp_path / "ran").exists()


def test_a_start_takes_the_averaged_weights(tmp_path: Path) -> None:
    kept = {"net": layer(5.0).state_dict(), "average": layer(3.0).state_dict()}
    torch.save(kept, tmp_path / "progress.pt")
    optimization = training.Optimization(layer(1.0), settings(), 1)
    optimization.start_from(tmp_path / "progress.pt", CPU)
    assert number(optimization.net.weight) == number(optimization.average.weight) == 3.0


def test_a_training_goes_on_only_as_what_it_was(tmp_path: Path) -> None:
    trainer = Counting(epochs=1)
    assert not trainer.resume(tmp_path, lambda _: True)
    trainer.run(tmp_path, QUIET)
    assert Counting().resume(tmp_path, lambda _: True)
    with pytest.raises(EdgernnError, match="belongs to another recipe"):
        Counting().resume(tmp_path, lambda r: r == {"seed": 1})
    with pytest.raises(EdgernnError, match=r"trained with another dataset \(d, now e\)"):
        Counting(depends={"dataset": "e"}).resume(tmp_path, lambda _: True)
    with pytest.raises(EdgernnError, match=r"trained with another teacher \(none, now t\)"):
        Counting(depends={"dataset": "d", "teacher": "t"}).resume(tmp_path, lambda _: True)
    assert Counting(depends={"dataset": "d", "teacher": ""}).resume(tmp_path, lambda _: True), "no teacher, then as now"
    (tmp_path / "progress.pt").write_bytes((tmp_path / "progress.pt").read_bytes()[:-100])
    with pytest.raises(EdgernnError, match="is damaged"):
        Counting().resume(tmp_path, lambda _: True)


# Keyword spotting ---------------------------------------------------------------------------


def spot_trainer(label: list[int], validation: Any, **changes: Any) -> Any:
    """A trainer with these validation scores, judged by the last of two steps."""
    t = spotting.SpotTrainer.__new__(spotting.SpotTrainer)
    recipe = SimpleNamespace(
        train=settings(**changes), decision=SimpleNamespace(clip_ms=1), steps=lambda _: 1, frames_per_step=2
    )
    t.recipe, t.device = recipe, CPU
    t.validation = spotting.Validation(torch.tensor(validation), torch.tensor(label))
    average = layer(0.0)
    average.forward = lambda x: (x, None)
    t.optimization = SimpleNamespace(average=average)
    t._since_best, t._best_score, t.best = 0, (-1.0, 0.0), {}
    t.epochs, t._epoch = 100, 1
    return t


def test_the_best_weights_are_those_of_the_best_validation_score_and_patience_counts_from_there() -> None:
    """Accuracy decides, then likelihood; a worse epoch changes nothing."""
    good, sure, unsure, bad = ([[[9.0, 0], [x, 0.0]], [[9.0, 0], [0.0, x]]] for x in (1.0, 3.0, 0.5, -1.0))
    t = spot_trainer([0, 1], good, patience=2)
    assert t.validate() == (1.0, pytest.approx(math.log(1 + math.exp(-1))))
    kept = dict(t.best)
    with torch.no_grad():
        t.average.weight.fill_(5.0)
    assert float(kept["weight"]) == 0.0, "a copy, not the weights that go on changing"
    t.validation = spotting.Validation(torch.tensor(bad), t.validation.label)
    assert t.validate()[0] == 0.0
    assert (t._since_best, t.finished, float(t.best["weight"])) == (1, False, 0.0)
    t.validation = spotting.Validation(torch.tensor(unsure), t.validation.label)
    assert t.validate()[0] == 1.0
    assert (t._since_best, t.finished) == (2, True), "as accurate but less likely is no better"
    t.validation = spotting.Validation(torch.tensor(sure), t.validation.label)
    t.validate()
    assert (t._since_best, float(t.best["weight"])) == (0, 5.0), "as accurate and likelier is better"


def test_targets_are_smoothed_and_shared_with_teachers() -> None:
    t = spot_trainer([0], [[[0.0, 0.0]]], label_smoothing=0.1, distill=0.75)
    t.labels = 4
    t.data = SimpleNamespace(label=np.array([2, 0]), soft=None)
    assert np.allclose(t._targets(np.array([0]), np.array([0])), [[0.025, 0.025, 0.925, 0.025]])
    soft = np.zeros((2, 2, 4), np.float32)
    soft[1, 0] = [0, 1, 0, 0]
    t.data = SimpleNamespace(label=np.array([2, 0]), soft=soft)
    found = t._targets(np.array([0]), np.array([1]))
    assert np.allclose(found, [[0.00625, 0.75625, 0.23125, 0.00625]]), "the copy's own answer, by its share"


def test_context_begins_at_whole_steps_and_only_for_its_share() -> None:
    t = spot_trainer([0], [[[0.0, 0.0]]], carried=0.5)
    t.data = SimpleNamespace(context=6)
    starts = [t._context_start(np.random.default_rng(i)) for i in range(300)]
    assert set(starts) == {0, 2, 4, 6}
    assert 0.4 < np.mean([s == 6 for s in starts]) < 0.6
    t.recipe.train = settings(carried=0.0)
    assert {t._context_start(np.random.default_rng(i)) for i in range(50)} == {6}


def test_the_clip_loss_is_cross_entropy_plus_a_share_of_the_binary_one() -> None:
    logits, target = torch.tensor([[[9.0, 9.0], [2.0, 0.0], [0.0, 0.0]]]), torch.tensor([[1.0, 0.0]])
    cross = math.log(1 + math.exp(-1))
    binary = math.log(1 + math.exp(-1)) + math.log(2)
    for share in (0.0, 0.5):
        found = float(spotting.clip_loss(logits, target, 2, settings(sigmoid_loss=share)))
        assert found == pytest.approx(cross + share * binary, rel=1e-5)


def test_masks_set_spans_of_the_clip_to_the_mean() -> None:
    """Of frames only the clip's own, of bands any; never longer than they may be, and in each clip another."""
    x, rng = torch.ones(200, 12, 10), np.random.default_rng(0)
    p = settings(time_masks=1, time_mask_frames=3, band_masks=0)
    gone = (spotting.mask(x, p, rng, 8) == 0).all(2)
    assert not gone[:, :4].any() and gone[:, 4].any() and gone[:, 11].any()
    assert sorted(set(gone.sum(1).tolist())) == [0, 1, 2, 3]
    p = settings(time_masks=0, band_masks=1, band_mask_bands=2)
    gone = (spotting.mask(x, p, rng, 8) == 0).all(1)
    assert sorted(set(gone.sum(1).tolist())) == [0, 1, 2]
    assert gone[:, 0].any() and gone[:, 9].any()
    off = settings(time_masks=0, band_masks=0)
    assert torch.equal(spotting.mask(x, off, rng, 8), x)


def test_mixing_and_tilting_do_nothing_when_off_and_mix_both_alike_when_on() -> None:
    x, target = torch.arange(24.0).reshape(6, 2, 2), torch.eye(6)
    rng = np.random.default_rng(3)
    assert all(torch.equal(a, b) for a, b in zip(spotting.mix(x, target, 0.0, rng), (x, target), strict=True))
    assert torch.equal(spotting.tilt(x, 0.0, rng), x)
    mixed, wanted = spotting.mix(x, target, 1.0, rng)
    assert torch.allclose(mixed[:, 0, 0], wanted @ x[:, 0, 0]), "a clip's features and its target have the same shares"
    assert torch.allclose(wanted.sum(1), torch.ones(6))
    assert not torch.equal(wanted, target)
    tilted = spotting.tilt(torch.zeros(500, 4, 21), 0.3, rng)
    assert torch.equal(tilted[:, 0], tilted[:, 3]), "the same in every frame"
    level = tilted[:, 0].mean(1)
    assert 0.25 < float(level.std()) < 0.35
