"""The exported C, compiled for this host and called from Python: the firmware's own code at the speed of the host.

Where there is a kernel for the host's processor it is taken, with the same bits.

The C side of one stream is one block of memory. NumPy arrays are laid over its buffers once, so a single step costs one
foreign call with one argument and no conversion (`Stepper`).
"""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.trace import Trace
from edgernn.hostcc import cache_dir, host_core, shared_library
from edgernn.runtimes._base import Int16, Runtime
from edgernn.tasks import task_of
from firmware_export.emit import HOST_DRIVER, c_sources, export_c
from firmware_export.kernels import PLAIN, Kernel, find_kernel
from firmware_export.plan import net_bytes, split_states

PREFIX = "model"  #: of the C names that the harnesses expect
_PCM, _OUTPUT, _FEATURES, _LOGITS, _POSTERIORS = range(5)


class Stepper:
    """One step at a time: fill `pcm` and call `step()`, or `features` and `net_step()`; the results lie in the other arrays.

    pcm int16 [step_samples]; features int8 or int16 [frames, bands]; logits, posteriors int16 [scores]; output [width]. They
    are views of the stream's own memory: copy what is to outlive the next step.
    """

    def __init__(self, graph: NetGraph, library: ctypes.CDLL, memory: NDArray[np.uint8]) -> None:
        def view(what: int, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
            begin, size = library.sim_offset(what), int(np.prod(shape)) * np.dtype(dtype).itemsize
            return memory[begin : begin + size].view(dtype).reshape(shape)

        self._memory = memory  # the views keep it alive, and so does this
        self.pcm: Int16 = view(_PCM, "int16", (graph.step_samples,))
        self.features = view(_FEATURES, f"int{graph.affine.bits}", (graph.frames_per_step, graph.bands))
        self.logits: Int16 = view(_LOGITS, "int16", (graph.scores,))
        self.posteriors: Int16 = view(_POSTERIORS, "int16", (graph.scores,))
        self.output = view(_OUTPUT, graph.output.dtype, (graph.output.width,))
        address = ctypes.c_void_p(memory.ctypes.data)
        self.step = functools.partial(library.sim_step, address)
        self.net_step = functools.partial(library.sim_net_step, address)


class CRuntime(Runtime[NetGraph]):
    """The header of the graph's task and the runtime as a shared library; one stream an object.

    kernel: a name, "plain", or "auto", the one for this processor where there is one; without it $EDGERNN_KERNEL, or auto.
    """

    name = "c"

    def __init__(self, graph: NetGraph, flags: tuple[str, ...] = ("-O3",), kernel: str = "") -> None:
        super().__init__(graph)
        wanted = kernel or os.environ.get("EDGERNN_KERNEL") or "auto"
        self._library = _compile(graph, flags, find_kernel(wanted, host_core()))
        size = self._library.sim_bytes()
        # memory aligned for whatever the state of a task holds
        self._memory = np.zeros(-(-size // 8), np.int64).view(np.uint8)
        self._stream = ctypes.c_void_p(self._memory.ctypes.data)
        self.stepper = Stepper(graph, self._library, self._memory)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        self._library.sim_reset(self._stream)

    def features(self, pcm: Int16) -> Int16:
        """PCM [n], whole steps of it -> normalised features [steps * frames_per_step, bands], continuing the stream."""
        pcm, steps = self._whole(pcm)
        out = np.zeros((steps * self.graph.frames_per_step, self.graph.bands), np.int16)
        self._library.sim_features(self._stream, pcm.ctypes, ctypes.c_size_t(steps), out.ctypes)
        return out

    def run_features(self, frames: Int16) -> Trace:
        """Features [T, bands] -> trace, continuing the stream."""
        steps = len(frames) // self.graph.frames_per_step
        frames = np.ascontiguousarray(frames, np.int16)
        logits, posteriors, net = self._results(steps)
        self._library.sim_net(self._stream, frames.ctypes, ctypes.c_size_t(steps), logits.ctypes, posteriors.ctypes, net.ctypes)
        return Trace(frames, logits, posteriors, split_states(self.graph, net))

    def run(self, pcm: Int16) -> Trace:
        """PCM [n] -> trace of n // step_samples steps with what the task gives, as the firmware computes them."""
        pcm, steps = self._whole(pcm)
        g = self.graph
        features = np.zeros((steps * g.frames_per_step, g.bands), np.int16)
        output = np.zeros((steps, g.output.width), g.output.dtype)
        logits, posteriors, net = self._results(steps)
        self._library.sim_run(
            self._stream, pcm.ctypes, ctypes.c_size_t(steps), features.ctypes, logits.ctypes, posteriors.ctypes, net.ctypes,
            output.ctypes,
        )  # fmt: skip
        return Trace(features, logits, posteriors, split_states(g, net), output)

    def process(self, pcm: Int16) -> NDArray[Any]:
        """PCM [n] -> what the task gives of each step, [n // step_samples, width], continuing the stream."""
        if len(pcm) == len(self.stepper.pcm):  # a live stream's case: no pointer is made, nothing converted
            self.stepper.pcm[:] = pcm
            self.stepper.step()
            return self.stepper.output[None].copy()
        pcm, steps = self._whole(pcm)
        output = np.zeros((steps, self.graph.output.width), self.graph.output.dtype)
        self._library.sim_process(self._stream, pcm.ctypes, ctypes.c_size_t(steps), output.ctypes)
        return output

    def self_test(self) -> int:
        """The firmware's self-test on this host; 0 when it passes."""
        return int(self._library.sim_self_test(self._stream))

    def _whole(self, pcm: Int16) -> tuple[Int16, int]:
        """The whole steps of PCM in one piece, and how many they are."""
        steps = len(pcm) // self.graph.step_samples
        return np.ascontiguousarray(pcm[: steps * self.graph.step_samples], np.int16), steps

    def _results(self, steps: int) -> tuple[Int16, Int16, NDArray[np.uint8]]:
        """Logits, posteriors, and the state struct's carried bytes."""
        scores = (steps, self.graph.scores)
        return np.zeros(scores, np.int16), np.zeros(scores, np.int16), np.zeros((steps, net_bytes(self.graph)), np.uint8)


def _compile(graph: NetGraph, flags: tuple[str, ...], kernel: Kernel | None) -> ctypes.CDLL:
    """The graph's C with its task's harness as a library, under the graph's id and the kernel's name in the cache."""
    task = task_of(graph)
    folder = cache_dir() / f"graph-{graph.id[:24]}-{kernel.name if kernel else PLAIN}"
    export_c(graph, folder, PREFIX, kernel)
    sources = [task.harness(), *(folder / name for name in c_sources(task, kernel))]
    library = shared_library(sources, [folder, HOST_DRIVER], (*flags, *(kernel.flags if kernel else ())))
    library.sim_bytes.restype = library.sim_offset.restype = ctypes.c_size_t
    library.sim_step.restype = library.sim_net_step.restype = None
    return library


RUNTIME = CRuntime
