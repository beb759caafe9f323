"""What a machine and a user can break: full disks, closed pipes, locales, leftovers, two processes at once."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fixture_runs import ROOT, fixture_run

from edgernn import artifacts, hostcc, pipeline, runs, show
from edgernn.console import _table_text
from edgernn.errors import EdgernnError, needs_extra
from edgernn.signal.audio import write_wav
from edgernn.tasks.base import Question

PACKAGES = ("edgernn", "targets", "firmware_export", "tools")


def edgernn(*arguments: object, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "edgernn", *map(str, arguments)]
    return subprocess.run(command, **{"capture_output": True, "timeout": 300, **options})


def sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """The one sentence of a refusal with exit code 2."""
    said = done.stderr.decode(errors="replace")
    assert done.returncode == 2, (done.returncode, said)
    assert "Traceback" not in said and "Exception ignored" not in said
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, said
    return lines[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = fixture_run(tmp_path_factory.mktemp("robust") / "run")
    pipeline.quantize_model(folder, "int8")
    return folder


# Pipes ---------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["boards"], ["boards", "--json"], ["--help"], ["train", "--help"], ["--version"]])
def test_a_closed_pipe_is_no_failure(arguments: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = edgernn(*arguments, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_failed_check_fails_though_nobody_reads_it(tmp_path: Path) -> None:
    from test_gate import results, write

    from edgernn import gate

    folder = write(tmp_path / "run", results())
    baseline = gate.write_baseline(folder, tmp_path / "baseline.json")
    worse = results()
    worse["run-microbit"]["bits_differing"] = 1
    write(folder, worse)
    reader, writer = os.pipe()
    os.close(reader)
    done = edgernn("check", folder, "--baseline", baseline, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


# Disks ---------------------------------------------------------------------------


def small_files(size: int) -> Callable[[], None]:
    """A disk that takes no file of more than so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_output_on_a_full_device() -> None:
    with Path("/dev/full").open("wb") as full:
        assert "No space left" in sentence(edgernn("boards", capture_output=False, stdout=full, stderr=subprocess.PIPE))


@pytest.mark.parametrize(
    ("verb", "options"), [("quantize", ["--scheme", "int8x16"]), ("export", []), ("build", ["--board", "microbit"])]
)
def test_a_full_disk_is_a_sentence_and_leaves_nothing(run: Path, tmp_path: Path, verb: str, options: list[str]) -> None:
    if verb == "quantize":
        where, out = fixture_run(tmp_path / "run"), []
    else:
        where, out = run, ["--scheme", "int8", *(["--out", str(tmp_path / "c")] if verb == "export" else [])]
    before = sorted(p for p in where.rglob("*"))
    arguments = [
        verb,
        str(where),
        *options,
        *([] if out == ["--"] else out),
        "--scheme",
        "int8" if verb != "quantize" else "int8x16",
    ]
    environment = {**os.environ, "EDGERNN_CACHE": str(tmp_path / "cache")}
    said = sentence(edgernn(*arguments, preexec_fn=small_files(4096), env=environment))
    assert "File too large" in said or "cannot write" in said or "failed" in said
    after = [p for p in where.rglob("*") if p not in before and not (p.is_dir() and verb == "build")]
    assert after == [] and not (tmp_path / "c").exists()


def test_sound_on_a_full_disk(tmp_path: Path) -> None:
    sound = tmp_path / "in.wav"
    write_wav(sound, np.random.default_rng(0).integers(-9000, 9000, 48000).astype(np.int16))
    graph = ROOT / "tests" / "fixtures" / "old" / "sound.ern"
    environment = {**os.environ, "EDGERNN_CACHE": str(tmp_path / "cache")}
    for arguments in (["denoise", sound, tmp_path / "out.wav"], ["denoise", sound, "/dev/full"]):
        edgernn(*arguments[:2], tmp_path / "warm.wav", "--graph", graph, env=environment)  # compiled before the disk is full
        done = edgernn(*arguments, "--graph", graph, env=environment, preexec_fn=small_files(8192))
        assert "cannot write" in sentence(done)
    record = edgernn("record", "--label", "yes", "--out", tmp_path / "r", "--from", sound, preexec_fn=small_files(8192))
    assert "cannot write" in sentence(record)
    assert not (tmp_path / "out.wav").exists() and not (tmp_path / "r").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")] and Path("/dev/full").is_char_device()


