"""Reading one table of a configuration into a frozen dataclass, with every mistake named at once."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from edgernn.errors import EdgernnError

T = TypeVar("T")
_PLAIN: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (float, int), bool: (bool,)}


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
        f"{key} = {value!r} should be a {hints[key].__name__}"
        for key, value in table.items()
        if key in known and not _fits(value, hints[key])
    ]
    if problems:
        raise EdgernnError(f"{where}: {'; '.join(problems)}")
    return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})


def _unknown(key: str, known: list[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)
    return f"unknown key {key!r} (did you mean {near[0]!r}?)"


def _fits(value: Any, hint: Any) -> bool:
    allowed = _PLAIN.get(hint)
    return allowed is None or (isinstance(value, allowed) and (hint is bool or not isinstance(value, bool)))
