"""Folders outside the package that add to it: $EDGERNN_EXTENSIONS, separated as in $PATH.

Each may hold `tasks/`, `cells/`, `sources/`, `voices/`, `runtimes/`, `boards/`,
`packages/` and `zoo/`; what lies there is found as
what comes along is, by its file or folder name, and may not take the name of something that comes along.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from types import ModuleType

from edgernn.errors import EdgernnError

VARIABLE = "EDGERNN_EXTENSIONS"


def roots() -> list[Path]:
    """The folders of extensions; one that does not exist is an error."""
    named = [Path(x) for x in os.environ.get(VARIABLE, "").split(os.pathsep) if x]
    for root in named:
        if not root.is_dir():
            raise EdgernnError(f"{VARIABLE} names {root}, which is no folder; correct it")
    return named


def folders(kind: str) -> list[str]:
    """The sub-folders of this kind that exist."""
    return [str(root / kind) for root in roots() if (root / kind).is_dir()]


def found_module(package: str, name: str) -> ModuleType:
    """A module of a package that extensions add to; one from outside that fails to load is an error that says so."""
    full = f"{package}.{name}"
    try:
        return importlib.import_module(full)
    except EdgernnError:
        raise
    except Exception as error:
        spec = importlib.util.find_spec(full)
        origin = Path(spec.origin) if spec and spec.origin else None
        if origin is None or not any(origin.is_relative_to(root) for root in roots()):
            raise  # what comes along: a missing package, which who asked for it knows to explain
        said = f"{type(error).__name__}: {error}"
        raise EdgernnError(
            f"the extension {origin} does not load ({said}); correct it, or take it out of {VARIABLE}"
        ) from error
