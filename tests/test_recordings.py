"""Recordings on disk: who speaks is read from their names, what cannot be used is named, a word is found where it lies."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from edgernn.data.corpus import Dataset
from edgernn.data.recordings import Reader, sound_files
from edgernn.data.sources import folder, prepare, speech_commands
from edgernn.errors import EdgernnError
from edgernn.signal.audio import write_wav
from edgernn.tasks.spot.clips import fitted
from edgernn.tasks.spot.listening import record

RNG = np.random.default_rng(0)


def sound(seconds: float = 0.5) -> np.ndarray:
    return RNG.integers(-3000, 3000, round(16000 * seconds)).astype(np.int16)


def people(root: Path, names: dict[str, int], words: tuple[str, ...] = ("stop", "cat")) -> Path:
    """Recordings as `edgernn record` names them: so many of each person."""
    for word in words:
        for name, count in names.items():
            source = root / "take.wav"
            root.mkdir(exist_ok=True)
            write_wav(source, sound(count))
            assert len(list(record(word, root, count, 1.0, name, str(source)))) == count
            source.unlink()
    return root


def prepared(root: Path, out: Path, caplog: pytest.LogCaptureFixture, **options: Any) -> tuple[Dataset, str]:
    """The dataset, and all that was said."""
    caplog.clear()
    strict = bool(options.pop("strict", False))
    with caplog.at_level(logging.WARNING, "edgernn"):
        dataset = prepare([{"kind": "folder", "path": str(root), **options}], ["stop"], out, clip_seconds=1.0, strict=strict)
    return dataset, "\n".join(caplog.messages)


# Who speaks ---------------------------------------------------------------------------


def test_recorded_speakers_stay_in_one_split_and_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = people(tmp_path / "rec", {f"p{i}": 4 for i in range(12)})
    dataset, said = prepared(root, tmp_path / "d", caplog)
    assert {row.speaker for row in dataset.rows} == {f"p{i}" for i in range(12)}
    splits = {(row.speaker, row.split) for row in dataset.rows}
    assert len(splits) == 12
    count = Counter(split for _, split in splits)
    assert f"12 speakers ({count['train']} train, {count['validation']} validation, {count['test']} test)" in said
    assert "flatter" not in said and not dataset.remarks()


@pytest.mark.parametrize("names", [("me",), ("me", "you")])
def test_fewer_than_three_speakers_are_split_by_recording_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: tuple[str, ...]
) -> None:
    root = people(tmp_path / "rec", dict.fromkeys(names, 10))
    dataset, said = prepared(root, tmp_path / "d", caplog)
    assert {row.speaker for row in dataset.rows} == set(names)
    assert {row.split for row in dataset.rows if row.label == "stop"} == {"train", "validation", "test"}
    assert said.count("is in train and in test, so its figures flatter") == 2  # of "stop" and of "unknown"
    assert "record at least 3 people" in said


def test_three_speakers_are_enough(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset, said = prepared(people(tmp_path / "rec", {"a": 5, "b": 5, "c": 5}), tmp_path / "d", caplog)
    assert len({(row.speaker, row.split) for row in dataset.rows}) == 3 and "flatter" not in said


def test_names_that_tell_the_word_or_nothing_are_no_speakers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = tmp_path / "rec"
    for word in ("stop", "cat"):
        (root / word).mkdir(parents=True)
        for i in range(6):
            write_wav(root / word / f"{word.upper()}_{i:03d}.wav", sound())
    dataset, said = prepared(root, tmp_path / "d", caplog)
    assert len({row.speaker for row in dataset.rows}) == 12 and "none of 12 recordings names its speaker" in said
    write_wav(root / "stop" / "eve_001.wav", sound())
    assert "1 speaker (" in prepared(root, tmp_path / "d", caplog)[1]


def test_a_pattern_of_ones_own_counts_more(tmp_path: Path) -> None:
    root = people(tmp_path / "rec", {"ann-x": 3, "ann-y": 3, "bob-x": 3, "eve-x": 3})
    found = folder.scan({"path": str(root), "keywords": ("stop",), "speaker_pattern": r"^(\w+)-"})
    assert {item.speaker for item in found} == {"ann", "bob", "eve"}


# Which files ---------------------------------------------------------------------------


def test_one_rule_for_endings_case_and_hidden_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.wav", "b.WAV", "c.Flac", "._d.wav", "e.m4a", "f.M4A", "g.txt", "LICENSE", "h.aiff", ".DS_Store", "i.wma"):
        (tmp_path / "yes" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "yes" / name).write_bytes(b"x")
    (tmp_path / "yes" / "folder.wav").mkdir()
    assert [path.name for path in sound_files(tmp_path, "*/*")] == ["a.wav", "b.WAV", "c.Flac", "h.aiff"]
    assert "passed over 2 .m4a, 1 .wma" in caplog.text and ".txt" not in caplog.text


def test_the_sources_agree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for word in ("stop", "cat"):
        for i in range(12):
            path = tmp_path / "rec" / word / f"s{i}_nohash_0.{'WAV' if i % 2 else 'wav'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_wav(path, sound())
        (tmp_path / "rec" / word / "._s7_nohash_0.wav").write_bytes(b"x")
        (tmp_path / "rec" / word / "s99_nohash_0.m4a").write_bytes(b"x")
    config = {"path": str(tmp_path / "rec"), "keywords": ("stop",)}
    by_folder, by_corpus = folder.scan(config), speech_commands.scan(config)
    assert sorted(i.source for i in by_folder) == sorted(i.source for i in by_corpus) and len(by_corpus) == 24
    assert {i.speaker for i in by_corpus} == {f"sc_s{i}" for i in range(12)}
    assert caplog.text.count("passed over 2 .m4a") == 2


def test_accents_taken_apart_match_the_keyword(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    word = "café"
    for label in (unicodedata.normalize("NFD", word), "thé"):
        for i in range(6):
            (tmp_path / "rec" / label).mkdir(parents=True, exist_ok=True)
            write_wav(tmp_path / "rec" / label / f"{i}.wav", sound())
    table = {"kind": "folder", "path": str(tmp_path / "rec")}
    for keyword in (word, unicodedata.normalize("NFD", word)):
        dataset = prepare([table], [keyword], tmp_path / "d")
        assert dataset.keywords == (word,) and Counter(r.label for r in dataset.rows) == {word: 6, "unknown": 6}


# What cannot be used ---------------------------------------------------------------------------


def broken(root: Path) -> Path:
    people(root, {f"p{i}": 4 for i in range(6)})
    (root / "stop" / "p1_900.wav").write_bytes((root / "stop" / "p1_000.wav").read_bytes()[:-500])
    write_wav(root / "stop" / "p2_900.wav", np.zeros(16000, np.int16))
    write_wav(root / "cat" / "p3_900.wav", sound(0.0999))
    soundfile.write(root / "cat" / "p4_900.wav", np.stack([sound(), -sound(0.5)], 1) * 0 + 1, 16000)
    return root


def test_unusable_recordings_are_named_counted_and_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset, said = prepared(broken(tmp_path / "rec"), tmp_path / "d", caplog)
    assert len(dataset.rows) == 48 and not any("_900" in row.source for row in dataset.rows)
    assert "passed over 4 of 52 recordings" in said and "and 1 more" in said
    for part in ("p1_900.wav is truncated", "p3_900.wav is too short: 0.100 s"):
        assert part in said
    with pytest.raises(EdgernnError, match="_900"):
        prepared(tmp_path / "rec", tmp_path / "e", caplog, strict=True)
    assert not (tmp_path / "e").exists()


def test_a_tenth_of_a_second_is_enough_and_none_usable_is_an_error(tmp_path: Path) -> None:
    reader = Reader()
    write_wav(tmp_path / "a.wav", sound(0.1))
    write_wav(tmp_path / "b.wav", sound(0.099))
    assert reader(tmp_path / "b.wav") is None
    with pytest.raises(EdgernnError, match=r"none of 1 recordings can be used.*b\.wav"):
        reader.finish()
    assert reader(tmp_path / "a.wav") is not None and reader.read == 1
    reader.finish()


def test_clipped_and_narrow_recordings_are_kept_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = people(tmp_path / "rec", {f"p{i}": 4 for i in range(6)})
    soundfile.write(root / "stop" / "p1_900.wav", np.sign(np.sin(np.arange(16000) * 0.1)), 16000)
    soundfile.write(root / "stop" / "p1_901.wav", sound(), 8000)
    dataset, said = prepared(root, tmp_path / "d", caplog)
    assert len(dataset.rows) == 50
    assert "1 of 50 recordings are clipped" in said and "(p1_900.wav)" in said
    assert "1 of 50 recordings are of less than 16000 Hz" in said and "(p1_901.wav)" in said


def test_folders_that_hold_no_words_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = people(tmp_path / "rec", {f"p{i}": 2 for i in range(6)})
    for folder_name in (".trash", "_background_noise_", "stop/sub"):
        (root / folder_name).mkdir()
        write_wav(root / folder_name / "p9_000.wav", sound())
    dataset, said = prepared(root, tmp_path / "d", caplog)
    assert len(dataset.rows) == 24 and not any("p9" in row.source for row in dataset.rows)
    assert "passed over _background_noise_" in said and "passed over 1 recordings that lie deeper" in said


def test_a_recording_in_two_splits_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = people(tmp_path / "rec", {f"p{i}": 2 for i in range(12)})
    splits = {row.speaker: row.split for row in prepared(root, tmp_path / "d", caplog)[0].rows}
    a, b, c = (next(s for s, split in sorted(splits.items()) if split == wanted) for wanted in ("train", "test", "validation"))
    for copy, said_so in ((f"{a}_900.wav", False), (f"{b}_900.wav", True), (f"{c}_901.wav", True)):
        (root / "stop" / copy).write_bytes((root / "stop" / f"{a}_000.wav").read_bytes())
        _, said = prepared(root, tmp_path / "d", caplog)
        assert ("recordings are in two splits" in said) is said_so
    assert "2 recordings are in two splits" in said and f"stop/{b}_900.wav (test, and in train)" in said


def test_a_name_written_two_ways_is_one_speaker(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = people(tmp_path / "rec", {f"p{i}": 2 for i in range(3)})
    for word, form in (("stop", "NFD"), ("cat", "NFC")):
        write_wav(root / word / f"{unicodedata.normalize(form, 'Zoë')}_000.wav", sound())
    dataset, said = prepared(root, tmp_path / "d", caplog)
    assert "4 speakers" in said and len({row.speaker for row in dataset.rows}) == 4


def test_what_record_cuts_is_judged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    x = sound(3.0)
    soundfile.write(tmp_path / "anti.wav", np.stack([x, -x], 1), 16000)
    assert len(list(record("stop", tmp_path / "out", 5, 1.0, "me", str(tmp_path / "anti.wav")))) == 3
    for part in ("channels cancel each other", "3 of 3 pieces are silent (me_000.wav", "only 3 of 5 pieces of 1 s"):
        assert part in caplog.text
    caplog.clear()
    soundfile.write(tmp_path / "good.wav", x, 16000)
    assert len(list(record("stop", tmp_path / "out", 2, 1.0, "you", str(tmp_path / "good.wav")))) == 2 and not caplog.text


# Where the word is ---------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 9000, 24000, 40000])
def test_the_word_is_found_in_a_long_recording(at: int) -> None:
    pcm = RNG.integers(-20, 20, 48000).astype(np.int16)
    word = sound(0.5)
    pcm[at : at + len(word)] = word
    found = fitted(pcm, 16000)
    assert len(found) == 16000
    energy = np.square(found.astype(float)).sum()
    assert energy > 0.998 * np.square(word.astype(float)).sum()
    if 8000 <= at <= 32000:  # in the middle, where there is room for it
        centre = (np.arange(16000) * np.square(found.astype(float))).sum() / energy
        assert abs(centre - 8000) < 700


def test_short_and_exact_recordings_keep_their_samples() -> None:
    word = sound(0.5)
    assert np.array_equal(fitted(word, 16000), np.concatenate([word, np.zeros(8000, np.int16)]))
    assert np.array_equal(fitted(word, 8000), word)
    assert len(fitted(np.zeros(9000, np.int16), 8000)) == 8000
    loud_ends = np.concatenate([word, np.zeros(20000, np.int16), word])  # twice the word: one of them, not the pause between
    assert np.square(fitted(loud_ends, 8000).astype(float)).sum() > 0.99 * np.square(word.astype(float)).sum()


def test_long_recordings_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = people(tmp_path / "rec", {f"p{i}": 4 for i in range(6)})
    write_wav(root / "stop" / "p1_900.wav", sound(1.01))
    assert "1 of 25 recordings of keywords are longer than the clip of 1 s" in prepared(root, tmp_path / "d", caplog)[1]
