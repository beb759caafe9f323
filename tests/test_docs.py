"""The pages: figures come from docs/results, links lead somewhere, commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fixture_runs import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "firmware_export").rglob("*.md")])


def test_pages_are_found() -> None:
    assert {"README.md", "SPEC.md", "DESIGN.md", "keyword-spotting.md", "exports.md", "importing.md", "denoising.md"} <= {
        p.name for p in PAGES
    }


def test_every_figure_is_the_one_measured() -> None:
    done = subprocess.run([sys.executable, "tools/readme.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_in_commands_exist(page: Path) -> None:
    """Every `edgernn VERB --option` of a page is one that the verb has."""
    from typer.main import get_command

    from edgernn.cli import app

    verbs = get_command(app).commands  # type: ignore[attr-defined]
    for verb, rest in re.findall(r"edgernn ([a-z]+)((?: [^`\n|&#]+)?)", page.read_text()):
        if verb in verbs:
            known = {name for parameter in verbs[verb].params for name in parameter.opts} | {"--help"}
            assert set(re.findall(r"(?<=\s)--[a-z-]+", rest)) <= known, (verb, rest)


def test_tools_named_in_pages_exist() -> None:
    for page in PAGES:
        for tool in re.findall(r"python (tools/\w+\.py)", page.read_text()):
            assert (ROOT / tool).is_file(), (page.name, tool)
