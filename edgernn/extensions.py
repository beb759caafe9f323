"""Folders outside the package that add to it: $EDGERNN_EXTENSIONS, separated as in $PATH.

Each may hold `tasks/`, `cells/`, `sources/`, `runtimes/` and `boards/`; what lies there is found as what comes along is, by its
file or folder name, and may not take the name of something that comes along.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgernn.errors import EdgernnError

VARIABLE = "EDGERNN_EXTENSIONS"


def folders(kind: str) -> list[str]:
    """The sub-folders of this kind that exist; a folder of extensions that does not exist is an error."""
    roots = [Path(x) for x in os.environ.get(VARIABLE, "").split(os.pathsep) if x]
    for root in roots:
        if not root.is_dir():
            raise EdgernnError(f"{VARIABLE} names {root}, which is no folder; correct it")
    return [str(root / kind) for root in roots if (root / kind).is_dir()]
