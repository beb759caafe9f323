"""Where clips come from: one file per kind of source, found by its file name, and the merge of several.

A source module holds `items(config, progress) -> Iterator[Clip]`; its `Options` is its configuration. Two keys belong to
every source's table: `kind`, its file name, and `train_repeat`, how often each of its training clips counts (1): for a few
recordings of one's own among thousands of others.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

from edgernn.data.corpus import Clip, Dataset, Progress, composed, quiet, write_dataset
from edgernn.data.options import parse
from edgernn.errors import EdgernnError
from edgernn.extensions import folders, found_module

__path__ += folders("sources")


def kinds() -> list[str]:
    """Names of the sources that exist, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def collect(
    tables: Sequence[Mapping[str, Any]], keywords: Sequence[str], seed: int, progress: Progress = quiet, strict: bool = False
) -> Iterator[Clip]:
    """Clips of every source in turn; a table is a source's options and `kind`. `seed`: where it sets none.

    strict: a recording that cannot be used is an error; else it is passed over and named.
    """
    for number, table in enumerate(tables, 1):
        check_table(table, number)
        module = found_module(__name__, table["kind"])
        options = {key: value for key, value in table.items() if key not in ("kind", "train_repeat")}
        times = _train_repeat(table, number)
        for clip in module.items({"seed": seed, "strict": strict, **options, "keywords": tuple(keywords)}, progress):
            yield from repeat(clip, times if clip.item.split == "train" else 1)


def check_table(table: Mapping[str, Any], number: int) -> None:
    """Refuse a table that its source cannot take, before any source is read."""
    kind = table.get("kind")
    if kind not in kinds():
        raise EdgernnError(f"data source {number} has kind {kind!r}; the kinds are {', '.join(kinds())}")
    _train_repeat(table, number)
    options = getattr(found_module(__name__, kind), "Options", None)
    if options is not None:
        parse(options, {key: x for key, x in table.items() if key not in ("kind", "train_repeat")}, f"data source {kind}")


def _train_repeat(table: Mapping[str, Any], number: int) -> int:
    times = table.get("train_repeat", 1)
    if type(times) is not int or not 1 <= times <= 1000:
        raise EdgernnError(f"data source {number} has train_repeat = {times!r}; it must be an integer in 1..1000")
    return times


def prepare(
    tables: Sequence[Mapping[str, Any]],
    keywords: Sequence[str],
    out: str | Path,
    seed: int = 0,
    clip_seconds: float | None = None,
    progress: Progress = quiet,
    strict: bool = False,
) -> Dataset:
    """Collect the sources in order and write one prepared dataset; see `write_dataset` for the errors."""
    if not tables:
        raise EdgernnError(f"no data source was given; the kinds are {', '.join(kinds())}")
    for number, table in enumerate(tables, 1):
        check_table(table, number)
    keywords = [composed(word) for word in keywords]
    return write_dataset(collect(tables, keywords, seed, progress, strict), keywords, out, clip_seconds)
