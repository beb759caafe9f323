"""Measures of a denoiser: a louder, a later, a drifting, a clicking output, a float that is taken for the integers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser, recipe
from listening import small_corpus
from needs import need_module

from edgernn.core.trace import Trace
from edgernn.data.mixing import Mixture, Pair
from edgernn.errors import EdgernnError
from edgernn.outcomes import Values
from edgernn.runtimes import make_runtime
from edgernn.signal.stft import GAIN_ONE
from edgernn.tasks.base import Question
from edgernn.tasks.denoise import TASK, evaluate
from edgernn.tasks.denoise.evaluate import LEAST_SI_SDR, differences, drift, judge_files, means, score, si_sdr, summary
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.stream import FloatDenoiser, aligned, denoised, float_synthesis

QUIET: Any = lambda *_: None  # noqa: E731
RNG = np.random.default_rng(0)


# Scores ---------------------------------------------------------------------------


def test_si_sdr_by_hand() -> None:
    """Noise of a tenth, orthogonal to the speech, is 20 dB below it at any gain; the two sounds are not interchangeable."""
    clean, noise = np.array([1.0, 1, 1, 1]) * 3, np.array([1.0, -1, 1, -1]) * 0.3
    assert si_sdr(clean, clean + noise) == pytest.approx(20)
    assert si_sdr(clean, 7 * (clean + noise)) == pytest.approx(20)
    assert si_sdr(clean, -clean - noise) == pytest.approx(20)
    assert si_sdr(clean, clean) > 100
    assert si_sdr(clean, noise) == si_sdr(clean, np.zeros(4)) == LEAST_SI_SDR
    assert LEAST_SI_SDR < si_sdr(clean, noise + clean / 1000) < -30
    a, b = RNG.normal(size=100), RNG.normal(size=100)
    along = a * (a @ b) / (a @ a)
    assert si_sdr(a, b) == pytest.approx(10 * np.log10((along @ along) / ((b - along) @ (b - along))))


def test_what_is_silent_scores_least_and_silent_speech_cannot_be_judged_by() -> None:
    need_module("pesq")
    speech = noisy_sound(16000)
    found = score(speech, np.zeros_like(speech))
    assert (found.pesq, found.stoi, found.estoi) == (1.0, 0.0, 0.0)
    worst = score(speech, RNG.normal(scale=3000, size=len(speech)).astype(np.int16))
    assert found.si_sdr == LEAST_SI_SDR < worst.si_sdr < 0, "a denoiser that says nothing is no better than noise"
    with pytest.raises(EdgernnError, match="silent or shorter than half a second"):
        score(np.zeros_like(speech), speech)
    with pytest.raises(EdgernnError, match="silent or shorter than half a second"):
        score(speech[:7999], speech[:7999])


def test_what_is_left_in_pauses_is_told_by_band() -> None:
    """A tone in the pause of speech, 30 dB below it and in one band; what lies under the speech does not count."""
    t = np.arange(32000) / 16000
    speech = np.where(t < 1, 8000 * np.sin(2 * np.pi * 500 * t), 0)
    left = np.where(t >= 1.1, 8000 * 10**-1.5 * np.sin(2 * np.pi * 3000 * t), 0)
    under = np.where(t < 0.9, 3000 * np.sin(2 * np.pi * 1500 * t), 0)
    clean, ours = speech.astype(np.int16), (speech + left + under).astype(np.int16)
    levels = evaluate.left_in_pauses(clean, ours)
    assert levels is not None and len(levels) == len(evaluate.PAUSE_BANDS)
    assert levels[0] == pytest.approx(-30.5, abs=1.0) == levels[3], "the tone lies between 2 and 4.3 kHz"
    assert max(levels[1], levels[2], levels[4]) < -60
    quieter = evaluate.left_in_pauses(clean, (speech + 0.1 * left).astype(np.int16))
    assert quieter is not None and quieter[0] == pytest.approx(levels[0] - 20, abs=0.5)
    assert evaluate.left_in_pauses(clean[:15000], ours[:15000]) is None, "no pause"


def judged(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Three mixtures at two SNRs; the score of a sound is its first sample over its reference's."""
    monkeypatch.setattr(evaluate, "score", lambda clean, pcm: SimpleNamespace(pesq=pcm[0] / clean[0], stoi=float(clean[0])))
    monkeypatch.setattr(evaluate, "asdict", vars)
    mixtures = [
        Mixture(f"m{i}", snr, "hum", Pair(np.array([noisy], np.int16), np.array([clean], np.int16)))
        for i, (snr, noisy, clean) in enumerate([(0.0, 30, 10), (5.0, 80, 20), (5.0, 20, 10)])
    ]
    systems = {"float": lambda x: x - 5, "integer": lambda x: x - np.array([4, 7, 5])[(x == 80) + 2 * (x == 20)]}
    return judge_files(mixtures, systems, QUIET)  # type: ignore[arg-type]


