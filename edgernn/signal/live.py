"""Sound as it happens: blocks of any length cut into whole steps, the microphone, and where a stream comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgernn.errors import EdgernnError, needs_extra
from edgernn.notes import note
from edgernn.signal.audio import SAMPLE_RATE, Int16, stream_audio


def in_steps(blocks: Iterator[Int16], step: int) -> Iterator[Int16]:
    """Blocks of any length -> blocks of whole steps; what is left at the end is dropped. No step at all is said."""
    left, heard = np.zeros(0, np.int16), False
    for block in blocks:
        joined = np.concatenate([left, block])
        whole = len(joined) // step * step
        left = joined[whole:]
        if whole:
            heard = True
            yield joined[:whole]
    if not heard:
        note(f"the sound is too short: {len(left)} samples of the {step} that one step takes, so nothing was heard")


def check_source(audio: str, live: bool, rate: int, channels: int) -> None:
    """A sound or the microphone, not both, not neither; `check_raw`."""
    if bool(audio) == live:
        raise EdgernnError("give a sound file, - for a pipe, or --live for the microphone; exactly one of them")
    check_raw(audio, rate, channels)


def check_raw(audio: str, rate: int, channels: int) -> None:
    """A rate and channels of one's own are for raw PCM: a file says its own, and the microphone is asked for what is needed."""
    if audio != "-" and (rate, channels) != (SAMPLE_RATE, 1):
        raise EdgernnError(
            f"--rate and --channels tell of raw PCM on standard input, not of {audio or 'the microphone'}: "
            "leave them out, or pipe the sound in and give - as its name"
        )


def sound_or_microphone(audio: str, live: bool, wanted: int, rate: int, channels: int) -> Iterator[Int16]:
    """Blocks at `wanted` Hz of a sound file, of raw PCM on standard input ("-"), or of the microphone."""
    return microphone(wanted) if live else stream_audio(audio, wanted, raw_rate=rate, channels=channels)


def sound_device() -> Any:
    """The package sounddevice; without it or PortAudio an EdgernnError says what to install."""
    try:
        import sounddevice
    except ImportError as error:
        raise needs_extra("live sound needs sounddevice, or pipe raw PCM", "live", error) from None
    except OSError as error:
        raise EdgernnError(
            f"live sound needs PortAudio ({error}): on Debian and Raspberry Pi OS `apt install libportaudio2`, or pipe raw PCM"
        ) from None
    return sounddevice


def microphone(rate: int) -> Iterator[Int16]:
    """Blocks of 40 ms from the default microphone until interrupted."""
    sounddevice = sound_device()
    try:
        with sounddevice.InputStream(samplerate=rate, channels=1, dtype="int16") as stream:
            while True:
                block, _ = stream.read(rate // 25)
                yield block[:, 0].copy()
    except sounddevice.PortAudioError as error:
        raise EdgernnError(f"no usable microphone ({error}); pipe raw PCM instead: `arecord ... | edgernn ... -`") from None
