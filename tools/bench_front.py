"""A denoiser in front of the wake words: does it lower what is missed in noise? By the rules of bench_wake.py.

    EDGERNN_DATA=... python tools/bench_front.py RUN...

Each RUN, a trained spotter, hears the test recordings as they are and as a denoiser that comes along leaves them, keywords and
hours without them alike; the integers of both, each stream without a reset. Noise lies 10 and 0 dB below the words. The
spotters were trained without the denoiser. Writes docs/results/front.json; docs/keyword-spotting.md shows it.
"""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bench_wake import OUT, TEST, Spans, missed_in, noisy, said

from edgernn.artifacts import write_json
from edgernn.runs import find_graph
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal.audio import Int16
from edgernn.tasks import load_graph
from edgernn.tasks.denoise.stream import denoised
from edgernn.zoo import find_card

FRONT = "dn-small"
SNRS_DB = (10.0, 0.0)
Streams = dict[str, tuple[Int16, Spans]]


def streams() -> tuple[Streams, list[Int16]]:
    """(streams of the words by name, streams without them), always the same."""
    rng = np.random.default_rng(2027)
    clips, noise = TEST.clips(), TEST.noise()
    made: Streams = {"clean": said(clips, lambda x: x)}
    for snr in SNRS_DB:
        made[f"noise {snr:g} dB"] = said(clips, lambda x, snr=snr: noisy(x, noise, snr, rng))
    return made, TEST.quiet_hours(rng)[0]


def through(front: Callable[[Int16], Int16], made: Streams, quiet: list[Int16]) -> tuple[Streams, list[Int16]]:
    """The same as the denoiser leaves them."""
    return {name: (front(pcm), spans) for name, (pcm, spans) in made.items()}, [front(x) for x in quiet]


def heard(folder: Path, made: Streams, quiet: list[Int16]) -> dict[str, Any]:
    """What a spotter misses of each stream, the mean over its words."""
    runtime = make_runtime(fast_runtime(), load_graph(find_graph(folder)))
    negative = [runtime.run(x).posteriors for x in quiet]
    return {name: missed_in(runtime, stream, negative)["mean"] for name, stream in made.items()}


def main() -> int:
    if len(sys.argv) < 2 or "EDGERNN_DATA" not in os.environ:
        print(__doc__, file=sys.stderr)
        return 2
    made, quiet = streams()
    runtime = make_runtime(fast_runtime(), load_graph(find_card(FRONT).file))
    cleaned = through(lambda pcm: denoised(runtime, pcm), made, quiet)
    runs = [Path(run) for run in sys.argv[1:]]
    rows = [{"alone": heard(run, made, quiet), f"behind {FRONT}": heard(run, *cleaned)} for run in runs]
    path = OUT.with_name("front.json")
    write_json(path, {"date": datetime.date.today().isoformat(), "front": FRONT, "spotters": rows})
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
