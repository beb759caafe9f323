"""A result of the gate on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgernn.gate.words import VERDICTS, changes, headline, number, ordered, reason, remedy
from edgernn.show import Shown, Table

MOST = 10  #: names of items a line


def checked(r: Mapping[str, Any]) -> Shown:
    """`edgernn check`: every figure, then what is not ok in full, then what was not judged."""
    rows = [
        [x["metric"], number(x["baseline"]), number(x["value"]), x["tolerance"], VERDICTS[x["verdict"]]]
        for x in ordered(r["rows"])
    ]
    yield Table(f"graph {r['graph'][:12]} against {r['baseline']}", ["metric", "baseline", "now", "tolerance", ""], rows)
    for row in ordered(r["rows"]):
        if row["verdict"] != "ok":
            yield "\n  ".join([f"{VERDICTS[row['verdict']]}: {reason(row)}", *changes(row, MOST)])
    passed = [row["metric"] for row in r["rows"] if row["verdict"] == "ok" and row.get("lost")]
    if passed:
        yield f"passed though items changed: {', '.join(passed)}; --json and --markdown name them"
    if r["unjudged"]:
        yield f"not in the baseline, so not judged: {', '.join(r['unjudged'])}"
    yield from (f"note: {text}" for text in r["notes"])
    if w := r["written"]:
        yield f"the baseline is {w.get('who', '?')}'s of {w.get('when', '?')}: {w.get('why', '?')}"
    yield from remedy(r)
    yield headline(r)
