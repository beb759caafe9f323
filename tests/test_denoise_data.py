"""Mixtures, their sources, training and the verbs of a denoiser."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser, recipe, tiny_corpus
from needs import need_module, need_recordings
from typer.testing import CliRunner

from edgernn import cli, pipeline, runs
from edgernn.data.corpus import NOISE, ROOM, SPEECH, Clip, Item, write_dataset
from edgernn.data.mixing import Ingredients, MixConfig, Mixer, make_mixtures, mixture, read_mixtures
from edgernn.data.sources import prepare
from edgernn.data.splits import assign_splits
from edgernn.errors import EdgernnError
from edgernn.signal.audio import read_audio, to_float, write_wav
from edgernn.tasks import make_recipe
from edgernn.tasks.base import Question

QUIET: Any = lambda *_: None  # noqa: E731


def snr_of(noisy: np.ndarray[Any, Any], clean: np.ndarray[Any, Any]) -> float:
    c, n = to_float(clean).astype(float), to_float(noisy).astype(float) - to_float(clean)
    return float(10 * np.log10(np.sum(c**2) / np.sum(n**2)))


# Mixtures ---------------------------------------------------------------------------


def test_pairs_have_the_snr_and_level_asked_for(tmp_path: Path) -> None:
    config = MixConfig(
        seconds=2.0, snr_db=(4.0, 4.0), level_dbfs=(-26.0, -26.0), room_probability=0, noise_alone=0, clean_alone=0
    )
    mixer = Mixer(config, tiny_corpus(tmp_path / "d"), "train", np.random.default_rng(0))
    for _ in range(12):
        pair = mixer()
        assert pair.noisy.shape == pair.clean.shape == (32000,)
        assert snr_of(pair.noisy, pair.clean) == pytest.approx(4.0, abs=0.1)
        level = 10 * np.log10(np.mean(to_float(pair.noisy).astype(float) ** 2))
        assert level == pytest.approx(-26.0, abs=0.2) or np.abs(pair.noisy).max() > 32000


def test_pairs_follow_the_generator_and_the_split(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "d")
    a, b, other = (Mixer(MixConfig(), data, split, np.random.default_rng(3))() for split in ("train", "train", "test"))
    assert np.array_equal(a.noisy, b.noisy)
    assert not np.array_equal(a.noisy, other.noisy)


def test_noise_alone_clean_alone_and_silence(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "d")
    alone = Mixer(MixConfig(noise_alone=1.0, clean_alone=0.0, silence=0.0), data, "train", np.random.default_rng(0))()
    assert not alone.clean.any()
    assert alone.noisy.any()
    clean = Mixer(MixConfig(noise_alone=0.0, clean_alone=1.0, silence=0.0), data, "train", np.random.default_rng(0))()
    assert np.array_equal(clean.clean, clean.noisy)
    silent = Mixer(MixConfig(noise_alone=0.0, clean_alone=0.0, silence=1.0), data, "train", np.random.default_rng(0))()
    assert len(silent.noisy) == len(silent.clean) == 48000
    assert not silent.noisy.any()
    assert not silent.clean.any()


def test_a_machine_can_take_the_place_of_a_recorded_noise(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "d", rooms=False)
    plain = {
        "white_probability": 0.0,
        "noise_alone": 1.0,
        "clean_alone": 0.0,
        "silence": 0.0,
        "more_noise": 0.0,
        "tilt": 0.0,
        "level_dbfs": (-20.0, -20.0),
    }
    made = [Mixer(MixConfig(machine_probability=p, **plain), data, "train", np.random.default_rng(0))() for p in (0.0, 1.0)]
    assert not np.array_equal(made[0].noisy, made[1].noisy)


def test_noise_is_played_at_other_speeds_than_speech(tmp_path: Path) -> None:
    """A hum of 400 / (2 pi) Hz comes out anywhere between that and 1 + noise_speed times faster or slower."""
    clips = [
        Clip(Item("v", SPEECH, "v", "train"), noisy_sound(48000)),
        Clip(Item("n", NOISE, "n", "train", "", "hum"), (8000 * np.sin(np.arange(160000) / 40)).astype(np.int16)),
    ]
    data = write_dataset(iter(clips), (), tmp_path / "d")
    config = MixConfig(
        seconds=2.0,
        noise_speed=1.0,
        noise_alone=1.0,
        clean_alone=0,
        silence=0,
        white_probability=0,
        machine_probability=0,
        more_noise=0,
        tilt=0,
    )
    mixer = Mixer(config, data, "train", np.random.default_rng(0))
    found = [float(np.argmax(np.abs(np.fft.rfft(mixer().noisy)))) / 2 / (400 / (2 * np.pi)) for _ in range(40)]
    assert 0.48 < min(found) < 0.7
    assert 1.5 < max(found) < 2.05


def test_a_room_leaves_its_early_part_in_the_target(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "d")
    config = MixConfig(room_probability=1.0, noise_alone=0, clean_alone=0, snr_db=(90.0, 90.0))
    pair = Mixer(config, data, "train", np.random.default_rng(0))()
    assert 3 < snr_of(pair.noisy, pair.clean) < 40  # the late reflections are what is left to take out


def test_evaluation_mixtures_follow_their_rule() -> None:
    clean, noise = noisy_sound(16000 * 9), (np.random.default_rng(0).normal(size=16000) * 9000).astype(np.int16)
    m = mixture(Ingredients("m", -5.0, "hiss", clean, (noise, noise[:5000])))
    assert len(m.pair.noisy) == len(m.pair.clean) == 8 * 16000
    assert snr_of(m.pair.noisy, m.pair.clean) == pytest.approx(-5.0, abs=0.05)
    assert np.abs(m.pair.noisy).max() <= 0.7001 * 32768
    added = m.pair.noisy.astype(int) - m.pair.clean
    assert np.abs(added[:16000] - added[21000 : 21000 + 16000]).max() <= 2  # the noises joined are repeated


def test_lists_of_mixtures(tmp_path: Path) -> None:
    write_wav(tmp_path / "c.wav", noisy_sound(16000))
    write_wav(tmp_path / "n.wav", noisy_sound(8000, 5))
    path = tmp_path / "list.csv"
    path.write_text("id,snr_db,clean,noise,noise_label\na,5,c.wav,n.wav;n.wav,hum\n")
    (found,) = read_mixtures(path)
    assert (found.name, found.snr_db, found.noise) == ("a", 5.0, "hum")
    for text, said in (
        ("id,snr_db,clean,noise_label\na,5,c.wav,hum\n", "no column 'noise'"),
        ("id,snr_db,clean,noise,noise_label\na,loud,c.wav,n.wav,hum\n", "row a"),
        ("id,snr_db,clean,noise,noise_label\na,5,gone.wav,n.wav,hum\n", "gone.wav"),
        ("id,snr_db,clean,noise,noise_label\n", "is empty"),
        ("id,snr_db,clean,noise,noise_label\na,5\n", "fewer cells"),
    ):
        path.write_text(text)
        with pytest.raises(EdgernnError, match=said):
            read_mixtures(path)


def test_mixtures_of_a_split_are_fixed_by_the_seed(tmp_path: Path) -> None:
    data = tiny_corpus(tmp_path / "d")
    a, b = (make_mixtures(data, "validation", 6, seed) for seed in (1, 2))
    assert [m.snr_db for m in a] == [-5, 0, 5, 10, 15, -5]
    assert {m.noise for m in a} <= {"hiss", "hum"}
    assert any(not np.array_equal(x.pair.noisy, y.pair.noisy) for x, y in zip(a, b, strict=True))
    assert np.array_equal(a[0].pair.noisy, make_mixtures(data, "validation", 6, 1)[0].pair.noisy)


# Sources ---------------------------------------------------------------------------


def kinds_of(folder: Path, *tables: dict[str, Any]) -> dict[tuple[str, str], int]:
    data = prepare(list(tables), (), folder, 0)
    counts: dict[tuple[str, str], int] = {}
    for row in data.rows:
        counts[row.label, row.split] = counts.get((row.label, row.split), 0) + 1
    return counts


def test_voicebank_layout(tmp_path: Path) -> None:
    for part, speakers in (("trainset_28spk", ("p1", "p2", "p3")), ("testset", ("p9",))):
        for speaker in speakers:
            for i in range(2):
                clean, noise = noisy_sound(4000, i), noisy_sound(4000, 50 + i) // 4
                for kind, pcm in (("clean", clean), ("noisy", clean + noise)):
                    (tmp_path / f"{kind}_{part}_wav").mkdir(exist_ok=True)
                    write_wav(tmp_path / f"{kind}_{part}_wav" / f"{speaker}_{i:03d}.wav", pcm)
    counts = kinds_of(tmp_path / "d", {"kind": "voicebank", "path": str(tmp_path)})
    assert counts[SPEECH, "test"] == counts[NOISE, "test"] == 2
    assert counts[SPEECH, "train"] + counts[SPEECH, "validation"] == 6
    assert counts[SPEECH, "validation"] >= 2
    data = prepare([{"kind": "voicebank", "path": str(tmp_path)}], (), tmp_path / "e", 0)
    assert np.array_equal(data.pcm(data.noise("test")[1]), noisy_sound(4000, 51) // 4)
    (tmp_path / "noisy_testset_wav" / "p9_000.wav").unlink()
    with pytest.raises(EdgernnError, match="no noisy counterpart"):
        kinds_of(tmp_path / "f", {"kind": "voicebank", "path": str(tmp_path)})
    with pytest.raises(EdgernnError, match="no folder clean_"):
        kinds_of(tmp_path / "f", {"kind": "voicebank", "path": str(tmp_path / "d")})


def test_dns_layout(tmp_path: Path) -> None:
    for folder, names in (
        ("clean/read_speech", [f"book_1_reader_{i:05d}_{j}.wav" for i in range(8) for j in range(2)]),
        ("noise", [f"n{i}.wav" for i in range(6)]),
        ("impulse_responses/small", ["a.wav", "b.wav", "c.wav"]),
    ):
        (tmp_path / folder).mkdir(parents=True)
        for i, name in enumerate(names):
            write_wav(tmp_path / folder / name, noisy_sound(2000, i))
    counts = kinds_of(tmp_path / "d", {"kind": "dns", "path": str(tmp_path)})
    assert {split for label, split in counts if label == SPEECH} == {"train", "validation", "test"}
    assert sum(n for (label, _), n in counts.items() if label == NOISE) == 6
    assert sum(n for (label, _), n in counts.items() if label == ROOM) == 3
    shutil.rmtree(tmp_path / "noise")
    with pytest.raises(EdgernnError, match=r"no sound files in noise\*"):
        kinds_of(tmp_path / "e", {"kind": "dns", "path": str(tmp_path)})


def test_plain_folders_and_manifests(tmp_path: Path) -> None:
    for name in ("speech", "noise/fan", "noise/rain", "rooms"):
        (tmp_path / name).mkdir(parents=True)
        for i in range(4):
            write_wav(tmp_path / name / f"{i}.wav", noisy_sound(2000, i))
    tables = [{"kind": "folder", "path": str(tmp_path / k), f: True} for k, f in (("speech", "speech"), ("noise", "noise"))]
    counts = kinds_of(tmp_path / "d", *tables, {"kind": "folder", "path": str(tmp_path / "rooms"), "room": True})
    assert {label for label, _ in counts} == {SPEECH, NOISE, ROOM}
    data = prepare(tables, (), tmp_path / "e", 0)
    assert {row.word for row in data.rows if row.label == NOISE} == {"fan", "rain"}
    (tmp_path / "m.csv").write_text("path,label,split\n" + "".join(f"noise/fan/{i}.wav,fan,train\n" for i in range(4)))
    manifest = {"kind": "manifest", "path": str(tmp_path / "m.csv"), "noise": True}
    data = prepare([tables[0], manifest], (), tmp_path / "g", 0)
    assert {row.word for row in data.noise("train")} == {"fan"}
    with pytest.raises(EdgernnError, match="one of noise, speech and room"):
        prepare([{**manifest, "speech": True}], (), tmp_path / "h", 0)


def test_noise_is_split_by_its_kind(tmp_path: Path) -> None:
    """A kind of noise that was trained is not judged on, where there are kinds enough."""
    for name in ("fan", "rain", "drill", "street", "kettle", "saw", "train"):
        (tmp_path / "noise" / name).mkdir(parents=True)
        for i in range(4):
            write_wav(tmp_path / "noise" / name / f"{i}.wav", noisy_sound(2000, i))
    write_wav(tmp_path / "speech.wav", noisy_sound(4000))
    (tmp_path / "s.csv").write_text("path,label\nspeech.wav,speech\n")
    speech = {"kind": "manifest", "path": str(tmp_path / "s.csv"), "speech": True}
    data = prepare([speech, {"kind": "folder", "path": str(tmp_path / "noise"), "noise": True}], (), tmp_path / "d", 0)
    kinds = [{row.word for row in data.noise(split)} for split in ("train", "validation", "test")]
    assert all(kinds)
    assert len(set.union(*kinds)) == sum(map(len, kinds)) == 7


def test_a_word_that_is_also_a_kind_of_noise_stays_a_word() -> None:
    """Only noise without a split goes by its kind."""
    noise = [Item(f"n{kind}{i}", NOISE, "", "", word=kind) for kind in ("train", "rain", "fan", "saw") for i in range(3)]
    words = [Item(f"w{i}", "train", "", "", word="train") for i in range(6)]
    told = Item("told", NOISE, "", "test", word="train")
    speakers = {item.source: item.speaker for item in assign_splits([*noise, *words, told], ["train"], 0)}
    assert all(speakers[item.source] == f"kind {item.word}" for item in noise)
    assert all(speakers[item.source] == item.source for item in (*words, told))


def test_spoken_source(tmp_path: Path) -> None:
    need_module("espeakng_loader")
    table = {"kind": "spoken", "utterances": 10, "words": 3, "noise_seconds": 21.0}
    data = prepare([table], (), tmp_path / "d", 0)
    assert {row.split for row in data.rows if row.label == SPEECH} == {"train", "validation", "test"}
    assert {row.word for row in data.noise("test")} >= {"white", "babble", "hum50"}
    speakers = [{row.speaker.split("+")[1] for row in data.speech(split)} for split in ("train", "validation", "test")]
    assert not speakers[0] & (speakers[1] | speakers[2])
    again = prepare([table], (), tmp_path / "e", 0)
    assert again.id == data.id


FOLD = {"cell": "subbands", "rows": 4, "units": 4}

# Recipes ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"task": "sing"}, "unknown task 'sing'"),
        ({"layers": [{"cell": "conv", "units": 4, "kernel": 3, "stride": 2}]}, "one frame a step"),
        ({"layers": [{"cell": "gru", "units": 4}, {"cell": "subbands", "rows": 4, "units": 4}]}, "only the first layer"),
        ({"layers": [{"cell": "subbands", "rows": 5, "units": 4}]}, "does not divide"),
        ({"layers": [{"cell": "subbands", "rows": 4, "units": 4, "context": 3}]}, "width = 0"),
        ({"layers": [{"cell": "row_conv", "units": 4, "kernel": 2}]}, "must be odd"),
        ({"gains": {"floor_db": 3.0}}, "floor_db = 3.0"),
        ({"quantize": {"scheme": "int4"}}, "unknown scheme .int4.; known: int8, int8x16"),
        ({"mix": {"noise_speed": 9.0}}, "noise_speed = 9.0"),
        ({"mix": {"noise_alone": 0.6, "clean_alone": 0.6}}, "noise_alone \\+ clean_alone \\+ silence = 1.21 must not exceed 1"),
        ({"train": {"intelligibility_loss": -5.0}}, "intelligibility_loss = -5.0"),
        ({"train": {"sdr_loss": float("nan")}}, "sdr_loss = nan"),
        ({"train": {"learning_rate": 0.0}}, "learning_rate = 0.0"),
        ({"train": {"epoch": 3}}, "did you mean epochs"),
        ({"stft": {"window": 300}}, "window = 300"),
        ({"stft": {"sample_rate": 8000}}, "sample_rate = 8000"),
        ({"mix": {"more_noise": 1.5}}, "more_noise = 1.5"),
        ({"mix": {"snr_db": [20.0, -7.0]}}, "must rise"),
        ({"train": {"epochs": 0}}, "epochs = 0 must lie in 1"),
        (
            {"layers": [FOLD, {"cell": "conv", "units": 4, "kernel": 3}]},
            "looks back in time",
        ),
    ],
)
def test_recipes_that_cannot_be(values: dict[str, Any], said: str) -> None:
    with pytest.raises(EdgernnError, match=said):
        make_recipe({"task": "denoise", "layers": [{"cell": "gru", "units": 8}], **values})


def test_the_recipes_that_come_along_keep_their_budgets() -> None:
    """Bytes of weights, MACs a second and latency, as README and docs promise them."""
    from edgernn.core.quantize import lower_net
    from edgernn.signal.stft import make_tables
    from edgernn.tasks.denoise.recipe import DenoiseNet

    limits = {"dn-standard": (100_000, 50.0, 32), "dn-small": (30_000, 14.0, 32), "dn-low-latency": (100_000, 50.0, 16)}
    for name, (most, macs, latency) in limits.items():
        r = runs.find_recipe(name)
        rng = np.random.default_rng(0)
        weights = {
            f"{x.name}.{k}": rng.normal(size=s).astype(np.float32) / 9
            for x in r.net_layers(())
            for k, s in x.cell.shapes(x.options, x.n_in).items()
        }
        p = r.stft
        net = DenoiseNet(r, (), make_tables(p), np.full(p.bands, 5000.0), np.full(p.bands, 900.0), weights)
        taps = {name: 3.0 for _, t in net.stream(np.zeros((1, 1, p.bands), np.float32)) for name in t}
        parts, _ = lower_net(net, taps, "int8x16", "gains")
        from edgernn.tasks.denoise.graph import DenoiseGraph

        g = DenoiseGraph(**parts, stft=p, tables=net.tables, floor=0)
        assert g.weight_bytes <= most, name
        assert g.macs_per_step * g.steps_per_second <= macs * 1e6, name
        assert g.latency_ms <= latency, name


# Training and verbs ---------------------------------------------------------------------------


def tiny_recipe(**train: Any) -> Any:
    return recipe("rows", mix={"seconds": 1.0}, train={"epochs": 3, "batches": 8, "batch": 4, "learning_rate": 0.01, **train})


def test_training_lowers_the_loss_and_resumes_as_if_never_interrupted(tmp_path: Path) -> None:
    need_module("torch")
    import torch

    from edgernn.tasks.denoise.train import DenoiseTrainer, train_denoiser

    r, data = tiny_recipe(), tiny_corpus(tmp_path / "d")
    net = train_denoiser(r, data, tmp_path / "whole", QUIET, "cpu")
    (tmp_path / "cut").mkdir()
    first = DenoiseTrainer(r, data, torch.device("cpu"))
    (untrained,) = first.validate()
    first.epoch(QUIET)
    first.keep(tmp_path / "cut")
    again = train_denoiser(r, data, tmp_path / "cut", QUIET, "cpu")
    assert all(np.array_equal(net.weights[k], again.weights[k]) for k in net.weights)
    lines = (tmp_path / "whole" / "metrics.csv").read_text().splitlines()
    assert lines == (tmp_path / "cut" / "metrics.csv").read_text().splitlines()
    validation = [float(line.split(",")[lines[0].split(",").index("validation")]) for line in lines[1:]]
    assert validation[-1] < untrained - 0.2, (untrained, validation)
    with pytest.raises(EdgernnError, match="another recipe"):
        train_denoiser(tiny_recipe(batch=5), data, tmp_path / "cut", QUIET, "cpu")
    with pytest.raises(EdgernnError, match="another dataset"):
        train_denoiser(r, replace(data, id="0" * 64), tmp_path / "cut", QUIET, "cpu")


def test_a_training_starts_from_another(tmp_path: Path) -> None:
    """With its weights and its statistics, even when it was cut off and goes on; from a net of the same shape only."""
    need_module("torch")
    import torch

    from edgernn.tasks.denoise.train import DenoiseTrainer, train_denoiser

    data = tiny_corpus(tmp_path / "d")
    first = train_denoiser(tiny_recipe(), data, tmp_path / "first", QUIET, "cpu")
    still = replace(tiny_recipe(learning_rate=1e-9), seed=5)  # statistics of its own would differ
    (tmp_path / "cut").mkdir()
    trainer = DenoiseTrainer(still, data, torch.device("cpu"))
    trainer.start_from(tmp_path / "first", "rows")
    trainer.epoch(QUIET)
    trainer.keep(tmp_path / "cut")
    second = train_denoiser(still, data, tmp_path / "cut", QUIET, "cpu")
    assert second.source["start"] == "rows"
    assert np.array_equal(first.mean, second.mean)
    assert all(np.allclose(first.weights[k], second.weights[k], atol=1e-5) for k in first.weights)
    scratch = train_denoiser(still, data, tmp_path / "scratch", QUIET, "cpu")
    assert not np.allclose(first.weights["head.weight"], scratch.weights["head.weight"], atol=1e-5)
    with pytest.raises(EdgernnError, match="other layers or another signal path"):
        train_denoiser(recipe("no-state"), data, tmp_path / "other", QUIET, "cpu", start=tmp_path / "first")
    (tmp_path / "first" / "progress.pt").unlink()
    third = train_denoiser(still, data, tmp_path / "third", QUIET, "cpu", start=tmp_path / "first")
    assert all(np.allclose(first.weights[k], third.weights[k], atol=1e-5) for k in first.weights), "a checkpoint is enough"


def test_the_command_line_starts_from_a_run(tmp_path: Path) -> None:
    """What cannot be started from is said before any recording is read; where a run came from stays with it."""
    need_module("torch")
    from edgernn.tasks import load_checkpoint
    from edgernn.tasks.denoise.train import train_denoiser

    data = tiny_corpus(tmp_path / "first" / "data")
    train_denoiser(tiny_recipe(epochs=1), data, tmp_path / "first", QUIET, "cpu")
    shutil.copytree(tmp_path / "first" / "data", tmp_path / "run" / "data")
    runs.keep_recipe(tiny_recipe(epochs=1, batches=2), tmp_path / "run")
    edgernn("train", tmp_path / "run", "--start", tmp_path / "first")
    origin = load_checkpoint(tmp_path / "run" / "model.safetensors").source["start"]
    assert origin.startswith("rows ")
    edgernn("train", tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "model.safetensors").source["start"] == origin
    other = train_denoiser(tiny_recipe(epochs=2), data, tmp_path / "other", QUIET, "cpu")
    assert other.source == {"dataset": data.id}
    assert "began with rows" in edgernn("train", tmp_path / "run", "--start", tmp_path / "other", code=2)
    said = edgernn("denoise-train", "--recipe", "dn-demo", "--start", tmp_path / "first", "--out", tmp_path / "demo", code=2)
    assert "other layers or another signal path" in said
    assert not (tmp_path / "demo").exists()


def test_a_diverging_training_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("torch")
    from edgernn.tasks.denoise import train as training

    real = training.DenoiseTrainer.loss
    monkeypatch.setattr(training.DenoiseTrainer, "loss", lambda *args: (real(*args)[0] * float("inf"), (0.0,) * 4))
    with pytest.raises(EdgernnError, match="training diverged in epoch 1"):
        training.train_denoiser(tiny_recipe(), tiny_corpus(tmp_path / "d"), tmp_path / "run", QUIET, "cpu")
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a random net in place of a trained one."""
    folder = tmp_path_factory.mktemp("run")
    tiny_corpus(folder / "data")
    net = random_denoiser("rows", mix={"seconds": 1.0}, quantize={"streams": 4, "stream_seconds": 3.0})
    runs.keep_recipe(net.recipe, folder)
    net.save(folder / "model.safetensors")
    for scheme in ("int8x16", "int8"):
        pipeline.quantize_model(folder, scheme)
    return folder


