"""What is handed from part to part: labels with their features, clean sound as clean, figures under their own names."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from denoisers import recipe as denoise_recipe
from nets import quantized, random_net
from test_notices_leaks import spot_recipe

from edgernn import drift, firmware, hostcc, pipeline, runs
from edgernn.data.mixing import Pair
from edgernn.errors import EdgernnError
from edgernn.exports import _arena
from edgernn.outcomes import Marks, read_outcome
from edgernn.signal import native
from edgernn.tasks import find_task
from edgernn.tasks.base import Question
from edgernn.tasks.spot import judge
from targets import load_board

QUIET: Any = lambda *_: None  # noqa: E731


# Batches ---------------------------------------------------------------------------


def spot_batches(epochs: int = 1, **train: Any) -> list[list[tuple[Any, Any]]]:
    """Batches of a trainer whose clip i of copy v is (100 i + v) everywhere, and whose label is i."""
    from edgernn.tasks.spot.clips import TrainingSet
    from edgernn.tasks.spot.train import SpotTrainer

    off = {
        "tilt": 0.0,
        "time_masks": 0,
        "band_masks": 0,
        "label_smoothing": 0.0,
        "mixup": 0.0,
        "carried": 0.0,
        "batch": 3,
        **train,
    }
    t = SpotTrainer.__new__(SpotTrainer)
    t.recipe = replace(spot_recipe(), train=replace(spot_recipe().train, variants=4, **off))
    logs = (100 * np.arange(7)[None, :, None, None] + np.arange(4)[:, None, None, None]) * np.ones((4, 7, 5, 20))
    t.data, t.labels = TrainingSet(logs.astype(np.int16), np.arange(7), 0), 7
    t._mean, t._deviation, t.batches_per_epoch = np.zeros(20), np.full(20, 512.0), 2
    import torch

    t.device = torch.device("cpu")
    return [[(x.numpy(), target.numpy()) for x, target in t.batches(np.random.default_rng(e))] for e in range(epochs)]


def test_every_clip_comes_with_its_own_label_once_an_epoch_in_another_order() -> None:
    pytest.importorskip("torch")
    orders, variants = [], set()
    for batches in spot_batches(6):
        seen = []
        for x, target in batches:
            assert len(x) == 3
            numbers = np.rint(x[:, 0, 0] * 512).astype(int)
            assert (numbers // 100).tolist() == target.argmax(1).tolist() and (target.sum(1) == 1).all()
            seen += (numbers // 100).tolist()
            variants |= set((numbers % 100).tolist())
        assert len(set(seen)) == 6, "no clip twice"
        orders.append(tuple(seen))
    assert len(set(orders)) == 6 and variants == {0, 1, 2, 3}


def test_a_denoisers_batch_is_of_the_noisy_and_of_the_clean_sound() -> None:
    torch = pytest.importorskip("torch")
    from edgernn.tasks.denoise.train import DenoiseTrainer, _spectra

    t = DenoiseTrainer.__new__(DenoiseTrainer)
    net = random_denoiser()
    t.recipe, t.tables, t.device = denoise_recipe(), net.tables, torch.device("cpu")
    p = t.recipe.stft
    noisy, clean = noisy_sound(64 * 20 + 5, 1), noisy_sound(64 * 20 + 5, 2)
    shorter = Pair(noisy[: 64 * 15 + 1], clean[: 64 * 15 + 1])
    batch = t.batch([Pair(noisy, clean), shorter])
    for i, pair in enumerate((Pair(noisy[: 64 * 15], clean[: 64 * 15]), shorter)):
        spectra, logs = native.analyze(pair.noisy[: 64 * 15], p, t.tables)
        assert torch.equal(batch.log_bands[i], torch.from_numpy(logs.astype(np.float32)))
        assert torch.equal(batch.noisy[i], _spectra([spectra], p)[0])
        assert torch.equal(batch.clean[i], _spectra([native.analyze(pair.clean[: 64 * 15], p, t.tables)[0]], p)[0])
        assert np.allclose(batch.sound[i].numpy(), clean[: 64 * 14] / 32768)
    t.mean, t.deviation = np.zeros(p.bands), np.full(p.bands, 512.0)
    gains = torch.linspace(-3, 3, p.bands).expand(2, 15, p.bands)
    found = t.enhanced(lambda x: (gains, None), batch)  # type: ignore[arg-type]
    spread = torch.sigmoid(gains)[:, :, torch.from_numpy(p.band_of_bin())]
    assert torch.allclose(found, batch.noisy * spread)
    net_in: list[Any] = []
    t.enhanced(lambda x: net_in.append(x) or (gains, None), batch)  # type: ignore[arg-type]
    assert torch.allclose(net_in[0], (batch.log_bands / 512).clamp(-8, 8))


def test_the_schedule_ends_with_the_last_epoch() -> None:
    pytest.importorskip("torch")
    from test_notices_training import Counting

    from edgernn.core.training import warm_cosine

    trainer = Counting(epochs=5)
    for _ in range(5):
        trainer.epoch(QUIET)
    assert trainer.finished
    assert [r["learning_rate"] for r in trainer.history] == pytest.approx(
        [0.1 * warm_cosine(2 * i, 10, 0.0) for i in range(1, 6)]
    )


def test_dropout_is_on_the_inputs_of_recurrent_layers_and_the_head() -> None:
    torch = pytest.importorskip("torch")
    from edgernn.core.net import Net

    for front, calls in (("bare", 2), ("conv", 2)):
        module = Net(random_net("gru", 4, front).layers, dropout=0.5)
        seen: list[int] = []
        module.dropout.register_forward_hook(lambda m, i, o, seen=seen: seen.append(1))
        module(torch.zeros(1, 8, 40))
        assert len(seen) == calls


# Judging ---------------------------------------------------------------------------


def test_a_spotters_judge_passes_on_what_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}
    g, net, data = SimpleNamespace(), SimpleNamespace(), SimpleNamespace(clips=lambda split: [split])
    monkeypatch.setattr(judge, "fast_runtime", lambda: "numpy")
    monkeypatch.setattr(judge, "make_runtime", lambda name, graph: SimpleNamespace(name=name, graph=graph))
    wrong = Marks({"x": 3}, {"x": {"a": "b"}})
    monkeypatch.setattr(
        judge,
        "compare_clips",
        lambda n, r, d, split, p: asked.update(clips=(n, r.graph, d, split)) or ("clips", {"int8_accuracy": wrong}),
    )
    monkeypatch.setattr(
        judge, "compare_stream", lambda n, r, d, split, s: asked.update(stream=(n, r.graph, d, split, s)) or "stream"
    )
    monkeypatch.setattr(
        judge,
        "spotting",
        lambda n, r, d, split, hours: asked.update(spotting=(n, r.graph, d, split, hours)) or ("spotting", {"misses": wrong}),
    )
    found = judge.judge(net, g, data, Question("validation", 7.0), QUIET)  # type: ignore[arg-type]
    assert {name: read_outcome(x) for name, x in found.pop("outcomes").items()} == {"int8_accuracy": wrong, "misses": wrong}
    assert found == {"runtime": "numpy", "spotting": "spotting", "clips": "clips", "stream": "stream"}
    assert asked == {
        "clips": (net, g, data, "validation"), "stream": (net, g, data, "validation", 7.0),
        "spotting": (net, g, data, "validation", 6 * 7.0 / 3600),
    }  # fmt: skip
    assert judge.judge(net, g, data, Question(runtime="onnx"), QUIET)["runtime"] == "onnx"  # type: ignore[arg-type]


def test_speed_is_a_step_and_real_time_is_how_many_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 steps of 20 ms: a runtime that takes 1 ms for all of them is 200 times as fast as the sound."""
    times = iter([0.005, 0.002, 0.001])
    monkeypatch.setattr(drift, "best_of", lambda n, call: next(times))
    g = quantized(random_net("gru", 4), "int8")
    found = drift.speed(random_net("gru", 4), g, np.zeros(3200, np.int16), np.zeros((10, 40), np.float32))
    assert found == {"float_numpy_us": 500.0, "integer_numpy_us": 200.0, "integer_c_us": 100.0, "real_time_factor_c": 200.0}


