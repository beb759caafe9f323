"""The quantized graph of a voice-activity detector: front end, net and decision stage, from PCM to activity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import Int16, Output, SignalPath
from edgernn.core.primitives import Shape
from edgernn.signal.log_mel_graph import LogMelGraph
from edgernn.tasks.vad.decision import Decider, Gate


@dataclass(frozen=True, kw_only=True)
class VadGraph(LogMelGraph):
    """A whole detector; delay_ms: how long ago the posterior speaks of, for programs that want to put it right."""

    decision: Gate
    delay_ms: float

    task: ClassVar[str | None] = "vad"

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in ms: a window, the delay the net was trained with, and the steps before speech begins."""
        window = 1000.0 * self.frontend.window / self.frontend.sample_rate
        return window + self.delay_ms + (self.decision.attack - 1) * self.step_ms

    @property
    def output_shape(self) -> Shape:
        """One score."""
        return 1, 1

    @property
    def output(self) -> Output:
        """1 while there is speech."""
        return Output("int16", 1, ("active",))

    def path(self) -> VadPath:
        """Front end and decision stage."""
        return VadPath(self)

    def task_description(self) -> dict[str, Any]:
        """Front end, decision stage, delay."""
        return {**self.front_end_description(), **self._said()}

    def about(self) -> dict[str, Any]:
        """What runs the net: task, front end with its affine, decision stage, delay."""
        return {"task": "vad", **self.about_front_end(), **self._said()}

    def _said(self) -> dict[str, Any]:
        return {"decision": asdict(self.decision), "delay_ms": self.delay_ms.hex()}

    @classmethod
    def from_parts(cls, net: dict[str, Any], d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> VadGraph:
        """See the base class."""
        delay = float.fromhex(d["delay_ms"])
        return cls(**net, **cls.front_end_fields(d, tensors), decision=Gate(**d["decision"]), delay_ms=delay)


class VadPath(SignalPath):
    """Log-mel features in, activity out."""

    def __init__(self, g: VadGraph) -> None:
        self._front, self._decider = g.front_end(), Decider(g.decision)

    def reset(self) -> None:
        """Forget everything heard."""
        self._front.reset()
        self._decider.reset()

    def features(self, pcm: Int16) -> Int16:
        """Normalised log-mel energies."""
        return self._front.features(pcm)

    def finish(self, posteriors: Int16) -> Int16:
        """1 where there is speech, [S, 1]."""
        return np.array([[self._decider.push(int(p))] for p in posteriors[:, 0]], np.int16).reshape(-1, 1)
