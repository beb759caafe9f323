"""Every form in which the gate answers, as others read it: XML, Markdown, GitHub's commands, exit codes; and its options."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest
from test_gate_paired import run_of, wrong
from typer.testing import CliRunner

from edgernn import cli, gate
from edgernn.errors import EdgernnError
from edgernn.gate import as_github, as_junit, as_markdown

#: what a file name, a label or a folder may be called
NASTY = "a|b <script>`*_[x](http://y)\x07\n::error::z & 100 %"


def edgernn(*args: object, **environment: str) -> Any:
    return CliRunner().invoke(cli.app, [str(a) for a in args], env={"GITHUB_ACTIONS": "", **environment})


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A run that lost twelve clips, one of an evil name, and the baseline."""
    path = gate.write_baseline(run_of(tmp_path / "a", wrong(*range(5))), tmp_path / "b.json")
    failed = {NASTY: NASTY, **wrong(*range(100, 111))}
    return run_of(tmp_path / "b", failed), path


@pytest.fixture
def result(folders: tuple[Path, Path]) -> dict[str, Any]:
    return gate.check(*folders)


def test_json_holds_every_changed_clip(folders: tuple[Path, Path]) -> None:
    done = edgernn("check", folders[0], "--baseline", folders[1], "--json")
    assert done.exit_code == 1
    row = next(row for row in json.loads(done.stdout)["rows"] if row["metric"] == "int8.int8_accuracy")
    assert (len(row["lost"]), len(row["won"]), row["lost"][NASTY]) == (12, 5, NASTY)


def test_junit_is_read_by_others(result: dict[str, Any]) -> None:
    suite = Xml.fromstring(as_junit.junit(result)).find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (str(len(result["rows"])), "1", "0")
    cases = {case.get("name"): case for case in suite}
    failure = cases["int8_accuracy"].find("failure")
    assert failure is not None and "12 lost, 5 won of 1046" in str(failure.get("message"))
    assert "clip100 (another)" in str(failure.text) and "a|b <script>" in str(failure.text)
    assert cases["weight_bytes"].find("failure") is None
    assert {case.get("classname") for case in suite} == {"edgernn.int8"}


def test_junit_of_a_missing_figure_is_an_error(result: dict[str, Any]) -> None:
    rows = [{**row, "verdict": "missing", "ok": False, "value": None} for row in result["rows"]]
    suite = Xml.fromstring(as_junit.junit({**result, "rows": rows})).find("testsuite")
    assert suite is not None and suite.get("errors") == str(len(rows)) == str(len(suite.findall("testcase/error")))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_markdown_holds_no_tag_but_its_own_and_closes_them(result: dict[str, Any]) -> None:
    text = as_markdown.markdown(result)
    tags = Tags()
    tags.feed(text)
    assert tags.open == [] and set(tags.seen) == {"details", "summary"}
    assert text.startswith("### ❌ ") and "1 of 3 figures are worse" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} == {6}, "five cells a row, whatever they hold"
    assert "clip100 (another)" in text and "\\[x\\](http://y)" in text and "\n::error::" not in text and "\x07" not in text
    assert "Items that changed: int8.int8\\_accuracy" in text
    good = [{**row, "verdict": "ok", "ok": True} for row in result["rows"]]
    assert as_markdown.markdown({**result, "rows": good}).startswith("### ✅ ")


def test_markdown_of_many_clips_has_an_end(result: dict[str, Any]) -> None:
    many = {f"clip{i}": "x" * 20 for i in range(5000)}
    rows = [{**row, "lost": many} if "lost" in row else row for row in result["rows"]]
    text = as_markdown.markdown({**result, "rows": rows})
    assert len(text) < 60_000 and "and 4800 more" in text, "a comment on GitHub ends at 65,536 characters"


def test_github_is_given_one_line_a_command(result: dict[str, Any]) -> None:
    (line,) = as_github.commands(result)
    assert "\n" not in line and "\r" not in line
    assert line.startswith("::error file=") and line.count("::error") == 3, "the others are only text"
    head, message = line.removeprefix("::error ").split("::", 1)
    assert head.endswith("title=int8.int8_accuracy is worse") and "100 %25" in message and "%0A" in message
    rows = [{**row, "verdict": "unclear"} for row in result["rows"][:1]]
    (line, note) = as_github.commands({**result, "rows": rows, "notes": ["old"], "baseline": "a:b,c"})
    assert line.startswith("::warning file=a%3Ab%2Cc,title=") and note.startswith("::notice ") and note.endswith("::old")


@pytest.mark.parametrize(
    ("environment", "options", "told"),
    [({}, [], False), ({"GITHUB_ACTIONS": "true"}, [], True), ({}, ["--github"], True),
     ({"GITHUB_ACTIONS": "true"}, ["--no-github"], False)],
)  # fmt: skip
def test_annotations_are_printed_in_githubs_ci(
    environment: dict[str, str], options: list[str], told: bool, folders: tuple[Path, Path]
) -> None:
    done = edgernn("check", folders[0], "--baseline", folders[1], "--json", *options, **environment)
    assert ("::error" in done.stderr) == told
    assert json.loads(done.stdout)["rows"], "standard output stays what it is"