def test_what_was_simulated_is_kept_under_its_own_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g = quantized_denoiser(random_denoiser(), "int8")
    asked: list[Any] = []
    task = SimpleNamespace(
        name="t", options_of=lambda verb: (), judge=lambda net, graph, d, q, p: asked.append(q) or {"mine": 1}
    )
    monkeypatch.setattr(pipeline, "run_task", lambda _: task)
    monkeypatch.setattr(pipeline, "find_graph", lambda folder, scheme: scheme)
    monkeypatch.setattr(pipeline, "load_graph", lambda scheme: g)
    monkeypatch.setattr(pipeline, "_net_of", lambda _: SimpleNamespace(source={}, fingerprint="f", recipe="r"))
    monkeypatch.setattr(pipeline, "run_recipe", lambda _: "r")
    monkeypatch.setattr(pipeline, "load_data", lambda _: SimpleNamespace(id="d"))
    found = pipeline.simulate_model(tmp_path, QUIET, "int8", Question("validation", 9.0))
    assert {k: found[k] for k in ("task", "graph", "scheme", "dataset", "split", "weight_bytes", "mine")} == {
        "task": "t",
        "graph": g.id,
        "scheme": "int8",
        "dataset": "d",
        "split": "validation",
        "weight_bytes": g.weight_bytes,
        "mine": 1,
    }
    assert found["mmacs_per_second"] == round(g.macs_per_step * 250 / 1e6, 2) and found["latency_ms"] == 8.0
    assert (tmp_path / "simulate-int8.json").is_file() and asked[0].seconds == 9.0
    table = pipeline.summarize(
        SimpleNamespace(summary=lambda s: {"own": s["mine"]}),
        tmp_path,
        {**found, "speed": {"real_time_factor_c": 5}},
        [{"b": 1}],  # type: ignore[arg-type]
    )
    assert (table["own"], table["boards"], table["real_time_factor"], table["split"]) == (1, [{"b": 1}], 5, "validation")


