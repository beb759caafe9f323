"""The models that come along: each card's figures are those of its files, every verb takes a name, none writes to them."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT
from needs import need_module, need_program, need_recordings
from typer.testing import CliRunner

import edgernn
from edgernn import cli
from edgernn.errors import EdgernnError
from edgernn.signal.audio import read_audio, write_wav
from edgernn.tasks import all_tasks
from edgernn.zoo import CARD, OWN, Card, all_cards, default_model, find_card, model_folders, read_card

zoo_tool: Any = importlib.import_module("zoo")  # tools/zoo.py: `fixture_runs` puts that folder on the path
CARDS = all_cards()
each = pytest.mark.parametrize("card", CARDS, ids=lambda c: c.name)


def call(*words: object, code: int = 0) -> str:
    """What a command printed, or the sentence of its refusal."""
    done = CliRunner().invoke(cli.app, [str(x) for x in words])
    if isinstance(done.exception, EdgernnError):
        assert code == 2, done.exception
        return str(done.exception)
    assert done.exit_code == code, (done.output, done.exception)
    return done.stdout


def bytes_of(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def prepared() -> dict[str, Any]:
    """Recordings that several models were trained on, prepared once."""
    return {}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and a check that no model's folder was written to."""
    own = [path.parent for path in sorted(OWN.glob(f"*/{CARD}"))]
    before = [bytes_of(folder) for folder in own]
    monkeypatch.chdir(tmp_path)
    yield tmp_path  # type: ignore[misc]
    assert [bytes_of(folder) for folder in own] == before


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A copy of the model `vad` under another name, as an extension brings one."""

    def copy(name: str) -> Path:
        folder = tmp_path / "extension" / "zoo" / name
        shutil.copytree(OWN / "vad", folder)
        monkeypatch.setenv("EDGERNN_EXTENSIONS", str(tmp_path / "extension"))
        return folder

    return copy


# What comes along ---------------------------------------------------------------------------


def test_there_are_models_and_they_are_small() -> None:
    assert {"vad", "dn-small"} <= set(model_folders())
    assert sum(p.stat().st_size for p in OWN.rglob("*") if "__pycache__" not in p.parts) <= 2_500_000
    for task in all_tasks():
        assert sum(card.default for card in CARDS if card.task == task) <= 1, f"two models of {task} cannot both be its default"


@each
def test_a_card_says_everything(card: Card) -> None:
    assert all(len(text) > 20 for text in (card.summary, card.use, card.limits)) and "\n" not in card.summary
    assert all(d["name"] and d["licence"] and d["by"] for d in card.data) and card.data
    assert "SA" not in " ".join(d["licence"] for d in card.data), "share-alike data would bind the weights"
    assert card.made["command"].startswith("edgernn ") and len(card.made["date"]) == 10
    assert {w["cpu"] for w in card.work} == {"cortex-m0", "cortex-m4", "cortex-m55+mve", "rv32imc"}
    assert len(card.quality) > 3 and len(card.quality["date"]) == 10
    assert {p.name for p in card.folder.iterdir()} == {CARD, card.file.name, "model.safetensors", "recipe.json"}


@each
def test_the_files_are_those_of_the_card(card: Card) -> None:
    assert zoo_tool.wrong_graph(card) == []


@each
def test_bits_sizes_and_instructions_are_those_of_the_card(card: Card) -> None:
    for program in ("arm-none-eabi-gcc", "riscv64-unknown-elf-gcc", "qemu-system-arm", "qemu-system-riscv32"):
        need_program(program)
    assert zoo_tool.wrong_work(card) == []


@each
def test_the_quality_of_a_sample_is_that_of_the_card(card: Card, prepared: dict[str, Any], tmp_path: Path) -> None:
    if "sample" not in card.quality:
        pytest.skip(f"{card.name} is judged by a bench of its own")
    need_recordings()
    for module in ("pesq", "pystoi", "soundfile"):
        need_module(module)
    recipe = json.loads((card.folder / "recipe.json").read_text())
    key = json.dumps([recipe["data"], recipe["seed"]])
    if key not in prepared:
        prepared[key] = zoo_tool.its_data(card, tmp_path / "data")
    assert zoo_tool.wrong_quality(card, prepared[key]) == []


def test_a_wrong_figure_is_noticed() -> None:
    card = find_card("vad")
    told = zoo_tool.wrong_graph(replace(card, graph={**card.graph, "weight_bytes": card.graph["weight_bytes"] + 1}))
    assert len(told) == 1 and "weight_bytes" in told[0]
    assert len(zoo_tool.wrong_graph(replace(card, made={**card.made, "seed": 77}))) == 1
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_program(program)
    m4 = next(w for w in card.work if w["cpu"] == "cortex-m4")
    one = {**m4, "instructions_per_second": m4["instructions_per_second"] + 1, "bits_differing": 1}
    told = zoo_tool.wrong_work(replace(card, work=(one,)))
    assert [line.split(" = ")[0].split(": ")[-1] for line in told] == ["bits_differing", "instructions_per_second"]
    other = {**one, "compiler": "gcc 0", "bits_differing": 0}
    assert zoo_tool.wrong_work(replace(card, work=(other,))) == [], "another compiler may differ a little"


def test_a_wrong_quality_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(find_card("vad"), quality={"sample": {"integer.auc": 0.9}})
    monkeypatch.setattr(zoo_tool, "sample", lambda *_: {"integer.auc": 0.91})
    assert zoo_tool.wrong_quality(card, None) == ["vad: integer.auc = 0.9, measured 0.91"]  # type: ignore[arg-type]


def test_a_card_is_written_as_it_is_read(tmp_path: Path) -> None:
    import tomllib

    figures = {
        "made": {"command": 'say "x"', "seed": 3},
        "work": [{"a": 1}, {"a": 2.5}],
        "quality": {"a.b": 1, "sample": {"c.d": 2}},
    }
    assert tomllib.loads(zoo_tool.tables(figures)) == figures


# Names ---------------------------------------------------------------------------


@each
def test_a_name_is_taken_where_a_graph_is(card: Card, elsewhere: Path) -> None:
    model = edgernn.load(card.name, runtime="numpy")
    assert model.id == card.graph["id"] == json.loads(call("models", card.name, "--json"))["graph"]["id"]
    assert model.latency_ms == pytest.approx(card.graph["latency_ms"], abs=1e-3)
    assert model(np.zeros(4 * model.step_samples, np.int16)) is not None
    call("export", card.name)
    assert (elsewhere / "models" / card.name / "c").is_dir()
    assert edgernn.export(card.name, "made", "c")
    assert card.graph["id"][:12] in call("inspect", card.name)
    call("export", card.name, "--format", "tflite", "--clip") if card.task == "spot" else None
    assert "comes in int8x16 alone" in call("export", card.name, "--scheme", "int8", code=2)


def test_a_model_is_built_and_run_into_a_folder_of_ones_own(elsewhere: Path) -> None:
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_program(program)
    result = json.loads(call("run", "vad", "--json"))
    assert result["bits_differing"] == 0
    assert (elsewhere / "models" / "vad" / "run-mps2-an386.json").is_file()


def test_an_onnx_export_finds_the_float_model(elsewhere: Path) -> None:
    need_module("onnx")
    call("export", "vad", "--format", "onnx")
    assert any("float" in p.name for p in (elsewhere / "models/vad/onnx").iterdir())


@pytest.mark.parametrize("verb", ["train", "quantize", "simulate"])
def test_what_would_write_into_a_model_is_refused(verb: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_DATA", str(elsewhere))  # else that it is missing is said first
    for where in ("vad", OWN / "vad"):
        said = call(verb, where, code=2)
        assert "vad is a model that comes along, and is only read" in said and "edgernn models vad --out run/vad" in said
    assert "is only read" in call("data", OWN / "vad", code=2)


def test_a_copy_is_a_run_folder(elsewhere: Path) -> None:
    assert "run/mine" in call("models", "vad", "--out", "run/mine")
    assert edgernn.load("run/mine").id == find_card("vad").graph["id"]
    assert set(bytes_of(Path("run/mine")).items()) <= set(bytes_of(OWN / "vad").items())
    assert "is in use" in call("models", "vad", "--out", "run/mine", code=2)
    assert "--out copies one model" in call("models", "--out", "run/other", code=2)


def test_a_folder_goes_before_a_name(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    call("models", "vad", "--out", "dn-small")
    assert edgernn.load("dn-small").task == "vad"
    assert "dn-small is the folder here, not the model of that name" in caplog.text


def test_a_name_that_is_none_is_answered_with_those_there_are(elsewhere: Path) -> None:
    for said in (call("models", "vda", code=2), call("export", "vda", code=2)):
        assert all(name in said for name in model_folders())


def test_training_starts_from_a_name() -> None:
    from edgernn.runs import find_recipe, run_checkpoint
    from edgernn.tasks._mixtures import check_start

    assert check_start(find_recipe("dn-small"), Path("dn-small")).startswith("dn-small ")
    assert run_checkpoint(Path("dn-small")).fingerprint == find_card("dn-small").checkpoint["fingerprint"]


# Defaults ---------------------------------------------------------------------------


def noisy_wav(folder: Path) -> Path:
    noise = np.random.default_rng(0).normal(scale=800, size=16000 * 2).astype(np.int16)
    write_wav(folder / "noisy.wav", noise)
    return folder / "noisy.wav"


def test_sound_is_denoised_by_the_default_model_and_it_is_said(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    noisy = noisy_wav(elsewhere)
    call("denoise", noisy, "clean.wav")
    assert "by the model dn-small, which comes along" in caplog.text
    left, before = read_audio(Path("clean.wav")).astype(float), read_audio(noisy).astype(float)
    assert left[8000:].std() < 0.3 * before[8000:].std()
    call("denoise", noisy, "float.wav", "--float")
    assert np.abs(read_audio(Path("float.wav")).astype(float) - left).std() < 0.1 * before.std()


def test_a_graph_under_run_goes_before_the_default(elsewhere: Path, caplog: pytest.LogCaptureFixture) -> None:
    noisy = noisy_wav(elsewhere)
    assert call("vad", noisy) == ""
    assert "by the model vad, which comes along" in caplog.text
    caplog.clear()
    call("models", "vad", "--out", "run/mine")
    call("vad", noisy)
    assert "by run/mine/graph-int8x16.ern, the newest graph" in caplog.text
    assert "is the graph of a voice-activity detector" in call("denoise", noisy, "x.wav", "--graph", "vad", code=2)


def test_a_task_without_a_default_says_so(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgernn.zoo.OWN", elsewhere)
    assert default_model("vad") is None
    assert "no graph under ./run" in call("vad", noisy_wav(elsewhere), code=2)


# Damage ---------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def without(line: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        kept = [x for x in path.read_text().splitlines() if not x.startswith(line)]
        path.write_text("\n".join(kept))

    return damage


DAMAGE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("graph-int8x16.ern", flip, "has other bytes than its card says"),
    ("graph-int8x16.ern", Path.unlink, "No such file"),
    (CARD, without("summary"), "lacks summary"),
    (CARD, without("id ="), "lacks graph.id"),
    (CARD, without("kernel ="), "lacks work.kernel"),
    (CARD, without("licence ="), "lacks data.licence"),
    (CARD, lambda p: p.write_text(p.read_text().replace("flash_bytes = ", 'flash_bytes = "x" # ')), "lacks work.flash_bytes"),
    (CARD, lambda p: p.write_text("summary = ["), "card.toml"),
]


@pytest.mark.parametrize(("file", "damage", "why"), DAMAGE, ids=[why for *_, why in DAMAGE])
def test_a_damaged_model_is_named(file: str, damage: Any, why: str, copied: Callable[[str], Path], elsewhere: Path) -> None:
    damage(copied("mine") / file)
    with pytest.raises(EdgernnError, match=r"the model mine is damaged .*mend it, or take its folder out") as told:
        edgernn.load("mine")
    assert why in str(told.value)


def test_a_damaged_model_does_not_take_others_down(
    copied: Callable[[str], Path], elsewhere: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (copied("mine") / CARD).write_text("summary = [")
    assert default_model("vad").name == "vad"  # type: ignore[union-attr]
    assert call("vad", noisy_wav(elsewhere)) == ""
    assert "mine" not in caplog.text
    listed = call("models")
    assert "dn-small" in listed and "mine" not in listed
    assert "the model mine is damaged" in caplog.text
    with pytest.raises(EdgernnError, match="the model mine is damaged"):
        default_model("none such")


def test_a_model_s_folder_is_not_written_into(copied: Callable[[str], Path], elsewhere: Path) -> None:
    folder = copied("mine")
    assert "is only read" in call("export", "vad", "--out", folder / "c", code=2)
    assert not (folder / "c").exists()


def test_an_unknown_scheme_is_refused_as_such(elsewhere: Path) -> None:
    assert "unknown scheme 'int9'; known: int8, int8x16" in call("audit", "wake", ".", "--scheme", "int9", code=2)


def test_a_damaged_checkpoint_is_named(copied: Callable[[str], Path], elsewhere: Path) -> None:
    from edgernn.runs import run_checkpoint

    flip(copied("mine") / "model.safetensors")
    assert edgernn.load("mine").name == "vad"
    with pytest.raises(EdgernnError, match="the model mine is damaged"):
        run_checkpoint(Path("mine"))


def test_an_extension_brings_models_under_names_of_their_own(copied: Callable[[str], Path], elsewhere: Path) -> None:
    folder = copied("mine")
    assert model_folders()["mine"] == folder and "mine" in call("models")
    assert call("models", "mine", "--json")
    shutil.copytree(folder, folder.parent / "vad")
    assert "has the name of a model that comes along" in call("models", code=2)


def test_cards_are_shown_with_every_part() -> None:
    shown = call("models", "vad")
    card = read_card(OWN / "vad")
    for part in (card.summary, card.limits, "cortex-m55+mve", "LibriSpeech", card.made["command"], card.graph["id"][:12]):
        assert part in shown
    listed = call("models")
    assert all(c.name in listed and f"{c.graph['weight_bytes']:,}" in listed for c in CARDS) and "vad *" in listed


def test_the_notice_names_those_whose_sounds_were_learnt_from() -> None:
    notice = (ROOT / "NOTICE").read_text()
    for name in ("LibriSpeech", "ESC-10", "Kitchen20", "Blanket", "SpeechBrain", "Speech Commands"):
        assert name in notice
    if "EDGERNN_DATA" in os.environ:
        import csv

        with (Path(os.environ["EDGERNN_DATA"]) / "denoise/manifest.csv").open() as file:
            rows = [r for r in csv.DictReader(file) if r["kind"] == "noise" and r["split"] == "train"]
        numbers = {r["attribution"].rstrip("/").split("/")[-1].split()[-1] for r in rows if "CC-BY" in r["licence"]}
        assert len(numbers) > 50 and all(number in notice for number in numbers)
