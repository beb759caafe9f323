"""Keywords as they are heard, and recordings of one's own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgernn.errors import EdgernnError
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16, stream_audio, write_wav
from edgernn.signal.live import in_steps, microphone
from edgernn.tasks.spot.graph import SpotGraph


def with_threshold(graph: SpotGraph, threshold: float | None) -> SpotGraph:
    """The graph with another threshold, 0 to 1, for every keyword; None leaves its own."""
    if threshold is None:
        return graph
    if not 0 < threshold < 1:
        raise EdgernnError(f"threshold {threshold} must lie between 0 and 1")
    thresholds = (min(32767, max(1, round(threshold * 32768))),) * len(graph.decision.thresholds)
    return replace(graph, decision=replace(graph.decision, thresholds=thresholds))


def detections(graph: SpotGraph, blocks: Iterator[Int16]) -> Iterator[dict[str, Any]]:
    """Keywords in a stream: time_s (seconds from the start, end of the step), label, score 0..1."""
    runtime, steps = make_runtime(fast_runtime(), graph), 0
    for block in in_steps(blocks, graph.step_samples):
        for label, score in runtime.process(block).tolist():
            steps += 1
            if label >= 0:
                seconds = steps / graph.steps_per_second
                yield {"time_s": round(seconds, 3), "label": graph.labels[label], "score": round(score / 32768, 4)}


def record(label: str, out: Path, count: int, seconds: float, speaker: str, source: str) -> Iterator[Path]:
    """Cut `count` pieces of `seconds` from a microphone, file or pipe into out/label/speaker_NNN.wav; yields each path."""
    if not label.strip() or "/" in label or label.startswith((".", "_")):
        raise EdgernnError(f"label {label!r} cannot name a folder; use the word itself")
    if count < 1 or not 0.2 <= seconds <= 10:
        raise EdgernnError(f"count {count} must be positive and seconds {seconds} between 0.2 and 10")
    blocks = stream_audio(source, SAMPLE_RATE) if source else microphone(SAMPLE_RATE)
    pieces = in_steps(blocks, round(seconds * SAMPLE_RATE))
    folder, taken = out / label, 0
    for block in pieces:
        for piece in block.reshape(-1, round(seconds * SAMPLE_RATE)):
            yield _keep(folder, speaker, piece)
            taken += 1
            if taken == count:
                return
    if not taken:
        raise EdgernnError(f"{source} is shorter than {seconds} s; nothing was recorded")


def _keep(folder: Path, speaker: str, piece: Int16) -> Path:
    """The next free name."""
    number = 0
    while (path := folder / f"{speaker}_{number:03d}.wav").exists():
        number += 1
    write_wav(path, piece)
    return path
