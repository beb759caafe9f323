"""The quantized graph of a denoiser: signal path, net and gains, from PCM to PCM (SPEC.md, "Denoiser")."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import Int16, NetGraph, Output, SignalPath
from edgernn.core.graph_checks import need
from edgernn.core.graph_file import build_affine, describe_affine, typed, whole_affine
from edgernn.core.primitives import Shape
from edgernn.signal import stft
from edgernn.signal.stft import GAIN_ONE, StftParams, StftTables, make_tables

_TABLES = {"window": "int16", "cosine": "int32"}


@dataclass(frozen=True, kw_only=True)
class DenoiseGraph(NetGraph):
    """A whole denoiser. Its `posteriors` are the band gains, row by row; floor: the smallest gain, Q15."""

    stft: StftParams
    tables: StftTables
    floor: int
    posteriors: str = "gains"  # row by row

    task: ClassVar[str | None] = "denoise"

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.stft.sample_rate

    @property
    def bands(self) -> int:
        """Features of a frame, and gains."""
        return self.stft.bands

    @property
    def frame_samples(self) -> int:
        """PCM samples one step consumes, and gives."""
        return self.stft.hop

    @property
    def history_samples(self) -> int:
        """Half a window."""
        return self.stft.hop

    @property
    def latency_ms(self) -> float:
        """One window."""
        return self.stft.latency_ms

    @property
    def output_shape(self) -> Shape:
        """Rows of neighbouring bands, as the net made them; in row order they are the bands."""
        rows, columns = self.values[self.logits].shape if self.logits in self.values else (1, self.bands)
        return (rows, columns) if rows * columns == self.bands else (1, self.bands)

    @property
    def output(self) -> Output:
        """Denoised samples."""
        return Output("int16", self.stft.hop, ("pcm",))

    def path(self) -> DenoisePath:
        """Analysis and synthesis."""
        return DenoisePath(self)

    def task_tensors(self) -> dict[str, NDArray[Any]]:
        """The signal path's tables."""
        return {f"stft.{name}": getattr(self.tables, name) for name in _TABLES}

    def task_description(self) -> dict[str, Any]:
        """Signal path and gain floor."""
        return {"stft": {**asdict(self.stft), "affine": describe_affine(self.affine)}, "floor": self.floor}

    @classmethod
    def from_parts(cls, net: dict[str, Any], d: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> DenoiseGraph:
        """See the base class."""
        return cls(
            **net,
            stft=StftParams(**{k: v for k, v in d["stft"].items() if k != "affine"}),
            tables=StftTables(**typed(tensors, "stft.", _TABLES)),
            affine=build_affine(d["stft"]["affine"], tensors, "stft."),
            floor=d["floor"],
        )

    def about(self) -> dict[str, Any]:
        """Signal path with its affine, and the gain floor."""
        return {"task": self.task, "stft": {**asdict(self.stft), "affine": whole_affine(self.affine)}, "gain_floor": self.floor}

    def check_task(self) -> None:
        """What the proof of the signal path rests on: window and twiddles no larger than they are made."""
        p, t = self.stft, self.tables
        need(self.frames_per_step == 1, "a denoiser takes one frame a step")
        need(isinstance(self.floor, int) and 0 <= self.floor <= GAIN_ONE, f"gain floor {self.floor} must lie in 0..{GAIN_ONE}")
        need(t.window.shape == (p.window,) and t.cosine.shape == (3 * p.window // 4,), "stft tables have the wrong length")
        w = t.window.astype(np.int64)
        need(bool(np.all(w >= 0)), "the window has negative values")
        squares = w[: p.hop] ** 2 + w[p.hop :] ** 2
        need(bool(np.all(np.abs(squares - 2**30) <= 2**18)), "the window's squares half a window apart do not sum to 1")
        wanted = make_tables(p).cosine.astype(np.int64)
        need(bool(np.all(np.abs(t.cosine - wanted) <= 1)), "the cosine table is not one of cosines in Q31")


class DenoisePath(SignalPath):
    """Spectra and features in; gains meet the spectra, denoised PCM comes out one hop late."""

    def __init__(self, g: DenoiseGraph) -> None:
        self._graph = g
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        hop = self._graph.stft.hop
        self._history, self._overlap = np.zeros(hop, np.int16), np.zeros(hop, np.int32)

    def features(self, pcm: Int16) -> Int16:
        """Normalised log band powers; the spectra wait for their gains."""
        g = self._graph
        pcm = pcm[: len(pcm) // g.stft.hop * g.stft.hop]
        self._spectra = stft.analyze(pcm, g.stft, g.tables, self._history)
        self._history = np.concatenate([self._history, pcm])[-g.stft.hop :].astype(np.int16)
        return stft.features(*self._spectra, g.stft, g.affine)

    def finish(self, posteriors: Int16) -> Int16:
        """Denoised PCM [S, hop]."""
        g = self._graph
        gains = stft.floored(posteriors, g.floor)
        pcm, self._overlap = stft.synthesize(*self._spectra, gains, g.stft, g.tables, self._overlap)
        return pcm.reshape(-1, g.stft.hop)
