"""Every runtime on the same trained net and recordings: accuracy, entries that differ, speed, size.

    python tools/bench_exports.py RUN [PYTHON...]   # writes docs/results/runtimes.json; tools/readme.py shows it

PYTHON: interpreters of environments that hold other runtimes (tflite-runtime wants NumPy 1; tensorflow is large), each with
edgernn's core and ai-edge-litert.
"""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from edgernn.artifacts import write_json
from edgernn.core.primitives import SCHEMES

ROOT = Path(__file__).resolve().parent.parent


def compared(python: str, run: Path, scheme: str) -> dict[str, Any]:
    """What `edgernn simulate --compare all` says in an environment."""
    command = [python, "-m", "edgernn", "simulate", str(run), "--scheme", scheme, "--compare", "all", "--json"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, encoding="utf-8", check=False
    )
    if done.returncode not in (0, 1):
        sys.exit(f"{' '.join(command)} failed with {done.returncode}")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def main() -> None:
    run, pythons = Path(sys.argv[1]), [sys.executable, *sys.argv[2:]]
    schemes: dict[str, dict[str, Any]] = {scheme: {} for scheme in SCHEMES}
    for scheme, rows in schemes.items():
        for python in pythons:
            for row in compared(python, run, scheme)["rows"]:
                rows.setdefault(row["runtime"], row)
    write_json(ROOT / "docs/results/runtimes.json", {"date": datetime.date.today().isoformat(), "schemes": schemes})


if __name__ == "__main__":
    main()
