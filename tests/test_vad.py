"""Voice activity: the rule of truth, the streams it learns from, the decision in both languages, every measure by a fault."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import tiny_corpus
from needs import need_module
from nets import _random as random_weight
from typer.testing import CliRunner

from edgernn import cli, runs
from edgernn.data.mixing import Ingredients
from edgernn.errors import EdgernnError
from edgernn.hostcc import WARNINGS, host_compiler
from edgernn.runtimes import make_runtime
from edgernn.signal import native
from edgernn.signal.audio import Int16, write_wav
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import make_recipe, quantize_net
from edgernn.tasks.vad import TASK, judge
from edgernn.tasks.vad.activity import stretches_of_speech
from edgernn.tasks.vad.banks import Banks, Stems, kept_banks
from edgernn.tasks.vad.decision import Decider, Gate, activity
from edgernn.tasks.vad.fresh import FreshStreams
from edgernn.tasks.vad.graph import VadGraph
from edgernn.tasks.vad.judge import Case, Heard, auc, case, measured, on_grid, onset_delays, onsets_a_minute
from edgernn.tasks.vad.recipe import StreamMix, VadNet
from edgernn.tasks.vad.streams import Streams, step_labels
from edgernn.tasks.vad.truth import GRID, speech_frames, stretches, tidied
from firmware_export.emit import export_c

QUIET: Any = lambda *_: None  # noqa: E731
GATE = Gate(20000, 12000, 2, 5, 3)


def random_recipe(stride: int = 2) -> Any:
    layers = [{"cell": "conv", "kernel": 3, "stride": stride, "units": 12}, {"cell": "gru", "units": 12}]
    return make_recipe(
        {"task": "vad", "name": "random", "frontend": {"bands": 20, "hop": 160, "window": 400}, "layers": layers}
    )


def random_graph(scheme: str = "int8x16", gate: Gate = GATE, stride: int = 2) -> VadGraph:
    """A random net whose posterior crosses both thresholds often, over `sound`."""
    recipe, rng = random_recipe(stride), np.random.default_rng(3)
    weights = {
        f"{layer.name}.{key}": random_weight(rng, layer.cell.name, key, shape) * (3 if layer.name == "head" else 1)
        for layer in recipe.net_layers(())
        for key, shape in layer.cell.shapes(layer.options, layer.n_in).items()
    }
    tables = make_tables(recipe.frontend)
    logs = native.log_mels(sound(32).reshape(8, -1), recipe.frontend, tables)
    net = VadNet(recipe, (), tables, logs.mean((0, 1)), logs.std((0, 1)), weights)
    middle = np.median(net.run(net.features(logs)))
    net = replace(net, weights={**weights, "head.bias": weights["head.bias"] - np.float32(middle)})
    graph = quantize_net(net, list(logs), scheme)[0]
    assert isinstance(graph, VadGraph)
    return replace(graph, decision=gate)


def sound(seconds: float, seed: int = 0) -> Int16:
    rng = np.random.default_rng(seed)
    n = round(16000 * seconds)
    loud = np.repeat(10 ** rng.uniform(1, 3.9, n // 1600 + 1), 1600)[:n]
    return np.clip(rng.normal(size=n) * loud, -32768, 32767).astype(np.int16)


# Truth ---------------------------------------------------------------------------


def test_speech_is_what_lies_near_the_loud_frames() -> None:
    """A tone of 0.5 s in a floor 60 dB below, and one 30 dB below it: the range is 35 dB at most, 25 at least."""
    t = np.arange(8000)
    tone = np.round(10000 * np.sin(t / 5))
    x = np.concatenate([np.zeros(8000), tone, np.zeros(8000), tone * 10 ** (-30 / 20), np.zeros(8000)])
    x += np.random.default_rng(0).normal(size=len(x)) * 7
    assert stretches(speech_frames(x.astype(np.int16))) == [(50, 100), (150, 200)]
    louder = x + np.random.default_rng(1).normal(size=len(x)) * 300  # P95 - P3 - 8 is about 20 dB: the range is 25 dB
    assert stretches(speech_frames(louder.astype(np.int16))) == [(50, 100)]
    assert not len(speech_frames(np.zeros(100, np.int16)))


def test_gaps_are_closed_and_bursts_removed_just_at_their_lengths() -> None:
    def marked(*spans: tuple[int, int]) -> Any:
        on = np.zeros(100, bool)
        for begin, end in spans:
            on[begin:end] = True
        return on

    assert stretches(tidied(marked((10, 30), (39, 60)))) == [(10, 60)]
    assert stretches(tidied(marked((10, 30), (40, 60)))) == [(10, 30), (40, 60)]
    assert stretches(tidied(marked((10, 15)))) == []
    assert stretches(tidied(marked((10, 16)))) == [(10, 16)]
    assert stretches(tidied(marked((0, 3), (95, 100)))) == [], "a gap at either end is none"


# Streams ---------------------------------------------------------------------------


def test_streams_are_labelled_where_they_speak(tmp_path: Path) -> None:
    config = StreamMix(clean_alone=1.0, noise_alone=0.0, silence=0.0, room_probability=0.0, tilt=0.0)
    source = Streams(config, tiny_corpus(tmp_path / "d"), "train", np.random.default_rng(0))
    for _ in range(6):
        pcm, said = source.draw()
        assert pcm.shape == (96000,) and said.shape == (600,)
        level = np.square(pcm[: 600 * GRID].astype(float)).reshape(600, GRID).mean(1)
        if said.any() and not said.all():
            assert level[said].mean() > 30 * level[~said].mean()


def test_streams_without_speech_say_so_and_snr_is_kept(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "d")
    alone = Streams(StreamMix(noise_alone=1.0, clean_alone=0.0, silence=0.0), data, "train", np.random.default_rng(0))
    pcm, said = alone.draw()
    assert pcm.any() and not said.any()
    plain = {"noise_alone": 0.0, "clean_alone": 0.0, "silence": 0.0, "noise_change": 0.0, "room_probability": 0.0}
    config = StreamMix(**plain, snr_db=(20.0, 20.0), level_dbfs=(-30.0, -30.0))  # type: ignore[arg-type]
    loud, ratios = Streams(config, data, "train", np.random.default_rng(1)), []
    for _ in range(8):
        pcm, said = loud.draw()
        level = np.square(pcm[: 600 * GRID].astype(float)).reshape(600, GRID).mean(1)
        if 50 < said.sum() < 550:
            ratios.append(10 * np.log10(level[said].mean() / level[~said].mean()))
    assert len(ratios) >= 3
    assert np.median(ratios) == pytest.approx(20, abs=5)


def fresh_recipe(**mix: Any) -> Any:
    layers = [{"cell": "gru", "units": 8}]
    frontend = {"bands": 20, "window": 400, "hop": 160}
    return make_recipe({"task": "vad", "frontend": frontend, "mix": {"seconds": 2.0, **mix}, "layers": layers})


def test_kept_banks_are_kept_and_no_split_hears_another(tmp_path: Path) -> None:
    data, recipe = tiny_corpus(tmp_path / "run" / "data"), fresh_recipe()
    banks = kept_banks(recipe, data, "train", 5, QUIET)
    assert banks.talk.shape == banks.noise.shape == (5, 200, 20) and banks.said.shape == (5, 200)
    files = sorted((tmp_path / "run" / "cache").glob("*.npy"))
    before = {f: f.read_bytes() for f in files}
    again = kept_banks(recipe, data, "train", 5, QUIET)
    assert len(files) == 3 and np.array_equal(again.talk, banks.talk)
    for f in files:
        f.unlink()
    kept_banks(recipe, data, "train", 5, QUIET)
    assert {f: f.read_bytes() for f in files} == before, "made again, they are the same"
    used = set()
    source = Stems(recipe.mix, data, "validation", np.random.default_rng(0))
    real = data.pcm
    source.data = replace(data)
    object.__setattr__(source.data, "pcm", lambda row: used.add((row.split, row.label)) or real(row))
    for _ in range(20):
        source.talk()
        source.one_noise()
    assert {split for split, _ in used} == {"validation"}


@pytest.mark.parametrize(("snr", "level"), [(0.0, -20.0), (15.0, -30.0), (15.0, -95.0)])
def test_adding_energies_is_adding_sound(snr: float, level: float) -> None:
    """Fresh streams of two stems, unfiltered and still, against the front end over the stems' sum; the last in the floor."""
    still = {"noise_alone": 0.0, "clean_alone": 0.0, "more_noise": 0.0, "noise_change": 0.0, "noise_filter": 0.0}
    recipe = fresh_recipe(**still, snr_db=[snr, snr], level_dbfs=[level, level])
    front, n = recipe.frontend, 24
    rng = np.random.default_rng(0)
    white = rng.standard_normal((n, 32000)) * 0.1
    talk = rng.standard_normal((n, 32000)) * 0.1 * np.repeat([0.01, 1.0], 16000)  # in the second half
    bare = replace(front, floor_log2=0)
    logs = [native.log_mels(np.round(x * 32768).astype(np.int16), bare, make_tables(bare)) for x in (talk, white)]
    said = np.tile(np.arange(200) >= 100, (n, 1))
    fresh = FreshStreams(recipe.mix, front, Banks(logs[0], said, logs[1]))
    flat: Any = lambda count, strength, rng: np.zeros((count, front.bands), np.float32)  # noqa: E731
    object.__setattr__(fresh._energies, "filters", flat)
    energies, truth = fresh.draw(64, np.random.default_rng(1))
    assert truth[:, 100:].all() and not truth[:, :100].any()
    whole = talk + white * 10 ** (-snr / 20)
    loud = np.percentile(np.mean(np.square(whole).reshape(n, 200, 160), axis=2), 90)
    pcm = np.round(whole * np.sqrt(10 ** (level / 10) / loud) * 32768).astype(np.int16)
    heard = native.log_mels(pcm, front, make_tables(front))
    for part in (slice(10, 90), slice(110, 190)):
        apart = (energies[:, part].mean((0, 1)) - heard[:, part].mean((0, 1))) / 512 * 3.01
        assert np.abs(apart).max() < 1, "dB"
        spread = energies[:, part].std((0, 1)) / np.maximum(heard[:, part].std((0, 1)), 1)
        assert level < -90 or np.abs(np.log2(spread)).max() < 0.25


