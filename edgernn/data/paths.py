"""${NAME} in a recipe's paths: an environment variable, so that one recipe serves several machines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from edgernn.errors import EdgernnError

PATHS = ("path",)  #: keys of a source's table that name a place on this machine; no other text is expanded


def expanded(table: Mapping[str, Any]) -> dict[str, Any]:
    """${NAME} in paths becomes the environment variable; an unset one is an error that names it."""

    def expand(key: str, value: Any) -> Any:
        return re.sub(r"\$\{(\w+)\}", _variable, value) if key in PATHS and isinstance(value, str) else value

    return {key: expand(key, value) for key, value in table.items()}


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match.group(1))
    if not value:
        raise EdgernnError(f"the recipe's data needs the environment variable {match.group(1)}; set it to a folder")
    return value