def edgernn(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in args])
    if isinstance(result.exception, EdgernnError):
        assert code == 2, result.exception
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def test_quantize_names_every_tensor(run: Path) -> None:
    report = json.loads((run / "quantize-int8.json").read_text())
    names = {t["name"] for t in report["tensors"]}
    assert {"subbands0.local", "subbands0.gru.h_next", "gru1.h_next", "row_conv2.y", "logits"} <= names
    assert all(t["saturated"] < 0.02 for t in report["tensors"])


def test_simulate_judges_float_and_integer(run: Path) -> None:
    need_module("pesq")
    need_module("pystoi")
    r = pipeline.simulate_model(run, QUIET, "int8", Question(seconds=30.0, count=5))
    assert set(r["mean"]) == {"noisy", "float", "integer"}
    assert len(r["files"]) == 5
    assert r["mean"]["noisy"]["si_sdr"] == pytest.approx(5.0, abs=0.3)
    assert abs(r["integer_minus_float"]["si_sdr"]["mean"]) < 1.0
    assert json.loads((run / "simulate-int8.json").read_text())["graph"] == r["graph"]


def test_check_catches_a_worse_denoiser(run: Path, tmp_path: Path) -> None:
    need_module("pesq")
    pipeline.simulate_model(run, QUIET, "int8", Question(seconds=30.0, count=3))
    baseline = tmp_path / "baseline.json"
    edgernn("check", run, "--baseline", baseline, "--update")
    edgernn("check", run, "--baseline", baseline)
    for metric, change in (("int8.int8_pesq", 0.03), ("int8.int8_si_sdr", 0.2), ("int8.weight_bytes", -1)):
        changed = {**json.loads(baseline.read_text()), "outcomes": {}}
        changed["metrics"][metric] += change
        (tmp_path / "other.json").write_text(json.dumps(changed))
        assert "WORSE" in edgernn("check", run, "--baseline", tmp_path / "other.json", code=1)


