"""The architecture is one-way: these tests read every import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from fixture_runs import ROOT

PACKAGES = ("edgernn", "firmware_export", "targets")
HEAVY = {"torch", "tensorflow", "soundfile", "soxr", "unicorn", "ziglang", "sounddevice", "jinja2", "espeakng_loader",
         "onnx", "onnxruntime", "ai_edge_litert", "flatbuffers", "tflite_micro", "h5py", "matplotlib", "pesq",
         "pystoi", "speechmos"}  # fmt: skip

#: left of the graph: nobody here may import the graph or anything right of it
LEFT = ("qmath", "primitives", "audio", "features", "fft", "stft", "native", "hostcc", "artifacts", "errors", "decision",
        "recipe", "floatnet", "clips", "model", "train", "training", "cells", "data", "scoring")  # fmt: skip
#: the only files that may know torch at all
TORCH = {"edgernn/model.py", "edgernn/train.py", "edgernn/training.py", "edgernn/cells/_modules.py", "edgernn/denoise/model.py",
         "edgernn/denoise/train.py", "edgernn/denoise/losses.py"}  # fmt: skip
RIGHT = ("graph", "graph_checks", "runtimes", "simulate", "quantize", "firmware", "gate", "pipeline", "cli", "listening")
#: of the files in edgernn/denoise, those left of the graph; the others are right of it
LEFT_DENOISE = ("recipe", "floatnet", "model", "losses", "train")


def modules() -> list[Path]:
    found = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]
    assert len(found) > 40
    return found


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Full names of imported modules, `from a import b` giving both a and a.b; type-checking blocks do not run."""
    tree = ast.parse(path.read_text())
    skip = {id(n) for x in ast.walk(tree) if isinstance(x, ast.If) and "TYPE_CHECKING" in ast.dump(x.test) for n in ast.walk(x)}
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {node.module or ""} | {f"{node.module}.{a.name}" for a in node.names}
    return names


def area(name: str) -> str:
    """The part of edgernn that a module belongs to; a denoiser's file counts as the keyword spotter's of the same name."""
    parts = name.split(".")
    if parts[:2] == ["edgernn", "denoise"]:
        return parts[2] if len(parts) > 2 else ""
    return parts[1] if parts[0] == "edgernn" and len(parts) > 1 else ""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_imports_go_one_way(path: Path) -> None:
    where, own = imports(path), relative(path).removesuffix(".py").split("/")
    if own[0] == "targets":
        allowed = {"edgernn.errors", "edgernn.hostcc", "edgernn.artifacts"}
        foreign = {n for n in where if n.split(".")[0] in ("edgernn", "firmware_export")}
        assert {n for n in foreign if n != "edgernn" and not any(n.startswith(a) for a in allowed)} == set()
    if own[0] == "firmware_export":
        assert not {n for n in where if n.split(".")[0] == "targets"}, "firmware_export knows no board"
    denoise_left = own[:2] == ["edgernn", "denoise"] and own[-1] in LEFT_DENOISE
    if own[0] == "edgernn" and len(own) > 1 and (own[1] in LEFT or denoise_left):
        assert not {n for n in where if area(n) in RIGHT}, "left of the graph imports right of it"
        assert not {n for n in where if n.split(".")[0] in ("firmware_export", "targets")}


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_heavy_modules_are_imported_late(path: Path) -> None:
    if relative(path) in TORCH:
        return
    late = {n.split(".")[0] for n in imports(path, top_level_only=True)} & HEAVY
    assert not late, f"imported at the top of the file: {late}"


@pytest.mark.parametrize("path", modules(), ids=relative)
def test_torch_stays_in_training(path: Path) -> None:
    knows = any(n.split(".")[0] in ("torch", "tensorflow") for n in imports(path))
    in_cell_module = relative(path).startswith("edgernn/cells/")
    assert not knows or relative(path) in TORCH or in_cell_module


def test_backends_do_not_import_one_another() -> None:
    runtimes = {p.stem: imports(p) for p in (ROOT / "edgernn/runtimes").glob("*.py") if not p.stem.startswith("_")}
    assert {"numpy", "c"} <= set(runtimes)
    for name, where in runtimes.items():
        others = {f"edgernn.runtimes.{o}" for o in runtimes if o != name}
        assert not where & others


def test_functions_stay_short() -> None:
    """Nine in ten functions under 40 lines, none over 70."""
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(lengths) > 300
    assert sorted(lengths)[int(0.9 * len(lengths))] < 40
    assert max(lengths) <= 70


def test_the_project_speaks_of_itself_alone() -> None:
    """../shared is named in .ci/run and nowhere else."""
    texts = [p for p in ROOT.rglob("*") if p.suffix in (".py", ".md", ".toml", ".c", ".h", ".jinja") and ".venv" not in p.parts]
    found = [relative(p) for p in texts if "../" + "shared" in p.read_text() and p != Path(__file__)]
    assert found == []