def test_simulate_on_a_full_disk(tmp_path: Path) -> None:
    folder = fixture_run(tmp_path / "run")
    pipeline.quantize_model(folder, "int8x16")
    before = sorted(folder.iterdir())
    assert "cannot write" in sentence(
        edgernn("simulate", folder, "--seconds", 5, "--runtime", "numpy", preexec_fn=small_files(512))
    )
    assert sorted(folder.iterdir()) == before
    assert edgernn("simulate", folder, "--seconds", "nan").returncode == 2
    with pytest.raises(EdgernnError, match="seconds = nan"):
        Question(seconds=float("nan"))


def test_torch_on_a_full_disk(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    folder = fixture_run(tmp_path / "run")
    said = sentence(edgernn("train", folder, "--device", "cpu", preexec_fn=small_files(9000)))
    assert "cannot write" in said
    assert [p.name for p in folder.rglob("*") if p.name.startswith(".")] == []


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    """Written as it is, not replaced by a file: as root that would take /dev/null away from everybody."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    handle = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    artifacts.write_bytes(fifo, b"x")
    assert fifo.is_fifo() and os.read(handle, 10) == b"x"
    os.close(handle)


def test_nothing_is_written_unless_all_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "in").touch()
    with pytest.raises(EdgernnError, match="folder"):
        artifacts.write_all({tmp_path / "new" / "a": b"1", tmp_path / "folder" / "in" / "b": b"2"})
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["folder", "in"]


def test_leftovers_of_a_killed_writer_go_and_those_at_work_stay(tmp_path: Path) -> None:
    target = tmp_path / "model.ern"
    code = "import os, sys\nfrom pathlib import Path\nfrom edgernn.artifacts import replacing\n"
    code += "with replacing(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (tmp_path / ".model.ern.abcd_123").touch()  # as they were called before
    other = tmp_path / ".model.ern.notes"
    other.touch()
    assert len(list(tmp_path.iterdir())) == 3
    with artifacts.replacing(target) as first:
        artifacts.write_bytes(target, b"second")
        assert first.exists()
        first.write_bytes(b"first")
    assert target.read_bytes() == b"first"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".model.ern.notes", "model.ern"]


def test_an_unwritable_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path / "file"))
    found = hostcc.cache_dir()
    assert found.is_dir() and found != tmp_path / "file" and hostcc.cache_dir() == found
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path / "new"))
    assert hostcc.cache_dir() == tmp_path / "new"


# Run folders ---------------------------------------------------------------------------


def test_a_run_folder_takes_one_process_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(EdgernnError, match="another edgernn is working in"):
        pipeline.train_model(folder, lambda *_: None)
    os.close(handle)  # as the system does for a killed process
    with runs.locked(folder), runs.locked(folder), pytest.raises(EdgernnError, match="not a run folder"):
        pipeline.train_model(folder, lambda *_: None)
    assert list(folder.iterdir()) == []


def test_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "fcntl", None)
    with runs.locked(tmp_path):
        artifacts.write_bytes(tmp_path / "a", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_failed_data_claims_no_folder(tmp_path: Path) -> None:
    text = 'name = "x"\n[data]\nkeywords = ["a"]\n[[data.sources]]\nkind = "folder"\npath = "nowhere"\n'
    text += '[[layers]]\ncell = "gru"\nunits = 4\n'
    (tmp_path / "r.toml").write_text(text, encoding="utf-8")
    sentence(edgernn("data", tmp_path / "a" / "run", "--recipe", tmp_path / "r.toml"))
    assert [p.name for p in tmp_path.iterdir()] == ["r.toml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "tpu9"], "device 'tpu9' cannot be used here"),
        (["--device", "meta"], "device 'meta' cannot be used here"),
        (["--epochs", "0"], "train.epochs = 0"),
        (["--epochs", "1000000000000"], "train.epochs"),
        (["--seed", "99999999999999"], "seed ="),
        (["--board", "none"], "none"),
        (["--board", "../../x.toml"], "x.toml"),
        (["--keywords", ""], "--keywords '' names no word"),
        (["--keywords", " , "], "names no word"),
        (["--keywords", "a\nb"], "data.keywords = 'a\\nb'"),
        (["--recipe", "demo", "--teacher", "nowhere"], "nowhere"),
    ],
)
def test_options_are_checked_before_anything_is_spent(arguments: list[str], message: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    begin = time.monotonic()
    assert message in sentence(edgernn("kws", "--out", tmp_path / "run", *arguments, cwd=tmp_path))
    assert not (tmp_path / "run").exists() and time.monotonic() - begin < 60


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "", ".", "..", ".x", "a\0b", "a\nb", " a", "x" * 300, "a\\b"])
def test_names_of_files_stay_in_their_folder(name: str, tmp_path: Path) -> None:
    from edgernn.tasks.spot.listening import record
    from targets import load_board

    for label, speaker in ((name, "me"), ("yes", name)):
        with pytest.raises(EdgernnError, match="cannot name a folder or a file"):
            list(record(label, tmp_path / "out", 1, 1.0, speaker, "-"))
    text = (ROOT / "targets" / "boards" / "microbit.toml").read_text(encoding="utf-8")
    for key in ("name", "family"):
        lines = [f"{key} = {json.dumps(name)}" if x.startswith(f"{key} ") else x for x in text.splitlines()]
        (tmp_path / "board.toml").write_text("\n".join(lines), encoding="utf-8")
        with pytest.raises(EdgernnError, match=f"{key} = |Cannot read"):
            load_board(tmp_path / "board.toml")
    assert [p.name for p in tmp_path.iterdir()] == ["board.toml"]


# Locales ---------------------------------------------------------------------------

BARE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_another_locale(tmp_path: Path) -> None:
    text = '\ufeffname = "größe"\n[data]\nkeywords = ["größe", "привет"]\n[[data.sources]]\nkind = "folder"\npath = "grün"\n'
    (tmp_path / "rücken.toml").write_text(text + '[[layers]]\ncell = "gru"\nunits = 4\n', encoding="utf-8")
    environment = {**os.environ, **BARE}
    said = sentence(edgernn("data", tmp_path / "läufer", "--recipe", tmp_path / "rücken.toml", env=environment))
    assert "grün" in said and "does not exist" in said


def test_verbs_in_another_locale(run: Path, tmp_path: Path) -> None:
    environment = {**os.environ, **BARE}
    folder = tmp_path / "größe"
    folder.mkdir()
    (folder / "ü.ern").write_bytes((run / "graph-int8.ern").read_bytes())
    for arguments in (["inspect", folder / "ü.ern"], ["export", folder / "ü.ern", "--out", folder / "ç"], ["boards"]):
        done = edgernn(*arguments, env=environment)
        assert done.returncode == 0, done.stderr
    assert "größe" in edgernn("export", folder / "ü.ern", env=environment).stdout.decode("utf-8")
    odd = os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.ern")
    Path(odd).write_bytes((run / "graph-int8.ern").read_bytes())
    assert b"\xff\xfe.ern" in edgernn("inspect", odd).stdout
    assert b"\xff\xfe.ern" in edgernn("inspect", odd, env=environment).stdout
    assert "nowhere" in sentence(edgernn("inspect", os.fsdecode(b"\xffnowhere"), env=environment))


def test_every_text_file_names_its_encoding() -> None:
    """A locale's own would make a recipe of one machine unreadable on another."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _opens_text(node)
    ]
    assert found == []