def test_every_system_is_scored_on_its_own_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = judged(monkeypatch)
    assert [r["scores"]["noisy"]["pesq"] for r in rows] == [3.0, 4.0, 2.0]
    assert [r["scores"]["float"]["pesq"] for r in rows] == [2.5, 3.75, 1.5]
    assert [r["scores"]["integer"]["pesq"] for r in rows] == [2.6, 3.65, 1.5]
    assert [r["scores"]["integer"]["stoi"] for r in rows] == [10.0, 20.0, 10.0]
    assert [(r["name"], r["snr_db"], r["noise"]) for r in rows] == [("m0", 0.0, "hum"), ("m1", 5.0, "hum"), ("m2", 5.0, "hum")]


def test_means_are_of_all_files_and_of_each_snr(monkeypatch: pytest.MonkeyPatch) -> None:
    found = summary(judged(monkeypatch))
    assert found["mixtures"] == 3
    assert found["mean"]["noisy"] == {"pesq": 3.0, "stoi": 13.3333}
    assert found["by_snr"]["0"]["integer"]["pesq"] == 2.6
    assert found["by_snr"]["5"]["integer"]["pesq"] == 2.575
    assert means(found["files"][:1])["float"] == {"pesq": 2.5, "stoi": 10.0}


def test_differences_keep_their_sign_in_the_mean_and_their_size_in_the_largest(monkeypatch: pytest.MonkeyPatch) -> None:
    found = differences(summary(judged(monkeypatch)), "integer", "float")
    assert found["pesq"] == {"mean": 0.0, "largest": 0.1}
    assert differences(summary(judged(monkeypatch)[:1]), "integer", "float")["pesq"] == {"mean": 0.1, "largest": 0.1}
    assert differences(summary(judged(monkeypatch)[1:2]), "integer", "float")["pesq"] == {"mean": -0.1, "largest": 0.1}


def test_float_and_integer_are_each_their_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[str, Any] = {}
    monkeypatch.setattr(evaluate, "make_runtime", lambda name, g: SimpleNamespace(name="numpy", graph=g))
    monkeypatch.setattr(evaluate, "float_enhancer", lambda net: ("float", net))
    monkeypatch.setattr(evaluate, "enhancer", lambda runtime: ("integer", runtime.graph))
    monkeypatch.setattr(evaluate, "judge", lambda m, systems, p, mos: taken.update(mixtures=m, systems=systems, mos=mos) or {})
    monkeypatch.setattr(evaluate, "make_mixtures", lambda d, split, count, seed: (split, count, seed))
    monkeypatch.setattr(evaluate, "differences", lambda judged, a, b: (a, b))
    monkeypatch.setattr(evaluate, "drift", lambda runtime, r, d, split, seconds: (split, seconds))
    monkeypatch.setattr(evaluate, "drift_from_floats", lambda n, runtime, d, *asked: (n is net, runtime.graph, *asked))
    net: Any = SimpleNamespace(recipe=SimpleNamespace(seed=4))
    found = evaluate.judge_denoiser(net, "g", None, Question("validation", 9.0, "numpy", 7), QUIET)  # type: ignore[arg-type]
    assert taken["systems"] == {"float": ("float", net), "integer": ("integer", "g")}
    assert (taken["mixtures"], found["integer_minus_float"], found["stream"]) == (
        ("validation", 7, 4), ("integer", "float"), ("validation", 9.0)
    )  # fmt: skip
    assert found["drift"] == (True, "g", "validation", 9.0)
    evaluate.judge_denoiser(net, "g", None, Question("test"), QUIET)  # type: ignore[arg-type]
    assert taken["mixtures"] == ("test", evaluate.MIXTURES, 4)


