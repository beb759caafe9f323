"""Who speaks in which split, what is kept of it, and the sources that let engines speak."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from needs import need_module, need_program

from edgernn.data import cast as casting
from edgernn.data.cast import Cast, CastOptions, Line, check_options, make_cast
from edgernn.data.confusable import english_sentences, remarks, without
from edgernn.data.corpus import NOISE, SPEECH, SPLITS, UNKNOWN
from edgernn.data.engine import Engine, Utterance
from edgernn.data.sources import prepare
from edgernn.data.speech import say
from edgernn.errors import EdgernnError
from edgernn.signal.audio import Int16, write_wav


class Whistle(Engine):
    """One tone an utterance, of a pitch and length that follow it; counts what it was asked for."""

    LICENCE = "none"
    SECONDS = 0.0
    voices_: Sequence[str] = ("a", "b", "c", "d", "e", "f", "g", "h")

    def __init__(self, name: str = "whistle", language: str = "en", folder: str = "") -> None:
        super().__init__(name, language, folder)
        self.said: list[Utterance] = []

    def missing(self) -> str:
        return ""

    def voices(self) -> list[str]:
        return list(self.voices_)

    def identity(self) -> str:
        return "1"

    def sample_rate(self) -> int:
        return 8000

    def speak(self, utterances: Sequence[Utterance]) -> Iterator[Int16]:
        for u in utterances:
            self.said.append(u)
            n = round(4000 * len(u.text) / 5 / u.rate)
            quiet = np.zeros(900)
            tone = 9000 * np.sin(np.arange(n) * 2 * np.pi * (200 + 50 * ord(u.voice[0]) % 400) * u.pitch / 8000)
            yield np.concatenate([quiet, tone, quiet]).astype(np.int16)

    def says(self, voice: str, text: str) -> bool:
        return "?" not in text


class Remembering(Whistle):
    REMEMBERS = True


class Few(Whistle):
    voices_ = ("x", "y")


def cast_of(*engines: Engine, split: str = "", seed: int = 0) -> Cast:
    found = {engine: engine.voices() for engine in engines}
    return Cast({split: found} if split else casting._spread(found, seed), seed, (130, 230), (0.84, 1.2))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


# Who speaks ---------------------------------------------------------------------------


def test_voices_are_in_one_split_and_few_ones_in_training() -> None:
    many, few = Whistle(), Few("few")
    cast = cast_of(many, few)
    assert set(cast.voices) == set(SPLITS) and cast.shares == {"train": 0.8, "validation": 0.1, "test": 0.1}
    placed = Counter(voice for voices in cast.voices.values() for own in voices.values() for voice in own)
    assert set(placed) == {*many.voices_, *few.voices_} and set(placed.values()) == {1}
    assert [few in cast.voices[split] for split in SPLITS] == [True, False, False]
    other = cast_of(many, few, seed=3)
    assert other.voices != cast.voices


def test_a_few_voices_alone_speak_in_training_and_it_is_said(caplog: pytest.LogCaptureFixture) -> None:
    cast = cast_of(Few("one"), Few("two"))
    assert [*cast.voices] == ["train"] and cast.shares == {"train": 1.0}
    assert (
        "one, two: no voice is left for validation and test, since engines of few voices speak in the training" in caplog.text
    )
    caplog.clear()
    assert [*cast_of(Few("few"), Whistle()).voices] == list(SPLITS) and caplog.text == ""
    assert cast_of(Few("few"), split="test").shares == {"test": 1.0}


def test_a_voice_is_in_the_same_split_whatever_else_is_named() -> None:
    engine = Whistle()
    whole = casting._spread({engine: engine.voices()}, 0)
    for voice in engine.voices():
        (split,) = casting._spread({engine: [voice]}, 0)
        assert voice in whole[split][engine]


def test_engines_speak_in_turn_each_text() -> None:
    a, b = Whistle("a"), Whistle("b")
    lines = list(cast_of(a, b).lines("train", ["hello"] * 20 + [f"word{i}" for i in range(400)]))
    assert Counter(line.engine.name for line in lines[:20]) == {"a": 10, "b": 10}
    share = Counter(line.engine.name for line in lines[20:])["a"] / 400
    assert 0.4 < share < 0.6, "words said once are not all said by one engine"
    assert len({line.utterance.voice for line in lines[20:]}) > 3, "words said once are not all said in one way"
    for name, low, high in (("rate", 130 / 175, 230 / 175), ("pitch", 0.85, 1.18), ("spread", 0.5, 1.5)):
        drawn = [getattr(line.utterance, name) for line in lines]
        assert low <= min(drawn) < low + 0.1 and high - 0.1 < max(drawn) <= high, name
    tracts = [line.tract for line in lines]
    assert 0.84 <= min(tracts) < 0.87 and 1.17 < max(tracts) <= 1.2
    assert {line.utterance.take for line in lines} == {0}, "a whistle has one take"


def test_more_clips_words_and_engines_change_no_other_line() -> None:
    a, b = Whistle("a"), Whistle("b")
    few = [str(line) for line in cast_of(a).lines("train", ["hello"] * 5)]
    more = [str(line) for line in cast_of(a).lines("train", ["stop"] * 3 + ["hello"] * 9)]
    both = [str(line) for line in cast_of(a, b).lines("train", ["hello"] * 18) if line.engine is a]
    assert few == more[3:8] and more[3:] == both
    assert len(set(more)) == 12 and str(next(cast_of(a, seed=1).lines("train", ["hello"]))) not in few


def test_what_no_voice_can_say_is_refused_by_name() -> None:
    with pytest.raises(EdgernnError, match=r"no voice can say 'why\?' in the train split; write it .* than whistle"):
        list(cast_of(Whistle()).lines("train", ["hello", "why?"]))
    silent = Line(Whistle(), Utterance("a", "", rate=1e9))
    with pytest.raises(EdgernnError, match="whistle says nothing for '' in voice a"):
        list(say([silent]))


def test_engines_and_voices_are_named_and_excluded() -> None:
    need_program("flite")

    def named(*voices: str, **more: Any) -> list[str]:
        options = CastOptions(voices=voices, split="test", **more)
        check_options(options)
        cast = make_cast(options, (130, 230))
        return [f"{engine.name}:{voice}" for engine, own in cast.voices["test"].items() for voice in own]

    assert named("flite") == ["flite:awb", "flite:kal16", "flite:rms", "flite:slt"]
    assert named("flite:slt", "flite:awb") == ["flite:awb", "flite:slt"]
    assert named("flite", exclude=("flite:rms", "flite:awb")) == ["flite:kal16", "flite:slt"]
    need_module("py_nanotts")
    assert named("flite:slt", "pico", exclude=("flite",)) == ["pico:en-GB", "pico:en-US"]
    for voices, more, said in (
        (("flit",), {}, "no voices 'flit'; the engines are espeak"),
        (("flite:lst",), {}, "flite has no voice 'lst' for the language en; it has awb, kal16, rms, slt"),
        (("flite",), {"exclude": ("flite",)}, "none of the voices flite can speak here: all are excluded"),
        (("flite",), {"language": "de"}, r"flite \(it has no voice for the language de\)"),
        (("flite",), {"exclude": ("espik",)}, "no voices 'espik'"),
    ):
        with pytest.raises(EdgernnError, match=said):
            named(*voices, **more)


def test_a_missing_engine_is_left_out_by_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    need_module("py_nanotts")
    monkeypatch.setenv("PATH", str(tmp_path))  # no flite there
    cast = make_cast(CastOptions(voices=("flite", "pico"), split="train"), (130, 230))
    assert [engine.name for engine in cast.voices["train"]] == ["pico"]
    assert "cannot speak here and are left out: flite (install the program flite (Debian: apt install flite))" in caplog.text
    with pytest.raises(EdgernnError, match="some voices cannot speak here: flite"):
        make_cast(CastOptions(voices=("flite", "pico"), split="train", strict=True), (130, 230))
    with pytest.raises(EdgernnError, match=r"none of the voices flite can speak here: flite \(install"):
        make_cast(CastOptions(voices=("flite",)), (130, 230))


# What is kept ---------------------------------------------------------------------------


def lines_of(engine: Engine, count: int, text: str = "hello") -> list[Line]:
    return list(cast_of(engine).lines("train", [text] * count))


def test_what_was_said_is_not_said_again(cache: Path) -> None:
    first, later, longer, other = Whistle(), Whistle(), Whistle(), Whistle("other")
    spoken = [pcm.tobytes() for pcm in say(lines_of(first, 6))]
    assert [pcm.tobytes() for pcm in say(lines_of(later, 6))] == spoken and later.said == []
    assert [pcm.tobytes() for pcm in say(lines_of(longer, 9))][:6] == spoken and len(longer.said) == 3
    list(say(lines_of(other, 6)))
    assert len(other.said) == 6, "another engine"
    for changed in ({"identity": lambda: "2"}, {}):
        engine = Whistle()
        for name, value in changed.items():
            setattr(engine, name, value)
        list(say([Line(line.engine, line.utterance, line.tract + 0.01 * (not changed)) for line in lines_of(engine, 6)]))
        assert len(engine.said) == 6, "another version, another tract"


def test_damaged_files_are_said_again(cache: Path) -> None:
    spoken = [pcm.tobytes() for pcm in say(lines_of(Whistle(), 4))]
    files = sorted(cache.glob("voices/whistle/*/*.pcm"))
    assert len(files) == 4 and {file.read_bytes() for file in files} == set(spoken)
    files[0].write_bytes(b"")
    files[1].write_bytes(b"odd")
    engine = Whistle()
    assert [pcm.tobytes() for pcm in say(lines_of(engine, 4))] == spoken and len(engine.said) == 2


def test_an_engine_that_remembers_says_the_whole_list_again(cache: Path) -> None:
    first = Remembering()
    list(say(lines_of(first, 4)))
    again, longer = Remembering(), Remembering()
    list(say(lines_of(again, 4)))
    list(say(lines_of(longer, 5)))
    assert (len(again.said), len(longer.said)) == (0, 5)
    next(iter(cache.glob("voices/whistle/*/*.pcm"))).unlink()
    damaged = Remembering()
    list(say(lines_of(damaged, 4)))
    list(say(lines_of(damaged, 5)))
    assert len(damaged.said) in (4, 5)


def test_stopped_half_way_it_goes_on_there() -> None:
    engine = Whistle()
    part = say(lines_of(engine, 6))
    for _ in range(3):
        next(part)
    part.close()  # type: ignore[attr-defined]
    rest = Whistle()
    assert len(list(say(lines_of(rest, 6)))) == 6 and len(rest.said) == 3


def test_a_cache_that_cannot_be_written_costs_time_alone(cache: Path, caplog: pytest.LogCaptureFixture) -> None:
    (cache / "voices").mkdir(parents=True)
    (cache / "voices/whistle").write_text("in the way")
    assert len(list(say(lines_of(Whistle(), 4)))) == 4
    assert caplog.text.count("is not kept and will be spoken again next time") == 1


def test_long_work_is_announced(caplog: pytest.LogCaptureFixture) -> None:
    slow = Whistle()
    slow.SECONDS = 10.0  # type: ignore[misc]
    list(say(lines_of(slow, 13, "two words")))
    assert "whistle speaks 13 clips, about 4 min of one core; they are kept in" in caplog.text
    caplog.clear()
    list(say(lines_of(slow, 13, "two words")))
    assert caplog.text == "", "it was said before"


def test_what_is_said_is_cut_to_the_sound_at_16_khz() -> None:
    plain, long, small = say([Line(Whistle(), Utterance("a", "hello", rate=r), t) for r, t in ((1, 1), (0.5, 1), (1, 1.2))])
    assert len(plain) == pytest.approx(8000 + 960, abs=60), "half a second, 30 ms around it"
    assert len(long) == pytest.approx(16000 + 960, abs=60)
    assert len(small) == pytest.approx(len(plain), abs=60), "slower, then faster"
    tones = [np.argmax(np.abs(np.fft.rfft(x[1000:7000]))) for x in (plain, small)]
    assert abs(int(tones[0]) - int(tones[1])) <= 2, "its pitch is told to the engine the other way round"


# The sources ---------------------------------------------------------------------------

FAST = ["espeak", "flite", "pico"]
TABLE = {"kind": "synthetic", "voices": FAST, "clips_per_keyword": 30, "unknown_clips": 40, "noise_seconds": 7}


def need_fast() -> None:
    need_module("espeakng_loader")
    need_module("py_nanotts")
    need_program("flite")


def test_several_engines_and_another_to_be_judged_by(tmp_path: Path) -> None:
    need_fast()
    train = TABLE | {"voices": ["espeak", "flite"]}
    judge = TABLE | {"voices": ["pico"], "split": "test", "clips_per_keyword": 4, "unknown_clips": 4, "noise_seconds": 0}
    dataset = prepare([train, judge], ["jarvis", "hey robin"], tmp_path / "d", seed=1)
    said = [row for row in dataset.rows if row.label != NOISE]
    engine = {row.offset: row.source.split(":")[0] for row in said}
    count = Counter((row.label, row.split, engine[row.offset]) for row in said)
    for label in ("jarvis", "hey robin"):
        assert {key[1:]: n for key, n in count.items() if key[0] == label} == {
            ("train", "espeak"): 12,
            ("train", "flite"): 12,
            ("validation", "espeak"): 3,
            ("test", "espeak"): 3,
            ("test", "pico"): 4,
        }
    assert {row.split for row in said if engine[row.offset] == "pico"} == {"test"}
    assert {row.speaker for row in said if engine[row.offset] == "flite"} <= {
        f"flite:{v}" for v in ("awb", "kal16", "rms", "slt")
    }
    unknown = Counter(engine[row.offset] for row in said if row.label == UNKNOWN and row.split == "train")
    assert set(unknown) == {"espeak", "flite"} and min(unknown.values()) > 8
    assert any("SVOX Pico, Apache-2.0" in text for text in dataset.notes)
    assert prepare([train, judge], ["jarvis", "hey robin"], tmp_path / "e", seed=1).id == dataset.id
    with pytest.raises(EdgernnError, match=r"speaker 'flite:.*' is in the train and in the test split"):
        prepare([train, judge | {"voices": ["flite"]}], ["jarvis", "hey robin"], tmp_path / "f", seed=1)


def test_running_speech_holds_no_keyword(tmp_path: Path) -> None:
    need_fast()
    table = {"kind": "spoken", "voices": FAST, "utterances": 24, "words": 12, "noise_seconds": 0}
    dataset = prepare([table, TABLE | {"voices": ["espeak"]}], ["kettle", "table"], tmp_path / "d")
    speech = [row for row in dataset.rows if row.label == SPEECH]
    assert Counter(row.split for row in speech) == {"train": 19, "validation": 2, "test": 2}
    assert {row.source.split(":")[0] for row in speech} == set(FAST)
    texts = [row.source.split(":", 7)[-1] for row in speech]
    assert all(len(text.split()) >= 12 for text in texts)
    assert not any(re.search(r"\b(kettle|table)\b", text.lower()) for text in texts)
    assert sum(text.count(",") > 0 and not text.endswith(",") for text in texts) > 3
    assert min(row.length for row in speech) > 2 * 16000


def test_counts_splits_and_paths_that_cannot_be_meant(tmp_path: Path) -> None:
    need_fast()
    for change, said in (
        (
            {"voices": []} | {"split": "test"},
            r'split goes with the voices of a source; name some, such as voices = \["espeak"\]',
        ),
        ({"voices": []} | {"exclude": ["flite"]}, "exclude goes with the voices"),
        ({"voices": []} | {"path": "x"}, "path goes with the voices"),
        ({"split": "tset"}, "split 'tset' is not one of train, validation, test"),
        ({"clips_per_keyword": 2}, "cannot spread 2 clips a keyword and 40 of unknown words"),
        ({"clips_per_keyword": 0, "unknown_clips": 0}, "cannot spread 0 clips"),
        ({"voices": ["pico"]}, "label 'jarvis' has no validation clips"),
        ({"min_tract": 0.2}, "min_tract"),
        ({"voices": ["recorded"]}, '"recorded" need a folder'),
        ({"voices": ["recorded"], "path": str(tmp_path / "gone")}, "gone does not exist"),
        ({"voices": ["siri"]}, "no voices 'siri'"),
    ):
        with pytest.raises(EdgernnError, match=said):
            prepare([TABLE | change], ["jarvis"], tmp_path / "d")
    for word in ("...", "привет"):
        with pytest.raises(EdgernnError, match=f"no voice can say '{re.escape(word)}' in the train split"):
            prepare([TABLE | {"voices": ["flite", "pico"]}], [word], tmp_path / "d")
    assert not (tmp_path / "d").exists()


def test_recorded_voices_are_varied_and_say_what_they_can(tmp_path: Path) -> None:
    need_module("espeakng_loader")
    for word in ("jarvis", "stop", "go"):
        (tmp_path / "own" / word).mkdir(parents=True)
        for i in range(6):
            tone = 9000 * np.sin(np.arange(6000) * (0.1 + 0.02 * i + 0.2 * len(word)))
            write_wav(tmp_path / "own" / word / f"p{i}_000.wav", tone.astype(np.int16))
    table = TABLE | {"voices": ["recorded"], "path": str(tmp_path / "own"), "words": ["stop", "go"]}
    dataset = prepare([table], ["jarvis"], tmp_path / "d")
    said = [row for row in dataset.rows if row.label != NOISE]
    assert {row.word for row in said} == {"jarvis", "stop", "go"} and {row.speaker for row in said} <= {
        f"p{i}" for i in range(6)
    }
    assert len({row.length for row in said}) > 10, "played faster and slower"


def test_sixty_keywords(tmp_path: Path) -> None:
    need_fast()
    words = [word.strip(".,?").lower() for text in english_sentences() for word in text.split() if len(word) > 6]
    keywords = list(dict.fromkeys(words))[:60]
    table = TABLE | {"voices": ["espeak", "pico"], "clips_per_keyword": 3, "unknown_clips": 6, "noise_seconds": 0}
    dataset = prepare([table], keywords, tmp_path / "d")
    assert Counter(row.label for row in dataset.rows if row.label != UNKNOWN) == dict.fromkeys(keywords, 4)


# The words ---------------------------------------------------------------------------


def test_keywords_that_will_disappoint_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    need_module("espeakng_loader")
    assert remarks(["jarvis", "hey robin", "lights on", "lights off"], "en") == []
    said = remarks(["a", "light", "lights on", "jarvis"], "en")
    assert len(said) == 2 and "keyword 'a' is so short" in said[0] and "'light' is heard within 'lights on'" in said[1]
    assert "'robin' is heard within 'hey robin'" in remarks(["hey robin", "robin"], "en")[0]
    prepare([TABLE | {"voices": [], "noise_seconds": 0}], ["light", "lights on"], tmp_path / "d")
    assert "'light' is heard within 'lights on'" in caplog.text


def test_voices_that_say_keywords_alone_are_remarked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    need_fast()
    table = TABLE | {"voices": ["espeak"], "unknown_clips": 0, "clips_per_keyword": 3, "noise_seconds": 0}
    assert {row.label for row in prepare([table], ["jarvis"], tmp_path / "d").rows} == {"jarvis"}
    assert "espeak say keywords alone: their sound may be learnt for the word" in caplog.text
    caplog.clear()
    prepare([TABLE | {"voices": ["espeak"]}, table | {"split": "test", "voices": ["pico"]}], ["jarvis"], tmp_path / "e")
    assert caplog.text == ""


def test_sentences_without_a_word_and_what_sounds_like_it() -> None:
    need_module("espeakng_loader")
    texts = ["I know him.", "They have no time.", "Write to me!", "Turn right at the church.", "All is well."]
    assert without(["no"], texts, "en") == texts[2:]
    assert without(["right"], texts, "en") == [*texts[:2], texts[4]]
    assert without([], texts, "en") == texts and without(["turn right"], texts, "en") == [*texts[:3], texts[4]]
    assert len(english_sentences()) > 100 and all(text[-1] in ".?!" for text in english_sentences())
