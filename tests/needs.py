"""What a test may need from the machine: absent, it skips by name, or fails where CI is "true"."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest


def _absent(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def need_module(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        _absent(f"Python module {name}")


def need_recordings() -> Path:
    """The folder of real recordings named by EDGERNN_DATA (kws/manifest.csv, denoise/manifest.csv)."""
    folder = Path(os.environ.get("EDGERNN_DATA", "/nonexistent"))
    if not (folder / "kws" / "manifest.csv").is_file():
        pytest.skip("EDGERNN_DATA (folder of recordings) is not set")
    return folder
