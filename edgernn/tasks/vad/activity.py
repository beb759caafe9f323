"""Where a sound is speech: stretches, as they end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import Int16
from edgernn.signal.live import in_steps
from edgernn.tasks.vad.graph import VadGraph


def stretches_of_speech(graph: VadGraph, blocks: Iterator[Int16]) -> Iterator[dict[str, Any]]:
    """Stretches as they end: begin_s, end_s (seconds from the start), confidence (mean posterior, 0..1).

    Both ends are as the detector tells them, at the end of a step; one that is open when the sound ends, ends there.
    """
    runtime, step = make_runtime(fast_runtime(), graph), 0
    begin, total = -1, 0
    for block in in_steps(blocks, graph.step_samples):
        trace = runtime.run(block)
        assert trace.output is not None  # `run` always gives one
        for active, posterior in zip(trace.output[:, 0].tolist(), trace.posteriors[:, 0].tolist(), strict=True):
            if begin >= 0 and not active:
                yield _stretch(graph, begin, step, total)
                begin = -1
            elif begin < 0 and active:
                begin, total = step, 0
            total += posterior
            step += 1
    if begin >= 0:
        yield _stretch(graph, begin, step, total)


def _stretch(graph: VadGraph, begin: int, end: int, total: int) -> dict[str, Any]:
    seconds = [round((x + 1) / graph.steps_per_second, 3) for x in (begin, end)]
    return {"begin_s": seconds[0], "end_s": seconds[1], "confidence": round(total / max(1, end - begin) / 32768, 3)}
