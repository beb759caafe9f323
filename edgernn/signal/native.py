"""The C twins of both signal paths, called from Python: the same bits as `log_mel.py` and `stft.py`, but fast."""

from __future__ import annotations

import ctypes
import functools
from importlib.resources import files
from pathlib import Path

import numpy as np

from edgernn.core.affine import Affine
from edgernn.hostcc import shared_library
from edgernn.signal.log_mel import FrontEndParams, FrontEndTables, Int16
from edgernn.signal.stft import Int32, StftParams, StftTables


def runtime_dir() -> Path:
    """The folder of the C99 runtime inside the installed package."""
    return Path(str(files("firmware_export") / "runtime"))


class _FrontEnd(ctypes.Structure):
    """`ern_frontend` of ern_frontend.h, field for field."""

    _fields_ = [
        ("window", ctypes.c_uint16),
        ("hop", ctypes.c_uint16),
        ("fft", ctypes.c_uint16),
        ("bands", ctypes.c_uint8),
        ("floor_log2", ctypes.c_uint8),
        ("shift", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        *((name, ctypes.c_void_p) for name in ("hann", "cosine", "mel_start", "mel_rise", "offset", "gain")),
    ]


class NativeFrontEnd:
    """A front end in C with its streaming history; `reset()` forgets it."""

    def __init__(self, p: FrontEndParams, t: FrontEndTables, affine: Affine | None = None) -> None:
        self._library = _library()
        self._params = p
        self._step = self._library.ern_frontend_step if affine else self._library.ern_frontend_log_mel
        zeros = np.zeros(p.bands, np.int16)
        a = affine or Affine(zeros, zeros, 1, 0, 16)
        self._arrays = [np.ascontiguousarray(x) for x in (t.window, t.cosine, t.mel_start, t.mel_rise, a.offset, a.gain)]
        self._c = _FrontEnd(
            p.window, p.hop, p.fft, p.bands, p.floor_log2, a.shift, a.bits, *(x.ctypes.data for x in self._arrays)
        )
        self._work = np.zeros(p.fft, np.int32)
        self._entry = np.dtype(np.int8 if affine and affine.bits == 8 else np.int16)
        self._history = np.zeros(max(1, p.window - p.hop), np.int16)

    def reset(self) -> None:
        """Forget the samples heard so far."""
        self._history[:] = 0

    def __call__(self, pcm: Int16) -> Int16:
        """PCM int16 [n] -> features int16 [n // hop, bands], continuing where the last call stopped."""
        p = self._params
        pcm = np.ascontiguousarray(pcm, np.int16)
        out = np.zeros((len(pcm) // p.hop, p.bands), self._entry)
        for_each = self._library.ern_frontend_many
        for_each(
            ctypes.byref(self._c), ctypes.cast(self._step, ctypes.c_void_p), out.ctypes,
            ctypes.c_size_t(p.bands * out.itemsize), self._history.ctypes, pcm.ctypes, ctypes.c_size_t(len(out)),
            self._work.ctypes,
        )  # fmt: skip
        return out.astype(np.int16, copy=False)


def log_mels(pcm: Int16, p: FrontEndParams, t: FrontEndTables) -> Int16:
    """Q9 log-energies [N, T, bands] of clips [N, samples], each from reset."""
    frontend, out = NativeFrontEnd(p, t), []
    for clip in pcm:
        frontend.reset()
        out.append(frontend(clip))
    return np.stack(out)


class _Stft(ctypes.Structure):
    """`ern_stft` of ern_stft.h, field for field."""

    _fields_ = [
        ("window", ctypes.c_uint16),
        ("single", ctypes.c_uint16),
        ("wide", ctypes.c_uint16),
        ("bands", ctypes.c_uint16),
        ("floor_log2", ctypes.c_uint8),
        ("shift", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        *((name, ctypes.c_void_p) for name in ("taper", "cosine", "offset", "gain")),
    ]


def analyze(pcm: Int16, p: StftParams, t: StftTables) -> tuple[Int32, Int16]:
    """Spectra int32 [n // hop, window/2 + 1, 2] and log2 band powers in Q9, int16 [n // hop, bands], of PCM [n]."""
    pcm = np.ascontiguousarray(pcm, np.int16)
    frames = len(pcm) // p.hop
    spectra = np.zeros((frames, p.hop + 1, 2), np.int32)
    logs = np.zeros((frames, p.bands), np.int16)
    history = np.zeros(p.hop, np.int16)
    tables = [np.ascontiguousarray(x) for x in (t.window, t.cosine)]
    c = _Stft(p.window, p.single, p.wide, p.bands, p.floor_log2, 1, 16, *(x.ctypes.data for x in tables), None, None)
    _library().ern_stft_many(ctypes.byref(c), spectra.ctypes, logs.ctypes, history.ctypes, pcm.ctypes, ctypes.c_size_t(frames))
    return spectra, logs


@functools.cache
def _library() -> ctypes.CDLL:
    source = Path(str(files("edgernn") / "signal" / "native.c"))
    return shared_library([source, runtime_dir() / "ern_frontend.c", runtime_dir() / "ern_stft.c"], [runtime_dir()])
