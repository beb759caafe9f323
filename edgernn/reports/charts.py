"""Pictures by matplotlib as SVG that takes the page's colours, light or dark, and keeps its text as text.

matplotlib knows no CSS: what is drawn in a colour of `_SENTINELS` becomes `currentColor` or a variable of the page's style.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import needs_extra
from edgernn.reports.parts import Picture

SIZE = (4.6, 2.9)  #: inches of a picture of the grid: its text is read on a phone as it is
WIDE = (9.4, 3.4)
PALETTE = 64  #: colours of an embedded picture
SERIES = 8  #: colours for series; more begin again
_INK, _FAINT = "#010203", "#010204"
_COLOURS = [f"#0102{i:02x}" for i in range(0x10, 0x10 + SERIES)]
_SENTINELS = {_INK: "currentColor", _FAINT: "var(--faint)"} | {c: f"var(--c{i})" for i, c in enumerate(_COLOURS)}
_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "edgernn", "font.family": "sans-serif", "font.size": 9,
    "text.color": _INK, "axes.labelcolor": _INK, "axes.edgecolor": _FAINT, "xtick.color": _INK, "ytick.color": _INK,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.grid": True, "grid.color": _FAINT, "grid.linewidth": 0.5,
    "axes.axisbelow": True, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "legend.fontsize": 8, "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "lines.linewidth": 1.6,
}  # fmt: skip
_IDS = re.compile(r'((?<![\w-])id="|url\(#|href="#)')
_IMAGE = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=\s]+)")
_DASHES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Axis:
    """What an axis says, whether it is logarithmic, and its ends where they are given."""

    label: str
    log: bool = False
    ends: tuple[float, float] | None = None


@dataclass(frozen=True)
class Line:
    """A series: x and y [n]; mark: a point (x, y) where something was chosen, which the legend calls `chosen`."""

    x: Sequence[float]
    y: Sequence[float]
    mark: tuple[float, float] | None = None
    chosen: str = ""
    colour: int = 0
    dash: int = 0


def plots() -> Any:
    """matplotlib's pyplot without a screen; not installed is an EdgernnError."""
    try:
        import matplotlib
    except ImportError as error:
        raise needs_extra("a report needs matplotlib", "report", error) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def drawn(title: str, about: str, draw: Callable[[Any], None], size: tuple[float, float] = SIZE) -> Picture:
    """A picture of one set of axes that `draw` fills."""
    plot = plots()
    with plot.rc_context(_STYLE):
        figure, axes = plot.subplots(figsize=size, layout="constrained")
        draw(axes)
        held = io.StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
        plot.close(figure)
    return Picture(title, _on_page(held.getvalue(), title), about)


def _on_page(svg: str, title: str) -> str:
    """SVG without prologue and size; colours of the page; ids that no other picture has."""
    body = svg[svg.index("<svg") :]
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    for sentinel, colour in _SENTINELS.items():
        rest = rest.replace(sentinel, colour)
    rest = _IMAGE.sub(_with_palette, rest)
    own = f"p{zlib.crc32((title + rest).encode()):x}"
    return _IDS.sub(rf"\g<1>{own}-", f"{head}>{rest}").strip()


