"""One file a voice engine: how it is found, which voices it has, how it says a text.

An engine is discovered by its file: a module here (not starting with `_`) that defines `ENGINE`. Nothing else lists engines.
"""

from __future__ import annotations

import pkgutil

from edgernn.data.engine import Engine
from edgernn.errors import EdgernnError
from edgernn.extensions import folders, found_module

__path__ += folders("voices")


def engine_names() -> list[str]:
    """Names of the engines that exist, whether they can speak here or not, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def make_engine(name: str, language: str = "en", folder: str = "") -> Engine:
    """The engine of that name for a language; an unknown one is an error that lists them all."""
    if name not in engine_names():
        raise EdgernnError(f"there are no voices {name!r}; the engines are {', '.join(engine_names())}")
    engine: Engine = found_module(__name__, name).ENGINE(name, language, folder)
    return engine


def naturalness(name: str) -> float:
    """See `Engine.NATURAL`."""
    return float(found_module(__name__, name).ENGINE.NATURAL)


def quick(name: str) -> bool:
    """Whether it speaks far faster than people do: neural engines do not."""
    return float(found_module(__name__, name).ENGINE.SECONDS) < 0.1
