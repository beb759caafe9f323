"""The command line as a user meets it: real files in, tables and exit codes out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import ROOT, fixture_run, gate_fixture
from needs import need_module

from edgernn.signal.audio import write_wav


def edgernn(*arguments: object, cwd: Path | None = None, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "edgernn", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, timeout=300)


def ok(*arguments: object, cwd: Path | None = None, stdin: bytes | None = None) -> str:
    done = edgernn(*arguments, cwd=cwd, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def refused(*arguments: object, cwd: Path | None = None, stdin: bytes | None = None) -> str:
    """The one sentence of a refusal."""
    done = edgernn(*arguments, cwd=cwd, stdin=stdin)
    error = done.stderr.decode()
    assert done.returncode == 2, (done.returncode, error)
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, error
    return lines[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fixture_run(tmp_path_factory.mktemp("cli") / "run")
    ok("quantize", folder)
    return folder


def test_help_loads_no_heavy_module() -> None:
    code = (
        "import sys, edgernn.cli\n"
        "print([m for m in ('numpy', 'torch', 'soundfile', 'rich.table', 'jinja2', 'unicorn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("recipe", ["embedded", "wake-taught"])
def test_a_spotter_is_not_trained_without_pytorch_and_it_is_said(recipe: str, tmp_path: Path) -> None:
    """Before anything is spoken, teachers or none."""
    code = "import sys; sys.modules['torch'] = None; from edgernn.__main__ import main; main()"
    words = ["kws", "--keywords", "robin", "--recipe", recipe, "--out", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert (done.returncode, (tmp_path / "run").exists()) == (2, False), done.stderr
    assert "training needs PyTorch" in done.stderr and "edgernn[train]" in done.stderr and "Traceback" not in done.stderr


def test_every_verb_is_in_the_help_and_in_the_readme() -> None:
    from edgernn.cli import app

    verbs = [c.name or c.callback.__name__ for c in app.registered_commands if c.callback]
    assert len(verbs) >= 12
    help_text, readme = ok("--help"), (ROOT / "README.md").read_text()
    for verb in verbs:
        assert f"  {verb}" in help_text
        assert f"edgernn {verb}" in readme, f"README.md does not mention `edgernn {verb}`"
        assert ok(verb, "--help")


def test_quantize_reports_every_tensor(run: Path) -> None:
    result = json.loads(ok("quantize", run, "--scheme", "int8", "--json"))
    assert {t["name"] for t in result["tensors"]} >= {"conv0.y", "gru1.h_next", "logits"}
    assert Path(result["path"]).is_file()
    assert json.loads((run / "quantize-int8.json").read_text()) == result
    assert "SNR dB" in ok("quantize", run)


def test_simulate_compares_float_and_integer(run: Path) -> None:
    result = json.loads(ok("simulate", run, "--seconds", 70, "--json"))
    assert result["clips"]["float"]["clips"] == 48
    assert result["clips"]["integer"]["accuracy"] > 0.85
    assert result["clips"]["agreement"] > 0.95
    assert len(result["stream"]["minutes"]) == 2
    assert result["stream"]["whole"]["logits"] > 25
    assert result["runtime"] == "c"
    numpy = json.loads(ok("simulate", run, "--seconds", 20, "--runtime", "numpy", "--json"))
    assert numpy["clips"]["integer"] == result["clips"]["integer"]
    assert "agreement" in ok("simulate", run, "--seconds", 20)


def test_simulate_compares_runtimes(run: Path, recording: Path) -> None:
    result = json.loads(ok("simulate", run, "--compare", "c", "--seconds", 60, "--json"))
    assert [row["runtime"] for row in result["rows"]] == ["numpy", "c"]
    for row in result["rows"]:
        assert (row["differing"], row["events_differing"], row["first"], row["clips"]) == (0, 0, None, 48)
        assert row["entries"] > 48 * 25 * 50
    assert "entries differing" in ok("simulate", run, "--compare", "numpy", "--seconds", 20)
    heard = json.loads(ok("simulate", run, "--compare", "c", "--wav", recording, "--json"))["rows"]
    assert [row["steps"] for row in heard] == [48 * 25 + 145] * 2
    assert "--wav goes with --compare" in refused("simulate", run, "--wav", recording)
    assert "unknown runtime 'rust'" in refused("simulate", run, "--compare", "c,rust")


def test_export_build_run(run: Path, tmp_path: Path) -> None:
    files = json.loads(ok("export", run, "--out", tmp_path / "c", "--json"))["files"]
    assert {"kws.h", "ern_net.c", "kws_main.c"} <= {Path(f).name for f in files}
    built = json.loads(ok("build", run, "--json"))
    assert 5000 < built["flash_bytes"] < 20000
    emulated = json.loads(ok("run", run, "--json"))
    assert emulated["bits_differing"] == 0
    assert emulated["graph"] == built["graph"]
    assert "bits differing" in ok("run", run / "graph-int8x16.ern", "--board", "microbit")


def test_exports_are_inspected_and_agree(run: Path, tmp_path: Path) -> None:
    need_module("tflite_micro")
    ok("export", run, "--format", "tflite")
    result = json.loads(ok("export", run, "--format", "onnx", "--qdq", "--json"))
    assert set(result["bytes"]) == {"model.onnx", "model_float.onnx", "model_qdq.onnx"}
    assert result["qdq_snr_db"]["as_written"] > 20
    files = [run / "graph-int8x16.ern", run / "tflite/kws.tflite", run / "onnx/model.onnx"]
    found = json.loads(ok("inspect", *files, "--json"))
    assert {f["graph_id"] for f in found.values()} == {result["graph"]}
    assert "CONV_2D" in ok("inspect", files[1])
    ok("quantize", run, "--scheme", "int8")
    assert "different graphs" in refused("inspect", files[1], run / "graph-int8.ern")
    compared = json.loads(ok("simulate", run, "--compare", "c,litert,tflm,onnx", "--seconds", 20, "--json"))["rows"]
    assert [(row["runtime"], row["differing"]) for row in compared[1:]] == [("c", 0), ("litert", 0), ("tflm", 0), ("onnx", 0)]
    assert compared[3]["arena_bytes"] > 1000
    clip = ok("export", run, "--format", "tflite", "--clip", "--out", tmp_path / "clip")
    assert "unrolled" in clip and "TFLM arena" in clip
    assert "--qdq belongs to --format onnx" in refused("export", run, "--qdq")
    assert "--stateful belongs to --format tflite" in refused("export", run, "--format", "onnx", "--stateful")


def test_import_and_go_on(run: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    lines = ['name = "mine"', "[data]", f"keywords = {json.dumps(list(gate_fixture.MELODIES))}", "[frontend]", "bands = 20"]
    (tmp_path / "mine.toml").write_text("\n".join(lines))
    net = torch.nn.ModuleDict({"gru": torch.nn.GRU(20, 12), "fc": torch.nn.Linear(12, 5)})
    torch.save(net.state_dict(), tmp_path / "mine.pt")
    mine = tmp_path / "mine"
    arguments = ["--recipe", tmp_path / "mine.toml", "--labels", "rise,fall,hill,unknown,silence"]
    assert "gru" in ok("import", tmp_path / "mine.pt", mine, *arguments)
    shutil.copytree(run / "data", mine / "data")
    ok("quantize", mine)
    assert json.loads(ok("simulate", mine, "--seconds", 20, "--json"))["clips"]["agreement"] > 0.5
    assert "5 outputs" in refused("import", tmp_path / "mine.pt", tmp_path / "x", *arguments[:2], "--labels", "rise,fall")
    assert not (tmp_path / "x").exists()


def test_boards() -> None:
    names = {row["name"] for row in json.loads(ok("boards", "--json"))}
    assert {"microbit", "mps2-an386", "riscv32-virt"} <= names
    assert "cortex-m0" in ok("boards")


def melody(word: str, seed: int, gap: float = 1.0) -> list[np.ndarray]:
    return [np.zeros(round(16000 * gap), np.int16), gate_fixture.whistle(gate_fixture.MELODIES[word], seed)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three words at 1.6, 3.2 and 4.8 s."""
    parts = [p for word in ("rise", "fall", "hill") for p in melody(word, 1000)]
    path = tmp_path_factory.mktemp("wav") / "three.wav"
    write_wav(path, np.concatenate([*parts, np.zeros(16000, np.int16)]))
    return path


