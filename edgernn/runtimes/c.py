"""The exported C, compiled for this host and called from Python: the firmware's own code at the speed of the host."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn.decision import Event
from edgernn.denoise.graph import DenoiseGraph
from edgernn.errors import EdgernnError
from edgernn.graph import Graph, NetGraph
from edgernn.hostcc import cache_dir, shared_library
from edgernn.runtimes._base import Denoiser, Int16, Runtime, Trace
from firmware_export.emit import RUNTIME_SOURCES, export_c
from firmware_export.emit_denoise import RUNTIME_SOURCES as DENOISER_SOURCES
from firmware_export.emit_denoise import export_denoiser_c
from firmware_export.plan import state_fields


class _CNet(Runtime[NetGraph]):
    """What the C of every task offers: features, the net alone, and the firmware's self-test; one state struct per object."""

    name = "c"

    def __init__(self, graph: NetGraph, library: ctypes.CDLL) -> None:
        super().__init__(graph)
        self._library = library
        self._library.sim_state_bytes.restype = ctypes.c_size_t
        # an int64 array is aligned for whatever the state of a task holds
        self._state = np.zeros(-(-self._library.sim_state_bytes() // 8), np.int64)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._library.sim_reset(self._state.ctypes)

    def features(self, pcm: Int16) -> Int16:
        """PCM [n] -> normalised features [n // frame_samples, bands], continuing the stream."""
        pcm = np.ascontiguousarray(pcm, np.int16)
        out = np.zeros((len(pcm) // self.graph.frame_samples, self.graph.bands), np.int16)
        self._library.sim_features(self._state.ctypes, pcm.ctypes, ctypes.c_size_t(len(out)), out.ctypes)
        return out

    def run_features(self, frames: Int16) -> Trace:
        """Features [T, bands] -> trace, continuing the stream."""
        steps = len(frames) // self.graph.frames_per_step
        frames = np.ascontiguousarray(frames, np.int16)
        logits, posteriors = self._outputs(steps)
        fields = state_fields(self.graph)
        # a net without state has a placeholder of two bytes
        width = -(-sum(f.count * (2 if f.ctype == "int16_t" else 1) for f in fields) // 2) * 2 or 2
        net = np.zeros((steps, width), np.uint8)
        self._library.sim_net(
            self._state.ctypes, frames.ctypes, ctypes.c_size_t(steps), logits.ctypes, posteriors.ctypes, net.ctypes
        )
        return Trace(frames, logits, posteriors, split_states(self.graph, net))

    def self_test(self) -> int:
        """The firmware's self-test on this host; 0 when it passes."""
        return int(self._library.sim_self_test(self._state.ctypes))

    def _outputs(self, steps: int) -> tuple[Int16, Int16]:
        shape = (steps, self.graph.scores)
        return np.zeros(shape, np.int16), np.zeros(shape, np.int16)


class CRuntime(_CNet):
    """A keyword spotter: `model.h` and the runtime as a shared library."""

    def __init__(self, graph: Graph, flags: tuple[str, ...] = ("-O3",)) -> None:
        folder = _folder(graph)
        export_c(graph, folder)
        super().__init__(graph, _compile("simulator.c", RUNTIME_SOURCES, folder, flags))
        self._library.sim_process.restype = ctypes.c_size_t

    def process(self, pcm: Int16) -> tuple[Int16, Int16, list[Event]]:
        """PCM [n] -> logits, posteriors [steps, labels] and events, as the firmware computes them, continuing the stream."""
        pcm = np.ascontiguousarray(pcm, np.int16)
        steps = len(pcm) // self.graph.step_samples
        logits, posteriors = self._outputs(steps)
        events = (_Event * (steps + 1))()
        fired = self._library.sim_process(
            self._state.ctypes, pcm.ctypes, ctypes.c_size_t(steps), logits.ctypes, posteriors.ctypes, events
        )
        return logits, posteriors, [Event(e.step, e.label, e.score) for e in events[:fired]]


class CDenoiser(_CNet, Denoiser):
    """A denoiser: `denoise.h` and the runtime as a shared library."""

    def __init__(self, graph: DenoiseGraph, flags: tuple[str, ...] = ("-O3",)) -> None:
        folder = _folder(graph)
        export_denoiser_c(graph, folder)
        super().__init__(graph, _compile("simulator_denoise.c", DENOISER_SOURCES, folder, flags))

    def denoise(self, pcm: Int16) -> Int16:
        """See `Denoiser`."""
        steps = len(pcm) // self.graph.step_samples
        pcm = np.ascontiguousarray(pcm[: steps * self.graph.step_samples], np.int16)
        out = np.zeros_like(pcm)
        self._library.sim_denoise(self._state.ctypes, pcm.ctypes, out.ctypes, ctypes.c_size_t(steps))
        return out


class _Event(ctypes.Structure):
    """`ern_event`."""

    _fields_ = [("label", ctypes.c_int32), ("score", ctypes.c_int32), ("step", ctypes.c_uint32)]


def split_states(g: NetGraph, net: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """Raw bytes [S, n] of the state struct's `net` member -> carried arrays [S, R, C], in the graph's order."""
    out, offset = {}, 0
    for f in state_fields(g):
        dtype = np.dtype(f.ctype.removesuffix("_t")).newbyteorder("<")
        size = f.count * dtype.itemsize
        raw = np.ascontiguousarray(net[:, offset : offset + size])
        out[f.value] = raw.view(dtype).reshape(len(net), *g.values[f.value].shape)
        offset += size
    return {s.read: out[s.read] for s in g.states}


def _folder(graph: NetGraph) -> Path:
    """Where the exported C is kept, under the graph's id."""
    return cache_dir() / f"graph-{graph.id[:24]}"


def _compile(simulator: str, sources: Sequence[str], folder: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    """Compile the exported C with the loops around it, load it."""
    loops = Path(str(files("edgernn") / "runtimes" / simulator))
    return shared_library([loops, *(folder / name for name in sources)], [folder], flags)


def make(graph: NetGraph, flags: tuple[str, ...] = ("-O3",)) -> CRuntime | CDenoiser:
    """The runtime that suits the graph's task."""
    if isinstance(graph, DenoiseGraph):
        return CDenoiser(graph, flags)
    if isinstance(graph, Graph):
        return CRuntime(graph, flags)
    raise EdgernnError(f"no C for a graph for {graph.task}")


RUNTIME = make
