"""Runs to one self-contained page: HTML that opens from disk without a network, or Markdown of its texts and tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgernn import __version__
from edgernn.artifacts import write_text
from edgernn.console import beside
from edgernn.errors import EdgernnError
from edgernn.reports import sections
from edgernn.reports.browser import Live, live_model
from edgernn.reports.facts import Facts, read_facts, readable, refuse_gone
from edgernn.reports.parts import Part, Picture, Section, Sound
from edgernn.show import Table

SOUND_SECONDS = 24.0  #: of all players of a page together: a megabyte
LONGEST_NUMBER = 26  #: characters of a cell that is one figure, its unit and interval included
TEMPLATES = Path(str(files("edgernn"))) / "reports" / "templates"


@dataclass(frozen=True)
class Page:
    """A page before it is set: its headline a run, sections of all runs, sections of each, what runs in the browser."""

    runs: list[Facts]
    headlines: list[Section]
    shared: list[Section]
    own: list[tuple[Facts, list[Section]]]
    live: list[Live]


def make_page(folders: Sequence[Path], scheme: str | None = None, live: bool = True, recordings: bool = True) -> Page:
    """Read run folders and make their sections. live: with the models themselves, compiled for the browser.

    recordings: with sounds to look at and to listen to.
    """
    runs = [
        read_facts(folder, scheme, name, SOUND_SECONDS / len(folders) if recordings else 0.0)
        for folder, name in zip(folders, names(folders), strict=True)
    ]
    headlines, own = [], []
    for run in runs:
        with readable(run):
            headlines.append(sections.headline(run))
            own.append((run, [] if run.simulated is None else list(run.task.sections(run))))
    with readable(*runs):
        shared = list(sections.shared(runs))
    return Page(runs, headlines, shared, own, [live_model(run) for run in runs] if live else [])


def names(folders: Sequence[Path]) -> list[str]:
    """What the runs are called: their folders' names, with as many of their parents as tell them apart."""
    resolved = [folder.resolve() for folder in folders]
    if len(set(resolved)) < len(resolved):
        raise EdgernnError("a run is named twice; name each once")
    for depth in range(1, max(len(path.parts) for path in resolved) + 1):
        found = ["/".join(path.parts[-depth:]) for path in resolved]
        if len(set(found)) == len(found):
            break
    return found


def write_html(page: Page, path: Path) -> int:
    """Write the page; returns its bytes."""
    text = str(_template("page.html.jinja").render(
        page=page, several=len(page.runs) > 1, title=" and ".join(run.name for run in page.runs), version=__version__,
        style=_text("page.css"), script=_text("page.js"), live_script=_text("live.js"), kinds=_kinds(page),
        models=[{**live.facts, "wasm": live.wasm} for live in page.live],
    ))  # fmt: skip
    write_text(path, text)
    return len(text.encode())


def _kinds(page: Page) -> dict[str, str]:
    """The scripts of the tasks that are on the page, by name."""
    found = {live.facts["task"]: live.script for live in page.live}
    return {name: script for name, script in found.items() if script}


def markdown(page: Page) -> str:
    """Texts and tables; a picture is told by its words, a sound by its name."""
    out = [f"# {' and '.join(run.name for run in page.runs)}"]
    for section in [*page.headlines, *page.shared]:
        out += _markdown_section(section, section.title)
    for run, own in page.own:
        for section in own:
            out += _markdown_section(section, f"{run.name}: {section.title}" if len(page.own) > 1 else section.title)
    missing = [f"- {run.name}: {line}" for run in page.runs for line in run.missing]
    if missing:
        out += ["## What is missing", "\n".join(missing)]
    return "\n\n".join(out) + "\n"


def _markdown_section(section: Section, title: str) -> list[str]:
    return [f"## {_escaped(title)}", *(_markdown_part(part) for part in section.parts)]


def _markdown_part(part: Part) -> str:
    if isinstance(part, Picture):
        return f"*{_escaped(part.title)}*: {_escaped(part.about)}"
    if isinstance(part, Table):
        head = [f"**{_escaped(part.title)}**\n"] if part.title else []
        rule = "| " + " | ".join(["---", *["---:"] * (len(part.columns) - 1)]) + " |"
        rows = ["| " + " | ".join(_escaped(str(cell)) for cell in row) + " |" for row in (part.columns, *part.rows)]
        return "\n".join([*head, rows[0], rule, *rows[1:]])
    return part


def _escaped(text: str) -> str:
    """Text that stays in its cell, and is no HTML."""
    for old, new in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", "<br>")):
        text = text.replace(old, new)
    return text


def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _template(name: str) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.tests.update(
        picture=lambda x: isinstance(x, Picture), table=lambda x: isinstance(x, Table), sound=lambda x: isinstance(x, Sound),
    )  # fmt: skip
    environment.filters.update(numeric=numeric, code=_with_code)
    return environment.get_template(name)


def numeric(table: Table) -> list[bool]:
    """Which columns are set to the right: those of short cells that begin with a digit."""
    columns = zip(*(map(str, row) for row in table.rows), strict=True)
    return [all(_is_number(cell) for cell in column if cell) and any(column) for column in columns] or [False] * len(
        table.columns
    )


def _is_number(cell: str) -> bool:
    return cell.lstrip("+-")[:1].isdigit() and len(cell) <= LONGEST_NUMBER


def _with_code(text: str) -> Any:
    """HTML of a text whose commands stand between backticks."""
    from markupsafe import Markup, escape

    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def write_report(
    folders: Sequence[Path], out: Path | None, as_markdown: bool = False, live: bool = True, scheme: str | None = None,
    recordings: bool = True,
) -> dict[str, Any]:  # fmt: skip
    """`edgernn report`: the page of run folders as a file; returns its path, bytes, sections and what is missing on it.

    A run whose recordings are gone is refused, unless nobody asks for `recordings`; texts and tables do without.
    """
    path = out or beside(folders[0]) / ("report.md" if as_markdown else "report.html")
    if path.is_dir():
        raise EdgernnError(f"{path} is a folder; name a file with --out")
    for folder in folders if recordings and not as_markdown else ():
        refuse_gone(folder)
    page = make_page(folders, scheme, live and not as_markdown, recordings)
    if as_markdown:
        text = markdown(page)
        write_text(path, text)
        size = len(text.encode())
    else:
        size = write_html(page, path)
    return {
        "path": str(path), "bytes": size, "graphs": {run.name: run.graph.id for run in page.runs},
        "sections": [x.title for x in (*page.shared, *(section for _, own in page.own for section in own))],
        "missing": [f"{run.name}: {line}" for run in page.runs for line in run.missing],
    }  # fmt: skip
