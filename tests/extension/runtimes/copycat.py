"""A runtime from outside: the definition under another name."""

from __future__ import annotations

from edgernn.runtimes.numpy import NumpyRuntime


class Copycat(NumpyRuntime):
    """See the module docstring."""

    name = "copycat"


RUNTIME = Copycat
