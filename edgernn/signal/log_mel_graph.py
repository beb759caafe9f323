"""A graph that hears through the log-mel front end: its sizes, tables, bounds, and how they lie in the file (SPEC.md, 10)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.affine import Affine
from edgernn.core.graph import NetGraph
from edgernn.core.graph_checks import need
from edgernn.core.graph_file import build_affine, describe_affine, typed, whole_affine
from edgernn.signal.log_mel import FrontEndParams, FrontEndTables, LogMelStream

_TABLES = {"window": "int16", "cosine": "int16", "mel_start": "uint16", "mel_rise": "uint16"}
_PREFIX = "frontend."


@dataclass(frozen=True, kw_only=True)
class LogMelGraph(NetGraph):
    """The part of a graph that every task on this front end shares."""

    frontend: FrontEndParams
    tables: FrontEndTables

    @property
    def sample_rate(self) -> int:
        """Hz."""
        return self.frontend.sample_rate

    @property
    def bands(self) -> int:
        """Features of a frame."""
        return self.frontend.bands

    @property
    def frame_samples(self) -> int:
        """The front end's hop."""
        return self.frontend.hop

    @property
    def history_samples(self) -> int:
        """What a window reaches back beyond its hop."""
        return self.frontend.window - self.frontend.hop

    @property
    def front_end_id(self) -> int:
        """CRC-32 of all that makes log-mel energies of PCM: equal where two models can share them, whatever their affines."""
        p = self.frontend
        crc = zlib.crc32(np.array([p.sample_rate, p.window, p.hop, p.fft, p.bands, p.floor_log2], "<u4").tobytes())
        for table in self.task_tensors().values():
            crc = zlib.crc32(table.astype(table.dtype.newbyteorder("<")).tobytes(), crc)
        return crc

    def front_end(self) -> LogMelStream:
        """A new stream through the definition of the front end."""
        return LogMelStream(self.frontend, self.tables, self.affine)

    def task_tensors(self) -> dict[str, NDArray[Any]]:
        """The front end's tables."""
        return {_PREFIX + name: getattr(self.tables, name) for name in _TABLES}

    def front_end_description(self) -> dict[str, Any]:
        """What the file's JSON says; real numbers as float hex."""
        frontend = {k: v.hex() if isinstance(v, float) else v for k, v in asdict(self.frontend).items()}
        described = {**frontend, "affine": describe_affine(self.affine)}
        return {"frames_per_step": self.frames_per_step, "frontend": described}

    def about_front_end(self) -> dict[str, Any]:
        """What an exported model says, its affine included; real numbers as strings in C's `%a` form."""
        p = self.frontend
        numbers = {"bands": p.bands, "fft": p.fft, "floor_log2": p.floor_log2, "hop": p.hop, "window": p.window}
        ends = {"f_max": float(p.f_max).hex(), "f_min": float(p.f_min).hex()}
        return {"frontend": {**numbers, **ends, "affine": whole_affine(self.affine)}}

    @staticmethod
    def front_end_fields(d: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """The fields of this class, and the affine, of a file."""
        p: dict[str, Any] = {
            k: float.fromhex(v) if isinstance(v, str) else v for k, v in d["frontend"].items() if k != "affine"
        }
        affine: Affine = build_affine(d["frontend"]["affine"], tensors, _PREFIX)
        tables = FrontEndTables(**typed(tensors, _PREFIX, _TABLES))
        return {
            "frames_per_step": d["frames_per_step"], "frontend": FrontEndParams(**p), "tables": tables, "affine": affine,
        }  # fmt: skip

    def check_task(self) -> None:
        """What the proof that nothing overflows rests on: tables no larger than they are made."""
        p, t = self.frontend, self.tables
        need(1 <= self.frames_per_step <= 16, f"frames_per_step {self.frames_per_step} must lie in 1..16")
        need(t.window.shape == (p.window,) and t.cosine.shape == (3 * p.fft // 4,), "front-end tables have the wrong length")
        turn = t.cosine.astype(np.int64)
        norm = turn[: p.fft // 2] ** 2 + turn[p.fft // 4 :] ** 2
        need(bool(np.all(np.abs(norm - 2**30) <= 2**17)), "the cosine table is not one of cosines in Q15")
        start = t.mel_start.astype(np.int64)
        need(start.shape == (p.bands + 2,) and bool(np.all(np.diff(start) >= 0)), "mel_start must rise over bands + 2 entries")
        need(int(start[-1]) <= p.fft // 2 and t.mel_rise.shape == (start[-1] - start[0],), "mel filters lie outside the FFT")
        need(int(t.mel_rise.max(initial=0)) <= 4096, "mel_rise exceeds 4096 (Q12)")
