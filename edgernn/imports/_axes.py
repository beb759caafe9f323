"""What the axes of a tensor mean, followed symbolically through whatever moves, merges or removes them.

An axis is a product of atoms, outermost first: (time,) is the time axis, (batch, time) both in one, () an axis of size 1.
An atom is told from another by identity, so two axes of equal size are never confused. Its size is None where the file
leaves it open; then sizes are products of atoms, too. Whatever would need an atom cut in pieces raises AxesError.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPEN_END = (1 << 31) - 1  #: from here on the end of a slice means "to the end"


class AxesError(Exception):
    """A step that the axes do not allow; the text goes on after the name of a node."""


@dataclass(frozen=True, eq=False)
class Atom:
    """One indivisible axis: a name for messages, its size (None where it is open), and which axis of an input it was."""

    name: str
    size: int | None = None
    place: int | None = None

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name} ({self.size})"


Axis = tuple[Atom, ...]
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Size:
    """factor times the sizes of open atoms, which are held in the order of their ids."""

    factor: int
    atoms: Axis

    def __mul__(self, other: int | Size) -> Size:
        more = other if isinstance(other, Size) else Size(int(other), ())
        return Size(self.factor * more.factor, _ordered((*self.atoms, *more.atoms)))

    __rmul__ = __mul__


def _ordered(atoms: Sequence[Atom]) -> Axis:
    return tuple(sorted(atoms, key=id))


def size_of(axis: Axis) -> int | Size:
    """The size of one axis."""
    factor = math.prod(a.size for a in axis if a.size is not None)
    free = _ordered([a for a in axis if a.size is None])
    return Size(factor, free) if free else factor


def sizes(axes: Axes) -> NDArray[Any]:
    """The shape as an array [rank]: int64 where all sizes are known, otherwise of ints and `Size`s."""
    found = [size_of(axis) for axis in axes]
    return np.array(found, np.int64 if all(isinstance(x, int) for x in found) else object)


def core(axis: Axis) -> Axis:
    """The axis without atoms of size 1, which can stand anywhere."""
    return tuple(a for a in axis if a.size != 1)


def describe(axes: Axes) -> str:
    """For messages: [batch, time (9), features (40)]."""
    return "[" + ", ".join("·".join(map(str, axis)) or "1" for axis in axes) + "]"


def position(axis: int, rank: int) -> int:
    """A possibly negative axis as 0 to rank - 1."""
    if not -rank <= axis < rank:
        raise AxesError(f"names axis {axis} of a value with {rank} axes; export the model again")
    return axis % rank


def transposed(axes: Axes, order: Sequence[int]) -> Axes:
    """Axis i of the result is axis order[i]."""
    if sorted(order) != list(range(len(axes))):
        raise AxesError(f"has perm {list(order)}, but its input has {len(axes)} axes; export the model again")
    return tuple(axes[i] for i in order)


def squeezed(axes: Axes, gone: Sequence[int] | None) -> Axes:
    """Without the axes named; None: without all of size 1. An axis whose open size may be 1 goes only where it is no time."""
    if gone is None:
        if any(size_of(axis) != 1 and not isinstance(size_of(axis), int) for axis in axes):
            raise AxesError(f"removes whatever axes of {describe(axes)} have size 1; name them, as in squeeze(1)")
        return tuple(axis for axis in axes if size_of(axis) != 1)
    places = {position(a, len(axes)) for a in gone}
    for place in places:
        if isinstance(size := size_of(axes[place]), int) and size != 1:
            raise AxesError(f"removes axis {place} of {describe(axes)}, which has {size} elements; select one of them")
    return tuple(axis for i, axis in enumerate(axes) if i not in places)


def unsqueezed(axes: Axes, new: Sequence[int]) -> Axes:
    """With axes of size 1 at these places of the result."""
    rank = len(axes) + len(new)
    places = {position(a, rank) for a in new}
    if len(places) != len(new):
        raise AxesError(f"adds axis {list(new)}, one of them twice; export the model again")
    rest = iter(axes)
    return tuple(() if i in places else next(rest) for i in range(rank))


def reshaped(axes: Axes, target: Sequence[int | Size], zero_copies: bool = True) -> Axes:
    """The same atoms in the same order, cut into axes of the target's sizes; 0 copies a size, one -1 takes the rest."""
    want = [size_of(axes[i]) if zero_copies and x == 0 and i < len(axes) else x for i, x in enumerate(target)]
    atoms = [a for axis in axes for a in axis]
    try:
        found = _cut(atoms, want)
    except AxesError:
        shown = "[" + ", ".join("?" if isinstance(x, Size) else str(x) for x in target) + "]"
        raise AxesError(
            f"reshapes {describe(axes)} to {shown}, which would mix or cut time, batch and features;"
            " keep each frame's features together on the last axis"
        ) from None
    return found


def _cut(atoms: list[Atom], want: Sequence[int | Size]) -> Axes:
    rest = want.index(-1) if -1 in want else len(want)
    front = [_taken(atoms, x, 0) for x in want[:rest]]
    back = [_taken(atoms, x, -1) for x in reversed(want[rest + 1 :])][::-1]
    if rest < len(want):
        return (*front, tuple(atoms), *back)
    if core(tuple(atoms)) or (atoms and not front):
        raise AxesError
    return (*front[:-1], (*front[-1], *atoms)) if front else ()


def _taken(atoms: list[Atom], want: int | Size, end: int) -> Axis:
    """Atoms removed from one end (0 or -1) whose sizes multiply to `want`."""
    taken: list[Atom] = []
    if want == 1:
        return (atoms.pop(end),) if atoms and atoms[end].size == 1 else ()
    while size_of(tuple(taken)) != want:
        if not atoms:
            raise AxesError
        taken.insert(len(taken) if end == 0 else 0, atoms.pop(end))
    return tuple(taken)


def flattened(axes: Axes, at: int) -> Axes:
    """Two axes: those before `at` in one, the others in one."""
    before = position(at, len(axes)) if at != len(axes) else at
    return tuple(a for axis in axes[:before] for a in axis), tuple(a for axis in axes[before:] for a in axis)


def span(axis: Axis, start: Any, stop: Any, step: Any) -> int | None:
    """What a slice keeps of an axis: None for all of it, or the index of its one element."""
    size = size_of(axis)
    if step == 1 and start == 0 and (stop == size or (isinstance(stop, int) and stop >= OPEN_END)):
        return None
    if isinstance(size, int) and all(isinstance(x, int) for x in (start, stop, step)) and step != 0:
        kept = range(size)[start:stop:step]
        if kept == range(size):
            return None
        if len(kept) == 1:
            return kept[0]
    elif step == 1 and start == -1 and (stop == size or (isinstance(stop, int) and stop >= OPEN_END)):
        return -1
    end = "" if isinstance(stop, int) and abs(stop) >= OPEN_END else stop if isinstance(stop, int) else "?"
    raise AxesError(
        f"keeps {start}:{end}" + (f":{step}" if step != 1 else "") + f" of {describe((axis,))[1:-1]}; edgernn takes all"
        " features, and of time the whole sequence or its last step"
    )
