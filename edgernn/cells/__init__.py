"""One file a cell: its equations, its torch module, its float step in NumPy, and its lowering to integer primitives.

A cell is discovered by its file: a module here (not starting with `_`) that defines `CELL`. Nothing else lists cells.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from edgernn.cells._base import Cell
from edgernn.errors import EdgernnError


@functools.cache
def all_cells() -> Mapping[str, Cell]:
    """Every cell by name, in alphabetical order."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: importlib.import_module(f"{__name__}.{name}").CELL for name in names}


def find_cell(name: str) -> Cell:
    """The cell of that name; an unknown one is an error that lists them all."""
    try:
        return all_cells()[name]
    except KeyError:
        raise EdgernnError(f"unknown cell {name!r}; known: {', '.join(all_cells())}") from None


__all__ = ["Cell", "all_cells", "find_cell"]
