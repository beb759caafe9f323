"""Which part of a step each C function belongs to: the signal path, the products, the gates, the decision.

A function's part follows from the file that defines it, so a kernel's belong where those do that it takes the place of. Loops
over entries that a kernel fuses stand in the step itself, between the calls; they are gates, as is all else that stands there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

SIGNAL, PRODUCTS, GATES, DECISION, HELPERS = "signal path", "products", "gates, states", "decision", "compiler's helpers"
PARTS = (SIGNAL, PRODUCTS, GATES, DECISION, HELPERS)  #: in the order of a step
_FILES = ((SIGNAL, re.compile("frontend|stft|fft|bins|signal|log")), (DECISION, re.compile("decide")))
_DEFINED = re.compile(r"^([A-Za-z_][^;{}()#]*?)\b(\w+)(\([^;{}]*\))\s*\{", re.MULTILINE)
_OF_A_WIDTH, _WIDTH = re.compile(r"ERN_NAMED\((\w+)\)"), re.compile("_s(8|16)$")  #: as ern_products.h names functions
_LABEL = re.compile(r"()\b(ern_\w+)()")  #: assembly names its own alone, by labels and by macros


def by_part(by_function: Mapping[str, int], folder: Path, harness: str = "main") -> dict[str, int]:
    """Numbers by C function -> by part, in the order of PARTS, those that have any; folder: the exported C.

    harness: the function that calls a step, and that a compiler may have put it into.
    """
    known = {**{_WIDTH.sub("", name): part for name, part in _defined(folder)}, harness: GATES}
    counted = Counter[str]()
    for name, count in by_function.items():
        own = name.split(".")[0]  # a compiler's variant of it has more behind a point
        counted[known.get(_WIDTH.sub("", own), HELPERS)] += count
    return {part: counted[part] for part in PARTS if counted[part]}


def _defined(folder: Path) -> Iterator[tuple[str, str]]:
    """Every function that the exported C defines, and its part."""
    for path in sorted(folder.glob("*.[chS]")):
        text = _OF_A_WIDTH.sub(r"\1", path.read_text(encoding="utf-8"))
        for before, name, arguments in (_LABEL if path.suffix == ".S" else _DEFINED).findall(text):
            yield name, _part(path.name, before, name, arguments)


def _part(file: str, before: str, name: str, arguments: str) -> str:
    if not file.startswith("ern_"):  # the graph's own header
        return DECISION if name.endswith("_decide") else GATES
    if file == "ern_net.c" and "static" not in before and "ern_linear" not in arguments:
        return GATES  # entry by entry, or a copy
    return next((part for part, pattern in _FILES if pattern.search(file)), PRODUCTS)
