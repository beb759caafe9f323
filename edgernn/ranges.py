"""Numbers that a user gives, checked before anything is spent on them: finite, and between two ends that are told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from edgernn.errors import EdgernnError

Ranges = Mapping[str, tuple[float, float]]


def check_ranges(where: str, section: Any, ranges: Ranges) -> None:
    """Every named number of a section must be finite and lie between its two ends; one error names all that do not.

    A pair of numbers is a range itself: both must lie there, and it must rise.
    """
    prefix = f"{where}." if where else ""
    wrong = [
        f"{prefix}{name} = {_shown(getattr(section, name))} must {'rise within' if _is_pair(section, name) else 'lie in'} "
        f"{_end(low)}..{_end(high)}"
        for name, (low, high) in ranges.items()
        if not _within(getattr(section, name), low, high)
    ]
    if wrong:
        raise EdgernnError("; ".join(wrong))


def _within(value: Any, low: float, high: float) -> bool:
    if isinstance(value, tuple):
        return len(value) == 2 and all(_within(x, low, high) for x in value) and value[0] <= value[1]
    return is_number(value) and low <= value <= high


def is_number(value: Any) -> bool:
    """A finite number, and no truth value."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def _is_pair(section: Any, name: str) -> bool:
    return isinstance(getattr(section, name), tuple)


def _shown(value: Any) -> str:
    try:
        text = str(list(value)) if isinstance(value, tuple) else str(value)
    except ValueError:  # Python prints no integer of so many digits
        return "a number without end"
    return text if len(text) < 100 else f"{text[:100]}.."


def shown(value: Any) -> str:
    """Any value as a message shows it, a text in quotes; Python prints no integer of thousands of digits."""
    try:
        text = repr(value)
    except ValueError:
        text = "too large a number"
    return text if len(text) < 100 else f"{text[:100]}.."


def _end(x: float) -> str:
    return str(int(x)) if float(x).is_integer() else f"{x:g}"