def test_figures_are_the_integers() -> None:
    one, other = {"pesq": 2.0, "stoi": 0.8, "si_sdr": 9.0}, {"pesq": 3.0, "stoi": 0.9, "si_sdr": 10.0}
    said = {"dataset": "d", "split": "test", "list": None, "mixtures": 7, "mean": {"integer": one, "float": other}}
    figures = {
        "int8_pesq": 2.0,
        "int8_stoi": 0.8,
        "int8_si_sdr": 9.0,
        "float_pesq": 3.0,
        "float_stoi": 0.9,
        "float_si_sdr": 10.0,
    }
    assert TASK.figures(said) == ("d/test, 7 mixtures", figures)
    whole = {**said, "integer_minus_float": {"si_sdr": {"mean": -1.0}},
             "stream": {"repeat_snr_db": 75.0, "growth_db": 0.5, "change": 3, "jump": 0.7, "silence": 1}}  # fmt: skip
    assert TASK.figures(whole)[1] == {
        **figures, "lost_si_sdr": 1.0, "stream_repeat_snr_db": 60.0, "stream_growth_db": 0.5, "stream_change": 3,
        "stream_jump": 0.7, "stream_silence": 1,
    }  # fmt: skip
    stream = {"whole": {"logits": 40.0, "a.h": 30.0, "b.h": 20.0}, "minutes": [{"logits": 41.0}, {"logits": 35.0}],
              "saturated": {"a.h": 0.25, "b.h": 0.5}}  # fmt: skip
    assert TASK.figures({**said, "drift": stream})[1] == {
        **figures, "stream_snr_db": 40.0, "stream_worst_minute_snr_db": 35.0, "stream_state_snr_db": 20.0,
        "stream_saturated": 0.5,
    }  # fmt: skip
    with pytest.raises(KeyError, match="pesq"):  # of the integers: the float net's is no figure of theirs
        TASK.figures({**said, "mean": {"integer": {"stoi": 0.8, "si_sdr": 9.0}, "float": other}})
    worse = {name for name, f in TASK.gated.items() if f.better < 0}
    assert worse == {
        "lost_si_sdr", "stream_growth_db", "stream_change", "stream_jump", "stream_silence", "stream_saturated"
    }  # fmt: skip


def test_every_mixture_is_an_item() -> None:
    files = [{"name": name, "scores": {"integer": {"pesq": x}, "float": {"pesq": x + 1}, "noisy": {"pesq": 0.0}}}
             for name, x in (("a", 2.0), ("a", 3.0))]  # fmt: skip
    found = TASK.outcomes({"files": files})
    assert found == {
        "int8_pesq": Values({"a": (2.0, 1), "a#2": (3.0, 1)}),
        "float_pesq": Values({"a": (3.0, 1), "a#2": (4.0, 1)}),
    }
    assert TASK.outcomes({}) == {}


# Drift ---------------------------------------------------------------------------


class Drifting:
    """A denoiser that passes sound on, but for what `fault` does to a repetition of it."""

    graph = SimpleNamespace(step_samples=64)

    def __init__(self, fault: Any = lambda i, x: x) -> None:
        self._fault, self._calls = fault, -2

    def reset(self) -> None:
        self._calls = -1

    def process(self, pcm: Any) -> Any:
        self._calls += 1
        return np.asarray(self._fault(self._calls, pcm.astype(np.int64)), np.int16)


