from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgernn.data.corpus import NOISE, Clip, Dataset, Item, write_dataset
from edgernn.data.options import parse
from edgernn.data.sources import folder
from edgernn.data.splits import assign_splits
from edgernn.errors import EdgernnError

WORDS = ("hey robin", "stop", "cat", NOISE)
KEYWORDS = ["stop", "hey robin"]


def clips(skip: tuple[str, str] | None = None) -> Iterator[Clip]:
    rng = np.random.default_rng(3)
    for split in ("train", "validation", "test"):
        for word in WORDS:
            if (word, split) != skip:
                pcm = rng.integers(-32768, 32768, rng.integers(500, 9000)).astype(np.int16)
                yield Clip(Item(f"{split}/{word}.wav", word, f"{split} person", split, f"licence of {word}"), pcm)


def test_round_trip(tmp_path: Path) -> None:
    dataset = write_dataset(clips(), KEYWORDS, tmp_path / "d")
    again = Dataset.load(tmp_path / "d")
    assert again.id == dataset.id and len(again.id) == 64
    assert again.keywords == ("stop", "hey robin") and again.labels == ("stop", "hey robin", "unknown")
    for row, clip in zip(again.rows, clips(), strict=True):
        assert np.array_equal(again.pcm(row), clip.pcm)
        assert (row.source, row.word, row.speaker, row.split) == (
            clip.item.source,
            clip.item.label,
            clip.item.speaker,
            clip.item.split,
        )
        assert row.label == {"cat": "unknown"}.get(row.word, row.word)
    assert [row.word for row in again.clips("test")] == ["hey robin", "stop", "cat"]
    assert [row.label for row in again.noise("train")] == [NOISE]
    assert again.notes == {f"licence of {word}": 3 for word in WORDS}
    assert [line["label"] for line in again.summary()] == ["stop", "hey robin", "unknown", NOISE]
    assert all((line["train"], line["test"], line["test_speakers"]) == (1, 1, 1) for line in again.summary())
    assert np.array_equal(np.load(tmp_path / "d" / "pcm.npy"), np.concatenate([clip.pcm for clip in clips()]))
    with pytest.raises(ValueError, match="read-only"):
        again.pcm(again.rows[0])[0] = 1
    assert write_dataset(clips(), KEYWORDS, tmp_path / "e").id == dataset.id
    assert write_dataset(clips(), KEYWORDS[::-1], tmp_path / "e").id != dataset.id


def test_clip_length_follows_the_longest_keyword(tmp_path: Path) -> None:
    def with_length(samples: int, given: float | None = None) -> int:
        first = Clip(Item("a", "stop", "train person", "train"), np.zeros(samples, np.int16))
        return write_dataset([first, *clips()], KEYWORDS, tmp_path / "d", given).clip_samples

    assert with_length(100) == 16000
    assert with_length(16001) == 17600
    assert with_length(22400) == 22400
    assert with_length(22400, given=0.8) == 12800


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    cases = [
        (clips(("stop", "test")), KEYWORDS, "'stop' has no test clips"),
        (clips(("cat", "validation")), KEYWORDS, "'unknown' has no validation clips"),
        (clips(), ["stop", "robot"], "'robot' has no train clips"),
        (iter(()), KEYWORDS, "no clips at all"),
        (clips(), [], "no keywords"),
        (clips(), ["a", "a"], "'a' is repeated"),
        (clips(), ["unknown"], "reserved"),
    ]
    for source, keywords, message in cases:
        with pytest.raises(EdgernnError, match=message):
            write_dataset(source, keywords, tmp_path / "d")
    assert os.listdir(tmp_path) == []


def test_a_speaker_in_two_splits_is_named(tmp_path: Path) -> None:
    wrong = Clip(Item("x.wav", "cat", "test person", "train"), np.zeros(9, np.int16))
    with pytest.raises(EdgernnError, match=r"speaker 'test person'.*x\.wav"):
        write_dataset([*clips(), wrong], KEYWORDS, tmp_path / "d")


def test_failure_keeps_what_was_there(tmp_path: Path) -> None:
    before = write_dataset(clips(), KEYWORDS, tmp_path / "d").id
    with pytest.raises(EdgernnError):
        write_dataset(clips(("stop", "test")), KEYWORDS, tmp_path / "d")
    assert Dataset.load(tmp_path / "d").id == before
    (tmp_path / "d" / "thesis.txt").write_text("x")
    with pytest.raises(EdgernnError, match="not a prepared dataset"):
        write_dataset(clips(), KEYWORDS, tmp_path / "d")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(EdgernnError, match="not a prepared dataset"):
        write_dataset(clips(), KEYWORDS, tmp_path / "mine")
    assert sorted(os.listdir(tmp_path)) == ["d", "mine"] and os.listdir(tmp_path / "mine") == ["thesis.txt"]


def test_damaged_datasets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "d"
    with pytest.raises(EdgernnError, match="edgernn data"):
        Dataset.load(path)
    write_dataset(clips(), KEYWORDS, path)
    pcm, index = (path / "pcm.npy").read_bytes(), (path / "index.json").read_bytes()
    future, rowless = json.loads(index) | {"version": 2}, json.loads(index)
    del rowless["rows"]
    cases = [
        ("pcm.npy", pcm[:-5] + b"\0\1\2\3\4", "do not match"),
        ("pcm.npy", pcm[:-4000], "damaged"),
        ("pcm.npy", b"junk", "damaged"),
        ("index.json", index[:-9], "damaged"),
        ("index.json", json.dumps(future).encode(), "version 2"),
        ("index.json", json.dumps(rowless).encode(), "damaged"),
    ]
    for name, content, message in cases:
        write_dataset(clips(), KEYWORDS, path)
        (path / name).write_bytes(content)
        with pytest.raises(EdgernnError, match=message):
            Dataset.load(path)


def people(count: int, words: tuple[str, ...] = ("stop", "cat")) -> list[Item]:
    return [Item(f"{word}/{n}.wav", word, f"p{n}", "") for n in range(count) for word in words]


def test_assigned_splits_are_disjoint_and_stable() -> None:
    items = assign_splits(people(2000), ["stop"], 0)
    share = Counter(item.split for item in items)
    assert abs(share["test"] / 4000 - 0.1) < 0.02 and abs(share["validation"] / 4000 - 0.1) < 0.02
    assert len({(item.speaker, item.split) for item in items}) == 2000
    assert assign_splits(people(2500), ["stop"], 0)[:4000] == items  # more recordings, same choices
    assert assign_splits(people(2000), ["stop"], 1) != items
    assert assign_splits(items, ["stop"], 5) == items  # given splits stay


@pytest.mark.parametrize("seed", range(8))
def test_few_speakers_still_fill_every_split(seed: int) -> None:
    items = assign_splits(people(3), ["stop"], seed)
    assert {(item.label, item.split) for item in items} == {
        (word, split) for word in ("stop", "cat") for split in ("train", "validation", "test")
    }
    alone = assign_splits([Item(f"{n}.wav", "stop", "", "") for n in range(3)], ["stop"], seed)
    assert sorted(item.split for item in alone) == ["test", "train", "validation"]
    assert {item.speaker for item in alone} == {"0.wav", "1.wav", "2.wav"}


def test_options_name_every_mistake_at_once() -> None:
    with pytest.raises(EdgernnError) as caught:
        parse(folder.Options, {"paht": "x", "noise": "yes", "seed": True}, "here")
    for part in (
        "here: ",
        "'paht' (did you mean 'path'?)",
        "path is missing",
        "noise = 'yes' should be a bool",
        "seed = True should be a int",
    ):
        assert part in str(caught.value)
