"""Sound at 16 kHz to the features of a recipe's front end, whole steps, each from reset."""

from __future__ import annotations

from edgernn.signal.audio import SAMPLE_RATE, Int16, resampled
from edgernn.signal.log_mel import FrontEndParams, make_tables
from edgernn.signal.native import NativeFrontEnd
from edgernn.tasks.spot.recipe import SpotRecipe


class Hearer:
    """See the module's text; `frontend`: another one than the recipe's own."""

    def __init__(self, recipe: SpotRecipe, frontend: FrontEndParams | None = None) -> None:
        chosen = frontend or recipe.frontend
        self._rate = chosen.sample_rate
        self._frontend = NativeFrontEnd(chosen, make_tables(chosen))
        self._per_step = recipe.frames_per_step

    def __call__(self, pcm: Int16) -> Int16:
        """PCM [n] -> log energies [T, bands]."""
        self._frontend.reset()
        logs = self._frontend(resampled(pcm, SAMPLE_RATE, self._rate))
        return logs[: len(logs) // self._per_step * self._per_step]