def test_files_are_written_whatever_the_verdict(folders: tuple[Path, Path], tmp_path: Path) -> None:
    xml, text = tmp_path / "out" / "check.xml", tmp_path / "out" / "check.md"
    ask = ("--junit", xml, "--markdown", text, "--github")
    assert edgernn("check", folders[0], "--baseline", folders[1], *ask).exit_code == 1
    assert b"<failure" in xml.read_bytes() and "figures are worse" in text.read_text()
    assert edgernn("check", tmp_path / "a", "--baseline", folders[1], *ask).exit_code == 0
    assert b"<failure" not in xml.read_bytes() and "none of" in text.read_text()
    done = edgernn("check", tmp_path / "nowhere", "--baseline", folders[1], *ask)
    assert isinstance(done.exception, EdgernnError) and "cannot tell" in str(done.exception)
    assert b"<error" in xml.read_bytes() and "cannot tell" in text.read_text()
    assert done.stderr.startswith("::error file=") and "cannot tell" in done.stderr


# Options ---------------------------------------------------------------------------


def test_update_says_who_when_and_why_and_keeps_tolerances(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = folders
    first = json.loads(path.read_text())["written"]
    assert first["why"] == "the first baseline" and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first["when"])
    monkeypatch.setenv("GITHUB_ACTOR", "ann")
    refused = edgernn("check", run, "--baseline", path, "--update")
    assert "say with --why why" in str(refused.exception)
    assert json.loads(path.read_text())["written"] == first
    options = ("--why", "more noise", "--level", "0.05", "--tolerance", "int8_accuracy=0.02")
    assert edgernn("check", run, "--baseline", path, "--update", *options).exit_code == 0
    base = json.loads(path.read_text())
    assert (base["written"]["who"], base["written"]["why"]) == ("ann", "more noise")
    assert (base["level"], base["tolerances"]["int8_accuracy"]) == (0.05, 0.02)
    assert edgernn("check", run, "--baseline", path, "--update", "--why", "again").exit_code == 0
    again = json.loads(path.read_text())
    assert (again["level"], again["tolerances"], again["written"]["why"]) == (0.05, base["tolerances"], "again")


def test_a_damaged_baseline_can_be_replaced(folders: tuple[Path, Path]) -> None:
    folders[1].write_text("{")
    assert "say with --why" in str(edgernn("check", folders[0], "--baseline", folders[1], "--update").exception)
    assert edgernn("check", folders[0], "--baseline", folders[1], "--update", "--why", "it was damaged").exit_code == 0
    assert gate.exit_code(gate.check(*folders)) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--why", "x"], "--why has no meaning here; it goes with --update"),
     (["--level", "0.5"], "--level has no meaning here; it goes with --update"),
     (["--any-data"], "--any-data has no meaning here; it goes with --update"),
     (["--tolerance", "a=1"], "--tolerance has no meaning here; it goes with --update"),
     (["--update", "--why", "x", "--junit", "x.xml"], "--junit has no meaning here; leave --update out"),
     (["--update", "--why", "x", "--level", "0"], "--level 0 must lie above 0 and be at most 1"),
     (["--update", "--why", "x", "--level", "1.5"], "--level 1.5 must lie above 0"),
     *((["--update", "--why", "x", "--tolerance", text], "is not NAME=VALUE") for text in ("a", "a=b", "=1", "a=-1", "a=nan")),
     (["--update", "--why", "x", "--tolerance", "luck=1"], "has no figure luck; it has agreement, ")],
)  # fmt: skip
def test_options_that_cannot_be_meant_are_one_sentence(options: list[str], said: str, folders: tuple[Path, Path]) -> None:
    before = folders[1].read_bytes()
    done = edgernn("check", folders[0], "--baseline", folders[1], *options)
    assert isinstance(done.exception, EdgernnError) and said in str(done.exception)
    assert folders[1].read_bytes() == before


# Graphs and their figures ---------------------------------------------------------------------------


def test_a_graph_without_its_figures_is_refused(tmp_path: Path) -> None:
    from test_gate import FILE

    (tmp_path / ".git").mkdir()
    models = tmp_path / "models"
    models.mkdir()
    graph = models / "graph-int8.ern"
    graph.write_bytes(FILE)
    done = edgernn("figures", graph)
    assert done.exit_code == 1
    assert "MISSING" in done.stdout and "no simulate-*.json and no baseline lies beside it" in done.stdout
    run = run_of(tmp_path / "elsewhere", {})
    (models / "simulate-int8.json").write_text((run / "simulate-int8.json").read_text())
    assert edgernn("figures", graph).exit_code == 0
    (models / "simulate-int8.json").unlink()
    gate.write_baseline(run, tmp_path / "my-baseline.json")
    done = edgernn("figures", graph, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["rows"][0]["figures"] == str((tmp_path / "my-baseline.json").resolve())
    graph.write_bytes(b"another")
    done = edgernn("figures", graph)
    assert done.exit_code == 1 and "is of graph" in done.stdout
    for damaged in ("{", "[]", '{"baseline": 2}', '{"baseline": 2, "graphs": [1]}', '{"baseline": 2, "graphs": {"int8": 1}}'):
        (tmp_path / "my-baseline.json").write_text(damaged)
        assert edgernn("figures", graph).exit_code == 1
    assert "cannot read graph file" in str(edgernn("figures", tmp_path / "gone.ern").exception)


def test_a_baseline_outside_the_repository_counts_for_nothing(tmp_path: Path) -> None:
    from test_gate import FILE

    gate.write_baseline(run_of(tmp_path / "run", {}), tmp_path / "baseline.json")
    inner = tmp_path / "repository"
    (inner / ".git").mkdir(parents=True)
    (inner / "model.ern").write_bytes(FILE)
    assert edgernn("figures", inner / "model.ern").exit_code == 1
