"""One file a cell: its equations, its torch module, its float step in NumPy, and its lowering to integer primitives.

A cell is discovered by its file: a module here (not starting with `_`) that defines `CELL`. Nothing else lists cells.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Mapping, Sequence

from edgernn.core.cell import Cell, Layer, LayerSpec
from edgernn.errors import EdgernnError
from edgernn.extensions import folders, found_module

__path__ += folders("cells")

#: options of the last layer, which gives a net its scores
_HEAD = {"relu": 0, "norm": 0}


@functools.cache
def all_cells() -> Mapping[str, Cell]:
    """Every cell by name, in alphabetical order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: found_module(__name__, name).CELL for name in names}


def find_cell(name: str) -> Cell:
    """The cell of that name; an unknown one is an error that lists them all."""
    try:
        return all_cells()[name]
    except KeyError:
        raise EdgernnError(f"unknown cell {name!r}; known: {', '.join(all_cells())}") from None


def make_layers(specs: Sequence[LayerSpec], bands: int, scores: int) -> list[Layer]:
    """The layers of a recipe, named `<cell><position>`, and its `head` with so many scores a row."""
    layers: list[Layer] = []
    width = bands
    for i, spec in enumerate(specs):
        layers.append(Layer(f"{spec.cell}{i}", find_cell(spec.cell), spec.options, width))
        width = layers[-1].n_out
    return [*layers, Layer("head", find_cell("dense"), {**_HEAD, "units": scores}, width)]


__all__ = ["Cell", "all_cells", "find_cell", "make_layers"]
