"""The command line's verbs over finished runs: a page of them, and their folder; `cli.py` adds them to the others."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgernn import show
from edgernn.console import Json, Scheme, printed
from edgernn.errors import EdgernnError

if TYPE_CHECKING:
    from edgernn.run_index import Wanted


def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or models (`edgernn models`); several stand side by side.")],
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: report.html (or .md) in the first run folder.")
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Texts and tables as Markdown, without pictures.")] = False,
    live: Annotated[bool, typer.Option("--live/--no-live", help="With the model itself, to try in the browser.")] = True,
    recordings: Annotated[
        bool, typer.Option("--recordings/--no-recordings", help="With sounds; without them a run needs no recordings.")
    ] = True,
    scheme: Scheme = None,
    as_json: Json = False,
) -> None:
    """Make one page of runs, to look at and to listen to.

    What each is worth and costs, its curves, its mistakes with their sound, several runs side by side; and the model itself,
    which runs in the page with the bits of every board. The page is one file that needs no network. Reads run folders.
    """
    from edgernn.reports import page

    result = page.write_report(runs, out, as_markdown, live, scheme, recordings)
    printed(result, as_json, show.reported)


def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds run folders.")] = Path("run"),
    only: Annotated[
        list[str] | None, typer.Option(help="Runs of this name, or of a pattern such as 'demo*'; repeatable.")
    ] = None,
    tagged: Annotated[str, typer.Option(help="Runs with this tag.")] = "",
    older: Annotated[float | None, typer.Option(help="Runs whose newest result is older than so many days.", min=0)] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Every figure, the runs side by side.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="Put a tag on the runs that are meant; `keep` protects them.")] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Take a tag away from them.")] = None,
    prune: Annotated[bool, typer.Option("--prune", help="Delete the runs that are meant, after asking.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --prune: do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """List the runs of a folder; compare, tag or delete them.

    --only, --tagged and --older choose runs; without them all are listed. --prune deletes run folders and nothing else: one
    that holds files of your own, is worked in, or has the tag keep is left alone. The index beside them only saves time.
    """
    from edgernn import run_index

    wanted = run_index.Wanted(tuple(only or ()), tagged, older)
    if sum((compare, bool(tag or untag), prune)) > 1:
        raise EdgernnError("--compare, --tag and --prune exclude one another; give one of them")
    if yes and not prune:
        raise EdgernnError("--yes goes with --prune")
    if prune:
        _prune(folder, wanted, yes, as_json)
        return
    tags = tag or (), untag or ()
    found = run_index.tag_runs(folder, wanted, *tags) if any(tags) else run_index.list_runs(folder, wanted)
    result = [run.to_dict() for run in found]
    printed(result, as_json, show.runs_compared if compare else show.runs_listed)


def _prune(folder: Path, wanted: Wanted, yes: bool, as_json: bool) -> None:
    """Ask, unless told not to, and delete."""
    from edgernn import run_index

    found = run_index.prunable(folder, wanted)
    names = ", ".join(run.name for run in found)
    if not yes:
        if not sys.stdin.isatty():
            raise EdgernnError(f"nobody to ask whether to delete {names}; say --yes")
        typer.confirm(f"delete {names}?", abort=True, err=True)
    printed({"deleted": run_index.prune(found)}, as_json, show.runs_deleted)


#: in the order in which `edgernn --help` lists them
VERBS = (report, runs)
