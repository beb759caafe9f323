from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edgernn.data.augment import AugmentConfig, Augmenter, StreamConfig, active_power, make_stream
from edgernn.data.corpus import NOISE, Clip, Dataset, Item, write_dataset
from edgernn.errors import EdgernnError
from edgernn.signal.audio import Int16, to_float, to_int16

OFF = AugmentConfig(shift_ms=0, speed=0, room_probability=0, gain_db=(0, 0), noise_probability=0)


def burst(seed: int = 0, samples: int = 16000) -> Int16:
    x = np.zeros(samples)
    x[samples // 4 : samples // 2] = 0.2 * np.random.default_rng(seed).standard_normal(samples // 2 - samples // 4)
    return to_int16(x)


def hiss(seed: int = 1, samples: int = 48000) -> Int16:
    return np.random.default_rng(seed).integers(-3000, 3000, samples).astype(np.int16)


def run(config: AugmentConfig, pcm: Int16, seed: int = 0, noise: list[Int16] | None = None) -> Int16:
    return Augmenter(config, noise or [hiss()], np.random.default_rng(seed))(pcm)


def test_everything_off_changes_nothing() -> None:
    pcm = np.random.default_rng(2).integers(-32768, 32768, 16001).astype(np.int16)
    assert np.array_equal(run(OFF, pcm), pcm)


def test_the_seed_decides_and_length_is_kept() -> None:
    for samples in (1, 100, 16000, 24001):
        pcm = burst(samples=max(samples, 4))[:samples]
        outputs = [run(AugmentConfig(room_probability=1), pcm, seed) for seed in (3, 3, 4)]
        assert all(len(y) == samples and y.dtype == np.int16 for y in outputs)
        assert np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[0], outputs[2])


def test_shift_moves_within_its_range_and_fills_zeros() -> None:
    pcm = np.zeros(16000, np.int16)
    pcm[8000:8100] = 10000
    moved = [run(replace(OFF, shift_ms=100), pcm, seed) for seed in range(60)]
    starts = [int(np.flatnonzero(np.abs(y) > 5000)[0]) for y in moved]
    assert 6400 <= min(starts) < 6700 and 9300 < max(starts) <= 9601
    assert not run(replace(OFF, shift_ms=100), np.full(16000, 9999, np.int16), 1).all()


def test_speed_moves_the_pitch() -> None:
    t = np.arange(16000) / 16000
    pcm = to_int16(0.5 * np.sin(2 * np.pi * 1000 * t))
    outputs = [run(replace(OFF, speed=0.15), pcm, seed) for seed in range(60)]
    pitch = [int(np.argmax(np.abs(np.fft.rfft(y)))) for y in outputs]
    assert 850 <= min(pitch) < 880 and 1120 < max(pitch) <= 1150
    for y in outputs[:10]:
        power = np.abs(np.fft.rfft(y[2000:14000] * np.hanning(12000))) ** 2
        tone = power[power.argmax() - 3 : power.argmax() + 4].sum()
        assert 10 * np.log10(tone / (power.sum() - tone)) > 38  # cubic interpolation leaves -41 dB at 1 kHz


@pytest.mark.parametrize("snr", [-5.0, 0.0, 20.0])
def test_noise_is_at_the_asked_ratio(snr: float) -> None:
    pcm = burst()
    noisy = run(replace(OFF, noise_probability=1, noise_snr_db=(snr, snr)), pcm)
    added = to_float(noisy)[:3000]  # the clip is silent there
    speech = to_float(pcm)[4000:8000]
    assert abs(10 * np.log10(np.mean(speech**2) / np.mean(added**2)) - snr) < 0.5
    outputs = [run(replace(OFF, noise_probability=0.8), pcm, seed) for seed in range(200)]
    share = np.mean([not np.array_equal(y, pcm) for y in outputs])
    assert 0.72 < share < 0.88


def test_gain_and_noise_under_silence() -> None:
    louder = run(replace(OFF, gain_db=(6.0206, 6.0206)), np.full(500, 1000, np.int16))
    assert np.array_equal(louder, np.full(500, 2000))
    quiet = replace(OFF, noise_probability=1, silent_dbfs=(-40, -40))
    alone = run(quiet, np.zeros(16000, np.int16), noise=[hiss(samples=99)])
    assert abs(10 * np.log10(active_power(to_float(alone))) + 40) < 0.5
    with pytest.raises(EdgernnError, match="noise recordings"):
        Augmenter(AugmentConfig(), [], np.random.default_rng(0))


def test_a_room_adds_a_decaying_tail_after_the_sound() -> None:
    click = np.zeros(16000, np.int16)
    click[100] = 20000
    room = replace(OFF, room_probability=1, room_rt60_s=(0.4, 0.4), room_direct_db=(3, 3))
    y = to_float(run(room, click))
    assert abs(y[100] - 20000 / 32768) < 1e-3 and np.abs(y[:100]).max() < 1e-3
    early, late = np.sum(y[132:1000] ** 2), np.sum(y[2000:2868] ** 2)
    assert early > 20 * late > 0
    assert abs(10 * np.log10(y[100] ** 2 / np.sum(y[101:] ** 2)) - 3) < 0.5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder: Path = tmp_path_factory.mktemp("data")
    labels = ("stop", "cat", NOISE)
    clips = [
        Clip(Item(f"{split}{n}", labels[n % 3], f"{split} {n % 3}", split), burst(n, 8000 + 100 * n))
        for split in ("train", "validation", "test")
        for n in range(30)
    ]
    return write_dataset(clips, ["stop"], folder / "d")


def test_stream_places_every_clip_once(dataset: Dataset) -> None:
    rows = dataset.clips("test")
    pcm, spans = make_stream(rows, dataset, np.random.default_rng(0), config=StreamConfig(noise_snr_db=None))
    assert sorted(label for *_, label in spans) == ["stop"] * 10 + ["unknown"] * 10
    said = sorted(pcm[start:end].tobytes() for start, end, _ in spans)
    assert said == sorted(dataset.pcm(row).tobytes() for row in rows)
    assert all(a[1] <= b[0] for a, b in pairwise(spans)) and spans[-1][1] <= len(pcm)
    silence = np.ones(len(pcm), bool)
    for start, end, _ in spans:
        silence[start:end] = False
    assert not pcm[silence].any() and silence.mean() > 0.2


def test_stream_of_a_length_with_noise(dataset: Dataset) -> None:
    rows = dataset.clips("train")
    pcm, spans = make_stream(rows, dataset, np.random.default_rng(1), 120.0)
    again, same = make_stream(rows, dataset, np.random.default_rng(1), 120.0)
    other, _ = make_stream(rows, dataset, np.random.default_rng(2), 120.0)
    assert np.array_equal(pcm, again) and spans == same and not np.array_equal(pcm, other)
    assert len(pcm) == 120 * 16000 and len(spans) > 40
    keywords = sum(label == "stop" for *_, label in spans)
    assert 0.05 < keywords / len(spans) < 0.45
    assert any(a[1] == b[0] and b[2] == "unknown" for a, b in pairwise(spans))  # running speech


def test_stream_errors(dataset: Dataset) -> None:
    with pytest.raises(EdgernnError, match="needs clips"):
        make_stream(dataset.noise("test"), dataset, np.random.default_rng(0))
    silent = replace(dataset, rows=tuple(row for row in dataset.rows if row.label != NOISE))
    with pytest.raises(EdgernnError, match="no test noise"):
        make_stream(silent.clips("test"), silent, np.random.default_rng(0))
