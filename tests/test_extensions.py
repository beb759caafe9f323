"""A task, a cell, a data source, a runtime and a board from a folder outside go through the verbs."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from needs import need_module

from targets import available_toolchains, load_board, usable_emulators
from targets.linux_board import available, load_linux_board

EXTENSION = Path(__file__).parent / "extension"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension in a temporary folder; nothing in it knows where the project lies."""
    folder = tmp_path_factory.mktemp("outside") / "extension"
    shutil.copytree(EXTENSION, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def edgernn(outside: Path | str, *args: object, code: int = 0) -> str:
    environment = {**os.environ, "EDGERNN_EXTENSIONS": str(outside)}
    done = subprocess.run(
        [sys.executable, "-m", "edgernn", *map(str, args)], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr[-2000:]
    return done.stdout if code == 0 else done.stderr


def test_everything_from_outside_goes_through_the_verbs(outside: Path, tmp_path: Path) -> None:
    need_module("torch")
    board = load_board("mps2-an386")
    if os.environ.get("CI") != "true" and not (available_toolchains(board) and usable_emulators(board)):
        pytest.skip("no compiler or emulator for a Cortex-M4")
    run = tmp_path / "run"
    assert "beep-train" in edgernn(outside, "--help")
    assert "--loudness" in edgernn(outside, "train", "--help")
    summary = json.loads(edgernn(outside, "beep-train", "--out", run, "--board", "bench-m4", "--json"))
    assert summary["right"]["integer"] > 0.9
    assert [(b["board"], b["bits_differing"]) for b in summary["boards"]] == [("bench-m4", 0)]
    assert (run / "c/beep.h").is_file()
    assert "echo0" in (run / "quantize-int8x16.json").read_text()
    rows = json.loads(edgernn(outside, "simulate", run, "--compare", "copycat,c", "--json"))["rows"]
    assert [(row["runtime"], row["differing"]) for row in rows] == [("numpy", 0), ("copycat", 0), ("c", 0)]
    assert "graph" in edgernn(outside, "inspect", run / "graph-int8x16.ern")
    if platform.machine() == "x86_64" and available(load_linux_board("linux-x86_64"))[0]:
        made = json.loads(edgernn(outside, "build", run, "--board", "linux-x86_64", "--json"))["programs"][0]["file"]
        assert "self-test ok" in subprocess.run([made, "--self-test"], capture_output=True, text=True).stdout
    edgernn(outside, "export", run, "--format", "onnx")
    edgernn(outside, "export", run, "--format", "tflite")
    edgernn(outside, "check", run, "--baseline", tmp_path / "b.json", "--update")
    assert "int8_right" in edgernn(outside, "check", run, "--baseline", tmp_path / "b.json")
    said = edgernn(outside, "train", run, "--start", run, code=2)
    assert "--start of `edgernn train` belongs to a denoiser; this is a beep detector, leave it out" in said
    assert "--loudness 2 must lie in 0..1" in edgernn(outside, "train", run, "--loudness", 2, code=2)


def test_without_the_folder_nothing_of_it_is_known(outside: Path, tmp_path: Path) -> None:
    assert "beep" not in edgernn("", "--help")
    assert "no recipe 'beeps'" in edgernn("", "data", tmp_path / "x", "--recipe", "beeps", code=2)
    assert "bench-m4" in edgernn(outside, "boards")
    assert "bench-m4" not in edgernn("", "boards")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert f"EDGERNN_EXTENSIONS names {tmp_path / 'gone'}, which is no folder" in edgernn(tmp_path / "gone", "boards", code=2)


@pytest.mark.parametrize(
    ("path", "args"), [("tasks/beep/__init__.py", ["--help"]), ("cells/echo.py", ["beep-train", "--out", "run"])]
)
def test_an_extension_that_does_not_load_is_one_sentence(path: str, args: list[str], outside: Path, tmp_path: Path) -> None:
    broken = tmp_path / "extension"
    shutil.copytree(outside, broken)
    (broken / path).write_text("from nowhere_at_all import nothing\n")
    said = edgernn(broken, *args, code=2)
    assert f"the extension {broken / path} does not load" in said and "nowhere_at_all" in said
    assert "Traceback" not in said
