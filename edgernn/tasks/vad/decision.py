"""The decision stage: posteriors to activity, integers only (SPEC.md, 16).

Speech begins once the posterior has been at `on` or above for `attack` steps in a row, lasts `hold` steps at least, and ends
once the posterior has been below `off` for `release` steps in a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError

MOST_STEPS = 30_000


@dataclass(frozen=True)
class Gate:
    """on, off: posteriors in Q15, off <= on; attack, hold, release: steps."""

    on: int
    off: int
    attack: int
    hold: int
    release: int

    def __post_init__(self) -> None:
        """Refuse what the C stage has no room for, and what could never end."""
        steps = {"attack": self.attack, "hold": self.hold, "release": self.release}
        for name, value in (("on", self.on), ("off", self.off), *steps.items()):
            if type(value) is not int:
                raise EdgernnError(f"decision: {name} = {value!r} must be an integer")
        if not 1 <= self.off <= self.on <= 32767:
            raise EdgernnError(f"decision: off = {self.off} and on = {self.on} must satisfy 1 <= off <= on <= 32767 (Q15)")
        for name, value in steps.items():
            if not 1 <= value <= MOST_STEPS:
                raise EdgernnError(f"decision: {name} = {value} must lie in 1..{MOST_STEPS} steps")


class Decider:
    """The rule with its carried state: whether there is speech, for how many steps, and how many in a row speak against it."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.reset()

    def reset(self) -> None:
        """Silence."""
        self._active, self._age, self._count = False, 0, 0

    def push(self, posterior: int) -> bool:
        """One step's posterior Q15 -> whether there is speech."""
        g = self._gate
        against = posterior < g.off if self._active else posterior >= g.on
        self._count = min(self._count + 1, MOST_STEPS) if against else 0
        self._age = min(self._age + 1, MOST_STEPS)
        if self._active:
            ends = self._count >= g.release and self._age >= g.hold
            self._active, self._count = not ends, 0 if ends else self._count
        elif self._count >= g.attack:
            self._active, self._count, self._age = True, 0, 0
        return self._active


def activity(posteriors: NDArray[np.int16], gate: Gate) -> NDArray[np.bool_]:
    """Whether there is speech in each step of a stream of posteriors Q15 [S] from reset."""
    decider = Decider(gate)
    return np.array([decider.push(int(p)) for p in posteriors], bool)
