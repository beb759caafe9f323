"""The end of what a program prints: a reader that is gone is no error of ours."""

from __future__ import annotations

import os
import sys
from contextlib import suppress


def close_output() -> None:
    """Send what is still to be printed nowhere; the interpreter's last flush would fail otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # it was closed before we began
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
