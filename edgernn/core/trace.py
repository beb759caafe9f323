"""Everything a run computed, so that backends can be compared entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int16 = NDArray[np.int16]


@dataclass(frozen=True)
class Trace:
    """One run of S steps.

    features int16 [T, bands]; logits, posteriors int16 [S, scores]; states: name -> int8/int16 [S, R, C] after each step;
    output: what the task gives, [S, width] (`NetGraph.output`), None where only the net was run.
    """

    features: Int16
    logits: Int16
    posteriors: Int16
    states: Mapping[str, NDArray[np.generic]]
    output: NDArray[Any] | None = None

    def arrays(self) -> Iterator[tuple[str, NDArray[np.generic]]]:
        """Everything comparable, by name."""
        yield "features", self.features
        yield "logits", self.logits
        yield "posteriors", self.posteriors
        yield from self.states.items()
        if self.output is not None:
            yield "output", self.output

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
