"""The command line's verbs over finished runs: a page of them, and their folder; `cli.py` adds them to the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgernn import show
from edgernn.console import Json, Scheme, printed


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several stand side by side.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: report.html (or .md) in the first run folder.")
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Texts and tables as Markdown, without pictures.")] = False,
    live: Annotated[bool, typer.Option("--live/--no-live", help="With the model itself, to try in the browser.")] = True,
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Make one page of runs, to look at and to listen to.

    What each is worth and costs, its curves, its mistakes with their sound, several runs side by side; and the model itself,
    which runs in the page with the bits of every board. The page is one file that needs no network. Reads run folders.
    """
    from edgernn.reports import page

    result = page.write_report(runs, out, as_markdown, live, scheme)
    printed(result, as_json, show.reported)


#: in the order in which `edgernn --help` lists them
VERBS = (report,)
