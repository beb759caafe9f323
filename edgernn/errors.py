"""The one error type that reaches the user as a sentence.

The command line prints it without a traceback and exits with code 2. The message says what
happened, which value was wrong, and what to do.
"""

from __future__ import annotations


class EdgernnError(Exception):
    """Bad input or an unusable machine: what happened, which value, what to do."""


def extra_command(extra: str) -> str:
    """How the packages of an extra are installed, from the index and from a checkout, quoted for any shell."""
    return f"pip install 'edgernn[{extra}]', or in a checkout pip install -e '.[{extra}]'"


def needs_extra(what: str, extra: str, error: object = None) -> EdgernnError:
    """The error of something that needs a package which is not installed; error: what importing it said."""
    said = f" ({error})" if error else ""
    return EdgernnError(f"{what}{said}: {extra_command(extra)}")