def test_runtimes_side_by_side(run: Path, tmp_path: Path) -> None:
    for module in ("ai_edge_litert", "tflite_micro", "onnxruntime"):
        need_module(module)
    found = json.loads(edgernn("simulate", run, "--compare", "c,litert,tflm,onnx", "--seconds", 4, "--json"))
    assert [row["runtime"] for row in found["rows"]] == ["numpy", "c", "litert", "tflm", "onnx"]
    assert all(row["differing"] == 0 and row["entries"] > 10_000 for row in found["rows"])
    write_wav(tmp_path / "x.wav", noisy_sound(4000))
    assert "0 of" in edgernn("simulate", run, "--compare", "c", "--wav", tmp_path / "x.wav")


def test_exports(run: Path, tmp_path: Path) -> None:
    for form, files in (("c", {"dn.h"}), ("tflite", {"dn.tflite"}), ("onnx", {"model.onnx"})):
        out = json.loads(edgernn("export", run, "--format", form, "--out", tmp_path / form, "--json"))
        assert files <= {Path(f).name for f in out["files"]}
    shown = edgernn("inspect", tmp_path / "tflite" / "dn.tflite", tmp_path / "onnx" / "model.onnx", run / "graph-int8x16.ern")
    assert "gains" in shown
    edgernn("export", run, "--format", "tflite", "--stateful", "--out", tmp_path / "stateful")
    assert "rows a step; a clip of them cannot be unrolled" in edgernn(
        "export", run, "--format", "tflite", "--clip", "--out", tmp_path / "x", code=2
    )