def _opens_text(call: ast.Call) -> bool:
    """Whether a call opens text in whatever encoding the machine has."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""
    owner = call.func.value.id if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) else ""
    named = {k.arg: k.value for k in call.keywords}
    given = [x for a in (*call.args, *named.values()) for x in ast.walk(a)]
    plain = [x.value for x in given if isinstance(x, ast.Constant)]
    if name in ("read_text", "write_text") and owner != "artifacts":
        return "encoding" not in named and "utf-8" not in plain and len(call.args) < (1 if name == "read_text" else 2)
    if name in ("run", "Popen", "check_output") and owner == "subprocess":
        return ("text" in named or "universal_newlines" in named) and "encoding" not in named
    if name in ("TemporaryFile", "NamedTemporaryFile"):
        return "encoding" not in named and any(isinstance(x, str) and x[:1] in "rwa" and "b" not in x for x in plain)
    if name == "open" and owner not in ("os", "wave", "tarfile", "soundfile", "request"):
        return "encoding" not in named and not any(isinstance(x, str) and "b" in x and len(x) <= 3 for x in plain)
    return False


# Words ---------------------------------------------------------------------------


def test_extras_are_quoted_and_work_from_a_checkout() -> None:
    said = str(needs_extra("live sound needs sounddevice", "live", "no module"))
    assert (
        said
        == "live sound needs sounddevice (no module): pip install 'edgernn[live]', or in a checkout pip install -e '.[live]'"
    )
    loose = [
        f"{path.relative_to(ROOT)}"
        for path in sorted((ROOT / "edgernn").rglob("*.py"))
        if path.name != "errors.py" and "edgernn[" in path.read_text(encoding="utf-8")
    ]
    assert loose == []


def test_no_name_in_a_table_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    long = [f"{'layer_of_some_length_' * 2}{i}.weight" for i in range(3)]
    table = show.Table(
        "graph " + "ab" * 32, ["tensor", "file", "[markup]"], [[x, f"/home/somebody/{x}", "[red]1"] for x in long]
    )
    monkeypatch.setenv("TERM", "dumb")
    text = _table_text(table)
    assert all(x in text.split() and f"/home/somebody/{x}" in text.split() for x in long)
    assert "ab" * 32 in text and "[red]1" in text and "[markup]" in text
    narrow = _table_text(show.Table("boards", ["name", "what"], [["mps2-an386", "words " * 30]]))
    assert "mps2-an386" in narrow and max(map(len, narrow.splitlines())) <= 80


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"rows": 5}', b"nan"])
def test_damaged_json_of_a_run_folder(tmp_path: Path, data: bytes) -> None:
    folder = fixture_run(tmp_path / "run")
    for name in ("data/index.json", "recipe.json"):
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(data)
        with pytest.raises(EdgernnError):
            pipeline.train_model(folder, lambda *_: None)
        (folder / name).write_bytes(kept)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"\x80\x02.", b"x" * 1000])
def test_damaged_progress(tmp_path: Path, data: bytes) -> None:
    pytest.importorskip("torch")
    folder = fixture_run(tmp_path / "run")
    (folder / runs.PROGRESS).write_bytes(data)
    with pytest.raises(EdgernnError, match=r"progress.pt is damaged"):
        pipeline.train_model(folder, lambda *_: None, "cpu")


@pytest.mark.parametrize("verb", ["--version", "--help"])
def test_help_on_a_full_disk_is_a_sentence(verb: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "edgernn", verb], stdout=full, stderr=subprocess.PIPE, text=True)
    assert "Traceback" not in done.stderr and done.returncode == 2, done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_stream_is_no_traceback(closed: str) -> None:
    done = subprocess.run(f"{sys.executable} -m edgernn --version {closed}", shell=True, capture_output=True, text=True)
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    "line", ["task = {}", "[frontend]\nbands = {}", "frontend = {}", "[[layers]]\ncell = {}", "[augment]\nspeed = {}"]
)
def test_numbers_of_thousands_of_digits_are_a_sentence(line: str, tmp_path: Path) -> None:
    from edgernn.runs import find_recipe

    (tmp_path / "r.toml").write_text(line.format("0x" + "f" * 4000) + "\n")
    with pytest.raises(EdgernnError):
        find_recipe(str(tmp_path / "r.toml"))
