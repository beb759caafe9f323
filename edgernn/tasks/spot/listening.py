"""Keywords as they are heard, and recordings of one's own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from edgernn.artifacts import check_file_name
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


class Detection(NamedTuple):
    """A keyword that was heard: seconds from the start of the stream to the end of its step, the word, score 0..1."""

    time_s: float
    label: str
    score: float


def detections_in(graph: SpotGraph, output: NDArray[Any], begin: int) -> list[Detection]:
    """Those of the outputs (label, score) [S, 2] of steps `begin` and on."""
    return [
        Detection(round((begin + i + 1) / graph.steps_per_second, 3), graph.labels[label], round(score / 32768, 4))
        for i, (label, score) in enumerate(output.tolist())
        if label >= 0
    ]


def detections(graph: SpotGraph, blocks: Iterator[Int16]) -> Iterator[Detection]:
    """Keywords in a stream, as they are heard."""
    runtime, steps = make_runtime(fast_runtime(), graph), 0
    for block in in_steps(blocks, graph.step_samples):
        output = runtime.process(block)
        yield from detections_in(graph, output, steps)
        steps += len(output)


def record(label: str, out: Path, count: int, seconds: float, speaker: str, source: str) -> Iterator[Path]:
    """Cut `count` pieces of `seconds` from a microphone, file or pipe into out/label/speaker_NNN.wav; yields each path."""
    check_file_name("label", label)
    check_file_name("speaker", speaker)
    if label.startswith("_"):
        raise EdgernnError(f"label {label!r} cannot name a folder of words; use the word itself")
    if not 1 <= count <= 100_000 or not 0.2 <= seconds <= 10:
        raise EdgernnError(f"count {count} must lie in 1..100000 and seconds {seconds} between 0.2 and 10")
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