def test_the_exported_example_denoises(run: Path, tmp_path: Path) -> None:
    """main.c, compiled as a user would, from a pipe to a pipe: the definition's samples."""
    import subprocess

    from edgernn.hostcc import WARNINGS, host_compiler
    from edgernn.runtimes import make_runtime
    from edgernn.tasks import load_graph
    from edgernn.tasks.denoise import TASK
    from edgernn.tasks.denoise.stream import denoiser

    edgernn("export", run, "--out", tmp_path, "--prefix", "quiet")
    sources = [tmp_path / "examples" / "quiet_main.c", *(tmp_path / name for name in TASK.c.sources)]
    subprocess.run(
        [*host_compiler(), *WARNINGS, f"-I{tmp_path}", *map(str, sources), "-o", str(tmp_path / "a.out")], check=True
    )
    x = noisy_sound(64 * 100)
    done = subprocess.run([str(tmp_path / "a.out")], input=x.astype("<i2").tobytes(), capture_output=True, check=True)
    wanted = denoiser(make_runtime("numpy", load_graph(run / "graph-int8x16.ern")))(x)
    assert np.array_equal(np.frombuffer(done.stdout, "<i2"), wanted)


def test_boards(run: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "x.wav", noisy_sound(6000))
    built = json.loads(edgernn("build", run, "--json"))
    assert built["flash_bytes"] > built["weight_bytes"]
    assert built["keeps_up"] == "no"  # which is told of an emulated board, and refused of a real one
    ran = json.loads(edgernn("run", run, "--wav", tmp_path / "x.wav", "--json"))
    assert ran["bits_differing"] == 0
    assert ran["instructions_per_second"] > 1e5


