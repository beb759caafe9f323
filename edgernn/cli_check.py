"""The command line's verbs of the gate; `cli.py` adds them to the others."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgernn.artifacts import write_bytes, write_text
from edgernn.console import Json, RunDir, printed
from edgernn.errors import EdgernnError
from edgernn.show import Shown, Table


def check(
    run: RunDir,
    baseline: Annotated[Path, typer.Option(help="Baseline file.")] = Path("baseline.json"),
    update: Annotated[bool, typer.Option("--update", help="Write the run's figures as the new baseline.")] = False,
    why: Annotated[str, typer.Option(help="With --update: why; it is kept in the file, with who and when.")] = "",
    level: Annotated[
        float | None,
        typer.Option(
            help="With --update: of losses that are none, so many may fail; 1: tolerances alone decide; default: 0.1."
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None, typer.Option(help="With --update: NAME=VALUE, a figure's tolerance; repeatable.")
    ] = None,
    any_data: Annotated[
        bool,
        typer.Option("--any-data", help="With --update: every machine makes the test set anew; names of clips tell it."),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit XML file too.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown for a pull request too.")] = None,
    github: Annotated[
        bool | None,
        typer.Option("--github/--no-github", help="Print GitHub's annotations to standard error; default: in its CI."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Exit 1 when a figure got worse than the baseline.

    Every figure of the run: accuracy, float and int8 and each class, misses and false accepts, sound quality, drift, differing
    bits, flash, RAM, stack, instructions, file sizes. Where clips can be compared one by one they are: a loss counts when it is
    larger than the tolerance and larger than chance (docs/ci.md). Exit 2 when it cannot tell: another test set or model, a
    missing figure. Tolerances are the baseline's, before them those of the recipe's table gate. Reads the run folder's *.json;
    with --update writes the baseline.
    """
    from edgernn import gate

    if update:
        _refuse({"--junit": junit, "--markdown": markdown, "--github": github}, "leave --update out")
        typer.echo(f"wrote {gate.write_baseline(run, baseline, why, _level(level), _tolerances(tolerance or ()), any_data)}")
        return
    alone = {"--why": why or None, "--level": level, "--tolerance": tolerance or None, "--any-data": any_data or None}
    _refuse(alone, "it goes with --update")
    annotate = os.environ.get("GITHUB_ACTIONS") == "true" if github is None else github
    try:
        result = gate.check(run, baseline)
    except EdgernnError as error:
        _write_untold(run, baseline, str(error), junit, markdown, annotate)
        raise
    _write(result, junit, markdown, annotate)
    printed(result, as_json, _checked)
    if code := gate.exit_code(result):
        raise typer.Exit(code)


def _checked(result: Any) -> Shown:
    from edgernn.gate.as_table import checked

    return checked(result)


def _refuse(given: dict[str, Any], remedy: str) -> None:
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise EdgernnError(f"{wrong[0]} has no meaning here; {remedy}")


def _level(level: float | None) -> float | None:
    if level is not None and not 0 < level <= 1:
        raise EdgernnError(f"--level {level:g} must lie above 0 and be at most 1")
    return level


def _tolerances(given: Sequence[str]) -> dict[str, float]:
    """NAME=VALUE, each."""
    out = {}
    for text in given:
        name, _, value = text.rpartition("=")
        try:
            out[name] = float(value)
        except ValueError:
            name = ""
        if not name or not math.isfinite(out[name]) or out[name] < 0:
            raise EdgernnError(
                f"--tolerance {text!r} is not NAME=VALUE with a number of at least 0, such as int8_accuracy=0.01"
            )
    return out


def _write(result: dict[str, Any], junit: Path | None, markdown: Path | None, annotate: bool) -> None:
    """The other forms that were asked for."""
    from edgernn.gate import as_github, as_junit, as_markdown

    if junit:
        write_bytes(junit, as_junit.junit(result))
    if markdown:
        write_text(markdown, as_markdown.markdown(result))
    if annotate:
        for line in as_github.commands(result):
            typer.echo(line, err=True)


def _write_untold(
    run: Path, baseline: Path, message: str, junit: Path | None, markdown: Path | None, annotate: bool
) -> None:  # fmt: skip
    """A CI that shows files shows why there is no verdict."""
    from edgernn.gate import as_github, as_junit, as_markdown

    if junit:
        write_bytes(junit, as_junit.untold(str(run), message))
    if markdown:
        write_text(markdown, as_markdown.untold(message))
    if annotate:
        typer.echo(as_github.untold(message, str(baseline)), err=True)


def figures(
    graphs: Annotated[list[Path], typer.Argument(help="Graph files (.ern).")],
    as_json: Json = False,
) -> None:
    """Exit 1 when a graph lies without its figures.

    They are a simulate-*.json beside it, or a baseline beside or above it, of this very graph. Made for a pre-commit hook
    (docs/ci.md). Reads files, writes nothing.
    """
    from edgernn.gate.companions import check_figures

    result = check_figures(graphs)
    printed(result, as_json, _figures)
    if any(row["wrong"] for row in result["rows"]):
        raise typer.Exit(1)


def _figures(result: dict[str, Any]) -> Shown:
    rows = [[row["graph_file"], row["graph"][:12], row["figures"] or "MISSING"] for row in result["rows"]]
    yield Table("graphs and their figures", ["graph file", "graph", "figures"], rows)
    for row in result["rows"]:
        if row["wrong"]:
            remedy = "run `edgernn simulate` and `edgernn check --update`, and commit what they write"
            yield f"{row['graph_file']}: {row['wrong']}; {remedy}"


VERBS = (check, figures)
