"""Measures of a keyword spotter: a wrong label, a late event, a float that is worse than the integers must show."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from listening import small_corpus
from nets import LABELS, quantized, random_net
from numpy.typing import NDArray

from edgernn.core.qmath import PREACT_SCALE
from edgernn.core.trace import Trace
from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.outcomes import Marks
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import Int16
from edgernn.tasks import make_recipe
from edgernn.tasks.spot import TASK, clips, judge
from edgernn.tasks.spot.decision import Decision, Event, clip_label, detect, make_decision
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.listening import detections_in, last_detections, with_threshold
from edgernn.tasks.spot.scoring import StreamScore, match_events, score_clips, score_stream, to_posteriors

QUIET: Any = lambda *_: None  # noqa: E731
LABELS3 = ("stop", "unknown", "silence")
RATE, STEP = 16000, 320
NET: Any = SimpleNamespace(recipe=SimpleNamespace(train=SimpleNamespace(kind="clips")))  #: as far as the clip rule asks


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_corpus(tmp_path_factory.mktemp("spot") / "data")


@pytest.fixture(scope="module")
def graph() -> SpotGraph:
    return quantized(random_net("gru", 4), "int8")


def one_keyword(**changes: Any) -> Any:
    """What the judge asks of a graph."""
    fields = {"labels": LABELS3, "decision": Decision(1, 0, 2, (16384,)), "sample_rate": RATE, "step_samples": STEP}
    return SimpleNamespace(**{**fields, **changes})


def logits(predicted: Any, steps: int = 3) -> Any:
    """Int16 logits [N, steps, 3] that say these labels."""
    return np.repeat(8000 * np.eye(3, dtype=np.int16)[np.asarray(predicted)][:, None], steps, axis=1)


# Clips ---------------------------------------------------------------------------


def test_a_wrong_integer_shows_in_its_accuracy_and_in_the_agreement_but_not_in_the_floats(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six clips: the float net has one wrong, the integers two others; so they agree on three of six."""
    truth = clips.label_indices(data, data.clips("test"))
    assert truth.tolist() == [0, 0, 0, 1, 1, 1]
    whole, integer = truth.copy(), truth.copy()
    whole[0] = 2
    integer[[1, 4]] = 2
    silence = {"float": [1, 2, 2, 1], "integer": [0, 2, 0, 0]}
    given = iter([logits(whole) * PREACT_SCALE, logits(silence["float"]) * PREACT_SCALE])
    quantity = iter([logits(integer), logits(silence["integer"])])
    monkeypatch.setattr(judge, "float_clip_logits", lambda *_: next(given))
    monkeypatch.setattr(judge, "integer_clip_logits", lambda *_: next(quantity))
    monkeypatch.setattr(judge._silence, "__defaults__", (4,))
    found, outcomes = judge.compare_clips(NET, SimpleNamespace(graph=one_keyword()), data, "test", QUIET)  # type: ignore[arg-type]
    assert (found["float"]["correct"], found["integer"]["correct"], found["agreement"]) == (5, 4, 0.5)
    assert found["float"]["confusion"] == [[2, 0, 1], [0, 3, 0], [0, 0, 0]]
    assert found["integer"]["per_class"] == {"stop": 0.6667, "unknown": 0.6667}
    assert found["silence"] == {"cuts": 4, "taken_for_keyword": {"float": 0, "integer": 3}}
    assert found["logit_snr_db"] == 0.0, "half of the clips' logits are entirely wrong: the error is as large as the signal"
    assert (found["split"], found["labels"]) == ("test", list(LABELS3))
    names = [row.source for row in data.clips("test")]
    of = {"stop": 3, "unknown": 3}
    assert outcomes["float_accuracy"] == Marks(of, {"stop": {names[0]: "silence"}, "unknown": {}})
    assert outcomes["int8_accuracy"] == Marks(of, {"stop": {names[1]: "silence"}, "unknown": {names[4]: "silence"}})
    unlike = {names[0]: "float silence, int8 stop", names[1]: "float stop, int8 silence"}
    assert outcomes["agreement"] == Marks(of, {"stop": unlike, "unknown": {names[4]: "float unknown, int8 silence"}})
    assert outcomes["silence_taken"] == Marks({"cuts": 4}, {"cuts": {"cut 0": "stop", "cut 2": "stop", "cut 3": "stop"}})


