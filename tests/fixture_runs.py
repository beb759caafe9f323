"""A run folder with the gate's committed checkpoint: everything after training can be tested on it in seconds."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
import gate_fixture  # noqa: E402  tools/ is no package

__all__ = ["ROOT", "fixture_run", "gate_fixture"]


def fixture_run(folder: Path) -> Path:
    """Recipe, dataset and float checkpoint in `folder`."""
    gate_fixture.prepare(folder)
    shutil.copy(gate_fixture.FIXTURE / "model.safetensors", folder / "model.safetensors")
    return folder
