"""What a result of the gate says, in words that every form of output uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]

#: verdicts as they are read, those that matter first
VERDICTS = {"worse": "WORSE", "missing": "MISSING", "unclear": "unclear", "ok": "ok"}


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Those that matter first."""
    return sorted(rows, key=lambda row: list(VERDICTS).index(row["verdict"]))


def number(x: Any) -> str:
    """A figure as it is read."""
    return "none" if x is None else f"{x:.6g}" if isinstance(x, float) else str(x)


def headline(r: Mapping[str, Any]) -> str:
    """All of it in one line."""
    count = {verdict: sum(row["verdict"] == verdict for row in r["rows"]) for verdict in VERDICTS}
    parts = [
        f"{count['worse']} of {len(r['rows'])} figures are worse"
        if count["worse"]
        else f"none of {len(r['rows'])} figures is worse"
    ]
    parts += [f"{count['missing']} are missing"] if count["missing"] else []
    parts += [f"{count['unclear']} lost something that may be chance"] if count["unclear"] else []
    return f"{r['run']}, graph {r['graph'][:12]}: {', '.join(parts)} (baseline {r['baseline']})"


def reason(row: Row) -> str:
    """Why a row has its verdict, without the names of items."""
    if row["verdict"] == "missing":
        return f"{row['metric']} was {number(row['baseline'])} in the baseline and is missing now"
    text = f"{row['metric']} was {number(row['baseline'])}, is {number(row['value'])}; tolerance {row['tolerance']}"
    if "paired" in row:
        text += f"; {row['paired']}; the chance of that where nothing was lost is {row['chance']:.3g}"
    return text


def changes(row: Row, most: int | None = None) -> Iterator[str]:
    """The items that changed, lost first: `name (what came instead)`."""
    lost = [f"{name} ({text})" if text else name for name, text in row.get("lost", {}).items()]
    for what, names in (("lost", lost), ("won", list(row.get("won", [])))):
        if names:
            shown, rest = names[:most], len(names) - len(names[:most])
            yield f"{what}: {', '.join(shown)}{f' and {rest} more' if rest else ''}"


def remedy(r: Mapping[str, Any]) -> Iterator[str]:
    """What to do next."""
    verdicts = {row["verdict"] for row in r["rows"]}
    if "missing" in verdicts:
        yield f"what is missing is made by `edgernn simulate`, `run` and `build` over {r['run']}, as it was for the baseline"
    if "worse" in verdicts:
        yield "if it is meant to be so, write the baseline anew: `edgernn check --update --why TEXT`"
    if "unclear" in verdicts:
        yield "unclear: more is lost than the tolerance, but so much changes by chance too; more test items tell"
