"""Detection and recording on live sound: files, pipes and microphones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgernn import graph as graphs
from edgernn.audio import SAMPLE_RATE, Int16, stream_audio, write_wav
from edgernn.decision import Decider
from edgernn.errors import EdgernnError
from edgernn.pipeline import fast_runtime
from edgernn.runtimes import make_runtime


def detections(
    graph_path: Path, audio: str, rate: int, channels: int, live: bool, threshold: float | None = None
) -> Iterator[dict[str, Any]]:
    """Keywords as they are heard: time_s (seconds from the start, end of the step), label, score 0..1."""
    graph = graphs.load(graph_path)
    decision = graph.decision
    if threshold is not None:
        if not 0 < threshold < 1:
            raise EdgernnError(f"threshold {threshold} must lie between 0 and 1")
        decision = replace(decision, thresholds=(round(threshold * 32768),) * len(decision.thresholds))
    runtime, decider = make_runtime(fast_runtime(), graph), Decider(decision)
    source = microphone(graph.frontend.sample_rate) if live else _sound(audio, graph.frontend.sample_rate, rate, channels)
    for block in in_steps(source, graph.step_samples):
        for posteriors in runtime.run(block).posteriors:
            event = decider.push(posteriors)
            if event:
                seconds = (event.step + 1) / graph.steps_per_second
                yield {"time_s": round(seconds, 3), "label": graph.labels[event.label], "score": round(event.score / 32768, 4)}


def _sound(audio: str, wanted: int, rate: int, channels: int) -> Iterator[Int16]:
    return stream_audio(audio, wanted, raw_rate=rate, channels=channels)


def in_steps(blocks: Iterator[Int16], step: int) -> Iterator[Int16]:
    """Blocks of any length -> blocks of whole steps; what is left at the end is dropped."""
    left = np.zeros(0, np.int16)
    for block in blocks:
        joined = np.concatenate([left, block])
        whole = len(joined) // step * step
        left = joined[whole:]
        if whole:
            yield joined[:whole]


def microphone(rate: int) -> Iterator[Int16]:
    """Blocks from the default microphone until interrupted."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        raise EdgernnError(
            f"the microphone needs sounddevice ({error}): `pip install edgernn[live]`, or pipe raw PCM"
        ) from None
    try:
        with sounddevice.InputStream(samplerate=rate, channels=1, dtype="int16") as stream:
            while True:
                block, _ = stream.read(rate // 25)
                yield block[:, 0].copy()
    except sounddevice.PortAudioError as error:
        raise EdgernnError(f"no usable microphone ({error}); pipe raw PCM instead: `arecord ... | edgernn detect -`") from None


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