def _with_palette(image: re.Match[str]) -> str:
    """An embedded PNG with a palette: a quarter of the bytes, and no difference to be seen in a scale of colours."""
    from PIL.Image import open as opened

    held = io.BytesIO()
    found = opened(io.BytesIO(base64.b64decode(image[1]))).convert("RGB")
    found.quantize(PALETTE).save(held, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def _set(axes: Any, x: Axis, y: Axis) -> None:
    axes.set(xlabel=x.label, ylabel=y.label)
    for axis, scale, limits in ((x, axes.set_xscale, axes.set_xlim), (y, axes.set_yscale, axes.set_ylim)):
        if axis.log:
            scale("log")
        if axis.ends:
            limits(*axis.ends)


def lines(title: str, about: str, series: Mapping[str, Line], x: Axis, y: Axis, size: tuple[float, float] = SIZE) -> Picture:
    """Series over one another, each in its colour and dash; what was chosen as a dot."""

    def draw(axes: Any) -> None:
        for name, line in series.items():
            colour, dots = _COLOURS[line.colour % SERIES], "o" if len(line.x) == 1 else None
            axes.plot(line.x, line.y, label=name, color=colour, linestyle=_DASHES[line.dash % 4], marker=dots, markersize=4)
            if line.mark:
                x_, y_ = line.mark
                axes.plot([x_], [y_], marker="o", color=colour, markersize=6, linestyle="none", label=line.chosen or None)
        _set(axes, x, y)
        if x.log:
            _plain_ticks(axes.xaxis)
        if len(series) > 1:
            axes.legend()

    return drawn(title, about, draw, size)


def _plain_ticks(axis: Any) -> None:
    """0.1, 1, 10: numbers, not powers."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def bars(title: str, about: str, names: Sequence[str], series: Mapping[str, Sequence[float]], label: str) -> Picture:
    """Horizontal bars, a group a name and a bar a series, with their values."""

    def draw(axes: Any) -> None:
        count = len(series)
        places = np.arange(len(names))
        for i, (name, values) in enumerate(series.items()):
            found = axes.barh(
                places + (i + 0.5) * 0.8 / count - 0.4, values, 0.8 / count, label=name, color=_COLOURS[i % SERIES]
            )
            if count == 1:
                axes.bar_label(found, fmt="%.4g", padding=2, fontsize=7, color=_INK)
        axes.set(xlabel=label, yticks=places, yticklabels=names)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.margins(x=0.14)
        if count > 1:
            axes.legend()

    height = max(1.6, 0.7 + 0.22 * len(names) * max(1.0, 0.6 * len(series)))
    return drawn(title, about, draw, (SIZE[0], height))


def matrix(title: str, about: str, labels: Sequence[str], counts: NDArray[np.int64]) -> Picture:
    """Counts [n, n], said in rows and heard in columns, shaded by their share of the row."""

    def draw(axes: Any) -> None:
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Rectangle

        for (i, j), n in np.ndenumerate(counts):
            if n:
                share, colour = n / counts[i].sum(), _COLOURS[0 if i == j else 3]
                axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, color=(*to_rgb(colour), 0.15 + 0.45 * share), linewidth=0))
                axes.text(j, i, int(n), ha="center", va="center", fontsize=8)
        axes.set(xlim=(-0.5, len(labels) - 0.5), ylim=(len(labels) - 0.5, -0.5), xlabel="heard", ylabel="said")
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.grid(visible=False)

    side = max(SIZE[1], 1.6 + 0.28 * len(labels))
    return drawn(title, about, draw, (max(SIZE[0], side + 1.0), side))


def spectrogram(
    title: str, about: str, levels: NDArray[np.float64], seconds: float, khz: float, ends: tuple[float, float]
) -> Picture:
    """Levels [T, bins] in dB over `seconds` and up to `khz`; ends: the levels of black and white."""

    def draw(axes: Any) -> None:
        image = axes.imshow(
            levels.T, origin="lower", aspect="auto", vmin=ends[0], vmax=ends[1], extent=(0, seconds, 0, khz), cmap="magma"
        )
        axes.set(xlabel="seconds", ylabel="kHz")
        axes.grid(visible=False)
        axes.figure.colorbar(image, ax=axes, label="dB")

    return drawn(title, about, draw)


@dataclass(frozen=True)
class Tile:
    """A part of a whole: its name, size, and the colour of its kind."""

    name: str
    size: float
    colour: int


def treemap(title: str, about: str, tiles: Sequence[Tile], unit: str, kinds: Sequence[str]) -> Picture:
    """Rectangles whose areas are the tiles' sizes; kinds: what each colour means."""

    def draw(axes: Any) -> None:
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Patch, Rectangle

        width, height = WIDE[0], WIDE[1] - 0.6
        ordered = sorted((t for t in tiles if t.size > 0), key=lambda t: -t.size)
        for tile, (x, y, w, h) in zip(ordered, squarified([t.size for t in ordered], width, height), strict=True):
            colour = to_rgb(_COLOURS[tile.colour % SERIES])
            axes.add_patch(Rectangle((x, y), w, h, facecolor=(*colour, 0.35), edgecolor=_FAINT, linewidth=0.6))
            text = f"{tile.name}\n{tile.size:,.0f} {unit}"
            if w * 72 > 4.6 * max(map(len, text.split("\n"))) and h * 72 > 22:
                axes.text(x + w / 2, y + h / 2, text, ha="center", va="center", fontsize=7.5)
        axes.set(xlim=(0, width), ylim=(0, height))
        axes.axis("off")
        patches = [Patch(facecolor=(*to_rgb(_COLOURS[i]), 0.35), label=kind) for i, kind in enumerate(kinds)]
        axes.figure.legend(handles=patches, loc="outside lower center", ncols=min(6, len(kinds)))

    return drawn(title, about, draw, WIDE)


def squarified(sizes: Sequence[float], width: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles (x, y, w, h) in a width x height with areas like the sizes (falling), as square as can be (Bruls 2000)."""
    scale = width * height / sum(sizes) if len(sizes) else 0.0
    left, out = [s * scale for s in sizes], []
    x = y = 0.0
    while left:
        side, count = min(width, height), 1
        while count < len(left) and _worst(left[: count + 1], side) <= _worst(left[:count], side):
            count += 1
        row, left = left[:count], left[count:]
        thick, at = sum(row) / side, 0.0
        for area in row:
            out.append((x, y + at, thick, area / thick) if width >= height else (x + at, y, area / thick, thick))
            at += area / thick
        if width >= height:
            x, width = x + thick, width - thick
        else:
            y, height = y + thick, height - thick
        width, height = max(width, 1e-9), max(height, 1e-9)
    return out


def _worst(row: Sequence[float], side: float) -> float:
    """The largest ratio of sides of areas laid along a side."""
    thick = sum(row) / side
    return max(max(thick * thick / area, area / (thick * thick)) for area in row)
