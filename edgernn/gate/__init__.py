"""The regression gate: a run's figures against a baseline (`edgernn check`).

It judges only what it can: figures of one model and graph, judged on one test set, finite numbers of the right kind. Anything
else is an error (exit code 2), never a pass.

reading: what a run folder says; baseline: the file; paired: statistics over the same items; judging: the verdicts; the
others: one form of output each.
"""

from __future__ import annotations

from edgernn.gate.baseline import read_baseline, write_baseline
from edgernn.gate.judging import check, exit_code
from edgernn.gate.reading import collect

__all__ = ["check", "collect", "exit_code", "read_baseline", "write_baseline"]
