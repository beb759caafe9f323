"""Reading one table of a configuration into a frozen dataclass, with every mistake named at once.

Every number has a range: that of the class attribute RANGES, else ANY_INTEGER or ANY_FLOAT.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from edgernn.errors import EdgernnError
from edgernn.ranges import Ranges, check_ranges, shown

T = TypeVar("T")
_PLAIN: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), bool: (bool,)}
ANY_INTEGER, ANY_FLOAT = (-1, 1_000_000_000), (0, 1e9)


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What every source is given: the keywords in order and whether to be strict (`prepare` fills them in), and a seed."""

    keywords: tuple[str, ...] = field(default=())
    seed: int = 0
    strict: bool = False  # a recording that cannot be used is an error


def parse(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """`cls(**table)`; lists become tuples. Unknown, missing and mistyped keys: one EdgernnError for all."""
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(cls)
    problems = [_unknown(key, list(known)) for key in table if key not in known]
    problems += [
        f"{name} is missing"
        for name, f in known.items()
        if name not in table and f.default is MISSING and f.default_factory is MISSING
    ]
    problems += [
        f"{key} = {shown(value)} should be a {getattr(hints[key], '__name__', hints[key])}"
        for key, value in table.items()
        if key in known and not _fits(value, hints[key])
    ]
    if problems:
        raise EdgernnError(f"{where}: {'; '.join(problems)}")
    made = cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
    check_ranges(where, made, number_ranges(cls))
    return made


def number_ranges(cls: type[Any]) -> Ranges:
    """The range of every number of a class of options."""
    hints, own = typing.get_type_hints(cls), {"seed": (0, 2**32 - 1), **getattr(cls, "RANGES", {})}
    return {f.name: own.get(f.name, ANY_INTEGER if hints[f.name] is int else ANY_FLOAT)
            for f in fields(cls) if hints[f.name] in (int, float)}  # fmt: skip


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"unknown key {key!r} (did you mean {near[0]!r}?)"


def _fits(value: Any, hint: Any) -> bool:
    if typing.get_origin(hint) is tuple:
        return isinstance(value, (list, tuple)) and all(isinstance(x, str) for x in value)
    if typing.get_origin(hint) is Mapping:
        return isinstance(value, Mapping) and all(isinstance(x, str) for x in value.values())
    allowed = _PLAIN.get(hint)
    return allowed is None or (isinstance(value, allowed) and (hint is bool or not isinstance(value, bool)))
