"""flite, the small synthesiser of Carnegie Mellon University: four voices of English, the program `flite`."""

from __future__ import annotations

import functools
import math
import shutil
import subprocess
import tempfile
import unicodedata
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edgernn.data.engine import Engine, Utterance, in_parallel, latin
from edgernn.errors import EdgernnError
from edgernn.signal.audio import Int16

_RATE = 16000  # Hz, of the voices below
#: voice -> mean and standard deviation of its fundamental, Hz. rms follows none of flite's settings for it.
_VOICES = {"awb": (118.0, 17.0), "kal16": (97.0, 5.0), "rms": (0.0, 0.0), "slt": (172.0, 14.0)}


class Flite(Engine):
    """The program, one process an utterance."""

    LICENCE = "flite, BSD-like, Carnegie Mellon University"

    def missing(self) -> str:
        """See the base class."""
        return "" if shutil.which("flite") else "install the program flite (Debian: apt install flite)"

    def voices(self) -> list[str]:
        """See the base class."""
        return self._voices if self.language.split("-")[0] == "en" else []

    @functools.cached_property
    def _voices(self) -> list[str]:
        """Those that this build has; it speaks for one that it lacks in another, without a word."""
        done = subprocess.run(["flite", "-lv"], capture_output=True, text=True, encoding="utf-8", check=False)
        return sorted({*_VOICES} & {*done.stdout.split()})

    def identity(self) -> str:
        """See the base class."""
        done = subprocess.run(["flite", "--version"], capture_output=True, text=True, encoding="utf-8", check=False)
        return next((line.strip() for line in done.stdout.splitlines() if "version" in line), "flite")

    def sample_rate(self) -> int:
        """See the base class."""
        return _RATE

    def says(self, voice: str, text: str) -> bool:
        """English only."""
        return super().says(voice, text) and latin(text)

    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        """See the base class."""
        with tempfile.TemporaryDirectory(prefix="edgernn-flite-") as folder:
            yield from in_parallel(functools.partial(_say, Path(folder)), utterances)


def _say(folder: Path, utterance: Utterance) -> Int16:
    handle, name = tempfile.mkstemp(suffix=".wav", dir=folder)
    open(handle, "rb").close()
    settings = [x for key, value in _settings(utterance).items() for x in ("--setf", f"{key}={value:.4f}")]
    command = ["flite", "-voice", utterance.voice, *settings, "-t", _plain(utterance.text), "-o", name]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    try:
        with wave.open(name, "rb") as file:
            if (rate := file.getframerate()) != _RATE:
                raise EdgernnError(f"flite's voice {utterance.voice} speaks at {rate} Hz, not {_RATE}; leave it out")
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.int16)
    except (wave.Error, EOFError, OSError):
        reason = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise EdgernnError(f"flite failed on {utterance.text!r} in voice {utterance.voice}: {reason}") from None
    finally:
        Path(name).unlink(missing_ok=True)
    return pcm


def _settings(utterance: Utterance) -> dict[str, float]:
    """What is to be other than the voice's own."""
    mean, deviation = _VOICES.get(utterance.voice, (0.0, 0.0))
    settings = {"duration_stretch": 1 / utterance.rate}
    if mean and not math.isclose(utterance.pitch, 1.0):
        settings["int_f0_target_mean"] = mean * utterance.pitch
    if deviation and not math.isclose(utterance.spread, 1.0):
        settings["int_f0_target_stddev"] = deviation * utterance.spread
    return settings


def _plain(text: str) -> str:
    """Without accents: flite reads ASCII."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()


ENGINE = Flite
