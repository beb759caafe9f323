"""Batches drawn by other processes: the same, in the same order, and what goes wrong there is said here."""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np
import pytest

from edgernn.errors import EdgernnError

torch = pytest.importorskip("torch", reason="training needs torch")
module: Any = importlib.import_module("edgernn.core.fresh_training")
ahead, workers = module.ahead, module.workers

GENERATORS = 24


def generators(seed: int = 3) -> list[np.random.Generator]:
    return np.random.default_rng([seed]).spawn(GENERATORS)


def drawn(rng: np.random.Generator) -> tuple[Any, int]:
    return torch.from_numpy(rng.standard_normal(50)), os.getpid()


@pytest.mark.parametrize("processes", [0, 1, 3])
def test_any_number_of_processes_draws_the_same_batches_in_the_same_order(processes: int) -> None:
    found = list(ahead(drawn, generators(), processes))
    assert len(found) == GENERATORS
    for (x, _), rng in zip(found, generators(), strict=True):
        assert torch.equal(x, torch.from_numpy(rng.standard_normal(50)))
    pids = {pid for _, pid in found}
    assert len(pids) == max(1, processes) and (os.getpid() in pids) == (processes == 0)


def test_a_few_batches_are_worth_no_process() -> None:
    few = generators()[: module.FEWEST_BATCHES - 1]
    assert {pid for _, pid in ahead(drawn, few, 2)} == {os.getpid()}


def test_an_epochs_batches_follow_its_generator_and_go_to_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(module.FreshTrainer):
        def draw(self, rng: np.random.Generator) -> Any:
            return torch.from_numpy(rng.standard_normal(3)), torch.ones(1)

        def loss(self, net: Any, batch: Any) -> Any:
            raise NotImplementedError

        def validate(self) -> Any:
            raise NotImplementedError

    t = Small.__new__(Small)
    t.batches_per_epoch, t.device = GENERATORS, torch.device("meta")
    assert all(x.device.type == y.device.type == "meta" for x, y in t.batches(np.random.default_rng([1])))
    t.device, found = torch.device("cpu"), {}
    for name, count in (("none", "0"), ("two", "2")):
        monkeypatch.setenv(module.VARIABLE, count)
        found[name] = [x for x, _ in t.batches(np.random.default_rng([1]))]
    assert all(torch.equal(a, b) for a, b in zip(found["none"], found["two"], strict=True))
    other = [x for x, _ in t.batches(np.random.default_rng([2]))]
    assert len({tuple(x.tolist()) for x in (*found["none"], *other)}) == 2 * GENERATORS


def test_the_number_of_processes_is_that_of_the_cores_or_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.VARIABLE, raising=False)
    for cores, wanted in ((1, 0), (2, 1), (4, 3), (64, module.MOST_WORKERS)):
        monkeypatch.setattr(module.os, "sched_getaffinity", lambda _, n=cores: set(range(n)))
        assert workers() == wanted
    monkeypatch.setenv(module.VARIABLE, "9")
    assert workers() == 9
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert workers() == 0
    for wrong in ("-1", "two", "1.5", "5000"):
        monkeypatch.setenv(module.VARIABLE, wrong)
        with pytest.raises(EdgernnError, match=f"EDGERNN_WORKERS is '{wrong}'"):
            workers()


def test_what_goes_wrong_in_a_process_is_said_here() -> None:
    def refused(rng: np.random.Generator) -> Any:
        raise EdgernnError("this recording is no more")

    with pytest.raises(EdgernnError, match="this recording is no more"):
        list(ahead(refused, generators(), 1))

    def killed(rng: np.random.Generator) -> Any:
        os.kill(os.getpid(), 9)

    with pytest.raises(EdgernnError, match=r"a process that draws batches ended .*EDGERNN_WORKERS=0"):
        list(ahead(killed, generators(), 1))
