"""The denoiser's signal path: transparent, equal in C, safe against every input."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from denoisers import noisy_sound

from edgernn.errors import EdgernnError
from edgernn.hostcc import shared_library
from edgernn.signal import native, stft
from edgernn.signal.audio import Int16
from edgernn.signal.stft import GAIN_ONE, StftParams, make_tables

PATHS = (
    StftParams(),
    StftParams(window=256, single=32, wide=3),
    StftParams(window=1024, single=128, wide=4),
    StftParams(window=64, single=0, wide=1),
)


def signals(hop: int) -> dict[str, Int16]:
    n = 40 * hop
    rng = np.random.default_rng(0)
    t = np.arange(n)
    found = {
        "silence": np.zeros(n),
        "lowest": np.full(n, -32768),
        "square": np.where(t // 37 % 2, 32767, -32768),
        "fastest square": np.where(t % 2, 32767, -32768),
        "noise": rng.integers(-32768, 32768, n),
        "faint noise": rng.integers(-2, 3, n),
        "chirp": 32767 * np.sin(2 * np.pi * t * t / n / 6),
        "click": np.where(t == n // 2, 32767, 0),
        "noisy sound": noisy_sound(n),
    }
    return {name: np.asarray(x).astype(np.int16) for name, x in found.items()}


@pytest.mark.parametrize("p", PATHS, ids=lambda p: str(p.window))
def test_gain_one_is_transparent_one_window_later(p: StftParams) -> None:
    """Within 2 steps of int16 on every signal."""
    tables = make_tables(p)
    for name, x in signals(p.hop).items():
        re, im = stft.analyze(x, p, tables)
        y, _ = stft.synthesize(re, im, np.full((len(re), p.bands), GAIN_ONE, np.int16), p, tables)
        error = np.abs(y[p.hop :].astype(int) - x[: -p.hop].astype(int)).max()
        assert error <= 2, name
        assert not y[: p.hop].any(), name  # the first hop is what came before


@pytest.mark.parametrize("p", PATHS, ids=lambda p: str(p.window))
def test_analysis_is_that_of_a_float_fft(p: StftParams) -> None:
    """Against NumPy's own FFT, which shares no code with ours."""
    tables, x = make_tables(p), noisy_sound(60 * p.hop)
    re, im = stft.analyze(x, p, tables)
    padded = np.concatenate([np.zeros(p.hop), x])
    taper = tables.window / 32768
    assert np.abs(taper - np.sin(np.pi * (np.arange(p.window) + 0.5) / p.window)).max() <= 33 / 32768
    frames = np.stack([padded[i * p.hop : i * p.hop + p.window] for i in range(len(re))])
    wanted = np.fft.rfft(frames * taper, axis=1) * 32768 / p.window
    error = np.abs(re + 1j * im - wanted)
    assert 20 * np.log10(np.abs(wanted).std() / error.std()) > 100
    power = np.abs(wanted[:, : p.hop]) ** 2 / 4096
    bands = np.stack([power[:, p.band_of_bin()[:-1] == b].sum(axis=1) for b in range(p.bands)], axis=1)
    logs = 512 * np.log2(bands + 2.0**p.floor_log2)
    assert np.abs(stft.log_bands(re, im, p) - logs).max() < 24  # 0.3 dB where a band is almost empty
    assert np.abs(stft.log_bands(re, im, p) - logs).mean() < 1


class Twin:
    """ern_stft.c by itself, built with the checked arithmetic: a sum that leaves 32 bits aborts."""

    def __init__(self, p: StftParams, flags: tuple[str, ...] = ("-O1", "-DERN_CHECKED")) -> None:
        self.p, self.tables = p, make_tables(p)
        self.library = shared_library([native.runtime_dir() / "ern_stft.c"], [native.runtime_dir()], flags)
        t = self.tables
        self.c = native._Stft(
            p.window, p.single, p.wide, p.bands, p.floor_log2, 1, 16, t.window.ctypes.data, t.cosine.ctypes.data, None, None
        )

    def run(self, pcm: Int16, gains: Int16, floor: int = 0) -> tuple[Int16, Int16]:
        """PCM [n] through analysis and synthesis with gains [T, bands]: (log bands, PCM)."""
        p, hop = self.p, self.p.hop
        spectrum, overlap = np.zeros(p.window + 2, np.int32), np.zeros(hop, np.int32)
        history, logs = np.zeros(hop, np.int16), np.zeros((len(gains), p.bands), np.int16)
        out = np.zeros(len(gains) * hop, np.int16)
        frame = ctypes.byref(self.c)
        for i, row in enumerate(np.ascontiguousarray(gains)):
            piece, y = np.ascontiguousarray(pcm[i * hop : (i + 1) * hop]), np.zeros(hop, np.int16)
            self.library.ern_stft_analyze(frame, spectrum.ctypes, history.ctypes, piece.ctypes)
            self.library.ern_stft_log_bands(frame, logs[i].ctypes, spectrum.ctypes)
            args = (y.ctypes, overlap.ctypes, spectrum.ctypes, row.ctypes, ctypes.c_int16(floor))
            self.library.ern_stft_synthesize(frame, *args)
            out[i * hop : (i + 1) * hop] = y
        return logs, out


