"""The tool that plants faults: it must tell a survivor, a broken entry and a noticed fault apart; and its list is current."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fixture_runs import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import mutants

CODE = "LIMIT = 5\n\n\ndef fits(x):\n    return x <= LIMIT\n\n\ndef double(x):\n    return 2 * x\n"
TESTS = """\
import pytest
from thing import double, fits


@pytest.mark.parametrize("x", [5, 6])
def test_fits(x):
    assert fits(x) == (x == 5)


def test_double():
    assert double(0) == 0


def test_wrong():
    assert double(1) == 3


@pytest.mark.skip
def test_skipped():
    assert double(1) == 2
"""
ENTRY = """\
[[mutant]]
file = "{}"
old = "{}"
new = "{}"
tests = ["{}"]
"""


def tried(
    folder: Path, capsys: pytest.CaptureFixture[str], entries: list[tuple[str, str, str, str]], *more: str
) -> tuple[int, str]:
    """Exit code and output of the tool over a tree of one module, one test file and these entries."""
    for name, text in (("thing.py", CODE), ("tests/test_thing.py", TESTS)):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "tools").mkdir()
    (folder / mutants.LIST).write_text("".join(ENTRY.format(*entry) for entry in entries))
    code = mutants.main(["--root", str(folder), *more])
    assert (folder / "thing.py").read_text() == CODE, "the tree itself is never touched"
    return code, capsys.readouterr().out


NOTICED = ("thing.py", "x <= LIMIT", "x < LIMIT", "tests/test_thing.py::test_fits")
MISSED = ("thing.py", "2 * x", "3 * x", "tests/test_thing.py::test_double")


def test_a_noticed_fault_is_killed_and_a_survivor_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = tried(tmp_path, capsys, [NOTICED, MISSED])
    assert code == 1
    assert "killed thing.py: x <= LIMIT -> x < LIMIT" in said
    assert "SURVIVED thing.py: 2 * x -> 3 * x\n    not noticed by tests/test_thing.py::test_double" in said
    assert said.endswith("1 SURVIVED, 1 killed\n")


def test_all_noticed_is_the_only_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tried(tmp_path, capsys, [NOTICED])[0] == 0
    assert mutants.main(["--root", str(tmp_path), "--only", "nothing like it"]) == 2, "nothing tried is no success"
    assert mutants.main(["--root", str(tmp_path), "--minutes", "1e-9"]) == 2
    assert "1 not begun" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (("thing.py", "x >= LIMIT", "x", "tests/test_thing.py"), "stands 0 times"),
        (("thing.py", "return", "raise", "tests/test_thing.py"), "stands 2 times"),
        (("gone.py", "x", "y", "tests/test_thing.py"), "no such file"),
        (("thing.py", "2 * x", "3 * x", "tests/test_thing.py::test_wrong"), "fails without the fault"),
        (("thing.py", "2 * x", "3 * x", "tests/test_thing.py::test_gone"), "does not exist"),
        (("thing.py", "2 * x", "3 * x", "tests/test_thing.py::test_skipped"), "none of its tests ran"),
        (("thing.py", "def double(x)", "def double(x", "tests/test_thing.py::test_double"), "pytest ended with"),
    ],
)
def test_an_entry_that_cannot_be_judged_is_an_error(
    entry: tuple[str, str, str, str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither killed nor survived: text that is gone or not alone, tests that fail anyway, are not there, or do not run."""
    code, said = tried(tmp_path, capsys, [NOTICED, entry])
    assert code == 2
    assert why in said
    assert said.endswith("1 BROKEN, 1 killed\n")


def test_a_fault_that_never_ends_is_not_called_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mutants, "TIMEOUT_S", 3)
    endless = ("thing.py", "return 2 * x", "exec('while True: pass')", "tests/test_thing.py::test_double")
    code, said = tried(tmp_path, capsys, [endless])
    assert (code, "no answer in time" in said) == (2, True)


def test_the_sample_follows_the_seed() -> None:
    found = mutants.read_list(ROOT / mutants.LIST)
    first = mutants.chosen(found, "", 20, "a")
    assert first == mutants.chosen(found, "", 20, "a") != mutants.chosen(found, "", 20, "b")
    assert len(first) == len(set(first)) == 20
    assert set(mutants.chosen(found, "", 0, "a")) == set(found)
    assert {m.file for m in mutants.chosen(found, "core/trace.py", 0, "a")} == {"edgernn/core/trace.py"}


def test_the_commit_chooses_where_no_seed_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["init", "-q"], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    _, said = tried(tmp_path, capsys, [NOTICED])
    assert f"chosen by {mutants.commit(tmp_path)}" in said
    assert len(mutants.commit(tmp_path)) >= 7


# The list ---------------------------------------------------------------------------


@functools.cache
def functions_of(file: Path) -> set[str]:
    """Names of a file's test functions."""
    return {x.name for x in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(x, ast.FunctionDef)}


def test_every_fault_of_the_list_can_be_planted() -> None:
    """A text that was changed since, or tests that were renamed: mend the entries that are named here."""
    found = mutants.read_list(ROOT / mutants.LIST)
    stale = [f"{m.name}: {why}" for m, why in mutants.plantable(ROOT, found) if why]
    assert not stale, "\n".join(stale)
    names = {(test.split("[")[0], m.name) for m in found for test in m.tests}
    gone = [
        f"{test}: {name}"
        for test, name in names
        if "::" in test and test.split("::")[1] not in functions_of(ROOT / test.split("::")[0])
    ]
    assert not gone, "\n".join(gone)


def test_the_list_covers_every_part() -> None:
    found = mutants.read_list(ROOT / mutants.LIST)
    assert len(found) == len(set(found)) >= 120
    parts = Counter("/".join(m.file.split("/")[:2]) for m in found)
    packages = [p.name for p in (ROOT / "edgernn").iterdir() if (p / "__init__.py").is_file()]
    assert set(packages) <= {part.split("/")[1] for part in parts}
    assert parts["firmware_export/runtime"] >= 15
