"""A cell from outside: the tanh RNN under another name."""

from __future__ import annotations

from edgernn.cells.rnn_tanh import TanhRNN


class Echo(TanhRNN):
    """See the module docstring."""


CELL = Echo()