@pytest.mark.parametrize("p", PATHS, ids=lambda p: str(p.window))
def test_c_equals_numpy_and_nothing_overflows(p: StftParams) -> None:
    """Every signal, with random gains and with the worst ones: all or nothing, bin by bin."""
    twin, rng = Twin(p), np.random.default_rng(3)
    for name, x in signals(p.hop).items():
        re, im = stft.analyze(x, p, twin.tables)
        for gains in (rng.integers(0, 32768, (len(re), p.bands)), rng.integers(0, 2, (len(re), p.bands)) * 32767):
            g = gains.astype(np.int16)
            wanted, _ = stft.synthesize(re, im, stft.floored(g, 300), p, twin.tables)
            logs, found = twin.run(x, g, 300)
            assert np.array_equal(logs, stft.log_bands(re, im, p)), name
            assert np.array_equal(found, wanted), name


def test_pieces_give_the_whole() -> None:
    """Any division into hops continues the stream, in NumPy as in the native analysis."""
    p, x = StftParams(), noisy_sound(256 * 30)
    tables = make_tables(p)
    re, im = stft.analyze(x, p, tables)
    gains = np.random.default_rng(0).integers(0, 32768, (len(re), p.bands)).astype(np.int16)
    whole, _ = stft.synthesize(re, im, gains, p, tables)
    history, overlap, parts = np.zeros(p.hop, np.int16), np.zeros(p.hop, np.int32), []
    for begin, end in ((0, 1), (1, 1), (1, 7), (7, 30)):
        piece = x[begin * p.hop : end * p.hop]
        r, i = stft.analyze(piece, p, tables, history)
        y, overlap = stft.synthesize(r, i, gains[begin:end], p, tables, overlap)
        history = np.concatenate([history, piece])[-p.hop :]
        parts.append(y)
    assert np.array_equal(np.concatenate(parts), whole)
    spectra, logs = native.analyze(x, p, tables)
    assert np.array_equal(spectra[..., 0], re)
    assert np.array_equal(spectra[..., 1], im)
    assert np.array_equal(logs, stft.log_bands(re, im, p))


#: one-line faults in the C signal path: text, replacement
FAULTS = {
    "twiddle": ("cosine[turn + quarter]", "cosine[turn + quarter / 2u]"),
    "analysis sign": ("ERN_TIMES(b[0], wi) + ERN_TIMES(b[1], wr)", "ERN_TIMES(b[0], wi) - ERN_TIMES(b[1], wr)"),
    "synthesis sign": ("ERN_TIMES(bi, wr) - ERN_TIMES(br, wi)", "ERN_TIMES(bi, wr) + ERN_TIMES(br, wi)"),
    "history": ("history[i] = pcm[i]", "history[i] = pcm[half - 1u - i]"),
    "overlap": ("overlap[i] = ern_mul_wide(spectrum[half + i]", "overlap[i] = ern_mul_wide(spectrum[i]"),
    "rounding": ("((int32_t)1 << (OUTPUT_SHIFT - 1))", "0"),
    "gain of one": ("gain + (gain >> 14)", "gain"),
    "floor": ("gains[band] < floor ? floor", "gains[band] > floor ? floor"),
    "Nyquist's gain": ("(band + 1u == f->bands ? 1u : 0u)", "0u"),
    "mirrored bin": ("split_bin(high, y, z,", "split_bin(high, z, y,"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_signal_path_is_noticed(fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = FAULTS[fault]
    texts = {source.name: source.read_text() for source in native.runtime_dir().glob("ern_*.[ch]")}
    faulty = next((name for name in ("ern_stft.c", "ern_fft.h") if old in texts[name]), None)
    assert faulty, f"neither ern_stft.c nor ern_fft.h contains {old!r}: mend this test"
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace(old, new) if name == faulty else text)
    p, x = StftParams(window=128, single=16, wide=3), noisy_sound(64 * 200)
    gains = np.random.default_rng(1).integers(0, 32768, (200, p.bands)).astype(np.int16)
    gains[50:100] = 32767
    tables = make_tables(p)
    wanted, _ = stft.synthesize(*stft.analyze(x, p, tables), stft.floored(gains, 3000), p, tables)
    monkeypatch.setattr(native, "runtime_dir", lambda: tmp_path)
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path))
    _, found = Twin(p, ("-O1", "-fwrapv")).run(x, gains, 3000)
    assert not np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"window": 500}, "window = 500"),
        ({"single": 300}, "single = 300"),
        ({"wide": 5}, "wide = 5"),
        ({"window": 1024, "single": 512, "wide": 1}, "over 256 bands"),
        ({"sample_rate": 0}, "sample_rate = 0"),
        ({"floor_log2": 50}, "floor_log2 = 50"),
    ],
)
def test_parameters_that_cannot_be(values: dict[str, int], said: str) -> None:
    with pytest.raises(EdgernnError, match=said):
        StftParams(**values)
