"""The wheel in a bare environment: no torch, no audio libraries, run from an empty folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import ROOT, fixture_run
from needs import need_module

from edgernn.signal.audio import read_audio, write_wav


def call(*command: object, cwd: Path) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `edgernn` program of a fresh environment that holds the wheel and what the core needs."""
    if os.environ.get("CI") != "true":
        pytest.skip("installs from the package index; set CI=true to run it")
    need_module("setuptools")
    folder = tmp_path_factory.mktemp("install")
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, cwd=folder)
    call(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    call(folder / "venv/bin/pip", "install", "--quiet", next(folder.glob("*.whl")), cwd=folder)
    return folder / "venv/bin/edgernn"


def test_core_without_torch_quantizes_simulates_exports_builds(bare: Path, tmp_path: Path) -> None:
    missing = "import importlib.util as u; print([m for m in ('torch', 'soundfile', 'unicorn') if u.find_spec(m)])"
    assert call(bare.parent / "python", "-c", missing, cwd=tmp_path) == "[]\n"
    run = fixture_run(tmp_path / "run")
    call(bare, "quantize", run, cwd=tmp_path)
    simulated = json.loads(call(bare, "simulate", run, "--seconds", 20, "--json", cwd=tmp_path))
    assert simulated["clips"]["agreement"] > 0.95
    call(bare, "export", run, cwd=tmp_path)
    assert "idf_component.yml" in call(bare, "export", run, "--package", "esp-idf", cwd=tmp_path)
    assert (run / "c/kws.h").is_file()
    assert json.loads(call(bare, "build", run, "--board", "microbit", "--json", cwd=tmp_path))["flash_bytes"] > 5000
    write_wav(tmp_path / "quiet.wav", np.zeros(16000, np.int16))
    assert call(bare, "detect", "quiet.wav", "--graph", run, cwd=tmp_path) == ""


def test_models_come_along_and_work_with_numpy_alone(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One command each from the installed wheel, where no compiler is found either: detections, and cleaner sound."""
    assert next(bare.parents[2].glob("*.whl")).stat().st_size < 4_000_000
    monkeypatch.setenv("PATH", str(bare.parent))
    for variable in ("CC", "EDGERNN_EXTENSIONS"):
        monkeypatch.delenv(variable, raising=False)
    noise = np.random.default_rng(0).normal(scale=800, size=32000).astype(np.int16)
    write_wav(tmp_path / "noisy.wav", noise)
    names = {card["name"] for card in json.loads(call(bare, "models", "--json", cwd=tmp_path))}
    assert {"vad", "dn-small"} <= names
    call(bare, "denoise", "noisy.wav", "clean.wav", cwd=tmp_path)
    assert read_audio(tmp_path / "clean.wav")[8000:].std() < 0.3 * noise.std()
    assert call(bare, "vad", "noisy.wav", cwd=tmp_path) == ""


def test_training_without_torch_says_what_to_install(bare: Path, tmp_path: Path) -> None:
    run = fixture_run(tmp_path / "run")
    done = subprocess.run([str(bare), "train", str(run)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'edgernn[train]'" in done.stderr
