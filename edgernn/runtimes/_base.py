"""What every runtime offers: a stream that continues from call to call, and a full trace of what it computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgernn.graph import NetGraph

Int16 = NDArray[np.int16]


@dataclass(frozen=True)
class Trace:
    """One run of S steps.

    features int16 [T, bands]; logits, posteriors int16 [S, labels], of a denoiser [S, bands], where posteriors are the gains;
    states: name -> int8/int16 [S, R, C] after each step.
    """

    features: Int16
    logits: Int16
    posteriors: Int16
    states: Mapping[str, NDArray[np.generic]]

    def arrays(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Everything comparable, by name."""
        yield "features", self.features
        yield "logits", self.logits
        yield "posteriors", self.posteriors
        yield from self.states.items()

    def differing(self, other: Trace) -> dict[str, int]:
        """Entries that differ, by array; a missing array or another shape counts whole."""
        theirs = dict(other.arrays())
        return {name: _differing(a, theirs.get(name)) for name, a in self.arrays()}

    def first_difference(self, other: Trace, frames_per_step: int) -> tuple[int, str] | None:
        """(step, name) of the first entry that differs; on equal steps the first of `arrays`. Shapes must agree."""
        theirs, found = dict(other.arrays()), []
        for name, a in self.arrays():
            rows = np.flatnonzero(np.any(a != theirs[name], axis=tuple(range(1, a.ndim))))
            if len(rows):
                found.append((int(rows[0]) // (frames_per_step if name == "features" else 1), name))
        return min(found, key=lambda x: x[0], default=None)


def _differing(a: NDArray[np.generic], b: NDArray[np.generic] | None) -> int:
    if b is None or a.shape != b.shape:
        return max(1, a.size)
    return int(np.count_nonzero(a != b))


class FrontEnd:
    """The definition's front end with its carried samples, for every runtime that has none of its own."""

    def __init__(self, graph: NetGraph) -> None:
        self._graph = graph
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._history = np.zeros(self._graph.history_samples, np.int16)

    def __call__(self, pcm: Int16) -> Int16:
        """PCM [n] -> normalised features [n // frame_samples, bands], continuing the stream."""
        g = self._graph
        out = g.features(pcm, self._history)
        heard = np.concatenate([self._history, pcm[: len(out) * g.frame_samples]])
        self._history = heard[len(heard) - len(self._history) :].astype(np.int16)
        return out


GraphT = TypeVar("GraphT", bound=NetGraph)


class Runtime(ABC, Generic[GraphT]):
    """A quantized model somewhere: NumPy, C on this host, or another interpreter.

    file_bytes: size of the exported model file, None where there is no such file.
    """

    name: str
    file_bytes: int | None = None

    def __init__(self, graph: GraphT) -> None:
        self.graph = graph

    @property
    def arena_bytes(self) -> int | None:
        """Working memory the interpreter was measured to need; None where that is not a question."""
        return None

    @abstractmethod
    def reset(self) -> None:
        """Forget everything heard."""

    @abstractmethod
    def features(self, pcm: Int16) -> Int16:
        """PCM [n] -> normalised features [n // frame_samples, bands], continuing the stream."""

    @abstractmethod
    def run_features(self, frames: Int16) -> Trace:
        """Features [T, bands] -> trace, continuing the stream."""

    def run(self, pcm: Int16) -> Trace:
        """PCM [n] -> trace of n // step_samples steps, continuing the stream."""
        whole = len(pcm) // self.graph.step_samples * self.graph.step_samples
        return self.run_features(self.features(pcm[:whole]))


class Denoiser(Runtime[NetGraph]):
    """A runtime of a denoiser that goes the whole way, from sound to sound."""

    @abstractmethod
    def denoise(self, pcm: Int16) -> Int16:
        """PCM [n] -> denoised PCM [n // hop * hop], one window late, continuing the stream."""
