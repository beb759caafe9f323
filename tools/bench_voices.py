"""How fast each voice engine speaks, and whether people's words are heard in what it says.

    python tools/bench_voices.py [RUN]      # writes docs/results/voices.json

Speed: three words and a sentence in drawn voices, a second of CPU time, children included, nothing taken from the cache. RUN:
a run folder whose net was trained on recordings of people alone; every engine then says its keywords, and the share that the
net hears right is kept beside its share over its own test clips. An engine that cannot speak here is named and left out.
"""

from __future__ import annotations

import datetime
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from edgernn.artifacts import write_json
from edgernn.data.cast import CastOptions, Line, make_cast
from edgernn.data.corpus import UNKNOWN, Dataset
from edgernn.data.sources.synthetic import cast_clips
from edgernn.data.speech import say
from edgernn.data.voices import engine_names, make_engine
from edgernn.signal.audio import SAMPLE_RATE, Int16
from edgernn.tasks import load_checkpoint
from edgernn.tasks.spot.judge import float_clip_logits
from edgernn.tasks.spot.scoring import score_clips

OUT = Path(__file__).resolve().parents[1] / "docs" / "results" / "voices.json"
WORDS = ("alexa", "computer", "jarvis")
SENTENCE = "The kettle has been boiling for a while, could somebody turn it down?"
CLIPS = 30  # of each word
HEARD = 20  # of each keyword of the judge
SPEEDS = (130, 230)


def lines(engine: str, texts: list[str]) -> list[Line]:
    """Drawn as for a recipe."""
    return list(make_cast(CastOptions(voices=(engine,), split="test", seed=11), SPEEDS).lines("test", texts))


def cpu_seconds() -> float:
    """Of this process and the children it has waited for; another's load on the machine changes it little."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def speed(engine: str, texts: list[str]) -> dict[str, float]:
    """Clips and seconds of sound a second of one core, the start of the engine included."""
    begin = cpu_seconds()
    samples = sum(len(pcm) for pcm in say(lines(engine, texts)))
    seconds = cpu_seconds() - begin
    return {"clips_a_second": round(len(texts) / seconds, 2), "times_real_time": round(samples / SAMPLE_RATE / seconds, 2)}


class Judge:
    """A net that was trained on people."""

    def __init__(self, run: Path) -> None:
        self.net: Any = load_checkpoint(run / "model.safetensors")
        self.data = Dataset.load(run / "data")

    def share(self, clips: list[tuple[str, Int16]]) -> float:
        """Of (word, clip), the share heard right."""
        size, labels = self.data.clip_samples, self.data.labels
        pcm = np.stack([np.pad(x[:size], ((gap := max(0, size - len(x))) // 2, gap - gap // 2)) for _, x in clips])
        truth = np.array([labels.index(word) for word, _ in clips])
        steps = round(self.net.recipe.decision.clip_ms / 40)
        return round(score_clips(float_clip_logits(self.net, pcm), truth, labels, steps).accuracy, 4)

    def of_people(self) -> float:
        """Over its own test clips of keywords."""
        return self.share([(row.label, self.data.pcm(row)) for row in self.data.clips("test") if row.label != UNKNOWN])

    def of_engine(self, engine: str) -> float:
        """Over its keywords, as the engine says them."""
        texts = [word for word in self.data.keywords for _ in range(HEARD)]
        plan = [("test", line) for line in lines(engine, texts)]
        return self.share([(clip.item.label, clip.pcm) for clip in cast_clips(plan, 0)])


def main() -> int:
    judge = Judge(Path(sys.argv[1])) if len(sys.argv) > 1 else None
    rows = {}
    for name in engine_names():
        if name == "recorded" or (reason := make_engine(name).missing()):
            print(f"{name}: left out" + ("" if name == "recorded" else f" ({reason})"))
            continue
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EDGERNN_CACHE"] = folder
            rows[name] = {
                "voices": len(make_engine(name).voices()),
                "words": speed(name, [word for word in WORDS for _ in range(CLIPS)]),
                "sentences": speed(name, [SENTENCE] * 12),
                "heard_right": judge.of_engine(name) if judge else None,
            }
        print(name, rows[name], flush=True)
    people = judge.of_people() if judge else None
    about = {"date": datetime.date.today().isoformat(), "people_heard_right": people}
    write_json(OUT, about | {"engines": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