def test_detect_from_file_and_pipe(run: Path, recording: Path) -> None:
    lines = ok("detect", recording, "--graph", run, "--json", "--threshold", 0.5).splitlines()
    found = [json.loads(line) for line in lines]
    for label, time_s in (("rise", 1.6), ("fall", 3.2), ("hill", 4.8)):
        assert any(f["label"] == label and abs(f["time_s"] - time_s) < 0.5 for f in found), (label, found)
    assert [f["time_s"] for f in found] == sorted(f["time_s"] for f in found)
    raw = recording.read_bytes()[44:]
    piped = ok("detect", "-", "--graph", run, "--json", "--threshold", 0.5, stdin=raw)
    assert piped.splitlines() == lines


def test_detect_at_another_rate_and_with_two_channels(run: Path, recording: Path, tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    pcm = np.frombuffer(recording.read_bytes()[44:], np.int16)
    stereo = np.repeat(np.repeat(pcm, 3)[:, None], 2, axis=1)
    soundfile.write(tmp_path / "stereo48.flac", stereo, 48000)
    found = ok("detect", tmp_path / "stereo48.flac", "--graph", run, "--json", "--threshold", 0.5).splitlines()
    assert {"rise", "fall", "hill"} <= {json.loads(line)["label"] for line in found}


def test_record_from_a_file(recording: Path, tmp_path: Path) -> None:
    out = ok("record", "--label", "rise", "--out", tmp_path, "--count", 3, "--from", recording).split()
    assert [Path(p).name for p in out] == ["me_000.wav", "me_001.wav", "me_002.wav"]
    again = ok("record", "--label", "rise", "--out", tmp_path, "--count", 1, "--from", recording).split()
    assert [Path(p).name for p in again] == ["me_003.wav"]
    assert "cannot name a folder" in refused("record", "--label", "../x", "--from", recording)


def test_check_gates(run: Path, tmp_path: Path) -> None:
    ok("simulate", run, "--seconds", 20)
    ok("run", run)
    baseline = tmp_path / "baseline.json"
    ok("check", run, "--baseline", baseline, "--update")
    assert edgernn("check", run, "--baseline", baseline).returncode == 0
    original = json.loads(baseline.read_text())

    def outcome(part: str, key: str, value: object) -> subprocess.CompletedProcess[bytes]:
        changed = {**original, "outcomes": {}, part: {**original[part], key: value}}
        baseline.write_text(json.dumps(changed))
        return edgernn("check", run, "--baseline", baseline)

    for metric, factor in (
        ("int8x16.int8_accuracy", 1.02), ("int8x16.agreement", 1.02), ("mps2-an386.flash_bytes", 0.98),
        ("mps2-an386.ram_bytes", 0.999), ("mps2-an386.instructions_per_step", 0.98),
    ):  # fmt: skip
        worse = outcome("metrics", metric, original["metrics"][metric] * factor)
        assert worse.returncode == 1
        assert [line for line in worse.stdout.decode().splitlines() if metric in line and "WORSE" in line]
        better = outcome("metrics", metric, original["metrics"][metric] / factor)
        assert better.returncode == 0
    gone = outcome("metrics", "gone.flash_bytes", 1)
    assert gone.returncode == 2
    assert "MISSING" in gone.stdout.decode()
    for key in ("int8x16.test_set", "mps2-an386.compiler"):
        cannot_tell = outcome("context", key, "another")
        assert cannot_tell.returncode == 2
        assert "cannot tell" in cannot_tell.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quantize", "nowhere"], "no checkpoint at nowhere"),
        (["simulate", "nowhere"], "not a run folder"),
        (["train", "nowhere"], "not a run folder"),
        (["export", "nowhere.ern"], "not a run folder"),
        (["data", "x", "--recipe", "nothing"], "no recipe 'nothing': neither a file nor one of demo"),
        (["detect", "x.wav"], "x.wav is not a file"),
        (["detect"], "exactly one of them"),
        (["check", "nowhere"], "cannot read baseline.json"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], message: str, tmp_path: Path) -> None:
    assert message in refused(*arguments, cwd=tmp_path)
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_bad_input_on_a_real_run(run: Path, recording: Path, tmp_path: Path) -> None:
    graph = run / "graph-int8x16.ern"
    cut = tmp_path / "cut.ern"
    cut.write_bytes(graph.read_bytes()[:5000])
    assert "damaged" in refused("detect", recording, "--graph", cut)
    (tmp_path / "broken.wav").write_bytes(recording.read_bytes()[:3000])
    assert "broken.wav" in refused("detect", tmp_path / "broken.wav", "--graph", graph)
    (tmp_path / "text.wav").write_text("not audio")
    assert "text.wav" in refused("detect", tmp_path / "text.wav", "--graph", graph)
    assert "unknown scheme 'int4'" in refused("quantize", run, "--scheme", "int4")
    assert "no graph at" in refused("export", run, "--scheme", "int4")
    assert "nosuchboard" in refused("build", run, "--board", "nosuchboard")
    assert "unknown runtime 'rust'" in refused("simulate", run, "--runtime", "rust")
    assert "unknown export format 'exe'" in refused("export", run, "--format", "exe")
    assert "prefix '9x'" in refused("export", run, "--prefix", "9x", "--out", tmp_path / "c")
    assert "threshold 2.0" in refused("detect", recording, "--graph", graph, "--threshold", 2)
    assert "unknown split" in refused("simulate", run, "--split", "exam")
    assert not (tmp_path / "c").exists()


def test_recipe_mistakes_are_all_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        'nmae = "x"\n[train]\nepochs = "many"\nlerning_rate = 1.0\n[frontend]\nhop = 5000\n'
        '[[layers]]\ncell = "gur"\n[[layers]]\ncell = "gru"\nunit = 3\n'
    )
    message = refused("data", tmp_path / "run", "--recipe", tmp_path / "r.toml")
    for part in (
        "unknown key nmae, did you mean name?",
        "train.epochs = 'many' must be an integer",
        "unknown key train.lerning_rate, did you mean learning_rate?",
        "layers[0].cell = 'gur' is unknown, known: ",
        "unknown key layers[1].unit, did you mean units?",
        "layers[1].units is missing",
    ):
        assert part in message
    assert not (tmp_path / "run").exists()


def test_missing_environment_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGERNN_DATA", raising=False)
    assert "EDGERNN_DATA" in refused("data", tmp_path / "run", "--recipe", "sc12-20k")


def test_another_recipe_in_the_same_folder_is_refused(run: Path) -> None:
    assert "holds a run of another recipe" in refused("data", run, "--recipe", "demo")
    assert "holds a run of another recipe" in refused("data", run, "--seed", 3)
