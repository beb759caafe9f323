"""A result of the gate as GitHub's workflow commands: annotations beside the change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgernn.gate.words import changes, ordered, reason

MOST = 10  #: names of items an annotation
_LEVELS = {"worse": "error", "missing": "error", "unclear": "warning"}


def commands(r: Mapping[str, Any]) -> Iterator[str]:
    """One line for everything that is not ok; GitHub shows the first ten of each kind."""
    for row in ordered(r["rows"]):
        if level := _LEVELS.get(row["verdict"]):
            yield _command(
                level, f"{row['metric']} is {row['verdict']}", "\n".join([reason(row), *changes(row, MOST)]), r["baseline"]
            )
    for text in r["notes"]:
        yield _command("notice", "edgernn check", text, r["baseline"])


def untold(message: str, baseline: str) -> str:
    """What is said when nothing could be judged."""
    return _command("error", "edgernn check cannot tell", message, baseline)


def _command(level: str, title: str, message: str, file: str) -> str:
    properties = f"file={_property(file)},title={_property(title)}"
    return f"::{level} {properties}::{_data(message)}"


def _data(text: str) -> str:
    """As GitHub's toolkit escapes a message."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """As GitHub's toolkit escapes a property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
