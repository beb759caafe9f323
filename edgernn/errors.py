"""The one error type that reaches the user as a sentence.

The command line prints it without a traceback and exits with code 2. The message says what
happened, which value was wrong, and what to do.
"""

from __future__ import annotations


class EdgernnError(Exception):
    """Bad input or an unusable machine: what happened, which value, what to do."""
