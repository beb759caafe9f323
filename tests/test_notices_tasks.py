"""What lies between: runtimes and paths that are reset, the C of odd nets, prepared features, checkpoints, latencies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from listening import small_corpus
from needs import need_module
from nets import quantized, random_net
from test_notices_leaks import spot_recipe
from test_vad import random_graph

from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.runtimes import make_runtime
from edgernn.tasks.spot import clips, listening
from edgernn.tasks.spot.decision import Decision
from firmware_export.emit import c_string, check_prefix

QUIET: Any = lambda *_: None  # noqa: E731


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_corpus(tmp_path_factory.mktemp("tasks") / "data")


def hearing() -> dict[str, Any]:
    """A graph of each task, whose decisions come and go."""
    spot = quantized(random_net("gru", 6, "conv"), "int8")
    return {
        "spot": replace(spot, decision=Decision(3, 2, 5, (14000,) * 3)),
        "denoise": quantized_denoiser(random_denoiser(), "int8"),
        "vad": random_graph(),
    }


GRAPHS = hearing()


@pytest.mark.parametrize("runtime", ["numpy", "c", "onnx", "litert"])
@pytest.mark.parametrize("task", GRAPHS)
def test_a_runtime_that_is_reset_forgets_all(task: str, runtime: str) -> None:
    g, x = GRAPHS[task], noisy_sound(16000)
    made = make_runtime(runtime, g)
    first, on = made.run(x), made.run(x)
    made.reset()
    again = made.run(x)
    assert sum(first.differing(again).values()) == 0
    assert sum(first.differing(on).values()) > 0, "without a reset the stream goes on"
    assert first.output is not None and np.array_equal(first.output, again.output)


@pytest.mark.parametrize("task", GRAPHS)
def test_a_path_that_is_reset_forgets_all(task: str) -> None:
    """Front end, spectra and overlap, and the decision."""
    g, x = GRAPHS[task], noisy_sound(16000) // 50
    path = g.path()
    rng = np.random.default_rng(0)
    scores = np.repeat(rng.choice([0, 32767], (len(x) // g.step_samples, g.scores)), 1, axis=0).astype(np.int16)

    def heard() -> tuple[Any, Any]:
        features = path.features(x[: len(scores) * g.step_samples])
        return features, path.finish(scores)

    first = heard()
    on = heard()
    path.reset()
    again = heard()
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], on[0])
    # what is decided after a reset does not hang on what was decided before it
    path.features(x)
    path.finish(np.full_like(scores, 32767))
    path.reset()
    assert np.array_equal(heard()[1], first[1])


@pytest.mark.parametrize("runtime", ["numpy", "c", "onnx", "litert", "tflm"])
def test_every_runtime_takes_the_last_step(runtime: str) -> None:
    g = GRAPHS["spot"]
    made = make_runtime(runtime, g)
    for steps in (1, 4):
        for more in (0, g.step_samples - 1):
            trace = made.run(np.ones(steps * g.step_samples + more, np.int16))
            assert len(trace.logits) == len(trace.posteriors) == len(trace.output) == steps  # type: ignore[arg-type]
            assert all(len(s) == steps for s in trace.states.values())


ODD = [
    *(("gru", "conv", scheme, stack) for scheme in ("int8", "int8x16") for stack in (1, 2)),
    ("lstm", "separable", "int8", 2), ("lstm", "separable", "int8x16", 1), ("rnn_relu", "conv", "int8", 1),
    ("gru_reset_before", "bare", "int8", 2), ("rnn_tanh", "separable", "int8x16", 2),
]  # fmt: skip


@pytest.mark.parametrize(("cell", "front", "scheme", "stack"), ODD)
def test_the_c_of_odd_nets_computes_the_same(cell: str, front: str, scheme: str, stack: int) -> None:
    """Odd sizes, views of views, buffers that are used again: every array, in two pieces and from sound."""
    g = quantized(random_net(cell, 7, front, bands=13, stack=stack), scheme)
    x = noisy_sound(16000 * 2)
    expected, c = make_runtime("numpy", g).run(x), make_runtime("c", g)
    cut = 11 * g.step_samples
    first, second = c.run(x[:cut]), c.run(x[cut:])
    for name, a in expected.arrays():
        parts = [dict(t.arrays())[name] for t in (first, second)]
        assert np.array_equal(np.concatenate(parts), a), name
    assert c.self_test() == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("net", ["rows", "no-context", "no-state", "one-row"])
@pytest.mark.parametrize("scheme", ["int8", "int8x16"])
def test_the_c_of_nets_over_rows_computes_the_same(net: str, scheme: str) -> None:
    g, x = quantized_denoiser(random_denoiser(net), scheme), noisy_sound(16000)
    assert sum(make_runtime("numpy", g).run(x).differing(make_runtime("c", g).run(x)).values()) == 0


def test_prefixes_that_c_cannot_take_are_refused() -> None:
    for good in ("kws", "a", "a1_b", "x" * 31):
        check_prefix(good)
    for bad in ("", "Kws", "1a", "_a", "a-b", "int", "static", "while", "ern", "x" * 32, "a b", "kws\n"):
        with pytest.raises(EdgernnError, match="must be a lower-case C identifier"):
            check_prefix(bad)


def test_labels_become_c_strings_without_trigraphs() -> None:
    assert c_string("hey robin") == '"hey robin"'
    assert c_string('a"b\\c') == '"a\\042b\\134c"'
    assert c_string("??/") == '"\\077\\077/"'
    assert c_string("é1") == '"\\303\\2511"'
    assert c_string("a\nb") == '"a\\012b"'


def test_latencies_are_told_by_hand() -> None:
    """A window, and what the decision waits for."""
    spot, denoise, vad = GRAPHS["spot"], GRAPHS["denoise"], GRAPHS["vad"]
    assert spot.latency_ms == pytest.approx(480 / 16 + 3 * 40)
    assert denoise.latency_ms == pytest.approx(128 / 16)
    assert (vad.decision.attack, vad.step_ms) == (2, 20.0)
    assert vad.latency_ms == pytest.approx(400 / 16 + vad.delay_ms + 20)


# Keyword spotting ---------------------------------------------------------------------------


def prepared(data: Dataset, folder: Path, **train: Any) -> Any:
    """log_mel of a training set in a cache of its own."""
    own = replace(data, path=folder / "data")
    return clips.training_set(own, spot_recipe(**train), random_net("gru", 4, bands=20).tables, QUIET)


def test_augmented_copies_differ_from_one_another(data: Dataset, tmp_path: Path) -> None:
    found = prepared(data, tmp_path, variants=2)
    assert found.log_mel.shape[0] == 2
    assert not np.array_equal(found.log_mel[0], found.log_mel[1])
    again = prepared(data, tmp_path / "again", variants=2)
    assert np.array_equal(found.log_mel, again.log_mel)


def test_prepared_features_are_named_by_all_they_depend_on(data: Dataset, tmp_path: Path) -> None:
    recipe = spot_recipe()
    others = [
        spot_recipe(variants=2),
        spot_recipe(silence=0.5),
        spot_recipe(speech=0.5),
        spot_recipe(context_s=0.1),
        replace(recipe, frontend=replace(recipe.frontend, bands=21)),
        replace(recipe, augment=replace(recipe.augment, speed=0.1)),
        replace(recipe, layers=replace(random_net("gru", 4, "conv").recipe).layers),
    ]
    keys = [clips._key(data, r) for r in (recipe, *others)] + [clips._key(replace(data, id="x"), recipe)]
    assert len(set(keys)) == len(keys)
    assert clips._key(data, replace(recipe, seed=9, name="n")) == keys[0], "several seeds share them"


def test_a_copy_does_not_hear_the_one_before_it(data: Dataset, tmp_path: Path) -> None:
    """The first frame of silence is silence, whatever sounded last."""
    recipe = spot_recipe(context_s=0.0, silence=0.0, speech=0.0)
    off = replace(
        recipe.augment, place=False, shift_ms=0.0, speed=0.0, room_probability=0.0, noise_probability=0.0, gain_db=(0.0, 0.0)
    )
    recipe = replace(recipe, augment=off)
    quiet = np.array(data.samples)
    words = data.clips("train")
    for row in words[1::2]:
        quiet[row.offset : row.offset + row.length] = 0
    own = replace(data, path=tmp_path / "data", samples=quiet, clip_samples=4000)  # words that sound to the last sample
    found = clips.training_set(own, recipe, random_net("gru", 4, bands=20).tables, QUIET).log_mel[0]
    floor = recipe.frontend.floor_log2 * 512
    assert (found[0].max(), found[1::2].min(), found[1::2].max()) == (found[0].max(), floor, floor)
    assert found[0].max() > floor


def test_words_follow_other_words_every_other_time(data: Dataset) -> None:
    rows, rng = data.clips("train"), np.random.default_rng(0)
    before = [clips._before(data, rows, 1000, rng) for _ in range(300)]
    heard = [b for b in before if b is not None]
    assert 0.4 < len(heard) / 300 < 0.6
    ends = {data.pcm(r)[-1000:].tobytes() for r in rows}
    assert {b.tobytes() for b in heard} == ends


def test_the_checkpoint_holds_the_best_weights(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("torch")
    from edgernn.tasks.spot import train as training

    kept: dict[str, Any] = {}
    real = training.SpotTrainer.run

    def run(self: Any, *args: Any) -> None:
        real(self, *args)
        self.best = {k: v * 0 + 7 if v.dtype.is_floating_point else v for k, v in self.best.items()}
        kept["best"] = self.best

    monkeypatch.setattr(training.SpotTrainer, "run", run)
    net = training.train(spot_recipe(), replace(data, path=tmp_path / "data"), tmp_path, QUIET, "cpu")
    assert set(net.weights["head.bias"].ravel()) == {7.0}


def test_the_checkpoint_holds_the_averaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("torch")
    import torch
    from denoisers import recipe, tiny_corpus

    from edgernn.tasks import _mixture_trainer
    from edgernn.tasks.denoise import train as training

    monkeypatch.setattr(_mixture_trainer, "STATISTICS_PAIRS", 2)
    monkeypatch.setattr(training, "VALIDATION_MIXTURES", 2)
    monkeypatch.setattr(training.DenoiseTrainer, "run", lambda *_: None)
    small = recipe(mix={"seconds": 0.5}, train={"epochs": 1, "batches": 1, "batch": 1})
    trainer = training.DenoiseTrainer(small, tiny_corpus(tmp_path / "d"), torch.device("cpu"))
    with torch.no_grad():
        for p in trainer.average.parameters():
            p.fill_(5.0)
    net = trainer.trained(tmp_path, QUIET)
    assert {float(x) for w in net.weights.values() for x in np.unique(w)} == {5.0}
    assert net.source == {"dataset": trainer.data.id}


def test_a_training_that_goes_on_keeps_its_start(tmp_path: Path) -> None:
    need_module("torch")
    from edgernn.tasks.denoise.train import DenoiseTrainer

    trainer = DenoiseTrainer.__new__(DenoiseTrainer)
    for own, asked, said in (("a 1", "", ""), ("a 1", "a 1", ""), ("", "", ""), ("a 1", "a 2", "began with a 1, not with a 2"),
                             ("", "a 2", "began from scratch, not with a 2")):  # fmt: skip
        trainer.origin = own
        if said:
            with pytest.raises(EdgernnError, match=said):
                trainer._must_come_from(asked, tmp_path)
        else:
            trainer._must_come_from(asked, tmp_path)


def test_detections_in_blocks_have_the_times_of_the_whole() -> None:
    g = replace(GRAPHS["spot"], decision=Decision(1, 0, 5, (12000,) * 3))
    x = (noisy_sound(16000 * 6) * np.repeat([1, 0, 1, 0, 1, 0], 16000)).astype(np.int16)
    whole = list(listening.detections(g, iter([x])))
    pieces = list(listening.detections(g, iter(np.array_split(x, 37))))
    assert len(whole) > 3
    assert pieces == whole
    assert whole[-1].time_s > 3


def test_recording_is_refused_beyond_its_bounds(tmp_path: Path) -> None:
    for label, count, seconds in (
        ("a/b", 1, 1.0),
        ("", 1, 1.0),
        (".a", 1, 1.0),
        ("_noise_", 1, 1.0),
        ("a", 0, 1.0),
        ("a", 1, 0.19),
        ("a", 1, 10.1),
    ):
        with pytest.raises(EdgernnError):
            list(listening.record(label, tmp_path, count, seconds, "me", "-"))
    assert not list(tmp_path.iterdir())


def test_a_graph_of_several_frames_reads_each_of_them() -> None:
    """A step of two frames: changing either changes the scores."""
    g = GRAPHS["spot"]
    for runtime in ("numpy", "c"):
        made = make_runtime(runtime, g)
        base = np.zeros((4, 40), np.int16)
        scores = []
        for frame in (None, 2, 3):
            x = base.copy()
            if frame is not None:
                x[frame] = 90
            made.reset()
            scores.append(made.run_features(x).logits[-1].tolist())
        assert len({tuple(s) for s in scores}) == 3