def test_words_that_training_never_heard_are_counted_apart(data: Dataset) -> None:
    rows = tuple(replace(r, word="dog") if r.split == "test" and r.source.endswith("cat1") else r for r in data.rows)
    other = replace(data, rows=rows)
    truth = clips.label_indices(other, other.clips("test"))
    right = score_clips(logits(truth), truth, LABELS3, 2)
    wrong = score_clips(logits(np.where(np.arange(6) == 4, 0, truth)), truth, LABELS3, 2)
    assert judge._never_trained(other, "test", right) == {"clips": 1, "correct": 1}
    assert judge._never_trained(other, "test", wrong) == {"clips": 1, "correct": 0}
    assert judge._never_trained(data, "test", right) == {"clips": 0, "correct": 0}


def test_silence_is_judged_in_both_and_only_where_there_is_noise(data: Dataset) -> None:
    bare = replace(data, rows=tuple(r for r in data.rows if r.label != "_noise_"))
    assert judge._silence(None, None, bare, "test") == ({"cuts": 0}, {})  # type: ignore[arg-type]
    with pytest.raises(EdgernnError, match="no test noise to cut silence from"):
        clips.silence_pcm(bare, "test", 1, np.random.default_rng(0), RATE)


def test_every_clip_is_judged_from_reset() -> None:
    class Counting:
        resets = heard = 0

        def reset(self) -> None:
            self.resets += 1
            self.heard = 0

        def run(self, pcm: Any) -> Any:
            self.heard += len(pcm)
            return SimpleNamespace(logits=np.full((2, 3), self.heard, np.int16))

    runtime = Counting()
    found = judge.integer_clip_logits(runtime, np.zeros((4, 10), np.int16))  # type: ignore[arg-type]
    assert found.shape == (4, 2, 3)
    assert set(found.ravel().tolist()) == {10}


def test_the_last_steps_of_a_clip_decide_and_of_equals_the_first_label() -> None:
    x = np.zeros((1, 6, 3), np.int16)
    x[0, 3, 2], x[0, 4, 1], x[0, 5, 0] = 32767, 20000, 20000
    assert [clip_label(x.astype(np.int64), n).item() for n in (1, 2, 3, 6)] == [0, 0, 2, 2]
    found = score_clips(np.full((1, 6, 3), 32767, np.int16) - np.array([9, 0, 0], np.int16), np.array([1]), LABELS3, 6)
    assert found.accuracy == 1, "sums of int16 do not wrap"


def test_labels_are_the_keywords_then_unknown_then_silence(data: Dataset, tmp_path: Path) -> None:
    two = small_corpus(tmp_path / "d", ("stop", "go"))
    assert clips.labels_of(two) == ("stop", "go", "unknown", "silence")
    rows = two.clips("train")
    found = {(row.word, int(i)) for row, i in zip(rows, clips.label_indices(two, rows), strict=True)}
    assert found == {("stop", 0), ("go", 1), ("cat", 2)}
    extra = clips._Extra(2, 3).labels(data)
    assert extra.tolist() == [2, 2, 1, 1, 1], "cuts of noise are silence, those of running speech unknown"


# Streams ---------------------------------------------------------------------------


def test_float_posteriors_are_rounded_as_the_integers_are() -> None:
    logit = np.log(np.array([0.25, 0.7, 0.5]) / (1 - np.array([0.25, 0.7, 0.5])))
    assert to_posteriors(logit).tolist() == [8192, 22938, 16384]
    assert to_posteriors(np.array([-50.0, 50.0])).tolist() == [0, 32767], "1 is the largest int16, no negative one"


def test_an_event_hits_from_the_first_sample_to_a_second_after_the_end() -> None:
    """An event is known at the end of its step, (step + 1) * 320."""
    span = [(3200, 6400, "stop")]
    for step, hit in ((8, 0), (9, 1), (19, 1), (69, 1), (70, 0)):
        assert match_events([Event(step, 0, 1)], span, LABELS3, STEP, RATE) == (hit, 1 - hit), step
    assert match_events([Event(12, 1, 1)], span, LABELS3, STEP, RATE) == (0, 1), "another label"
    assert match_events([Event(12, 0, 1), Event(15, 0, 1)], span, LABELS3, STEP, RATE) == (1, 1), "a second is a false accept"


