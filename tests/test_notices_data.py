"""Recordings, mixtures and noise: whose they are, how loud they come out, and what follows the generator."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from listening import small_corpus

from edgernn.data import download as downloading
from edgernn.data import mixing
from edgernn.data.augment import AugmentConfig, Augmenter, StreamConfig, active_power, make_stream
from edgernn.data.corpus import NOISE, SPEECH, SPLITS, Clip, Dataset, Item, Row, write_dataset
from edgernn.data.mixing import EVALUATION_SNRS, Ingredients, MixConfig, Mixer, draw_ingredients, mixture
from edgernn.data.noise import KINDS, make_noise
from edgernn.data.splits import assign_splits
from edgernn.errors import EdgernnError
from edgernn.signal.audio import to_float


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_corpus(tmp_path_factory.mktemp("notices") / "data")


# Corpus ---------------------------------------------------------------------------


def clip(label: str, speaker: str, split: str, pcm: Any = None, **more: Any) -> Clip:
    return Clip(
        Item(f"{label} {speaker} {split}", label, speaker, split, **more), np.ones(10, np.int16) if pcm is None else pcm
    )


def whole(*more: Clip) -> list[Clip]:
    return [*(clip("stop", split, split) for split in SPLITS), *(clip("cat", split, split) for split in SPLITS), *more]


def test_a_speaker_of_two_words_in_two_splits_is_named(tmp_path: Path) -> None:
    """Whatever is said: only noise and rooms have names of their own."""
    for label in ("stop", "dog", SPEECH):
        with pytest.raises(EdgernnError, match="speaker 'test' is in the test and in the train split"):
            write_dataset(whole(clip(label, "test", "train")), ["stop"], tmp_path / "d")
    write_dataset(whole(clip(NOISE, "test", "train")), ["stop"], tmp_path / "d")
    with pytest.raises(EdgernnError, match="speaker 'hiss' is in the train and in the test split"):
        write_dataset(whole(clip(NOISE, "hiss", "train"), clip(NOISE, "hiss", "test")), ["stop"], tmp_path / "d")
    few = [clip("stop", "one", split, mixed=True) for split in SPLITS]
    write_dataset([*few, *(clip("cat", split, split) for split in SPLITS)], ["stop"], tmp_path / "d")


def test_rows_are_told_by_split_and_label(data: Dataset) -> None:
    for split in SPLITS:
        words = 8 if split == "train" else 6
        by_label = {"clips": data.clips(split), "noise": data.noise(split), "speech": data.speech(split)}
        assert {name: {r.split for r in rows} for name, rows in by_label.items()} == {name: {split} for name in by_label}
        assert {name: len(rows) for name, rows in by_label.items()} == {"clips": words, "noise": 2, "speech": 2}
    assert {r.label for r in data.clips("train")} == {"stop", "unknown"}
    assert [r.split for r in data.rooms("train")] == ["train"] and not data.rooms("test")
    with pytest.raises(EdgernnError, match="unknown split 'dev'"):
        data.clips("dev")


def test_recordings_longer_than_a_clip_are_counted(tmp_path: Path) -> None:
    for samples, said in ((8000, 0), (8001, 1)):
        long = clip("stop", "train", "train", np.ones(samples, np.int16))
        found = write_dataset(whole(long), ["stop"], tmp_path / "d", 0.5).remarks()
        assert sum("1 of 4 recordings of keywords are longer than the clip of 0.5 s" in text for text in found) == said


@pytest.mark.parametrize("pcm", [np.ones(9, np.float32), np.ones(9, np.int32), np.ones((9, 2), np.int16), np.ones(0, np.int16)])
def test_clips_of_another_kind_are_refused(pcm: Any, tmp_path: Path) -> None:
    with pytest.raises(EdgernnError, match="not int16 mono"):
        write_dataset(whole(clip("stop", "train", "train", pcm)), ["stop"], tmp_path / "d")


def test_a_given_split_stays_though_its_speaker_is_elsewhere() -> None:
    items = [Item(f"{i}", "stop", "a", split) for i, split in enumerate(("train", "test", ""))]
    assert [x.split for x in assign_splits(items, ["stop"], 0)[:2]] == ["train", "test"]


@pytest.mark.parametrize("seed", range(30))
def test_the_only_one_of_a_split_is_not_taken_for_another(seed: int) -> None:
    """Of two noises one is learnt from, or at least neither split that has one loses it."""
    from edgernn.data.splits import _bucket, hashed

    found = [x.split for x in assign_splits([Item(name, NOISE, name, "") for name in ("a", "b")], [], seed)]
    hashes = [_bucket(hashed(seed, name)) for name in ("a", "b")]
    if len(set(hashes)) == 2:
        assert found == hashes
    else:
        assert sum(a == b for a, b in zip(found, hashes, strict=True)) == 1


# Augmentation and streams ---------------------------------------------------------------------------

OFF = AugmentConfig(shift_ms=0, speed=0, room_probability=0, gain_db=(0, 0), noise_probability=1, noise_snr_db=(20, 20))


def test_noise_is_measured_against_the_clip_not_its_context() -> None:
    rng = np.random.default_rng(0)
    quiet, loud = ((rng.normal(size=16000) * level).astype(np.int16) for level in (100, 10000))
    noise = [(rng.normal(size=48000) * 3000).astype(np.int16)]
    for pcm, context, wanted in ((quiet, loud, 100), (loud, quiet, 10000)):
        found = Augmenter(OFF, noise, np.random.default_rng(1))(pcm, context)
        added = to_float(found) - to_float(np.concatenate([context, pcm]))
        assert len(found) == 32000
        assert 20 * np.log10(wanted / (32768 * added.std())) == pytest.approx(20, abs=0.5)


def test_the_loud_part_of_a_clip_decides_its_power() -> None:
    x = np.zeros(3200, np.float32)
    x[:640], x[640:960], x[960:1280] = 0.1, 0.0100001, 0.0099
    assert active_power(x) == pytest.approx((2 * 0.01 + 0.0001) / 3, rel=1e-3), "frames within 20 dB of the loudest"
    assert active_power(np.zeros(3200, np.float32)) == 0


def test_no_clip_of_a_stream_is_cut(data: Dataset) -> None:
    for seed in range(20):
        pcm, spans = make_stream(data.clips("test"), data, np.random.default_rng(seed), 3.0, StreamConfig(noise_snr_db=None))
        assert len(pcm) == 48000
        assert all(end - begin == 4000 and end <= 48000 for begin, end, _ in spans)


def test_a_streams_noise_has_the_snr_that_was_asked_for(data: Dataset) -> None:
    config = StreamConfig(noise_snr_db=(10.0, 10.0))
    pcm, spans = make_stream(data.clips("test"), data, np.random.default_rng(0), 30.0, config)
    alone = np.ones(len(pcm), bool)
    for begin, end, _ in spans:
        alone[begin:end] = False
    speech = np.median([active_power(to_float(data.pcm(r))) for r in data.clips("test")])
    noise = float(np.mean(to_float(pcm[alone]) ** 2))
    assert 10 * np.log10(speech / noise) == pytest.approx(10, abs=1.5)


# Mixtures ---------------------------------------------------------------------------

PLAIN: dict[str, Any] = {"seconds": 1.0, "noise_alone": 0, "clean_alone": 0, "silence": 0, "room_probability": 0, "tilt": 0}


def mixer(data: Dataset, **changes: Any) -> Mixer:
    return Mixer(MixConfig(**{**PLAIN, **changes}), data, "train", np.random.default_rng(0))


def test_a_mixture_is_never_clipped(data: Dataset) -> None:
    loud = mixer(data, level_dbfs=(-1.0, 0.0))
    pairs = [loud() for _ in range(10)]
    assert all(np.abs(p.noisy.astype(int)).max() <= 0.99 * 32768 + 1 for p in pairs)
    assert max(np.abs(p.noisy.astype(int)).max() for p in pairs) > 32000


def test_clean_speech_in_a_room_is_its_own_target(tmp_path: Path) -> None:
    """Without noise the target is what is heard, late reflections too: there is nothing to take out."""
    rows = small_corpus(tmp_path / "d")
    m = mixer(rows, clean_alone=1.0, room_probability=1.0)
    response = np.zeros(4000, np.float32)
    response[0], response[2000] = 1, 0.7  # an echo after 125 ms
    m._rooms = [response]
    pair = m()
    assert pair.noisy.any()
    assert np.array_equal(pair.noisy, pair.clean)


def test_the_direct_sound_of_a_room_keeps_its_time_and_level(data: Dataset) -> None:
    m = mixer(data)
    response = np.zeros(12000, np.float32)
    response[300], response[300 + 700], response[300 + 900] = -0.5, 0.25, 0.25  # 44 and 56 ms behind the direct sound
    m._rooms = [response]
    x = np.zeros(4000, np.float32)
    x[100] = 1
    wet, early = m.in_room(x)
    assert np.allclose(wet[[100, 800, 1000]], [-1, 0.5, 0.5], atol=1e-5)
    assert np.allclose(early[[100, 800, 1000]], [-1, 0.5, 0], atol=1e-5), "reflections within 50 ms belong to the target"


def test_snrs_are_taken_in_turn(data: Dataset) -> None:
    found = list(draw_ingredients(data, "test", 7, 3))
    assert [x.snr_db for x in found] == [-5, 0, 5, 10, 15, -5, 0]
    assert EVALUATION_SNRS == (-5, 0, 5, 10, 15)
    assert {x.noise for x in draw_ingredients(data, "test", 30, 0)} == {"kind 0", "kind 1"}
    assert [x.name for x in found[:2]] == ["test0", "test1"]


def test_a_quiet_mixture_to_judge_by_is_not_made_louder() -> None:
    clean, noise = (np.full(16000, level, np.int16) for level in (1000, 500))
    clean[::2] *= -1
    m = mixture(Ingredients("m", 0.0, "hum", clean, (noise,)))
    assert np.abs(m.pair.clean).max() == 1000
    loud = mixture(Ingredients("m", 0.0, "hum", (clean * 20).astype(np.int16), (noise,)))
    assert np.abs(loud.pair.noisy.astype(int)).max() == pytest.approx(0.7 * 32768, abs=2)
    assert np.abs(loud.pair.clean.astype(int)).max() == pytest.approx(0.35 * 32768, abs=2), "both by the same factor"


def test_groups_are_drawn_by_the_root_of_their_lengths() -> None:
    rows = [
        Row(str(i), SPEECH, "", speaker, "train", 0, length) for i, (speaker, length) in enumerate([("a", 900), ("b", 100)])
    ]
    groups, rng = mixing._Groups(rows, lambda r: r.speaker), np.random.default_rng(0)
    share = np.mean([groups.draw(rng).speaker == "a" for _ in range(4000)])
    assert share == pytest.approx(0.75, abs=0.03)


def test_more_noises_are_mixed_as_often_as_asked(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    m = mixer(data, more_noise=0.3)
    one = np.ones(100, np.float32)
    monkeypatch.setattr(m, "one_noise", lambda: counts.append(1) or one)
    for _ in range(2000):
        m.noises()
    assert len(counts) / 2000 == pytest.approx(1 + 0.3 + 0.09, abs=0.05)


def test_a_cut_of_noise_is_from_anywhere_and_long_enough(data: Dataset) -> None:
    m = mixer(data, noise_speed=0.0)
    long = np.arange(32000, dtype=np.int16)
    firsts = [round(float(m._sounded(long)[0]) * 32768) for _ in range(50)]
    assert min(firsts) < 3000 and max(firsts) > 12000
    assert len(m._sounded(np.arange(1, 50, dtype=np.int16))) == 16000, "a short one is repeated"


def test_shares_that_exceed_one_are_refused() -> None:
    MixConfig(noise_alone=0.5, clean_alone=0.3, silence=0.2)
    MixConfig(white_probability=0.5, machine_probability=0.5)
    for shares in ({"noise_alone": 0.5, "clean_alone": 0.3, "silence": 0.21},
                   {"white_probability": 0.51, "machine_probability": 0.5}):  # fmt: skip
        with pytest.raises(EdgernnError, match="must not exceed 1"):
            MixConfig(**shares)


# Generated noise ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*KINDS, "machine"])
def test_generated_noise_has_its_peak_and_follows_its_generator(kind: str) -> None:
    speech = [(np.random.default_rng(9).normal(size=8000) * 2000).astype(np.int16)]
    made = [make_noise(kind, 8000, np.random.default_rng(seed), speech) for seed in (1, 1, *range(2, 22))]
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])
    peaks = [np.abs(x.astype(int)).max() / 32768 for x in made]
    assert 0.0999 < min(peaks) < 0.3 < 0.5 < max(peaks) < 0.7001


@pytest.mark.parametrize("mains", [50, 60])
def test_hum_is_at_its_mains(mains: int) -> None:
    x = make_noise(f"hum{mains}", 32000, np.random.default_rng(0))
    spectrum = np.abs(np.fft.rfft(x)) ** 2
    at = np.arange(1, 13) * mains * 2
    assert spectrum[at].sum() > 0.9 * spectrum.sum()


# Download ---------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """Counts what is asked for; there is nothing."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            pass

    httpd = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield SimpleNamespace(url=f"http://127.0.0.1:{httpd.server_port}/x", asked=asked)
    httpd.shutdown()
    httpd.server_close()


def test_an_address_that_is_not_there_is_asked_once(server: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(EdgernnError, match="cannot download"):
        downloading.download(server.url, tmp_path / "x", "0" * 64, retries=3, wait_s=0.01)
    assert server.asked == ["/x"]


def test_a_file_that_is_there_is_checked(server: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"right")
    digest = downloading._sha256(path)
    assert downloading.download(server.url, path, digest) == path
    assert server.asked == []
    path.write_bytes(b"wrong")
    with pytest.raises(EdgernnError, match="cannot download"):
        downloading.download(server.url, path, digest, retries=0)
    assert server.asked == ["/x"]


def test_a_replaced_row_is_another_row(data: Dataset) -> None:
    """`pcm` reads by offset and length, every sample of it."""
    row = data.rows[5]
    assert len(data.pcm(row)) == row.length
    assert np.array_equal(data.pcm(replace(row, offset=row.offset + 3, length=row.length - 3)), data.pcm(row)[3:])
