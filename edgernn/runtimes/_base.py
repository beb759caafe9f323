"""What every runtime offers: a stream that continues from call to call, and a full trace of what it computed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.trace import Trace

Int16 = NDArray[np.int16]
GraphT = TypeVar("GraphT", bound=NetGraph)


class Runtime(ABC, Generic[GraphT]):
    """A quantized model somewhere: NumPy, C on this host, or another interpreter.

    Where a runtime has no signal path of its own it takes the definition's. file_bytes: size of the exported model file,
    None where there is no such file.
    """

    name: str
    file_bytes: int | None = None

    def __init__(self, graph: GraphT) -> None:
        self.graph = graph
        self._path = graph.path()

    @property
    def arena_bytes(self) -> int | None:
        """Working memory the interpreter was measured to need; None where that is not a question."""
        return None

    def reset(self) -> None:
        """Forget everything heard."""
        self._path.reset()

    def features(self, pcm: Int16) -> Int16:
        """PCM [n], whole steps of it -> normalised features [steps * frames_per_step, bands], continuing the stream."""
        return self._path.features(pcm[: len(pcm) // self.graph.step_samples * self.graph.step_samples])

    @abstractmethod
    def run_features(self, frames: Int16) -> Trace:
        """Features [T, bands] -> trace without output, continuing the net's stream."""

    def run(self, pcm: Int16) -> Trace:
        """PCM [n] -> trace of n // step_samples steps with what the task gives, continuing the stream."""
        trace = self.run_features(self.features(pcm))
        return replace(trace, output=self._path.finish(trace.posteriors))

    def process(self, pcm: Int16) -> NDArray[Any]:
        """PCM [n] -> what the task gives of each step, [n // step_samples, width], continuing the stream."""
        output = self.run(pcm).output
        assert output is not None  # `run` always gives one
        return output