def test_denoise_command(run: Path, tmp_path: Path) -> None:
    need_module("matplotlib")
    from edgernn.runtimes import make_runtime
    from edgernn.tasks import load_graph
    from edgernn.tasks.denoise.stream import denoised

    x = noisy_sound(30000)
    write_wav(tmp_path / "noisy.wav", x)
    out, picture = tmp_path / "clean.wav", tmp_path / "report.png"
    edgernn("denoise", tmp_path / "noisy.wav", out, "--graph", run, "--report", picture, "--reference", tmp_path / "noisy.wav")
    assert np.array_equal(read_audio(out), denoised(make_runtime("numpy", load_graph(run / "graph-int8x16.ern")), x))
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    edgernn("denoise", tmp_path / "noisy.wav", tmp_path / "float.wav", "--graph", run, "--float")
    assert len(read_audio(tmp_path / "float.wav")) == 30000


def test_denoise_command_refuses(run: Path, tmp_path: Path) -> None:
    write_wav(tmp_path / "noisy.wav", noisy_sound(3000))
    noisy = tmp_path / "noisy.wav"
    assert "exactly one of them" in edgernn("denoise", noisy, "--graph", run, code=2)
    assert "a report needs files" in edgernn("denoise", noisy, "-", "--graph", run, "--report", tmp_path / "r.png", code=2)
    assert "goes with --report" in edgernn("denoise", noisy, tmp_path / "o.wav", "--graph", run, "--reference", noisy, code=2)
    assert "trains a keyword spotter" in edgernn("denoise-train", "--recipe", "demo", code=2)
    assert "trains a denoiser" in edgernn("kws", "--recipe", "dn-demo", code=2)
    said = edgernn("kws", "--recipe", "dn-demo", "--keywords", "a,b", code=2)
    assert "--keywords of `edgernn kws` belongs to a keyword spotter; this is a denoiser, leave it out" in said
    assert "--teacher of `edgernn train` belongs to a keyword spotter; this is a denoiser" in edgernn(
        "train", run, "--teacher", run, code=2
    )
    report = ("--report", tmp_path / "r.png")
    assert "different files" in edgernn("denoise", noisy, noisy, "--graph", run, *report, code=2)
    assert "exactly one of them" in edgernn("denoise", noisy, "--graph", run, "--live", code=2)
    assert "is a folder" in edgernn("denoise", noisy, tmp_path, "--graph", run, code=2)
    write_wav(tmp_path / "other.wav", noisy_sound(2000))
    said = edgernn("denoise", noisy, tmp_path / "o.wav", "--graph", run, *report, "--reference", tmp_path / "other.wav", code=2)
    assert "the reference has 2000 samples, the recording 3000" in said
    assert not (tmp_path / "o.wav").exists(), "it was known before"


