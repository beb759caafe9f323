"""The quantized graph of a keyword spotter: front end, net and decision stage, from PCM to events."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import Int16, Output, SignalPath
from edgernn.core.graph_checks import need
from edgernn.core.primitives import Shape
from edgernn.signal.log_mel_graph import LogMelGraph
from edgernn.tasks.spot.decision import Decider, Decision


@dataclass(frozen=True, kw_only=True)
class SpotGraph(LogMelGraph):
    """A whole keyword spotter. Its file names no task, as it did when there was no other."""

    decision: Decision

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency in ms: window + smoothing; a sound counts in full once all N smoothed steps have heard it."""
        samples = self.frontend.window + self.decision.smoothing * self.step_samples
        return 1000.0 * samples / self.frontend.sample_rate

    @property
    def output_shape(self) -> Shape:
        """One score a label."""
        return 1, len(self.labels)

    @property
    def output(self) -> Output:
        """Label (-1: none), score (Q15), age (steps since it fired) of the step's event, and whether it is over."""
        return Output("int32", 4, ("label", "score", "age", "over"))

    def path(self) -> SpotPath:
        """Front end and decision stage."""
        return SpotPath(self)

    def task_description(self) -> dict[str, Any]:
        """Labels, front end and decision stage."""
        return {**self.front_end_description(), **self._said()}

    def about(self) -> dict[str, Any]:
        """Labels, front end with its affine, decision stage."""
        return {**self.about_front_end(), **self._said()}

    def _said(self) -> dict[str, Any]:
        decision = {**asdict(self.decision), "thresholds": list(self.decision.thresholds)}
        return {"labels": list(self.labels), "decision": decision}

    @classmethod
    def from_parts(cls, net: dict[str, Any], d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> SpotGraph:
        """See the base class."""
        decision = Decision(**{**d["decision"], "thresholds": tuple(d["decision"]["thresholds"])})
        return cls(**net, **cls.front_end_fields(d, tensors), labels=tuple(d["labels"]), decision=decision)

    def check_task(self) -> None:
        """Labels, thresholds, front end."""
        need(len(self.labels) >= 2 and all(isinstance(x, str) and x for x in self.labels), "needs at least two labels")
        need(len(set(self.labels)) == len(self.labels), f"labels repeat: {self.labels}")
        need(1 <= len(self.decision.thresholds) <= len(self.labels), "more thresholds than labels, or none")
        super().check_task()


class SpotPath(SignalPath):
    """Log-mel features in, events out."""

    def __init__(self, g: SpotGraph) -> None:
        self._front, self._decider = g.front_end(), Decider(g.decision)

    def reset(self) -> None:
        """Forget everything heard."""
        self._front.reset()
        self._decider.reset()

    def features(self, pcm: Int16) -> Int16:
        """Normalised log-mel energies."""
        return self._front.features(pcm)

    def finish(self, posteriors: Int16) -> NDArray[np.int32]:
        """Label, score, age and over of each step's event; -1 and zeros where there is none."""
        rows = []
        for row in posteriors:
            step, event = self._decider.step, self._decider.push(row)
            rows.append((event.label, event.score, step - event.step, int(event.over)) if event else (-1, 0, 0, 0))
        return np.array(rows, np.int32).reshape(len(rows), 4)
