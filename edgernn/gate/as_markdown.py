"""A result of the gate as Markdown, for a pull request or a job's summary."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from edgernn.gate.words import VERDICTS, Row, changes, headline, number, ordered, reason, remedy

MOST = 200  #: names of items a figure: a comment on a pull request has an end


def markdown(r: Mapping[str, Any]) -> str:
    """The whole text; what is not ok stands open, the rest can be unfolded."""
    bad = [row for row in ordered(r["rows"]) if row["verdict"] != "ok"]
    lines = [f"### {'❌' if any(not row['ok'] for row in bad) else '✅'} {_plain(headline(r))}", ""]
    if bad:
        lines += [*_table(bad), "", *(f"- **{VERDICTS[row['verdict']]}** {_plain(reason(row))}" for row in bad), ""]
    lines += [*(_plain(text) for text in remedy(r)), ""]
    lines += _folded("All figures", _table(ordered(r["rows"])))
    changed = [row for row in ordered(r["rows"]) if "lost" in row]
    for row in changed:
        lines += _folded(f"Items that changed: {row['metric']}", [f"- {_plain(text)}" for text in changes(row, MOST)])
    if r["unjudged"]:
        lines += [f"Not in the baseline, so not judged: {_plain(', '.join(r['unjudged']))}", ""]
    lines += [f"Note: {_plain(text)}" for text in r["notes"]]
    if w := r["written"]:
        lines.append(_plain(f"The baseline is {w.get('who', '?')}'s of {w.get('when', '?')}: {w.get('why', '?')}"))
    return "\n".join(lines).rstrip() + "\n"


def untold(message: str) -> str:
    """What is written when nothing could be judged."""
    return f"### ❌ {_plain(message)}\n"


def _table(rows: Sequence[Row]) -> list[str]:
    cells = [
        [row["metric"], number(row["baseline"]), number(row["value"]), row["tolerance"], VERDICTS[row["verdict"]]]
        for row in rows
    ]
    return ["| figure | baseline | now | tolerance | |", "| --- | ---: | ---: | ---: | --- |",
            *(f"| {' | '.join(map(_plain, row))} |" for row in cells)]  # fmt: skip


def _folded(title: str, lines: Sequence[str]) -> Iterator[str]:
    yield from (f"<details><summary>{_plain(title)}</summary>", "", *lines, "", "</details>", "")


def _plain(text: str) -> str:
    """Text that cannot be taken for Markdown or HTML: names of files and labels are anybody's."""
    one_line = "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))
    return "".join(f"\\{c}" if c in "\\`*_{}[]|~" else c for c in html.escape(one_line, quote=False))
