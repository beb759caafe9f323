"""What tools/bench_kernels.py found, as the tables of docs/kernels.md and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgernn.artifacts import write_text
from edgernn.reports.charts import plots

ROOT = Path(__file__).resolve().parents[1]
PAGE, PICTURE = ROOT / "docs" / "kernels.md", ROOT / "docs" / "kernels.svg"
BEGIN, END = "<!-- table -->\n", "<!-- end -->\n"
_WHOLE_SAYS = """\
Instructions of whole steps, from samples to the event or to sound: `demo` takes two frames of 320 samples a step, the
denoisers one of 256. Between products are gates, activations, states and copies; the rest is the decision, or the way back to
sound. Random weights, int8x16:"""
_CODE_SAYS = (
    "Bytes of code, `gcc -O2`, int8x16, without the curve's table (512 bytes, 1,024 with a kernel), constants and weights:"
)
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "edgernn", "font.family": "sans-serif", "font.size": 9,
          "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}  # fmt: skip


def written(found: Mapping[str, Any], parts: Sequence[str]) -> None:
    """Put the tables between their marks, and draw the picture; parts: of a whole step, in their order."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    write_text(PAGE, f"{before}{BEGIN}{tables(found, parts)}\n{END}{rest.partition(END)[2]}")
    draw(found["rows"])


def tables(found: Mapping[str, Any], parts: Sequence[str]) -> str:
    """All of them, and the picture's place."""
    said = f"Instructions a multiply-accumulate, {found['date']}, `python tools/bench_kernels.py`:"
    picture = "![GRU of 64 units, instructions a multiply-accumulate by core: plain C and with the core's kernel](kernels.svg)"
    blocks = [
        said, picture, _by_cell(found["rows"]), "With other numbers of units, on each kernel's first core, plain and with it:",
        _by_units(found["units"]), _CODE_SAYS, _code(found["code"]), _WHOLE_SAYS, _whole(found["whole"], parts),
    ]  # fmt: skip
    return "\n\n".join(blocks)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(map(str, row))} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _by_cell(rows: Sequence[Mapping[str, Any]]) -> str:
    head = ("core", "cell", "scheme", "plain C", "with its kernel")
    return _table(
        head,
        [(f"{r['core']} ({r['board']})", r["cell"], r["scheme"], f"{r['plain']:.2f}", f"**{r['auto']:.2f}**") for r in rows],
    )


def _by_units(rows: Sequence[Mapping[str, Any]]) -> str:
    """A column for each number of units: plain, and with the kernel."""
    sizes = sorted({r["units"] for r in rows})
    keys = list(dict.fromkeys((r["core"], r["cell"], r["scheme"]) for r in rows))
    at = {(r["core"], r["cell"], r["scheme"], r["units"]): r for r in rows}
    shown = [(*key, *(f"{at[(*key, n)]['plain']:.2f}, **{at[(*key, n)]['auto']:.2f}**" for n in sizes)) for key in keys]
    return _table(("core", "cell", "scheme", *(f"{n} units" for n in sizes)), shown)


def _code(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(part for r in rows for part in r["bytes"]))
    shown = [(r["core"], r["recipe"], r["kernel"], *(f"{r['bytes'].get(n, 0):,}" for n in names)) for r in rows]
    return _table(("core", "recipe", "kernel", *names), shown)


def _whole(rows: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> str:
    shown = [
        (r["core"], r["recipe"], r["kernel"], *(f"{r['parts'][p]:,}" for p in parts), f"**{sum(r['parts'].values()):,}**")
        for r in rows
    ]
    return _table(("core", "recipe", "kernel", *parts, "whole step"), shown)


def draw(rows: Sequence[Mapping[str, Any]], path: Path = PICTURE) -> None:
    """The GRU's bars by core, plain and with the kernel, each scheme a field of its own."""
    plot = plots()
    with plot.rc_context(_STYLE):
        figure, fields = plot.subplots(1, 2, figsize=(9.0, 3.6), sharey=True, layout="constrained")
        for axes, scheme in zip(fields, ("int8x16", "int8"), strict=True):
            own = {r["core"]: r for r in rows if r["cell"] == "gru" and r["scheme"] == scheme}
            places = range(len(own))
            for shift, key, name, colour in ((-0.2, "plain", "plain C", "#9aa4b2"), (0.2, "auto", "its kernel", "#1f77b4")):
                bars = axes.barh([i + shift for i in places], [r[key] for r in own.values()], 0.38, label=name, color=colour)
                axes.bar_label(bars, fmt="%.2f", padding=2, fontsize=7)
            axes.set(title=f"GRU of 64 units, {scheme}", xlabel="instructions a multiply-accumulate")
            axes.set_yticks(list(places), list(own))
        fields[0].invert_yaxis()
        fields[1].legend(loc="lower right")
        figure.savefig(path, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
        plot.close(figure)
