"""What a user should know although nothing failed: one line on standard error, by the logger `edgernn`."""

from __future__ import annotations

import logging

_LOGGER = logging.getLogger("edgernn")


def note(text: str) -> None:
    """Say it. Programs that want it elsewhere give the logger `edgernn` a handler."""
    _LOGGER.warning("note: %s", text)
