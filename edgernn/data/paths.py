"""${NAME} in a recipe's texts: an environment variable, so that one recipe serves several machines."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from edgernn.errors import EdgernnError


def expanded(table: Mapping[str, Any]) -> dict[str, Any]:
    """${NAME} in texts becomes the environment variable; an unset one is an error that names it."""

    def expand(value: Any) -> Any:
        return re.sub(r"\$\{(\w+)\}", _variable, value) if isinstance(value, str) else value

    return {key: expand(value) for key, value in table.items()}


def _variable(match: re.Match[str]) -> str:
    value = os.environ.get(match.group(1))
    if value is None:
        raise EdgernnError(f"the recipe's data needs the environment variable {match.group(1)}; set it to a folder")
    return value