def test_fresh_streams_without_speech_say_so_and_no_two_batches_are_alike(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "run" / "data")
    alone = fresh_recipe(noise_alone=1.0, clean_alone=0.0, silence=0.0)
    banks = kept_banks(alone, data, "train", 8, QUIET)
    assert banks.said.any()
    fresh = FreshStreams(alone.mix, alone.frontend, banks)
    (x, said), (y, _) = (fresh.draw(16, np.random.default_rng(i)) for i in (1, 2))
    assert not said.any() and not np.array_equal(x, y)
    assert np.array_equal(x, fresh.draw(16, np.random.default_rng(1))[0]), "all follows the generator"
    mixed = fresh_recipe(noise_alone=0.0, clean_alone=0.0, silence=0.0)
    assert FreshStreams(mixed.mix, mixed.frontend, banks).draw(16, np.random.default_rng(1))[1].any()


def test_a_step_is_asked_for_the_share_of_speech_some_time_ago() -> None:
    said = np.zeros((1, 40), bool)
    said[0, 10:21] = True
    plain = step_labels(said, 2, 20, 0.0)[0]
    assert plain[4] == 0 and plain[5] == 1 and plain[10] == 0.5 and plain[11] == 0
    later = step_labels(said, 2, 20, 4.0)[0]
    assert np.array_equal(later[2:], plain[:-2])