class Forgetful:
    """The C of a graph, but for what happens to its state and its hearing: `every` steps it is reset, `late` hops it lags."""

    def __init__(self, graph: DenoiseGraph, every: int = 0, late: int = 0) -> None:
        self.graph, self._own, self._every, self._late = graph, make_runtime("c", graph), every, late

    def reset(self) -> None:
        self._own.reset()

    def run(self, pcm: Any) -> Trace:
        hop = self.graph.step_samples
        pcm = np.roll(pcm, self._late * hop)
        if not self._every:
            return self._own.run(pcm)
        parts = []
        for i in range(0, len(pcm), self._every * hop):
            self._own.reset()
            parts.append(self._own.run(pcm[i : i + self._every * hop]))
        states = {name: np.concatenate([p.states[name] for p in parts]) for name in parts[0].states}
        joined = (np.concatenate([getattr(p, name) for p in parts]) for name in ("features", "logits", "posteriors"))
        return Trace(*joined, states)


@pytest.fixture(scope="module")
def beside_floats(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The integers beside the floats over some seconds of a piece of a second, by a runtime."""
    data, net = small_corpus(tmp_path_factory.mktemp("floats") / "data"), random_denoiser(mix={"seconds": 1.0})
    graph = quantized_denoiser(net, "int8x16")
    return lambda seconds=6.0, **fault: evaluate.drift_from_floats(net, Forgetful(graph, **fault), data, "test", seconds, 1.0)  # type: ignore[arg-type]


def test_integers_stay_with_the_floats_over_a_long_stream(beside_floats: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = beside_floats(20.0)
    assert (found["seconds"], [m["minute"] for m in found["minutes"]]) == (20.0, [0])
    assert min(m["logits"] for m in found["minutes"]) > 25 and found["whole"]["gru1.h"] > 25
    assert set(found["saturated"]) == set(found["whole"]) - {"logits"}
    monkeypatch.setattr(evaluate, "FLOAT_SECONDS", 3.0)
    assert beside_floats(20.0)["seconds"] == 3.0, "everything is held at once, so it has an end"


def test_a_state_that_is_lost_and_sound_that_comes_late_are_drift(beside_floats: Any) -> None:
    usual = beside_floats()["whole"]
    lost, late = beside_floats(every=100)["whole"], beside_floats(late=1)["whole"]
    assert max(lost["logits"], late["logits"]) < usual["logits"] - 6
    assert max(lost["gru1.h"], late["gru1.h"]) < usual["gru1.h"] - 6


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Any:
    data = small_corpus(tmp_path_factory.mktemp("drift") / "data")
    still = recipe(mix={"seconds": 0.5, "level_dbfs": [-30.0, -30.0], "silence": 0.0})
    return lambda fault: drift(Drifting(fault), still, data, "test", 3.0, 0.5)  # type: ignore[arg-type]


def at(repetition: int, change: Any) -> Any:
    return lambda i, x: change(x) if i == repetition else x


def test_a_stream_that_repeats_itself_does_not_drift(drifted: Any) -> None:
    found = drifted(lambda i, x: x)
    assert (found["repeat_snr_db"], found["growth_db"], found["change"], found["silence"]) == (200.0, 0.0, 0, 0)
    assert found["jump"] >= 1 and found["seconds"] == pytest.approx(3.0, abs=0.1)
    first = drifted(at(0, lambda x: x // 2))
    assert (first["repeat_snr_db"], first["change"]) == (200.0, 0), "the first repetition may differ: it begins from reset"


def test_a_repetition_that_differs_shows_wherever_it_lies(drifted: Any) -> None:
    """In the middle as at the end; louder and softer; a single sample."""
    for i in (2, 3, 5):
        softer, louder = drifted(at(i, lambda x: x // 2)), drifted(at(i, lambda x: x * 2))
        assert softer["repeat_snr_db"] == pytest.approx(6.02, abs=0.1) and louder["repeat_snr_db"] == pytest.approx(0, abs=0.1)
        assert softer["growth_db"] == pytest.approx(6.02, abs=0.1) and louder["growth_db"] == pytest.approx(6.02, abs=0.1)

        def click(x: Any) -> Any:
            y = x.copy()
            y[100] += 77
            return y

        assert drifted(at(i, click))["change"] == 77


def test_a_jump_between_two_calls_and_sound_that_never_ends_show(drifted: Any) -> None:
    usual = drifted(lambda i, x: x)["jump"]

    def edge(x: Any) -> Any:
        y = x.copy()
        y[0] = 30000
        y[1:40] = np.linspace(30000, y[40], 39)
        return y

    assert drifted(at(3, edge))["jump"] > 2 * usual
    assert drifted(lambda i, x: x if x.any() else x + 9)["silence"] == 9
    assert drifted(lambda i, x: x if x.any() else np.where(np.arange(len(x)) < 16000, 99, 0))["silence"] == 0, (
        "a second may ring"
    )


def test_the_real_time_factor_is_seconds_of_sound_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "best_of", lambda times, call: 0.5)
    assert evaluate.real_time_factor(Drifting(), np.zeros(32000, np.int16)) == 4.0  # type: ignore[arg-type]


# Streams ---------------------------------------------------------------------------


def late(hop: int) -> Any:
    """Passes sound on one hop late."""
    kept = [np.zeros(hop, np.int16)]

    def process(pcm: Any) -> Any:
        whole = np.concatenate([kept[0], pcm])
        kept[0] = whole[-hop:]
        return whole[: len(pcm)]

    return process


@pytest.mark.parametrize("samples", [0, 1, 63, 64, 65, 128, 1000])
@pytest.mark.parametrize("block", [1, 50, 64, 1000])
def test_what_comes_out_is_aligned_and_as_long(samples: int, block: int) -> None:
    x = np.arange(1, samples + 1, dtype=np.int16)
    blocks = iter([x[i : i + block] for i in range(0, samples, block)])
    found = [*aligned(blocks, late(64), 64), np.zeros(0, np.int16)]
    assert np.array_equal(np.concatenate(found), x)


def test_whole_sounds_begin_from_reset() -> None:
    runtime, x = make_runtime("numpy", quantized_denoiser(random_denoiser(), "int8x16")), noisy_sound(4000)
    assert np.array_equal(denoised(runtime, x), denoised(runtime, x))


def test_the_float_denoiser_in_pieces_is_the_whole_and_keeps_to_its_floor() -> None:
    net, x = random_denoiser(), noisy_sound(64 * 40)
    whole, parts = FloatDenoiser(net), FloatDenoiser(net)
    expected = whole.denoise(x)
    found = np.concatenate([parts.denoise(x[i : i + 64 * 7]) for i in range(0, len(x), 64 * 7)])
    assert np.array_equal(found, expected)
    parts.reset()
    assert np.array_equal(parts.denoise(x), expected)
    shut = replace(net, weights={**net.weights, "head.bias": net.weights["head.bias"] * 0 - 99})
    gains = FloatDenoiser(shut)._gains(np.zeros((3, net.recipe.stft.bands), np.float32))
    assert set(gains.ravel()) == {net.recipe.gains.floor / 32768}


def test_the_float_synthesis_carries_its_overlap() -> None:
    p = recipe().stft
    spectra = RNG.integers(-(2**20), 2**20, (6, p.hop + 1, 2)).astype(np.int32)
    gains = RNG.uniform(0, 1, (6, p.bands))
    whole, tail = float_synthesis(spectra, gains, p, np.zeros(p.hop))
    first, between = float_synthesis(spectra[:2], gains[:2], p, np.zeros(p.hop))
    second, end = float_synthesis(spectra[2:], gains[2:], p, between)
    assert np.allclose(np.concatenate([first, second]), whole) and np.allclose(end, tail)


def test_a_graph_of_a_denoiser_is_checked_at_its_bounds() -> None:
    g = quantized_denoiser(random_denoiser(), "int8")
    for floor in (0, GAIN_ONE):
        replace(g, floor=floor)
    for floor in (-1, GAIN_ONE + 1):
        with pytest.raises(EdgernnError, match=f"gain floor {floor} must lie in 0..32767"):
            replace(g, floor=floor)
    window, cosine = g.tables.window, g.tables.cosine

    def moved(a: Any, index: int, by: int) -> Any:
        out = a.copy()
        out[index] += by
        return out

    for tables, said in (
        (replace(g.tables, window=moved(window, 64, 1)), ""),
        (replace(g.tables, window=moved(window, 64, -9)), "do not sum to 1"),
        (replace(g.tables, window=moved(window, 0, -32768)), "negative values"),
        (replace(g.tables, cosine=moved(cosine, 5, 1)), ""),
        (replace(g.tables, cosine=moved(cosine, 5, 2)), "not one of cosines"),
        (replace(g.tables, cosine=cosine[:-1]), "wrong length"),
        (replace(g.tables, window=window[:-1]), "wrong length"),
    ):
        if said:
            with pytest.raises(EdgernnError, match=said):
                replace(g, tables=tables)
        else:
            replace(g, tables=tables)


def test_no_gain_lies_below_the_floor() -> None:
    """A net that shuts every band gives what the floor leaves."""
    net = random_denoiser()
    shut = replace(net, weights={**net.weights, "head.bias": net.weights["head.bias"] * 0 - 99})
    g: DenoiseGraph = quantized_denoiser(shut, "int8x16")
    x = noisy_sound(64 * 100)
    for floor in (3277, 16384):
        heard = denoised(make_runtime("numpy", replace(g, floor=floor)), x)
        ratio = np.sqrt(np.mean(heard.astype(float) ** 2) / np.mean(x.astype(float) ** 2))
        assert ratio == pytest.approx(floor / 32768, rel=0.02)


# Losses ---------------------------------------------------------------------------


def test_the_loss_is_the_recipes_sum() -> None:
    torch = pytest.importorskip("torch")
    from edgernn.tasks.denoise.losses import Losses
    from edgernn.tasks.denoise.recipe import DenoiseTrain

    p = DenoiseTrain(magnitude_loss=1, complex_loss=10, sdr_loss=100, intelligibility_loss=1000, residue_loss=10000)
    parts = (torch.tensor(float(x)) for x in (1, 2, -3, 4, 5))
    assert float(Losses(*parts).weighted(p)) == 1 + 20 - 300 + 4000 + 50000


def test_each_loss_grows_with_what_it_measures() -> None:
    """Noise, a wrong level and a wrong phase; the waveform's loss is minus its ratio in dB; silent pairs do not count."""
    torch = pytest.importorskip("torch")
    from edgernn.tasks.denoise.losses import _sdr, measure, overlap_added

    p, rng = recipe().stft, np.random.default_rng(0)
    sound = noisy_sound(64 * 80).astype(np.float32) / 32768
    frames = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(64), sound]), 128)[::64]
    taper = np.sin(np.pi * (np.arange(128) + 0.5) / 128)
    clean = torch.from_numpy(np.fft.rfft(frames * taper).astype(np.complex64))[None]
    target = torch.from_numpy(sound[None, : (len(frames) - 1) * 64])
    assert torch.allclose(overlap_added(clean, p), target, atol=1e-5), "the spectra give their sound back"
    right = measure(clean, clean, target, p)
    assert float(right.magnitude) == float(right.complex) == 0
    assert float(right.intelligibility) < 0.01 and float(right.sdr) < -30
    half = measure(clean * 0.5, clean, target, p)
    assert float(half.sdr) == pytest.approx(-6.02, abs=0.1), "half of the sound is missing"
    assert float(half.magnitude) > 0 and float(half.intelligibility) < 0.01, "a level is no loss of intelligibility"
    turned = measure(clean * 1j, clean, target, p)
    assert float(turned.magnitude) < 1e-9 < float(turned.complex)
    noise = (
        torch.from_numpy((rng.normal(size=clean.shape) + 1j * rng.normal(size=clean.shape)).astype(np.complex64))
        * clean.abs().mean()
    )
    worse = measure(clean + noise, clean, target, p)
    assert float(worse.intelligibility) > 0.05 and float(worse.sdr) > float(half.sdr) - 10
    silent = torch.cat([target, target * 0])
    assert float(_sdr(silent * 0.5, silent)) == pytest.approx(6.02, abs=0.01)
    assert float(_sdr(torch.cat([target * 0.5, target]), silent)) == pytest.approx(6.02, abs=0.01)
