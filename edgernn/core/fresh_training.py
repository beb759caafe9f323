"""Training on batches drawn anew for every update, by processes that work ahead of it where there are cores for them."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset

from edgernn.core.training import Trainer
from edgernn.errors import EdgernnError

VARIABLE = "EDGERNN_WORKERS"
MOST_WORKERS = 4  #: unless asked for more
FEWEST_BATCHES = 16  #: of an epoch that is worth a process
_AHEAD = 2  # batches that each process has ready

Draw = Callable[[np.random.Generator], Any]


class FreshTrainer(Trainer):
    """An epoch's batches each follow a generator of their own: whatever number of processes draws them, they are the same."""

    @abstractmethod
    def draw(self, rng: np.random.Generator) -> Any:
        """One batch, tensors on the CPU: it has `to(device)`, or is a tuple of what has."""

    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """`batches_per_epoch` of them, on the trainer's device."""
        for batch in ahead(self.draw, rng.spawn(self.batches_per_epoch), workers()):
            yield tuple(x.to(self.device) for x in batch) if isinstance(batch, tuple) else batch.to(self.device)


def workers() -> int:
    """How many processes draw batches: $EDGERNN_WORKERS, or one for each core but the first, MOST_WORKERS at most.

    None where a process cannot be forked safely.
    """
    named = os.environ.get(VARIABLE, "")
    if named and not (named.isdecimal() and int(named) <= 1024):
        raise EdgernnError(f"{VARIABLE} is {named!r}; it takes a number of processes, 0 to 1024")
    if not sys.platform.startswith("linux"):
        return 0
    return int(named) if named else min(MOST_WORKERS, len(os.sched_getaffinity(0)) - 1)


def ahead(draw: Draw, generators: Sequence[np.random.Generator], processes: int) -> Iterator[Any]:
    """What `draw` gives for each generator, in their order, drawn by so many processes; 0: when it is asked for."""
    if not processes or len(generators) < FEWEST_BATCHES:
        yield from map(draw, generators)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")  # the user asked for so many
        loader: DataLoader[Any] = DataLoader(
            _Drawn(draw, generators), batch_size=None, collate_fn=_same, num_workers=processes, prefetch_factor=_AHEAD,
            multiprocessing_context="fork", worker_init_fn=_quiet,
        )  # fmt: skip
        batches = iter(loader)
    try:
        yield from batches
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        said = str(error).splitlines()[0]
        raise EdgernnError(f"a process that draws batches ended ({said}); set {VARIABLE}=0 to draw them in this one") from None


class _Drawn(Dataset[Any]):
    """Item i: what is drawn for generator i."""

    def __init__(self, draw: Draw, generators: Sequence[np.random.Generator]) -> None:
        self._draw, self._generators = draw, generators

    def __len__(self) -> int:
        return len(self._generators)

    def __getitem__(self, index: int) -> Any:
        return self._draw(self._generators[index])


def _same(batch: Any) -> Any:
    return batch


def _quiet(worker: int) -> None:
    """Ctrl-C is for the training, which ends its processes; they need not tell of it too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