def test_a_builds_costs_are_those_of_its_firmware(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g, board = quantized(random_net("gru", 4), "int8"), load_board("microbit")
    made = SimpleNamespace(toolchain="gcc 1", flash_bytes=1111, ram_bytes=222)
    given: dict[str, Any] = {}
    monkeypatch.setattr(firmware, "find_toolchain", lambda b, name: name)
    monkeypatch.setattr(
        firmware, "build", lambda sources, b, elf, **more: given.update(sources=sources, elf=elf, **more) or made
    )
    built, report = firmware.build_firmware(g, board, tmp_path, "zig", "-Os")
    assert built is made
    assert (report.flash_bytes, report.ram_bytes, report.weight_bytes, report.toolchain) == (1111, 222, g.weight_bytes, "gcc 1")
    assert (report.board, report.cpu, report.graph, report.scheme, report.optimize) == (
        "microbit",
        board.cpu,
        g.id,
        "int8",
        "-Os",
    )
    assert (given["toolchain"], given["optimize"], given["elf"]) == ("zig", "-Os", tmp_path / "microbit.elf")
    header = (tmp_path / "src" / "model.h").read_text()
    assert f"#define MODEL_STATE_BYTES {report.state_bytes} " in header
    assert [p.name for p in given["sources"]] == ["spot.c", *find_task("spot", "x").c.sources]


# Tools ---------------------------------------------------------------------------


def test_c_that_does_not_compile_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "x.c").write_text("int f(void) { return y; }\n")
    with pytest.raises(EdgernnError, match=r"compiling failed .*error"):
        hostcc.shared_library([tmp_path / "x.c"], [tmp_path])
    (tmp_path / "x.c").write_text("int f(void);\nint f(void) { short s = 70000; return s; }\n")
    with pytest.raises(EdgernnError, match="compiling failed"):
        hostcc.shared_library([tmp_path / "x.c"], [tmp_path])


def test_an_arena_is_the_least_that_worked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that needs 5000 bytes: coarse steps first, then finer ones, a multiple of 16 in the end."""
    needed = 5000

    def child(command: list[str], **_: Any) -> Any:
        size, grain = int(command[-2]), int(command[-1])
        sizes = [s for s in range(size, 0, -grain) if s >= needed]
        return SimpleNamespace(stdout="\n".join(map(str, sizes)).encode())

    monkeypatch.setattr(_arena, "has_tflm", lambda: True)
    monkeypatch.setattr(subprocess, "run", child)
    assert _arena.arena_bytes(b"") == 5008
    needed = 100_000
    assert _arena.arena_bytes(b"") == 100_000
    needed = 10**9
    assert _arena.arena_bytes(b"") is None


def test_a_checkpoint_is_that_of_the_folder(tmp_path: Path) -> None:
    net = random_net("gru", 4)
    net.save(tmp_path / runs.CHECKPOINT)
    again = runs.run_checkpoint(tmp_path)
    assert again.fingerprint == net.fingerprint and again.recipe == net.recipe and again.labels == net.labels
