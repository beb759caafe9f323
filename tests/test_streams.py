"""Training for streams: where words end, what sequences are made of, what is asked of them, and what is chosen by them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from listening import listening, small_corpus
from needs import need_module
from nets import net_of

from edgernn.data.corpus import SPEECH, UNKNOWN, Dataset
from edgernn.errors import EdgernnError
from edgernn.outcomes import Events, Heights, Marks
from edgernn.signal.audio import SAMPLE_RATE, to_float
from edgernn.tasks import make_recipe
from edgernn.tasks.spot import TASK, bank, fresh, hearing
from edgernn.tasks.spot.compose import MARGIN, Composer, sounding
from edgernn.tasks.spot.decision import Decision
from edgernn.tasks.spot.fresh import CHAINED, NOISY, NONE, SPOKEN, FreshStreams, Voices, stretched
from edgernn.tasks.spot.hearer import Hearer
from edgernn.tasks.spot.recipe import SpotRecipe, StreamParams
from edgernn.tasks.spot.scoring import score_heard, share_interval
from edgernn.tasks.spot.show import verdict
from edgernn.tasks.spot.stock import PEOPLE, Stock, Word, speaker
from edgernn.tasks.spot.suspects import clear_scores, suspects, tell

QUIET = lambda *_: None  # noqa: E731


def recipe(**streams: Any) -> SpotRecipe:
    """A net of eight units that learns from sequences of two seconds."""
    small = {"count": 24, "seconds": 2.0, "hours": 0.05, "talk": 6, "noise": 6, "variants": 2, **streams}
    found = make_recipe(
        {"name": "streams", "data": {"keywords": ["stop"]}, "frontend": {"bands": 20},
         "layers": [{"cell": "conv", "kernel": 3, "stride": 2, "units": 8}, {"cell": "gru", "units": 8}],
         "train": {"kind": "streams", "epochs": 4, "batch": 8, "average": 0.9, "learning_rate": 0.01}, "streams": small}
    )  # fmt: skip
    assert isinstance(found, SpotRecipe)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_corpus(tmp_path_factory.mktemp("streams") / "data", ("stop",))


def composer(data: Dataset, seed: int = 0, **changes: Any) -> Composer:
    return Composer(replace(recipe().streams, **changes), data, "train", np.random.default_rng(seed))


# Words and their ends ---------------------------------------------------------------------------


def test_a_word_begins_and_ends_where_its_sound_does() -> None:
    x = np.zeros(16000, np.float32)
    x[3200:8000] = 0.5
    x[8000:12000] = 0.5 * 10 ** (-30 / 20)  # an echo, 30 dB below
    assert sounding(x) == (3200, 8000)
    x[8000:8160] = 0.5 * 10 ** (-20 / 20)
    assert sounding(x) == (3200, 8160)
    assert sounding(np.zeros(500, np.float32)) == (0, 500)
    assert sounding(np.zeros(5, np.float32)) == (0, 5)


def padded(data: Dataset) -> Dataset:
    """With a quarter of a second of nothing around every recording, as people record them."""

    class Padded(Dataset):
        def pcm(self, row: Any) -> Any:
            return np.pad(super().pcm(row), 4000)

    return Padded(**vars(data))


def test_a_keyword_is_marked_where_it_sounds_and_has_quiet_around_it(data: Dataset) -> None:
    talk = 0.01 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
    rests = []
    for seed in range(30):
        c = composer(padded(data), seed, quiet=1.0)
        x, row = talk.copy(), said(data)
        mark = c._lay(x, row)
        assert mark and mark.label == "stop"
        outside = np.concatenate([x[mark.begin - 1500 : mark.begin - MARGIN], x[mark.end + MARGIN : mark.end + 1500]])
        assert np.abs(outside).max() == 0, "a tenth of a second is silent at least"
        inside = np.square(x[mark.begin : mark.end]).reshape(-1, 160).mean(1)
        assert min(inside[0], inside[-1]) > 10**-2.6 * inside.max(), "no silence is counted to the word"
        rests.append(int(np.flatnonzero(np.abs(x[mark.end + MARGIN :]) > 0)[0]))
    assert min(rests) + MARGIN >= 1600 - 2 and max(rests) > 4000, "and up to half a second"
    c, x, row = composer(data, 3, quiet=0.0), talk.copy(), said(data)
    mark = c._lay(x, row)
    assert mark
    assert np.abs(x[mark.end + MARGIN : mark.end + MARGIN + 400]).max() > 0, "without quiet the talk goes on"


def test_a_keyword_without_room_is_left_out(data: Dataset) -> None:
    c = composer(data)
    c.samples = 9600
    x = np.zeros(c.samples, np.float32)
    assert c._lay(x, said(data)) is None and not x.any()


def said(data: Dataset) -> Any:
    return next(r for r in data.rows if r.label == "stop" and r.split == "train")


# Sequences ---------------------------------------------------------------------------

T, BANDS, FRAME = 100, 20, 20  # of a sequence of two seconds; ms


def reading(db: float, frames: int = 20, by: str = PEOPLE) -> Word:
    """A word as loud in every band and frame; it sounds from its third frame to its last but two."""
    return Word(np.full((frames, BANDS), round(512 * (20 + db / 3.0103)), np.int16), 2 * FRAME, (frames - 2) * FRAME, by)


def streams(**changes: Any) -> FreshStreams:
    """Of a loud keyword, a softer other word, talk that is softer still, and a noise."""
    still = {"snr_db": [60, 60], "clean": 0.0, "behind": 0.0, "tempo": 0.0, **changes}
    r = recipe(**still)
    pieces = [np.full((3, T, BANDS), round(512 * (20 + db / 3.0103)), np.int16) for db in (-20, 0)]
    fresh = FreshStreams(r.streams, r.frontend, Stock(((reading(30),),), (reading(10),), *pieces))
    object.__setattr__(fresh._energies, "filters", lambda count, *_: np.zeros((count, BANDS), np.float32))
    return fresh


def test_sequences_are_made_of_the_shares_that_were_asked_for() -> None:
    fresh, rng = streams(), np.random.default_rng(0)
    kinds = [fresh.kind(rng) for _ in range(4000)]
    for kind, share in ((SPOKEN, 0.55), (CHAINED, 0.25), (NOISY, 0.2)):
        assert abs(kinds.count(kind) / 4000 - share) < 0.03
    mute = FreshStreams(fresh.p, recipe().frontend, replace(fresh._stock, talk=np.zeros((0, 0, BANDS), np.int16)))
    assert {mute.kind(rng) for _ in range(100)} == {CHAINED, NOISY}, "without running speech words stand for it"
    drawn = fresh.draw(400, rng)
    counts = (drawn.marks[:, :, 0] != NONE).sum(1)
    assert {0, 1, 2} == set(counts.tolist()) and 0.6 < counts.mean() < 1.3
    assert drawn.log_mel.shape == (400, T, BANDS) and drawn.log_mel.dtype == np.int16


def test_a_keyword_sounds_where_its_mark_says_and_has_quiet_around_it() -> None:
    rests = []
    for seed in range(40):
        fresh, rng = streams(speech=1.0, words=0.0, quiet=1.0), np.random.default_rng(seed)
        x = np.ones((T, BANDS), np.float32)
        label, begin, end = fresh._lay(x, 0, T, rng)
        first, last = begin // FRAME, end // FRAME
        assert label == 0 and last - first == 16
        assert (x[first:last] > 2.0**20).all(), "the keyword is there"
        assert (x[max(0, first - 5) : max(0, first - 2)] == 0).all() and (x[last + 2 : last + 5] == 0).all()
        assert last * FRAME <= 1000 * 2 - 500, "and half a second is left"
        rests.append(int(np.flatnonzero(x[last + 2 :, 0])[0]) if x[last + 2 :, 0].any() else T)
    assert min(rests) < 8 and max(rests) > 15
    x = np.ones((T, BANDS), np.float32)
    _, _, end = streams(quiet=0.0)._lay(x, 0, T, np.random.default_rng(1))
    assert (x[end // FRAME + 3] == 1).all(), "without quiet the talk goes on"
    x = np.ones((T, BANDS), np.float32)
    assert streams()._lay(x, 50, 75, np.random.default_rng(1))[0] == NONE and (x == 1).all(), "no room: left out"


def test_noise_lies_so_far_below_what_is_said() -> None:
    for snr in (0.0, 20.0):
        fresh, parts = streams(snr_db=[snr, snr], speech=1.0, words=0.0), []
        object.__setattr__(fresh._energies, "sum", lambda a, b, rng, parts=parts: (parts.extend((a, b)), a + b)[1])
        fresh.draw(50, np.random.default_rng(2))
        loud = parts[0].sum(2) > 1e-3 * parts[0].sum(2).max(1, keepdims=True)
        level = (parts[0].sum(2) * loud).sum(1) / loud.sum(1)
        assert np.allclose(10 * np.log10(level / parts[1].sum(2).mean(1)), snr, atol=0.01), "over what is said"
    quiet, loud = (
        streams(snr_db=[20, 20], level_dbfs=[level, level]).draw(50, np.random.default_rng(3)) for level in (-40, -20)
    )
    apart = (loud.log_mel.astype(float) - quiet.log_mel).mean() / 512 * 3.0103
    assert 15 < apart <= 20.5, "dB; peaks are held below full scale"


def test_running_speech_lies_so_far_below_the_words_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "NUMBERS", (1.0, 0.0, 0.0))
    loud, soft = (streams(speech=1.0, words=0.0, talk_db=(db, db))._sequence(np.random.default_rng(3))[0] for db in (0, -20))
    assert np.allclose(soft, 0.01 * loud) and loud.max() > 0
    some = [streams(speech=1.0, words=0.0)._sequence(np.random.default_rng(i))[0].max() for i in range(40)]
    assert max(some) / min(some) > 20, "not always as far"


def test_no_two_updates_hear_the_same_and_all_follows_the_generator() -> None:
    fresh = streams(snr_db=[0, 20])
    a, b, c = (fresh.draw(8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(a.log_mel, b.log_mel) and np.array_equal(a.marks, b.marks)
    assert not np.array_equal(a.log_mel, c.log_mel)


def test_chains_hold_other_words_and_parts_of_keywords_only() -> None:
    fresh, word = streams(), reading(30)
    lengths = {len(fresh._part(np.random.default_rng(seed))) for seed in range(80)}
    assert min(lengths) == 4 and 8 <= max(lengths) <= 9, "a quarter to six tenths of sixteen frames"
    ramp = replace(word, logs=word.logs + np.arange(20, dtype=np.int16)[:, None])
    object.__setattr__(fresh, "_keywords", [Voices([ramp])])
    ends = {int(fresh._part(np.random.default_rng(seed))[-1, 0] - word.logs[0, 0]) for seed in range(80)}
    begins = {int(fresh._part(np.random.default_rng(seed))[0, 0] - word.logs[0, 0]) for seed in range(80)}
    assert 17 in ends and 2 in begins, "the sound's own beginning or end"
    fresh, heard = streams(), []
    for seed in range(20):
        x = np.zeros((T, BANDS), np.float32)
        fresh._chain(x, np.random.default_rng(seed))
        heard.append(x[:, 0])
    loud = np.stack(heard) > 2.0**20 * 10**2.2  # a part of the keyword: no other word is as loud
    assert loud.any() and ((np.stack(heard) > 0) & ~loud).sum() > loud.sum(), "mostly other words"


def test_a_word_is_said_slower_or_faster_at_the_same_pitch() -> None:
    ramp = np.arange(0, 2000, 100, dtype=np.int16)[:, None] * np.ones((1, BANDS), np.int16)
    word = Word(ramp, 40, 360, PEOPLE)
    for factor in (0.75, 1.0, 1.25):
        w = stretched(word, factor)
        assert len(w.logs) == 20 * factor and (w.begin, w.end) == (40 * factor, 360 * factor)
        assert np.abs(w.logs[:, 0] - np.minimum(np.arange(len(w.logs)) * 100 / factor, 1900)).max() <= 1
    fresh = streams(tempo=0.25)
    lengths = {len(fresh._said(fresh._keywords[0], np.random.default_rng(seed)).logs) for seed in range(60)}
    assert min(lengths) == 15 and max(lengths) == 25


def test_readings_of_people_and_of_natural_voices_are_not_drowned() -> None:
    words = [*(reading(0, by="espeak") for _ in range(99)), reading(1, by="kokoro"), reading(2)]
    voices, rng = Voices(words), np.random.default_rng(0)
    drawn = [voices.draw(rng).by for _ in range(3500)]
    for by, share in (("espeak", 1 / 7), ("kokoro", 3 / 7), (PEOPLE, 3 / 7)):
        assert abs(drawn.count(by) / 3500 - share) < 0.03


def test_who_spoke_is_known_by_a_recordings_name(data: Dataset) -> None:
    row = said(data)
    assert speaker(row) == PEOPLE
    assert speaker(replace(row, source="flite:slt:1:stop")) == "flite"
    assert speaker(replace(row, source="C:\\recordings\\stop.wav")) == PEOPLE


def test_training_streams_hear_the_train_split_alone_and_are_prepared_once(data: Dataset) -> None:
    need_module("torch")
    watched, heard = listening(data)
    fresh = bank.training_streams(watched, recipe(talk=7), QUIET)
    assert {split for split, _ in heard} == {"train"}
    assert {"stop", UNKNOWN, SPEECH} <= {label for _, label in heard}
    rows = [r for r in data.rows if r.split == "train" and r.label == "stop"]
    words = fresh._stock.keywords[0]
    assert len(words) == 2 * len(rows) and len(fresh._stock.talk) == 7 and len(fresh._stock.noise) == 6
    assert all(0 <= w.begin < w.end <= FRAME * len(w.logs) for w in words)
    for w in words:
        first, last = w.begin // FRAME, -(-w.end // FRAME)
        power = np.exp2(w.logs.astype(float) / 512).sum(1)
        assert power[first : last + 1].sum() > 0.9 * power.sum(), "the sound lies where it is said to"
    heard.clear()
    again = bank.training_streams(watched, recipe(talk=7), QUIET)
    assert not heard, "kept"
    assert all(np.array_equal(a.logs, b.logs) for a, b in zip(words, again._stock.keywords[0], strict=True))
    assert again.draw(3, np.random.default_rng(0)).log_mel.shape == (3, T, BANDS)


# What is asked ---------------------------------------------------------------------------


def marks(*rows: tuple[int, int, int]) -> Any:
    found = np.full((1, 3, 3), -1, np.int32)
    found[0, : len(rows)] = np.array(rows).reshape(-1, 3)
    return found


def test_a_word_is_wanted_at_its_end_and_ignored_around_it() -> None:
    need_module("torch")
    from edgernn.tasks.spot.losses import asked

    # steps of 100 ms; heard in full at 100, 200, ..; the word sounds from 600 to 1000 ms
    a = asked(marks((0, 600, 1000)), 20, 2, 100.0, StreamParams(ignored_ms=200.0))
    assert np.flatnonzero(a.window[0, 0]).tolist() == [7, 8, 9, 10, 11, 12, 13], "800 to 1400 ms"
    assert not a.window[0, 1:].any()
    assert np.flatnonzero(~a.negative[0, :, 0].numpy()).tolist() == [7, 8, 9, 10, 11], "800 (its middle) to 1200 ms"
    assert a.negative[0, :, 1].all(), "another label should be off throughout"
    assert a.label.tolist() == [[0, -1, -1]]


def test_a_wrong_end_is_another_question() -> None:
    need_module("torch")
    from edgernn.tasks.spot.losses import asked

    right, wrong = (asked(marks((0, 600, end)), 20, 2, 100.0, StreamParams(ignored_ms=200.0)) for end in (1000, 1100))
    assert np.flatnonzero(wrong.window[0, 0]).tolist() == [8, 9, 10, 11, 12, 13, 14]
    assert not (right.negative == wrong.negative).all()


def test_losses_equal_those_by_hand() -> None:
    need_module("torch")
    import torch

    from edgernn.tasks.spot.losses import asked, stream_loss

    p = StreamParams(best_steps=2, negative=0.5, ignored_ms=200.0)
    a = asked(np.concatenate([marks((0, 600, 1000)), marks()]), 20, 2, 100.0, p)
    logits = torch.full((2, 20, 2), -50.0)
    logits[0, 6, 0] = 9.0  # before the window: no help, and wrong
    logits[0, 9, 0], logits[0, 12, 0], logits[0, 13, 0] = 3.0, 1.0, -1.0  # in it, the last two no longer ignored
    said, quiet = stream_loss(logits, a, p)
    soft = lambda x: math.log1p(math.exp(x))  # noqa: E731
    assert float(said) == pytest.approx(soft(-2.0) / 2)
    assert float(quiet) == pytest.approx(0.5 * (soft(9.0) + soft(1.0) + soft(-1.0)) / 2, rel=1e-5)
    none = asked(marks(), 20, 2, 100.0, p)
    assert float(stream_loss(logits[:1], none, p)[0]) == 0.0


def test_a_word_at_the_very_end_has_fewer_steps_and_no_infinite_loss() -> None:
    need_module("torch")
    import torch

    from edgernn.tasks.spot.losses import asked, stream_loss

    p = StreamParams()
    a = asked(marks((0, 1500, 2100)), 20, 2, 100.0, p)
    assert np.flatnonzero(a.window[0, 0]).tolist() == [18, 19]
    said, _ = stream_loss(torch.full((1, 20, 2), 2.0), a, p)
    assert float(said) == pytest.approx(math.log1p(math.exp(-2)))
    outside = asked(marks((0, 4000, 5000)), 20, 2, 100.0, p)
    assert float(stream_loss(torch.zeros(1, 20, 2), outside, p)[0]) == 0.0


# What is listened to ---------------------------------------------------------------------------


def test_negative_hours_hold_no_keyword_and_have_the_asked_length(data: Dataset) -> None:
    watched, heard = listening(data)
    pieces = list(hearing.negatives(watched, "test", 0.05, np.random.default_rng(0)))
    assert [len(p) for p in pieces] == [60 * SAMPLE_RATE] * 3
    assert {split for split, _ in heard} == {"test"} and "stop" not in {label for _, label in heard}
    assert not np.array_equal(pieces[0], pieces[1])
    mute = replace(data, rows=tuple(r for r in data.rows if r.label != SPEECH))
    assert {r.label for r in hearing.without_keywords(mute, "test")} == {UNKNOWN, "_noise_"}
    assert UNKNOWN not in {r.label for r in hearing.without_keywords(data, "test")}


def test_every_keyword_is_said_once_a_second_apart_where_its_span_says(data: Dataset) -> None:
    pcm, spans, names = hearing.keywords(data, "test", np.random.default_rng(0))
    assert [label for *_, label in spans] == ["stop"] * 3
    by_name = {row.source: row for row in data.clips("test")}
    for n, (name, (begin, end, _)) in enumerate(zip(names, spans, strict=True)):
        first, last = sounding(to_float(data.pcm(by_name[name])))
        assert end - begin == last - first
        clean = np.array_equal(pcm[begin:end], data.pcm(by_name[name])[first:last])
        assert clean or n % 2, "each span has the name of its own recording; every other one lies in noise"
    assert len(set(names)) == 3 and {by_name[name].label for name in names} == {"stop"}
    for (_, end, _), (begin, _, _) in itertools.pairwise(spans):
        assert begin - end >= SAMPLE_RATE
    begin, end, _ = spans[0]
    assert np.abs(pcm[begin : begin + 160]).max() > 100 and not pcm[: begin - 160].any()
    assert np.abs(pcm[end - 160 : end]).max() > 100 and not pcm[end + 320 : end + SAMPLE_RATE].any()


# Training ---------------------------------------------------------------------------


def trainer(data: Dataset, **streams: Any) -> Any:
    need_module("torch")
    import torch

    from edgernn.tasks.spot.train_streams import StreamTrainer

    return StreamTrainer(recipe(**streams), data, ("stop", UNKNOWN), torch.device("cpu"), QUIET)


def test_what_wakes_the_net_is_found_and_trained_on(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    t = trainer(data)
    planted, at = np.zeros((3, 1500, 2), np.int16), 699 + t._smoothing
    planted[1, 700:720, 0] = 30000  # a wake in the second piece: from step `at` on its smoothed posterior is highest
    planted[2, 300:320, 1] = 30000  # unknown is no keyword
    monkeypatch.setattr(t, "_posteriors", lambda _: planted)
    t.listen()
    assert t.hard.tolist() == [[1, 2 * at]]
    t.listen()
    assert t.hard.tolist() == [[1, 2 * at]], "what is known already is not added again"
    given: list[Any] = []
    real = t.streams.heard
    monkeypatch.setattr(t.streams, "heard", lambda said, rng: (given.append(said), real(said, rng))[1])
    woken = t.woken(4, np.random.default_rng(0))
    assert woken.log_mel.shape == (4, *t._validation.log_mel.shape[1:]) and (woken.marks == -1).all()
    frames = woken.log_mel.shape[1] // 2
    first = 2 * at - round(0.7 * frames)
    cut = t._quiet["train"][1, first : first + frames]
    assert np.array_equal(np.rint(512 * np.log2(given[0][0, :frames])), cut)
    assert not np.array_equal(woken.log_mel[0, :frames], cut), "in noise as what is composed is"


def test_a_keyword_that_is_said_where_none_should_be_is_told_with_its_time(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A recording of the keyword is planted in the middle of running speech; a net that hears its very features finds it."""
    keyword = next(row for row in data.clips("train") if row.label == "stop")
    victim = data.speech("train")[0]
    planted = np.concatenate([np.zeros(3 * SAMPLE_RATE, np.int16), data.pcm(keyword), np.zeros(SAMPLE_RATE, np.int16)])

    class Planted(Dataset):
        def pcm(self, row: Any) -> Any:
            return planted if row is victim else super().pcm(row)

    t = trainer(Planted(**vars(data)))
    wanted = Hearer(t.recipe)(planted)[150:170]  # the frames from 3 s on, at 20 ms

    def heard(logs: Any) -> Any:
        out = np.zeros((len(logs), logs.shape[1] // 2, 2), np.int16)
        if len(logs) == len(t._validation.log_mel):
            out[:, :, 0] = 20000  # what the keyword's own recordings reach
        for i in range(0, logs.shape[1] - 20, 2):
            if len(logs) == 1 and np.array_equal(logs[0, i : i + 20], wanted):
                out[0, i // 2 : i // 2 + 30, 0] = 25000
        return out

    monkeypatch.setattr(t, "_posteriors", heard)
    (found,) = t.suspects()
    assert (found.source, found.word, found.score) == (victim.source, "stop", round(25000 / 32768, 3))
    assert 3.0 < found.seconds < 3.0 + 30 * t.step_ms / 1000
    monkeypatch.setattr(t, "listen", lambda: None)
    t._epoch = t.rounds[0]
    t.batches(np.random.default_rng(0))
    assert f"{victim.source} is to hold no keyword, but at {found.seconds:g} s it sounds like 'stop'" in caplog.text
    caplog.clear()
    t._epoch = t.rounds[1]
    t.batches(np.random.default_rng(0))
    assert not caplog.text, "later the net has been taught that it is none"


def test_a_keyword_scores_by_the_highest_of_its_own_time(data: Dataset) -> None:
    t = trainer(data)
    marks = t._validation.marks[:, 0]
    p = np.zeros((len(marks), t._validation.log_mel.shape[1] // 2, 2), np.int16)
    p[:, -1, 0] = 30000  # after every word's time
    for row, (_, begin, end) in zip(p, marks, strict=True):
        row[int((begin + end) / 2 / t.step_ms), 0] = 10000
    assert all(end + 1000 * hearing.LATE_S < p.shape[1] * t.step_ms - 2 * t.step_ms for _, _, end in marks)
    (heights,) = t._said(p)
    assert len(heights) == len(marks) > 0 and (heights == 10000).all()


def test_only_what_is_as_clear_as_half_of_a_keywords_recordings_is_suspected(caplog: pytest.LogCaptureFixture) -> None:
    assert clear_scores([np.array([10, 30, 50]), np.array([], int)]).tolist() == [30, np.iinfo(np.int64).max]
    rows: Any = [SimpleNamespace(source=f"{i}.wav") for i in range(7)] + [SimpleNamespace(source="espeak:en:stop it")]
    heights = {f"{i}.wav": 1000 * (i + 1) for i in range(7)} | {"espeak:en:stop it": 30000}

    def posteriors(row: Any) -> Any:
        p = np.zeros((20, 2), np.int16)
        p[10, 0] = heights[row.source]
        return p

    found = suspects(rows, posteriors, ("stop",), np.array([2000]), 1, 5, 40.0)
    assert [s.source for s in found] == [f"{i}.wav" for i in (6, 5, 4, 3, 2, 1)] and found[0].seconds == 0.4
    tell(found)
    assert caplog.text.count("is to hold no keyword") == 5 and "1 more places" in caplog.text


def test_rounds_of_listening_lie_in_the_second_half(data: Dataset) -> None:
    t = trainer(data)
    assert t.rounds == (2, 3)
    t.epochs = 40
    assert t.rounds == (20, 30)
    assert trainer(data, rounds=0).rounds == ()


def test_cuts_stay_within_what_was_heard() -> None:
    need_module("torch")
    from edgernn.tasks.spot.train_streams import around

    logs = np.arange(100)[:, None]
    assert around(logs, 50, 20)[:, 0].tolist() == list(range(36, 56))
    assert around(logs, 3, 20)[0, 0] == 0 and around(logs, 99, 20)[-1, 0] == 99


def test_bands_are_stretched_and_without_an_amount_left_as_they_are() -> None:
    need_module("torch")
    from edgernn.tasks.spot.train_streams import warped_bands

    x = np.tile(np.arange(0, 2000, 100, dtype=np.int16), (2, 3, 1))
    assert np.array_equal(warped_bands(x, 0.0, np.random.default_rng(0)), x)
    y = warped_bands(x, 0.1, np.random.default_rng(1)).astype(int)
    factor = y[:, 0, 10] / 1000
    assert np.all(np.abs(factor - 1) <= 0.1) and abs(factor[0] - factor[1]) > 0.01
    assert np.abs(y[0, 0, :18] - np.minimum(factor[0] * x[0, 0, :18], 1900)).max() <= 2


def test_talk_behind_is_part_of_the_noise() -> None:
    """Of noises alike, those with talk in them are louder before they are brought to their level: their frames differ."""
    loud = streams(behind=0.5)
    object.__setattr__(
        loud,
        "_stock",
        replace(
            loud._stock, talk=np.repeat([[[2000]], [[12000]]], T // 2, 1).reshape(1, T, 1) * np.ones((1, 1, BANDS), np.int16)
        ),
    )
    noises = loud._noises(400, np.random.default_rng(0))
    changed = np.ptp(noises, axis=1).max(1) > 1
    assert 150 < changed.sum() < 250
    assert not np.ptp(streams()._noises(50, np.random.default_rng(0)), axis=1).any()


def test_interrupted_and_resumed_equals_uninterrupted(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the epoch before which it listened: what it had found is not lost."""
    need_module("torch")
    import torch

    from edgernn.tasks.spot import train_streams as module

    monkeypatch.setattr(module, "WAKING", 0.0)  # anything wakes a net as young as this
    train_streams, asked_for = module.train_streams, recipe(rounds=1)
    whole = train_streams(asked_for, data, tmp_path / "whole", QUIET, "cpu")
    first = trainer(data, rounds=1)
    assert first.rounds == (2,)
    for _ in range(3):
        first.epoch(QUIET)
        first.keep(tmp_path / "part")
    assert len(first.hard) and len(first.history) == 3
    again = train_streams(asked_for, data, tmp_path / "part", QUIET, "cpu")
    assert all(np.array_equal(whole.weights[k], again.weights[k]) for k in whole.weights)
    ends = [torch.load(tmp_path / name / "progress.pt", weights_only=True) for name in ("whole", "part")]
    assert all(torch.equal(*(end["average"][k] for end in ends)) for k in ends[0]["average"]), "the last epoch's too"
    assert whole.labels == ("stop", UNKNOWN)
    other = train_streams(replace(recipe(), seed=1), data, tmp_path / "other", QUIET, "cpu")
    assert any(not np.array_equal(whole.weights[k], other.weights[k]) for k in whole.weights)


def misses_of(share: float) -> Any:
    """Evidence of which so many are missed, whatever the threshold."""
    return SimpleNamespace(threshold=lambda _: 0, misses=lambda _: share)


def test_the_epoch_with_the_fewest_misses_is_kept(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("torch")
    import torch

    t, given = trainer(data), iter([0.5, 0.2, 0.4, 0.2])
    monkeypatch.setattr(t, "_posteriors", lambda logs: np.zeros((len(logs), 4, 2), np.int16))
    monkeypatch.setattr(t, "_evidence", lambda *_: [misses_of(next(given))])
    kept = []
    for i in range(4):
        with torch.no_grad():
            for weight in t.average.parameters():
                weight.fill_(float(i))
        t.validate()
        kept.append(float(next(iter(t.best.values())).ravel()[0]))
    assert kept == [0.0, 1.0, 1.0, 3.0], "of equals the later"


def test_data_without_noise_is_refused(data: Dataset) -> None:
    with pytest.raises(EdgernnError, match="the train split has no noise"):
        trainer(replace(data, rows=tuple(r for r in data.rows if r.label != "_noise_")))


# Chosen and shown ---------------------------------------------------------------------------


def test_thresholds_of_a_net_on_streams_are_chosen_by_its_integers_and_others_left(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_module("torch")
    from edgernn.tasks import quantize_net
    from edgernn.tasks.spot import spotting
    from edgernn.tasks.spot.train_streams import train_streams

    net = train_streams(recipe(), data, tmp_path / "run", QUIET, "cpu")
    graph, _ = quantize_net(net, TASK.calibration(net, data), "int8x16")
    quiet = np.zeros((75000, 2), np.int16)  # 50 minutes
    quiet[1000:1010, 0], quiet[2000:2010, 0] = 20000, 10000
    said = np.zeros((1000, 2), np.int16)
    said[:, 0] = 30000
    monkeypatch.setattr(spotting, "integer_posteriors", lambda *_: (said, [quiet]))
    patient = replace(net, recipe=replace(net.recipe, decision=replace(net.recipe.decision, false_accepts_per_hour=1.3)))
    tuned = TASK.tuned(patient, graph, data)
    assert tuned.decision.thresholds == (10001,), "one of the two may pass"
    assert tuned.decision.smoothing == 6, "240 ms: of equals the shortest"
    assert tuned.id != graph.id and tuned.weight_bytes == graph.weight_bytes
    assert TASK.tuned(net, graph, data).decision.thresholds == (20001,)
    clips = replace(net, recipe=replace(net.recipe, train=replace(net.recipe.train, kind="clips")))
    assert TASK.tuned(clips, graph, data) is graph


def test_thresholds_of_another_rate_need_no_training(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edgernn quantize --false-accepts-per-hour` on a run folder: kept in its recipe, and the training is none of another."""
    from edgernn import pipeline
    from edgernn.runs import keep_recipe, run_recipe

    net = net_of(recipe(), labels=("stop", UNKNOWN))
    keep_recipe(net.recipe, tmp_path)
    net.save(tmp_path / "model.safetensors")
    chosen = []
    monkeypatch.setattr(pipeline, "load_data", lambda _: data)
    monkeypatch.setattr(TASK, "tuned", lambda net, graph, _: (chosen.append(net.recipe.decision), graph)[1], raising=False)
    pipeline.quantize_model(tmp_path)
    pipeline.quantize_model(tmp_path, None, {"false_accepts_per_hour": 4.0})
    pipeline.quantize_model(tmp_path)
    assert [d.false_accepts_per_hour for d in chosen] == [0.5, 4.0, 4.0]
    kept = run_recipe(tmp_path)
    assert kept == net.recipe, "a training goes on by it"
    assert (kept.decision.false_accepts_per_hour, net.recipe.decision.false_accepts_per_hour) == (4.0, 0.5)
    clips = replace(net.recipe, train=replace(net.recipe.train, kind="clips"))
    with pytest.raises(EdgernnError, match=r"of one trained on clips it is decision\.threshold"):
        TASK.adapted(clips, {"false_accepts_per_hour": 2.0})


def test_misses_and_false_accepts_are_told_of_floats_and_of_integers(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgernn.tasks.spot import spotting

    spans = hearing.material(data, "test", 0.05, SAMPLE_RATE, 0).spans
    graph = SimpleNamespace(labels=("stop", UNKNOWN), decision=Decision(1, 20, 5, (16384,)), sample_rate=SAMPLE_RATE,
                            steps_per_second=25.0, step_ms=40.0)  # fmt: skip
    good, bad, wakes = np.zeros((200, 2), np.int16), np.zeros((200, 2), np.int16), np.zeros((4500, 2), np.int16)
    for i, (_, end, _) in enumerate(spans):
        good[int(end / SAMPLE_RATE * 25), 0] = 20000
        bad[int(end / SAMPLE_RATE * 25), 0] = 20000 if i == 0 else 10000
    wakes[[100, 2000], 0] = 20000
    monkeypatch.setattr(spotting, "float_posteriors", lambda *_: (good, [np.zeros_like(wakes)]))
    monkeypatch.setattr(spotting, "integer_posteriors", lambda *_: (bad, [wakes]))
    net = SimpleNamespace(recipe=recipe())
    found, outcomes = spotting.spotting(net, SimpleNamespace(graph=graph), data, "test", 0.05)  # type: ignore[arg-type]
    row = found["keywords"]["stop"]
    assert (row["float"]["misses"], row["integer"]["misses"]) == (0.0, round(2 / 3, 5))
    assert (row["float"]["false_accepts"], row["integer"]["false_accepts"]) == (0, 2)
    assert row["integer"]["per_hour"] == 40.0 and row["integer"]["per_hour_95"][0] < 40 < row["integer"]["per_hour_95"][1]
    assert (found["hours"], found["people"], row["integer"]["said"], row["threshold"]) == (0.05, 3, 3, 0.5)
    assert (row["float"]["curve"][0], row["integer"]["curve"]) == (0.0, [1.0] * 7 + [round(2 / 3, 5)] * 0 + [1.0])
    text = "\n".join(verdict(found))
    assert "2 false accepts in 0.05 hours" in text and "stop is missed most, 67 %" in text and "no person" not in text
    assert row["integer"]["misses_95"] == [round(x, 5) for x in share_interval(2, 3)] == [0.0943, 0.99160]
    assert row["float"]["curve_95"][0] == [0.0, round(1 - 0.025 ** (1 / 3), 5)]
    engines = tuple(replace(r, source="espeak:x") if r.label == "stop" else r for r in data.rows)
    names = hearing.material(data, "test", 0.05, SAMPLE_RATE, 0).names
    assert outcomes["misses"] == Marks({"stop": 3}, {"stop": dict.fromkeys(names[1:], "0.305")})
    assert outcomes["false_accepts_per_hour"] == Events(0.05, {"stop": [4.0, 80.0]})
    heights = outcomes["misses_at_baselines_rate"]
    assert isinstance(heights, Heights)
    assert heights.said == {"stop": {names[0]: 20000, names[1]: 10000, names[2]: 10000}}
    assert (heights.peaks, heights.thresholds, heights.hours) == ({"stop": [20000, 20000]}, {"stop": 16384}, 0.05)
    found, _ = spotting.spotting(net, SimpleNamespace(graph=graph), replace(data, rows=engines), "test", 0.05)  # type: ignore[arg-type]
    assert found["people"] == 0 and "no person was heard" in "\n".join(verdict(found))
    people = tuple(replace(r, source="recorded:p4:x") if r.label == "stop" else r for r in data.rows)
    found, _ = spotting.spotting(net, SimpleNamespace(graph=graph), replace(data, rows=people), "test", 0.05)  # type: ignore[arg-type]
    assert found["people"] == 3, "what people recorded is played by an engine of its own"
    rows = dict(map(tuple, TASK.show_summary({"spotting": found, "float_accuracy": 1.0, "int8_accuracy": 1.0, "clips": 1,
                                              "split": "test", "scheme": "int8", "agreement": 1.0})))  # fmt: skip
    assert rows["missed at 20 an hour a word"].startswith("100.00 % of 3 test words"), "0.05 hours tell no lower rate"
    assert rows["missed at the thresholds"] == "66.67 % (9.4 to 99.2)"


def test_a_clip_is_what_the_decision_stage_would_say() -> None:
    decision = Decision(2, 20, 5, (10000, 20000))
    x = np.zeros((4, 10, 3), np.int16)
    x[0, 4:6, 0] = 10000
    x[1, 4:6, 0], x[1, 7:9, 1] = 12000, 30000  # over its threshold by more
    x[2, 4, 0] = 19999  # a mean of 9999.5
    x[3, :, 2] = 32767
    assert score_heard(x, np.zeros(4, np.int64), ("a", "b", "unknown"), decision).predicted.tolist() == [0, 1, 2, 2]


def test_what_cannot_be_trained_is_said_before() -> None:
    with pytest.raises(EdgernnError, match="kind = 'songs' is none of clips, streams"):
        make_recipe({**recipe().to_dict(), "train": {"kind": "songs"}})
    with pytest.raises(EdgernnError, match=r"speech \+ words = 1.2 must not exceed 1"):
        StreamParams(speech=0.7, words=0.5)
    with pytest.raises(EdgernnError, match="hard = 1 leaves no batch"):
        StreamParams(hard=1.0)
    with pytest.raises(EdgernnError, match="nowhere"):
        TASK.before_training(recipe(), {"teacher": ["nowhere"]})
