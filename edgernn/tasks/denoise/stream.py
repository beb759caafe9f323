"""Whole sounds, files and live sound through a denoiser, in constant memory.

A stream comes out one hop late (the rest of the window's latency is the hop that is collected). Here that is put right: the
end of the sound is followed by silence, the first hop of the output is dropped, and both have the same length.
"""

from __future__ import annotations

import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.runtimes import Runtime
from edgernn.signal import native, stft
from edgernn.signal.audio import Int16, stream_audio, to_int16
from edgernn.signal.live import in_steps, sound_device
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.recipe import DenoiseNet

Process = Callable[[Int16], Int16]
Float64 = NDArray[np.float64]
_LARGEST_WAV = 2**32 - 64  #: bytes of samples: the header counts in 32 bits


def denoiser(runtime: Runtime[NetGraph]) -> Process:
    """The runtime's stream: PCM [n] -> denoised PCM [n // hop * hop], one window late."""
    return lambda pcm: np.asarray(runtime.process(pcm), np.int16).ravel()


def denoised(runtime: Runtime[NetGraph], pcm: Int16) -> Int16:
    """PCM [n] -> denoised PCM [n], from reset, aligned with it."""
    runtime.reset()
    return np.concatenate(list(aligned(iter([pcm]), denoiser(runtime), runtime.graph.step_samples)))


def aligned(blocks: Iterator[Int16], process: Process, hop: int) -> Iterator[Int16]:
    """Blocks of any length through `process` (whole hops in, whole hops out one hop late), aligned and equally long."""
    total = given = 0

    def padded() -> Iterator[Int16]:
        nonlocal total
        for block in blocks:
            total += len(block)
            yield block
        yield np.zeros(2 * hop - 1, np.int16)  # one hop of delay, and what fills the last one

    skip = hop
    for block in in_steps(padded(), hop):
        out = process(block)[skip:]
        skip = max(0, skip - len(block))
        out = out[: total - given]  # at the end: nothing for the padding
        given += len(out)
        yield out


class FloatDenoiser:
    """The float model over sound: the integer analysis, the float net, a float synthesis."""

    def __init__(self, net: DenoiseNet) -> None:
        self._net = net
        self.reset()

    def reset(self) -> None:
        """Forget everything heard."""
        p = self._net.recipe.stft
        self._state = self._net.zero_state(1)
        self._history = np.zeros(p.hop, np.int16)
        self._overlap = np.zeros(p.hop, np.float64)

    def denoise(self, pcm: Int16) -> Int16:
        """PCM [n] -> denoised PCM [n // hop * hop], one hop late, continuing the stream."""
        p, net = self._net.recipe.stft, self._net
        pcm = pcm[: len(pcm) // p.hop * p.hop]
        heard = np.concatenate([self._history, pcm])
        spectra, logs = native.analyze(heard, p, net.tables)
        self._history = heard[-p.hop :]
        gains = self._gains(net.features(logs[1:]))
        sound, self._overlap = float_synthesis(spectra[1:], gains, p, self._overlap)
        return to_int16(sound)

    def _gains(self, features: NDArray[np.float32]) -> Float64:
        """Features [T, bands] -> gains [T, bands], floored as the integer ones are."""
        rows = []
        for frame in features:
            logits, self._state, _ = self._net.step(frame[None, None], self._state)
            rows.append(0.5 + 0.5 * np.tanh(0.5 * logits[0].astype(np.float64)))
        floor = self._net.recipe.gains.floor / 32768
        return np.asarray(np.maximum(np.array(rows).reshape(-1, self._net.recipe.stft.bands), floor), np.float64)


def float_synthesis(
    spectra: stft.Int32, gains: Float64, p: stft.StftParams,
    overlap: Float64,
) -> tuple[Float64, Float64]:  # fmt: skip
    """Integer spectra [T, bins, 2] times gains [T, bands] in 0..1 -> sound [T * hop] in -1..1, and the overlap after it."""
    x = (spectra[..., 0] + 1j * spectra[..., 1]) * (p.window / 2.0**30) * gains[:, p.band_of_bin()]
    taper = np.sin(np.pi * (np.arange(p.window) + 0.5) / p.window)
    frames = np.fft.irfft(x, n=p.window, axis=1) * taper
    if not len(frames):
        return np.zeros(0), overlap
    sums = frames[:, : p.hop] + np.concatenate([overlap[None], frames[:-1, p.hop :]])
    return sums.ravel(), frames[-1, p.hop :]


def denoise_file(
    process: Process, graph_rate: int, hop: int, source: str, target: str, raw_rate: int = 16000, channels: int = 1
) -> int:
    """Sound file (or "-": raw 16-bit PCM on standard input) -> WAV file (or "-": raw PCM); returns samples written.

    The output is mono PCM16 at the model's rate; a file appears whole or not at all.
    """
    blocks = aligned(stream_audio(source, graph_rate, raw_rate=raw_rate, channels=channels), process, hop)
    written = 0
    with _sink(target, graph_rate) as write:
        for block in blocks:
            write(block)
            written += len(block)
    return written


@contextmanager
def _sink(target: str, rate: int) -> Iterator[Callable[[Int16], None]]:
    """What takes blocks of PCM: a WAV file that is renamed when complete, or standard output."""
    if target == "-":
        yield _to_stdout
        return
    with replacing(Path(target)) as scratch, wave.open(str(scratch), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)

        def write(block: Int16) -> None:
            if 2 * (file.tell() + len(block)) > _LARGEST_WAV:
                raise EdgernnError(f"{target}: a WAV file ends at 4 GB; give the sound in pieces, or write raw PCM to -")
            file.writeframesraw(block.astype("<i2").tobytes())

        yield write


def _to_stdout(block: Int16) -> None:
    sys.stdout.buffer.write(block.astype("<i2").tobytes())
    sys.stdout.buffer.flush()


def live(process: Process, graph: DenoiseGraph) -> int:
    """Microphone to speaker until Ctrl-C; returns how often sound was lost because this machine was too slow."""
    sounddevice = sound_device()
    rate, hop, lost = graph.sample_rate, graph.step_samples, 0
    try:
        with sounddevice.Stream(samplerate=rate, blocksize=hop, channels=1, dtype="int16") as stream:
            while True:
                block, missed = stream.read(hop)
                late = stream.write(process(block[:, 0].copy())[:, None])
                lost += bool(missed) + bool(late)
    except KeyboardInterrupt:
        return lost
    except sounddevice.PortAudioError as error:
        raise EdgernnError(
            f"no usable sound device ({error}); pipe raw PCM: `arecord ... | edgernn denoise - - | aplay ...`"
        ) from None
