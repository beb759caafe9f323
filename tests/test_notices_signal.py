"""Sound and front end: lengths, rates, streams in pieces, tables by their formulas, bounds from either side."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgernn.core.affine import Affine
from edgernn.errors import EdgernnError
from edgernn.signal import native
from edgernn.signal.audio import read_audio, resampled, write_wav
from edgernn.signal.condition import Condition
from edgernn.signal.live import check_raw, check_source, in_steps
from edgernn.signal.log_mel import FrontEndParams, LogMelStream, log_mel, make_tables
from edgernn.signal.stft import StftParams

P = FrontEndParams(window=400, hop=160, bands=20)


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=samples) * 3000).astype(np.int16)


@pytest.mark.parametrize(
    ("samples", "to", "wanted"), [(1601, 8000, 800), (1603, 8000, 802), (1000, 44100, 2756), (1001, 16000, 1001)]
)
def test_resampled_sound_has_the_rounded_length(samples: int, to: int, wanted: int) -> None:
    assert resampled(noise(samples), 16000, to).shape == (wanted,)
    assert resampled(noise(2 * samples).reshape(2, samples), 16000, to).shape == (2, wanted)


def test_a_written_wav_keeps_its_rate(tmp_path: Path) -> None:
    for rate in (8000, 16000, 44100):
        write_wav(tmp_path / "a.wav", noise(100), rate)
        with wave.open(str(tmp_path / "a.wav")) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth(), file.getnframes()) == (rate, 1, 2, 100)
        assert np.array_equal(read_audio(tmp_path / "a.wav", rate), noise(100))


def test_a_condition_remembers_every_block() -> None:
    """The loudest sample lies in the first block, clipped ones in all, silence at the end."""
    found = Condition("x", rate=16000, source_rate=16000)
    for block in ([[20000], [-32768]], [[32767], [5]], [[0], [1]]):
        found.take(np.array(block, np.int16))
    assert (found.peak, found.clipped, found.frames) == (1.0, 2, 6)
    assert not found.silent
    assert "clipped: 33 %" in found.clipping


def test_blocks_of_any_length_become_whole_steps() -> None:
    x = np.arange(1000, dtype=np.int16)
    for cuts in ([], [1], [63, 64, 65], [10, 20, 900], list(range(1, 1000, 7))):
        found = list(in_steps(iter(np.split(x, cuts)), 64))
        assert all(len(b) % 64 == 0 and len(b) for b in found)
        assert np.array_equal(np.concatenate(found), x[: 1000 // 64 * 64])
    assert list(in_steps(iter([x[:63]]), 64)) == []


def test_a_sound_or_the_microphone_but_not_both_or_neither() -> None:
    check_source("a.wav", False, 16000, 1)
    check_source("", True, 16000, 1)
    for audio, live in (("a.wav", True), ("", False)):
        with pytest.raises(EdgernnError, match="exactly one of them"):
            check_source(audio, live, 16000, 1)


def test_rate_and_channels_are_those_of_raw_sound_alone() -> None:
    check_raw("-", 8000, 2)
    for audio, rate, channels, name in (
        ("a.wav", 8000, 1, "a.wav"),
        ("a.wav", 16000, 2, "a.wav"),
        ("", 48000, 1, "microphone"),
    ):
        with pytest.raises(EdgernnError, match=f"raw PCM on standard input, not of .*{name}"):
            check_raw(audio, rate, channels)
    with pytest.raises(EdgernnError, match="raw PCM"):
        check_source("a.wav", False, 8000, 1)


def test_the_front_end_in_pieces_is_the_whole() -> None:
    """In the definition, whatever the pieces; and a reset begins anew."""
    tables, x = make_tables(P), noise(160 * 30)
    affine = Affine(np.full(20, 9000, np.int16), np.full(20, 3, np.int16), 1, 12, 16)
    whole = affine.apply(log_mel(x, P, tables))
    for hops in (1, 2, 7):
        stream = LogMelStream(P, tables, affine)
        found = [stream.features(x[i : i + 160 * hops]) for i in range(0, len(x), 160 * hops)]
        assert np.array_equal(np.concatenate(found), whole)
        stream.reset()
        assert np.array_equal(stream.features(x), whole)


def test_native_clips_are_each_from_reset() -> None:
    tables, clips = make_tables(P), np.stack([noise(1600, 1), noise(1600, 2), noise(1600, 1)])
    found = native.log_mels(clips, P, tables)
    assert np.array_equal(found[0], found[2])
    assert all(np.array_equal(row, log_mel(clip, P, tables)) for row, clip in zip(found, clips, strict=True))


def test_tables_are_those_of_their_formulas() -> None:
    """Hann over half-samples, cosines of a whole turn's three quarters, triangles between edges on the HTK mel scale."""
    t = make_tables(P)
    n = np.arange(400)
    assert np.array_equal(t.window, np.rint(32768 * np.sin(np.pi * (n + 0.5) / 400) ** 2).clip(max=32767))
    assert np.array_equal(t.window, t.window[::-1])
    assert t.cosine[[0, 128, 256]].tolist() == [32767, 0, -32768]
    mel = np.linspace(*(1127.01048 * np.log(1 + np.array([60.0, 7600.0]) / 700)), 22)
    edges = 700 * (np.exp(mel / 1127.01048) - 1) * 512 / 16000
    assert np.array_equal(t.mel_start, np.ceil(edges))
    k = int(t.mel_start[5]) + 1
    rise = (k - edges[5]) / (edges[6] - edges[5])
    assert t.mel_rise[k - t.mel_start[0]] == round(4096 * rise)


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("window", (16, 1024), (15, 1025)),
        ("hop", (1, 400), (0, 401)),
        ("bands", (1, 80), (0, 81)),
        ("floor_log2", (0, 40), (-1, 41)),
        ("sample_rate", (384_000,), (384_001,)),
        ("f_max", (8000.0,), (8000.5, 59.0, 60.0)),
        ("f_min", (0.5,), (0.0, -1.0)),
    ],
)
def test_a_front_end_is_refused_just_outside_its_bounds(
    name: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    base = replace(P, hop=16) if name == "window" else P
    for value in inside:
        replace(base, **{name: value})
    for value in outside:
        with pytest.raises(EdgernnError, match=name):
            replace(base, **{name: value})


def test_the_fft_is_the_least_power_of_two_that_holds_the_window() -> None:
    for window, fft in ((16, 32), (32, 32), (33, 64), (256, 256), (257, 512), (1024, 1024)):
        assert replace(P, window=window, hop=16).fft == fft


@pytest.mark.parametrize(
    ("inside", "outside"),
    [
        ({"single": 0, "wide": 1}, {"single": 0, "wide": 7}),
        ({"single": 256, "wide": 1}, {"single": 257, "wide": 1}),
        ({"floor_log2": 40}, {"floor_log2": 41}),
        ({"window": 1024, "single": 0, "wide": 2}, {"window": 1024, "single": 2, "wide": 1}),
        ({"window": 64, "single": 2}, {"window": 96}),
        ({"sample_rate": 1}, {"sample_rate": 0}),
        ({"wide": 192}, {"wide": 0}),
    ],
)
def test_an_stft_is_refused_just_outside_its_bounds(inside: dict[str, int], outside: dict[str, int]) -> None:
    StftParams(**inside)
    with pytest.raises(EdgernnError, match="stft: "):
        StftParams(**outside)


def test_bands_cover_every_bin_and_nyquist_follows_the_last() -> None:
    p = StftParams(window=64, single=2, wide=3)
    assert p.band_of_bin().tolist() == [0, 1, *(2 + i // 3 for i in range(30)), 11]
    assert p.bands == 12