def test_a_stream_that_fires_on_nothing_has_false_accepts_and_one_that_misses_has_rejects() -> None:
    spans = [(0, 3200, "stop"), (6400, 9600, "unknown"), (64000, 67200, "stop")]
    posteriors = np.zeros((1800, 3), np.int16)
    posteriors[5], posteriors[25], posteriors[1000], posteriors[1500] = (
        (20000, 0, 0),
        (0, 30000, 0),
        (20000, 0, 0),
        (20000, 0, 0),
    )
    found = score_stream(posteriors, spans, LABELS3, Decision(1, 0, 2, (16384,)), STEP, RATE)
    assert found == StreamScore(2, 1, 2, 0.01)
    assert (found.frr, found.fa_per_hour) == (0.5, pytest.approx(200))
    assert StreamScore(0, 0, 0, 1.0).frr == 0


def test_float_and_integer_streams_are_scored_each_by_its_own_posteriors(
    data: Dataset, graph: SpotGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The integers miss every word, the floats fire once for nothing: neither may be shown for the other."""
    steps = 200
    spans = [(16000, 24000, "a")]
    silent, firing = np.full((steps, 5), -8000.0), np.full((steps, 5), -8.0)
    firing[60, 0] = firing[160, 0] = 9.0
    g = replace(graph, decision=Decision(1, 0, 2, (16384,) * 3))
    trace = Trace(np.zeros((steps, 40), np.int16), silent.astype(np.int16), np.zeros((steps, 5), np.int16), {})
    runtime: Any = SimpleNamespace(graph=g, reset=lambda: None, run=lambda pcm: trace)
    monkeypatch.setattr(judge, "stream_pcm", lambda *_: (np.zeros(steps * g.step_samples, np.int16), spans))
    monkeypatch.setattr(judge, "float_features", lambda *_: [None])
    monkeypatch.setattr(judge, "float_trace", lambda *_: {"logits": firing})
    found = judge.compare_stream(None, runtime, data, "test", 4.0)["streaming"]  # type: ignore[arg-type]
    assert (found["float"]["frr"], found["float"]["fa"], found["float"]["keywords"]) == (0.0, 1, 1)
    assert (found["integer"]["frr"], found["integer"]["fa"]) == (1.0, 0)
    assert found["float"]["fa_per_hour"] == pytest.approx(3600 / (steps * g.step_samples / RATE), rel=1e-3)
    low, high = found["float"]["fa_per_hour_95"]
    assert low < found["float"]["fa_per_hour"] < high


def test_clips_inside_a_stream_are_scored_from_the_step_after_they_begin() -> None:
    """A word from 330 on begins in step 2; its clip is three steps; the last two decide."""
    x = np.zeros((10, 3), np.int16)
    x[2], x[4], x[5] = (0, 9000, 0), (0, 0, 9000), (20000, 0, 0)
    runtime: Any = SimpleNamespace(graph=one_keyword(), reset=lambda: None, run=lambda pcm: SimpleNamespace(logits=x))
    spans = [(330, 960, "silence"), (960, 1600, "stop")]
    found = judge.embedded_accuracy(runtime, np.zeros(3200, np.int16), spans, 3 * STEP)
    assert found.predicted.tolist() == [2, 0]
    assert found.accuracy == 1


def test_thresholds_are_swept_over_all_streams_together() -> None:
    posteriors = [np.array([[20000, 0, 0], [0, 0, 0]], np.int16), np.array([[10000, 0, 0], [0, 0, 0]], np.int16)]
    spans = [[(0, 320, "stop")], [(0, 320, "stop")]]
    found = judge.sweep_thresholds(posteriors, spans, one_keyword(), (9000, 15000, 25000))  # type: ignore[arg-type]
    assert [(t, s.hits, s.keywords) for t, s in found] == [(9000, 2, 2), (15000, 1, 2), (25000, 0, 2)]


def test_events_that_differ_from_the_definitions_are_counted(data: Dataset, graph: SpotGraph) -> None:
    g = replace(graph, labels=("stop", "b", "c", "unknown", "silence"), decision=Decision(1, 0, 2, (16384,)))
    sounds = judge.material(NET, g, data, "test", 3.0)

    def traces(*fired: int) -> Any:
        posteriors = np.zeros((50, 5), np.int16)
        posteriors[list(fired), 0] = 20000
        stream = Trace(np.zeros((50, 40), np.int16), posteriors, posteriors, {})
        one = Trace(np.zeros((5, 40), np.int16), np.eye(5, dtype=np.int16)[[0] * 5] * 9000, posteriors[:5], {})
        return [one] * len(sounds.clips), stream

    own = sounds.extras(traces(3, 20), traces(3, 40))
    assert own["events_differing"] == 2
    assert (own["accuracy"], own["clips"]) == (0.5, 6), "the words are stop, the others are not"
    assert sounds.extras(traces(3), traces(3))["events_differing"] == 0


# The decision and what is told of it ---------------------------------------------------------------------------


def test_only_keywords_can_fire_at_the_recipes_threshold() -> None:
    """Not "unknown", not "silence"."""
    recipe = make_recipe({"layers": [{"cell": "gru", "units": 4}], "decision": {
        "threshold": 0.75, "smoothing_ms": 61.0, "refractory_ms": 60.0, "clip_ms": 0.0}})  # fmt: skip
    d = make_decision(recipe, ("stop", "go", "unknown", "silence"))
    assert d == Decision(smoothing=4, refractory=3, clip_steps=1, thresholds=(24576, 24576))
    firing = np.full((9, 4), 32767, np.int16)
    firing[:, :2] = 0
    assert detect(firing, d) == []
    assert make_decision(recipe, ("stop", "unknown")).thresholds == (24576,)


def test_a_threshold_of_ones_own_is_every_keywords(graph: SpotGraph) -> None:
    assert with_threshold(graph, None) is graph
    assert set(with_threshold(graph, 0.25).decision.thresholds) == {8192}
    assert set(with_threshold(graph, 1e-9).decision.thresholds) == {1}
    assert set(with_threshold(graph, 0.9999999).decision.thresholds) == {32767}
    for wrong in (0.0, 1.0, -0.5, 1.5):
        with pytest.raises(EdgernnError, match="must lie between 0 and 1"):
            with_threshold(graph, wrong)


def test_a_detection_is_told_when_it_is_over_with_the_time_at_which_it_fired(graph: SpotGraph) -> None:
    output = np.array([[-1, 0, 0, 0], [2, 9000, 0, 0], [-1, 0, 0, 0], [2, 16384, 2, 1], [0, 32767, 0, 1]])
    assert [tuple(d) for d in detections_in(graph, output, 100)] == [(2.04, "c", 0.5), (2.1, "a", 1.0)]
    assert [tuple(d) for d in detections_in(graph, output, 100, at_once=True)] == [(2.04, "c", 0.2747), (2.1, "a", 1.0)]
    assert graph.labels == LABELS


def test_what_lasts_when_a_stream_ends_is_told_and_nothing_that_fires_after_it(graph: SpotGraph) -> None:
    patient = replace(graph, decision=replace(graph.decision, refractory=4))
    rest = np.array([[-1, 0, 0, 0], [1, 8192, 3, 1], [0, 9000, 0, 0], [0, 9000, 1, 1]])

    def process(pcm: Int16) -> NDArray[Any]:
        assert pcm.tolist() == [0] * 4 * graph.step_samples
        return rest.copy()

    assert last_detections(patient, process, 50) == [(round(49 * 0.02, 3), "b", 0.25)]


@pytest.mark.parametrize("runtime", ["numpy", "c"])
def test_a_sound_that_ends_in_a_word_tells_it(graph: SpotGraph, runtime: str) -> None:
    """Cut at every step: events that fired before the cut, all of them, with scores that only grow with what is heard."""
    g = replace(graph, decision=replace(graph.decision, thresholds=(9000, 9000, 9000), smoothing=3, refractory=9))
    rng = np.random.default_rng(5)
    pcm = (rng.normal(size=g.step_samples * 90) * np.repeat(rng.integers(20, 8000, 90), g.step_samples)).clip(-32768, 32767)
    sound = pcm.astype(np.int16)
    whole = detect(make_runtime(runtime, g).run(sound).posteriors, g.decision)
    assert len(whole) > 2
    for steps in range(20, 90, 7):
        heard = make_runtime(runtime, g)
        begin = sound[: steps * g.step_samples]
        told = [*detections_in(g, heard.process(begin), 0), *last_detections(g, heard.process, steps)]
        wanted = [(round((e.step + 1) / g.steps_per_second, 3), g.labels[e.label]) for e in whole if e.step < steps]
        assert [(d.time_s, d.label) for d in told] == wanted


def test_figures_are_the_integers_and_name_their_test_set() -> None:
    clips_of = {"split": "test", "agreement": 0.9, "integer": {"accuracy": 0.8}, "float": {"accuracy": 0.7, "clips": 6}}
    simulated = {"dataset": "d1", "clips": clips_of}
    assert TASK.figures(simulated) == ("d1/test", {"int8_accuracy": 0.8, "agreement": 0.9, "float_accuracy": 0.7})
    minutes = [{"minute": 0, "logits": 40.0}, {"minute": 1, "logits": 31.0}]
    stream = {"whole": {"logits": 35.0, "gru0.h": 30.0, "gru1.h": 28.0}, "minutes": minutes,
              "saturated": {"gru0.h": 0.01, "gru1.h": 0.02}}  # fmt: skip
    more = TASK.figures({**simulated, "clips": {**clips_of, "logit_snr_db": 33.0}, "stream": stream})[1]
    assert {name: x for name, x in more.items() if name.endswith(("db", "saturated"))} == {
        "logit_snr_db": 33.0, "stream_snr_db": 35.0, "stream_state_snr_db": 28.0, "stream_worst_minute_snr_db": 31.0,
        "stream_saturated": 0.02,
    }  # fmt: skip
    better = {name for name, f in TASK.gated.items() if f.better > 0}
    assert better == {"int8_accuracy", "float_accuracy", "agreement", "logit_snr_db", "stream_snr_db", "stream_state_snr_db",
                      "stream_worst_minute_snr_db"}  # fmt: skip
    assert TASK.summary(simulated) == {"clips": 6, "float_accuracy": 0.7, "int8_accuracy": 0.8, "agreement": 0.9}


# Material of training ---------------------------------------------------------------------------


def test_a_recording_is_cut_to_the_stretch_with_the_word_or_filled_on_the_right() -> None:
    long = np.zeros(1000, np.int16)
    long[700:720] = 5000
    assert clips.fitted(long, 100).any() and len(clips.fitted(long, 100)) == 100
    assert np.count_nonzero(clips.fitted(long, 100)) == 20
    assert clips.fitted(np.arange(1, 5, dtype=np.int16), 6).tolist() == [1, 2, 3, 4, 0, 0]
    assert clips.fitted(np.arange(5, dtype=np.int16), 5).tolist() == [0, 1, 2, 3, 4]


def test_statistics_are_of_the_clips_and_not_of_what_came_before_them() -> None:
    logs = np.zeros((2, 8, 5, 3), np.int16)
    logs[:, :, :2] = 9999  # context
    logs[:, :, 2:] = np.array([10, 20, 30])
    logs[:, :, 3] += 6
    mean, deviation = clips.TrainingSet(logs, np.zeros(8, np.int64), 2).statistics()
    assert mean.tolist() == [12, 22, 32]
    assert deviation == pytest.approx([8**0.5] * 3)


def test_teachers_say_the_mean_of_their_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"a": [0.9, 0.1], "b": [0.5, 0.5]}
    seen: list[Any] = []
    monkeypatch.setattr(clips, "_probabilities", lambda t, x: seen.append(x.shape) or np.tile(said[t.name], (len(x), 1)))
    teachers: Any = [SimpleNamespace(name=n, labels=("x", "y")) for n in said]
    taught = clips.TrainingSet(np.zeros((2, 3, 7, 4), np.int16), np.zeros(3, np.int64), 2).taught_by(teachers, QUIET)
    assert taught.soft is not None
    assert taught.soft.shape == (2, 3, 2)
    assert np.allclose(taught.soft, [0.7, 0.3])
    assert set(seen) == {(3, 5, 4)}, "teachers hear the clip from reset, without its context"
