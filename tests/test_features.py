"""The front end: NumPy equals its C twin for every input, and both stay close to a float log-mel."""

from __future__ import annotations

import numpy as np
import pytest
from needs import need_recordings
from numpy.typing import NDArray

from edgernn.core.affine import Affine, fit_affine
from edgernn.errors import EdgernnError
from edgernn.signal.audio import read_audio
from edgernn.signal.log_mel import FrontEndParams, frame, log_mel, make_tables
from edgernn.signal.native import NativeFrontEnd

PARAMS = [
    FrontEndParams(),
    FrontEndParams(window=400, hop=160),
    FrontEndParams(window=512, hop=512, bands=20),
    FrontEndParams(window=640, hop=320, floor_log2=0),
    FrontEndParams(window=1024, hop=64, bands=80, f_min=100),
    FrontEndParams(window=33, hop=32, bands=4, f_min=400),
]


def signals() -> dict[str, NDArray[np.int16]]:
    rng = np.random.default_rng(0)
    n, t = 12000, np.arange(12000)
    square = np.where(np.sin(t * 0.3) > 0, 32767, -32768)
    return {
        "white, full scale": rng.integers(-32768, 32768, n).astype(np.int16),
        "white, one bit": rng.integers(-1, 2, n).astype(np.int16),
        "silence": np.zeros(n, np.int16),
        "DC, lowest": np.full(n, -32768, np.int16),
        "DC, highest": np.full(n, 32767, np.int16),
        "square, full scale": square.astype(np.int16),
        "alternating extremes": np.where(t % 2, 32767, -32768).astype(np.int16),
        "impulses": np.where(t % 997 == 0, -32768, 0).astype(np.int16),
        "chirp": (32767 * np.sin(t * t * 1e-4)).astype(np.int16),
    }


@pytest.mark.parametrize("signal", list(signals()))
@pytest.mark.parametrize("p", PARAMS, ids=str)
def test_numpy_equals_c(p: FrontEndParams, signal: str) -> None:
    pcm, tables = signals()[signal], make_tables(p)
    expected = log_mel(pcm, p, tables)
    assert len(expected) == len(pcm) // p.hop > 0
    assert np.array_equal(NativeFrontEnd(p, tables)(pcm), expected)
    for bits in (16, 8):
        affine = fit_affine(np.linspace(6000, 14000, p.bands), np.linspace(300, 3000, p.bands), bits)
        assert np.array_equal(NativeFrontEnd(p, tables, affine)(pcm), affine.apply(expected))


def test_stream_in_pieces_equals_the_whole() -> None:
    p, pcm = FrontEndParams(window=400, hop=160), signals()["chirp"]
    tables = make_tables(p)
    whole, native = log_mel(pcm, p, tables), NativeFrontEnd(p, tables)
    pieces = [native(pcm[i : i + 480]) for i in range(0, len(pcm), 480)]
    assert np.array_equal(np.concatenate(pieces), whole)
    history = pcm[: 160 * 10][-(p.window - p.hop) :]
    assert np.array_equal(log_mel(pcm[1600:], p, tables, history), whole[10:])
    native.reset()
    assert np.array_equal(native(pcm), whole)


def float_log_mel(pcm: NDArray[np.int16], p: FrontEndParams) -> NDArray[np.float64]:
    """The same features by NumPy's float FFT and filters drawn from their definition, in Q9 steps."""
    n = np.arange(p.window) + 0.5
    spectrum = np.fft.rfft(frame(pcm, p) * (0.5 - 0.5 * np.cos(2 * np.pi * n / p.window)), p.fft)
    mel = np.linspace(*(2595 * np.log10(1 + f / 700) for f in (p.f_min, p.f_max)), p.bands + 2)
    edges = 700 * (10 ** (mel / 2595) - 1) * p.fft / p.sample_rate
    k = np.arange(p.fft // 2 + 1)[:, None]
    rising = (k - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - k) / (edges[2:] - edges[1:-1])
    energy = np.abs(spectrum) ** 2 @ np.clip(np.minimum(rising, falling), 0, None)
    return 512 * np.log2(energy * (32768 / p.fft) ** 2 + 2.0**p.floor_log2)


def snr(reference: NDArray[np.float64], value: NDArray[np.int16]) -> float:
    signal = ((reference - reference.mean(0)) ** 2).mean()
    return float(10 * np.log10(signal / ((reference - value) ** 2).mean()))


@pytest.mark.parametrize("p", PARAMS[:2], ids=str)
def test_close_to_a_float_reference(p: FrontEndParams) -> None:
    """About 75 dB on spoken words (SPEC.md has the table); asserted on noise and, where they are at hand, real recordings."""
    rng = np.random.default_rng(1)
    loudness = np.repeat(10 ** rng.uniform(0.5, 4, 60), 800)
    assert snr(float_log_mel(s := (rng.normal(size=48000) * loudness).clip(-32768, 32767).astype(np.int16), p),
               log_mel(s, p, make_tables(p))) > 60  # fmt: skip
    folder = need_recordings()
    speech = read_audio(sorted((folder / "denoise/clean/test").glob("*.flac"))[0])
    assert snr(float_log_mel(speech, p), log_mel(speech, p, make_tables(p))) > 70


def test_affine_saturates_and_centres() -> None:
    a = Affine(np.array([100], np.int16), np.array([16384], np.int16), 10, 12, 16)
    values = np.array([[100], [101], [99], [32767], [-32768]], np.int16)
    assert a.apply(values).ravel().tolist() == [0, 16, -16, 32767, -32768]
    narrow = Affine(np.array([100], np.int16), np.array([16384], np.int16), 10, 4, 8)
    assert narrow.apply(values).ravel().tolist() == [0, 16, -16, 127, -128]


def test_fit_affine_gives_unit_deviation() -> None:
    rng = np.random.default_rng(2)
    mean, deviation = np.array([8000.0, 12000.0]), np.array([900.0, 2500.0])
    x = (mean + deviation * rng.normal(size=(5000, 2))).astype(np.int16)
    for bits, exponent in ((16, 12), (8, 4)):
        y = fit_affine(mean, deviation, bits).apply(x) / 2.0**exponent
        assert np.allclose(y.mean(0), 0, atol=0.05)
        assert np.allclose(y.std(0), 1, atol=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": 2000}, "window = 2000 must lie in 16..1024"),
        ({"hop": 481}, "hop = 481 must lie in 1..window"),
        ({"bands": 0}, "bands = 0"),
        ({"f_max": 9000.0}, "f_min/f_max"),
        ({"floor_log2": 50}, "floor_log2 = 50"),
    ],
)
def test_impossible_parameters_are_refused(change: dict[str, int | float], message: str) -> None:
    with pytest.raises(EdgernnError, match=message):
        FrontEndParams(**change)  # type: ignore[arg-type]


def test_a_band_without_bins_is_refused() -> None:
    with pytest.raises(EdgernnError, match=r"mel band \d+ of 80 holds no FFT bin"):
        make_tables(FrontEndParams(window=200, hop=100, bands=80))
