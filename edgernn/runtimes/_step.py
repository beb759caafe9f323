"""Runtimes that compute one time step at a time in another interpreter; the front end is the definition's."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.trace import Trace
from edgernn.runtimes._base import Int16, Runtime

State = Mapping[str, NDArray[np.generic]]


class StepRuntime(Runtime[NetGraph]):
    """A runtime whose interpreter takes features and state, and gives scores and the next state."""

    def __init__(self, graph: NetGraph) -> None:
        super().__init__(graph)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        super().reset()
        values = self.graph.values
        self._state: State = {s.read: np.zeros(values[s.read].shape, values[s.read].dtype) for s in self.graph.states}

    @abstractmethod
    def step(self, frames: Int16, state: State) -> tuple[Int16, Int16, State]:
        """Frames [F, bands] and state by the name it is read by -> logits [labels], posteriors [labels], next state."""

    def run_features(self, frames: Int16) -> Trace:
        """Features [T, bands] through the net, continuing the stream."""
        g, rows, states = self.graph, [], []
        for i in range(0, len(frames) - g.frames_per_step + 1, g.frames_per_step):
            logits, posteriors, self._state = self.step(frames[i : i + g.frames_per_step], self._state)
            rows.append((logits, posteriors))
            states.append(self._state)
        scores = [np.array([row[i] for row in rows], np.int16).reshape(len(rows), g.scores) for i in (0, 1)]
        return Trace(frames, scores[0], scores[1], {s.read: self._stacked(s.read, states) for s in g.states})

    def _stacked(self, name: str, states: list[State]) -> NDArray[np.generic]:
        value = self.graph.values[name]
        return np.array([state[name] for state in states], value.dtype).reshape(len(states), *value.shape)
