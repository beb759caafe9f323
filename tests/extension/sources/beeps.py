"""A data source from outside: beeps, and hiss that is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgernn.data.corpus import SPLITS, Clip, Item, Progress, quiet
from edgernn.data.options import SourceOptions, parse


@dataclass(frozen=True, kw_only=True)
class Options(SourceOptions):
    """Configuration of this source."""

    count: int = 12


def items(config: Mapping[str, Any], progress: Progress = quiet) -> Iterator[Clip]:
    """Half a second each."""
    options = parse(Options, config, "data source beeps")
    for split in SPLITS:
        for i in range(options.count):
            rng = np.random.default_rng([options.seed, i, SPLITS.index(split)])
            hiss = rng.normal(size=8000) * 300
            tone = 6000 * np.sin(np.arange(8000) * rng.uniform(0.2, 0.6))
            for label, pcm in (("beep", hiss + tone), ("hiss", hiss)):
                yield Clip(Item(f"{label}{split}{i}", label, f"{split}{i}", split, "made here"), pcm.astype(np.int16))