# Decision ---------------------------------------------------------------------------


def test_attack_hold_and_release_by_hand() -> None:
    g = Gate(100, 50, 2, 4, 2)
    posteriors = [99, 100, 99, 100, 100, 10, 10, 10, 10, 100, 100, 60, 49, 60, 49, 49, 100]
    wanted = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 0]
    assert activity(np.array(posteriors, np.int16), g).astype(int).tolist() == wanted
    decider = Decider(g)
    for p in posteriors[:5]:
        decider.push(p)
    decider.reset()
    assert not decider.push(100)


IMPOSSIBLE: dict[str, tuple[Any, ...]] = {
    "off <= on": (100, 101, 1, 1, 1), "1 <= off": (0, 0, 1, 1, 1), "32767": (32768, 1, 1, 1, 1), "attack = 0": (5, 5, 0, 1, 1),
    "hold = 30001": (5, 5, 1, 30001, 1), "release = 0": (5, 5, 1, 1, 0), "must be an integer": (5.0, 5, 1, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("message", IMPOSSIBLE)
def test_gates_that_cannot_be(message: str) -> None:
    with pytest.raises(EdgernnError, match=message):
        Gate(*IMPOSSIBLE[message])


def test_c_decides_as_numpy_on_streams_that_reach_the_thresholds_exactly(tmp_path: Path) -> None:
    """Posteriors drawn around both thresholds, ties among them, through the exported C alone."""
    for k, gate in enumerate(
        (Gate(100, 100, 1, 1, 1), Gate(101, 98, 2, 3, 2), Gate(103, 97, 3, 40, 5), Gate(32767, 1, 1, 1, 1))
    ):
        folder = tmp_path / str(k)
        export_c(random_graph(gate=gate), folder)
        (folder / "t.c").write_text(
            '#define VAD_IMPLEMENTATION\n#include "vad.h"\n#include <stdio.h>\n'
            "int main(void) { static vad_state s; int16_t p;\n"
            "  while (fread(&p, 2, 1, stdin) == 1) { s.posteriors[0] = p; putchar('0' + vad_decide(&s)); } return 0; }\n"
        )
        sources = [folder / "t.c", *(folder / x for x in TASK.c.sources)]
        command = [*host_compiler(), *WARNINGS, f"-I{folder}", *map(str, sources), "-o", str(folder / "t")]
        subprocess.run(command, check=True)
        rng = np.random.default_rng(k)
        p = np.concatenate([np.repeat(rng.integers(96, 105, 3000), rng.integers(1, 9, 3000)), rng.integers(0, 32768, 500)])
        done = subprocess.run([str(folder / "t")], input=p.astype("<i2").tobytes(), capture_output=True, check=True)
        found = np.frombuffer(done.stdout, np.uint8) - ord("0")
        wanted = activity(p.astype(np.int16), gate)
        assert np.array_equal(found, wanted.astype(np.uint8))
        assert k == 3 or 0.05 < wanted.mean() < 0.95


@pytest.mark.parametrize("scheme", ["int8", "int8x16"])
def test_c_equals_numpy_over_a_long_stream_that_is_alive(scheme: str) -> None:
    g, pcm = random_graph(scheme), sound(100)
    expected = make_runtime("numpy", g).run(pcm)
    assert expected.output is not None
    assert 0.05 < expected.output.mean() < 0.95
    assert np.count_nonzero(np.diff(expected.output[:, 0])) > 20
    assert sum(expected.differing(make_runtime("c", g).run(pcm)).values()) == 0


FAULTS = {
    "on": lambda g: replace(g, decision=replace(g.decision, on=g.decision.on + 4000)),
    "off": lambda g: replace(g, decision=replace(g.decision, off=g.decision.off - 8000)),
    "attack": lambda g: replace(g, decision=replace(g.decision, attack=3)),
    "hold": lambda g: replace(g, decision=replace(g.decision, hold=60)),
    "release": lambda g: replace(g, decision=replace(g.decision, release=9)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_another_gate_gives_another_activity(fault: str) -> None:
    g, pcm = random_graph(), sound(60)
    found = make_runtime("c", FAULTS[fault](g)).process(pcm)
    assert not np.array_equal(found, make_runtime("c", g).process(pcm))


def test_sanitizers_and_warnings_find_nothing(tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is missing")
    g = random_graph("int8")
    export_c(g, tmp_path)
    sources = [tmp_path / "examples/vad_main.c", *(tmp_path / x for x in TASK.c.sources)]
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = ["gcc", *WARNINGS, *flags, f"-I{tmp_path}", *map(str, sources), "-o", str(tmp_path / "a.out")]
    subprocess.run(command, check=True)
    pcm = sound(30)
    done = subprocess.run([str(tmp_path / "a.out")], input=pcm.tobytes(), capture_output=True, check=True)
    active = make_runtime("numpy", g).process(pcm)[:, 0]
    changes = np.flatnonzero(np.diff(np.concatenate([[0], active])))
    assert done.stdout.decode().split() == ["speech" if active[i] else "silence" for i in changes]
    assert len(changes) > 6


# Measures: each by something that is wrong ---------------------------------------------------------------------------


def test_auc_is_the_chance_that_speech_scores_higher() -> None:
    rng = np.random.default_rng(0)
    scores, said = np.round(rng.normal(size=400), 1), rng.random(400) < 0.3
    yes, no = scores[said][:, None], scores[~said][None]
    assert auc(scores, said) == pytest.approx(np.mean((yes > no) + 0.5 * (yes == no)))
    assert auc(-scores, said) == pytest.approx(1 - auc(scores, said))
    assert auc(said.astype(float), said) == 1.0
    for nothing in (np.zeros(10, bool), np.ones(10, bool)):
        with pytest.raises(EdgernnError, match="no speech to judge on"):
            auc(np.arange(10.0), nothing)


def cases(count: int = 4) -> list[Case]:
    truth = np.zeros(600, bool)
    truth[200:400] = True
    return [Case(str(i), np.zeros(96000, np.int16), truth, snr, "hum") for i, snr in enumerate((-5.0, 0.0, 5.0, 15.0)[:count])]


def perfect(late: int = 0) -> Heard:
    """A detector in steps of 20 ms that is right, `late` steps late, and silent in noise alone."""
    steps = np.zeros(300, bool)
    steps[100 + late : 200 + late] = True
    return Heard([steps * 8.0 - 4.0] * 4, [steps] * 4, np.full(3000, -4.0), np.zeros(3000, bool))


def test_a_perfect_detector_and_planted_faults() -> None:
    right = measured(cases(), perfect(), 320)
    assert (right["auc"], right["misses"], right["false_alarms"], right["noise_alone"]) == (1.0, 0.0, 0.0, 0.0)
    assert right["triggers_a_minute"] == 0
    assert right["onset_ms"] == {"median": 20.0, "mean": 20.0, "onsets": 2}
    late = measured(cases(), perfect(3), 320)
    assert late["onset_ms"]["median"] == 80.0
    assert late["auc"] < 1 and late["misses"] == pytest.approx(0.03) and late["false_alarms"] == pytest.approx(6 / 400)
    swapped = perfect()
    wrong = Heard(
        [-s for s in swapped.scores], [~d for d in swapped.decisions], -swapped.alone_scores, ~swapped.alone_decisions
    )
    found = measured(cases(), wrong, 320)
    assert (found["auc"], found["misses"], found["noise_alone"], found["triggers_a_minute"]) == (0.0, 1.0, 1.0, 1.0)
    assert found["at_5_percent_false_alarms"]["misses"] == 1.0


def test_one_snr_that_is_bad_shows_in_its_row_alone() -> None:
    heard = perfect()
    scores = [np.random.default_rng(0).normal(size=300), *heard.scores[1:]]
    by_snr = measured(cases(), replace(heard, scores=scores), 320)["auc_by_snr"]
    assert by_snr["-5"] < 0.7 and by_snr["0"] == by_snr["5"] == by_snr["15"] == 1.0


def test_five_percent_false_alarms_are_five_percent() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(20000) < 0.5
    scores = rng.normal(size=20000) + 1.5 * said
    found = judge.at_false_alarms(scores, said, rng.normal(size=5000))
    assert np.mean(scores[~said] > found["threshold"]) == pytest.approx(0.05, abs=0.001)
    assert found["misses"] == pytest.approx(np.mean(scores[said] <= found["threshold"]), abs=1e-4)
    assert found["noise_alone"] == pytest.approx(0.05, abs=0.01)


def test_steps_are_laid_on_the_grid_by_their_middles_and_triggers_are_counted() -> None:
    assert on_grid(np.arange(3), 320, 6).tolist() == [0, 0, 1, 1, 2, 2]
    assert on_grid(np.arange(4), 256, 7).tolist() == [0, 0, 1, 2, 2, 3, 3]
    on = np.zeros(12000, bool)
    on[100:200] = on[300:310] = on[5000:] = True
    assert onsets_a_minute(on) == 1.5
    missed = onset_delays(cases(4), [np.zeros(600, bool)] * 4, 320)
    assert missed.tolist() == [1000.0, 1000.0], "only mixtures of 5 dB and above count"


def test_a_case_has_its_noise_before_and_after_and_its_snr() -> None:
    rng = np.random.default_rng(0)
    clean, noise = (rng.normal(size=n) * 2000 for n in (16000 * 3, 16000 * 4))
    x = case(Ingredients("a", 5.0, "hiss", clean.astype(np.int16), (noise.astype(np.int16),)))
    assert len(x.pcm) == 16000 * 7
    assert len(x.truth) == 700 and not x.truth[:200].any() and not x.truth[500:].any() and x.truth[200:500].all()
    power = [np.mean(x.pcm[a:b].astype(float) ** 2) for a, b in ((0, 32000), (32000, 80000), (80000, 112000))]
    assert 10 * np.log10((power[1] - power[0]) / power[0]) == pytest.approx(5, abs=0.5)
    assert power[0] == pytest.approx(power[2], rel=0.1)


# From a run folder to stretches ---------------------------------------------------------------------------


def test_stretches_follow_the_activity() -> None:
    g, pcm = random_graph(), sound(30)
    active = make_runtime("numpy", g).process(pcm)[:, 0] != 0
    cut = [0, 777, 5000, 5001, 90000, len(pcm)]
    blocks = iter([pcm[a:b] for a, b in itertools.pairwise(cut)])
    found = [(x["begin_s"], x["end_s"]) for x in stretches_of_speech(g, blocks)]
    wanted = [(round((a + 1) * 0.02, 3), round((b + (b < len(active))) * 0.02, 3)) for a, b in stretches(active)]
    assert len(found) > 3
    assert [b for b, _ in found] == [b for b, _ in wanted]
    assert [e for _, e in found[:-1]] == [e for _, e in wanted[:-1]]


def test_the_verb_prints_stretches_from_a_file_and_a_pipe(tmp_path: Path) -> None:
    g, pcm = random_graph(), sound(10)
    g.save(tmp_path / "graph-int8x16.ern")
    write_wav(tmp_path / "x.wav", pcm)

    def vad(*args: object, stdin: bytes = b"") -> str:
        result = CliRunner().invoke(
            cli.app, ["vad", *map(str, args), "--graph", str(tmp_path / "graph-int8x16.ern")], input=stdin
        )
        assert result.exit_code == 0, result.exception
        return result.stdout

    lines = vad(tmp_path / "x.wav", "--json").splitlines()
    assert lines and set(json.loads(lines[0])) == {"begin_s", "end_s", "confidence"}
    assert " to " in vad(tmp_path / "x.wav")


def test_recipes_come_along_within_their_budget_and_bad_ones_are_refused() -> None:
    for name in ("vad", "vad-demo"):
        recipe = runs.find_recipe(name)
        rows = [(shape, key) for x in recipe.net_layers(()) for key, shape in x.cell.shapes(x.options, x.n_in).items()]
        size = sum(int(np.prod(s)) + 7 * s[0] for s, key in rows if "bias" not in key)
        assert size <= 10_000, name
    for values, said in (
        ({"frontend": {"sample_rate": 8000, "f_max": 3900.0}}, "sample_rate = 8000"),
        ({"decision": {"on": 0.3, "off": 0.5}}, "decision.off = 0.5 must not exceed"),
        ({"decision": {"attack_ms": -1.0}}, "attack_ms = -1.0 must lie in"),
        ({"mix": {"gap_s": [3.0, 1.0]}}, "must rise"),
        ({"train": {"stems": 0}}, "stems = 0 must lie in"),
        ({"mix": {"snr": 1}}, "did you mean snr_db"),
    ):
        with pytest.raises(EdgernnError, match=said):
            make_recipe({"task": "vad", "layers": [{"cell": "gru", "units": 8}], **values})


def test_training_lowers_the_loss_and_resumes_as_if_never_interrupted(tmp_path: Path) -> None:
    need_module("torch")
    import torch

    from edgernn.tasks.vad.train import VadTrainer, train_vad

    data = tiny_corpus(tmp_path / "d")
    mix = {"seconds": 3.0, "snr_db": [20.0, 25.0], "noise_filter": 0.0, "babble_probability": 0.0, "noise_change": 0.0}
    values: dict[str, Any] = {
        "task": "vad", "frontend": {"bands": 20}, "mix": mix, "layers": [{"cell": "gru", "units": 10}],
        "train": {"epochs": 4, "updates": 25, "stems": 24, "batch": 8, "validation": 8, "average": 0.8},
    }  # fmt: skip
    recipe: Any = make_recipe(values)
    whole = train_vad(recipe, data, tmp_path / "whole", QUIET, "cpu")
    (tmp_path / "cut").mkdir()
    first = VadTrainer(recipe, data, torch.device("cpu"), QUIET)
    first.epoch(QUIET)
    first.keep(tmp_path / "cut")
    again = train_vad(recipe, data, tmp_path / "cut", QUIET, "cpu")
    assert all(np.array_equal(whole.weights[k], again.weights[k]) for k in whole.weights)
    rows = [line.split(",") for line in (tmp_path / "whole" / "metrics.csv").read_text().splitlines()]
    at = rows[0].index("loss")
    assert float(rows[-1][at]) < 0.9 * float(rows[1][at])


def test_every_source_of_a_float_score_is_judged_apart_from_the_integers(tmp_path: Path) -> None:
    """A graph that is not the net's: float and integer figures must differ, and say so."""
    need_module("torch")
    folder = tmp_path / "run"
    data = tiny_corpus(folder / "data")
    g, recipe = random_graph(stride=1), random_recipe(1)
    layers = recipe.net_layers(())
    zeros = {f"{x.name}.{k}": np.zeros(s, np.float32) for x in layers for k, s in x.cell.shapes(x.options, x.n_in).items()}
    net = VadNet(recipe, (), make_tables(recipe.frontend), np.full(20, 12000.0), np.full(20, 1500.0), zeros)
    q = judge.Question(seconds=5.0, count=3)
    found = judge.judge(net, g, data, q, QUIET)
    assert found["float"]["auc"] == 0.5
    assert found["integer"]["auc"] != 0.5
    assert found["logit_snr_db"] < 3