def test_a_report_tells_what_is_left_in_pauses_on_a_scale_of_the_sounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_module("matplotlib")
    from matplotlib.axes import Axes

    from edgernn.tasks.denoise import report

    scales, drawn = [], Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda *a, **k: (scales.append((k["vmin"], k["vmax"])), drawn(*a, **k))[1])
    speech = (noisy_sound(32000) * (np.arange(32000) < 20000)).astype(np.int16)
    noisy = np.where(np.arange(32000) < 20000, speech, noisy_sound(32000, 1) // 10).astype(np.int16)
    g = quantized_denoiser(random_denoiser(), "int8")
    numbers = report.draw_report(g, noisy, noisy // 8, tmp_path / "r.png", speech)
    left = [float(x) for x in numbers["in pauses"].removesuffix(" dB below the speech").split(" to ")]
    assert left[0] - left[1] == pytest.approx(20 * np.log10(8), abs=1.0) and left[0] < -10
    assert scales[0] == scales[1] and scales[0][1] - scales[0][0] == report.RANGE_DB
    softer = [x // 16 for x in (noisy, noisy // 8)]
    report.draw_report(g, *softer, tmp_path / "r.png")
    assert scales[0][1] - scales[3][1] == pytest.approx(20 * np.log10(16), abs=1.0), "soft speech is seen as well"


def test_a_trained_run_goes_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`edgernn denoise-train` on a tiny corpus in plain folders."""
    need_module("torch")
    need_module("pesq")
    for name in ("speech", "noise"):
        (tmp_path / name).mkdir()
        for i in range(30):
            write_wav(tmp_path / name / f"{i}.wav", noisy_sound(40000, i + 100 * (name == "noise")))
    (tmp_path / "r.toml").write_text(
        'name = "t"\ntask = "denoise"\n'
        + "".join(f'[[data.sources]]\nkind = "folder"\npath = "{tmp_path / k}"\n{k} = true\n' for k in ("speech", "noise"))
        + "[stft]\nwindow = 128\nsingle = 16\n"
        + '[[layers]]\ncell = "subbands"\nrows = 8\nunits = 6\n[[layers]]\ncell = "gru"\nunits = 8\n'
        + "[mix]\nseconds = 1.0\n[train]\nepochs = 1\nbatches = 4\nbatch = 4\n[quantize]\nstreams = 4\nstream_seconds = 2.0\n"
    )
    result = json.loads(edgernn("denoise-train", "--recipe", tmp_path / "r.toml", "--out", tmp_path / "run", "--json"))
    assert result["boards"][0]["bits_differing"] == 0
    assert (tmp_path / "run" / "c" / "dn.h").is_file()
    assert set(result["mean"]) == {"noisy", "float", "integer"}


def test_real_recordings_make_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe dn-standard's own sources, where recordings are at hand: disjoint by speaker and by kind of noise."""
    need_recordings()
    r = runs.find_recipe("dn-small")
    data = pipeline.prepare_data(r, tmp_path / "run", QUIET)
    speakers = {split: {row.speaker for row in data.speech(split)} for split in ("train", "validation", "test")}
    assert len(speakers["train"]) > 100
    assert not speakers["train"] & speakers["test"]
    kinds = {split: {row.word for row in data.noise(split)} for split in ("train", "test")}
    assert len(kinds["train"]) > 20
    assert not kinds["train"] & kinds["test"]
    pair = Mixer(r.mix, data, "train", np.random.default_rng(0))()
    assert len(pair.noisy) == 48000
