"""The definition, run as a stream: the whole model in NumPy, from PCM to what its task gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgernn.core.definition import IntegerNet
from edgernn.core.graph import NetGraph
from edgernn.core.qmath import Ints
from edgernn.core.trace import Trace
from edgernn.runtimes._base import Runtime


class NumpyRuntime(Runtime[NetGraph]):
    """See the module docstring."""

    name = "numpy"

    def __init__(self, graph: NetGraph) -> None:
        super().__init__(graph)
        self._net = IntegerNet(graph)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        super().reset()
        self._state = self._net.zero_state(1)

    def run_features(self, frames: NDArray[np.int16]) -> Trace:
        """Features [T, bands] through the net, continuing the stream."""
        per_step, rows = self.graph.frames_per_step, []
        for i in range(0, len(frames) - per_step + 1, per_step):
            values, self._state = self._net.step(frames[None, i : i + per_step], self._state)
            rows.append((values[self.graph.logits], values[self.graph.posteriors], *self._state.values()))
        return self._trace(frames, rows)

    def _trace(self, frames: NDArray[np.int16], rows: list[tuple[Ints, ...]]) -> Trace:
        g = self.graph
        names = [g.logits, g.posteriors, *(s.read for s in g.states)]
        columns = [
            np.array([row[i][0] for row in rows], dtype=g.values[n].dtype).reshape(len(rows), *g.values[n].shape)
            for i, n in enumerate(names)
        ]
        logits, posteriors = (c.reshape(len(rows), g.scores) for c in columns[:2])
        return Trace(frames, logits, posteriors, dict(zip(names[2:], columns[2:], strict=True)))


RUNTIME = NumpyRuntime
