"""The exact gate of this project's own CI: a committed checkpoint, quantized, exported, emulated, counted, compared.

    python tools/gate_fixture.py            check against tests/fixtures/gate/baseline.json; exit 0, 1 or 2 as `edgernn check`
    python tools/gate_fixture.py --baseline WHY   write the baseline of the committed checkpoint, when sizes changed on purpose
    python tools/gate_fixture.py --update WHY     train the checkpoint anew and write the baseline

The corpus is whistled: three words are melodies of an integer oscillator in integer noise, so that every machine makes
the same samples and the dataset's id (part of the baseline) names them. It is not speech and proves no accuracy; it proves
that quantization, export, code size and instruction counts did not change.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgernn import boards, gate, pipeline, runs
from edgernn.data.corpus import NOISE, Clip, Item, write_dataset
from edgernn.errors import EdgernnError
from edgernn.recipe import Recipe
from edgernn.tasks import make_recipe
from edgernn.tasks.base import Question

FIXTURE = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "gate"
BOARDS = ("microbit", "mps2-an386", "riscv32-virt")
#: Hz of each third of a word; "other" words are any other melody
MELODIES = {"rise": (500, 900, 1600), "fall": (1600, 900, 500), "hill": (600, 1500, 600)}
OTHERS = ((1600, 600, 1600), (900, 900, 900), (500, 1600, 900), (1500, 1500, 500))
_SINE = [0, 12540, 23170, 30274, 32767, 30274, 23170, 12540]  # half a turn, Q15


def recipe() -> Recipe:
    """A small strided convolution and GRU."""
    return make_recipe(
        {
            "name": "gate",
            "data": {"keywords": list(MELODIES)},
            "frontend": {"bands": 20, "floor_log2": 26},
            "layers": [
                {"cell": "conv", "kernel": 3, "stride": 2, "units": 16},
                {"cell": "gru", "units": 16},
            ],
            "train": {
                "epochs": 30,
                "learning_rate": 0.02,
                "variants": 3,
                "batch": 16,
                "average": 0.98,
                "silence": 0.3,
                "carried": 0.6,
                "tilt": 0.05,
                "dropout": 0.0,
                "time_mask_frames": 2,
                "band_mask_bands": 2,
            },
            "augment": {"speed": 0.04, "noise_probability": 0.5, "noise_snr_db": [5.0, 30.0], "room_probability": 0.1},
            "quantize": {"streams": 8, "stream_seconds": 10.0},
            "decision": {"clip_ms": 300.0, "smoothing_ms": 400.0},
        }
    )


def whistle(melody: tuple[int, ...], seed: int) -> NDArray[np.int16]:
    """0.6 s of a melody: pitch, loudness and noise follow the seed. Integers only, so the same everywhere."""
    state, phase, out = seed * 2654435761 & 0xFFFFFFFF, 0, []
    pitch, loud, hiss = 90 + seed * 7 % 21, 9 - seed % 3, 9 + seed % 4
    third = 3200
    for i in range(third * len(melody)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        phase += melody[i // third] * pitch * 65536 // (100 * 16000)
        turn = phase >> 12 & 15
        tone = _SINE[turn & 7] if turn < 8 else -_SINE[turn & 7]
        envelope = min(i % third, third - 1 - i % third, 255)
        out.append((tone * envelope >> loud) + ((state >> 16) - 32768 >> hiss))
    return np.clip(np.array(out), -32768, 32767).astype(np.int16)


def corpus() -> Iterator[Clip]:
    """Words and noise of 12 whistlers a split."""
    for s, split in enumerate(("train", "validation", "test")):
        for n in range(36 if split == "train" else 12):
            seed = 1 + 1000 * s + n
            for word, melody in {**MELODIES, f"other{n % 4}": OTHERS[n % 4]}.items():
                yield Clip(Item(f"{word}-{seed}", word, f"whistler-{split}-{n}", split, "whistled"), whistle(melody, seed))
        hiss = np.concatenate([whistle((0,), seed) for seed in range(50 * s + 1, 50 * s + 30)])
        yield Clip(Item(f"hiss-{split}", NOISE, f"hiss-{split}", split, "integer noise"), hiss)


def prepare(folder: Path) -> None:
    """A run folder with the corpus and the recipe."""
    shutil.rmtree(folder, ignore_errors=True)
    runs.keep_recipe(recipe(), folder)
    write_dataset(corpus(), recipe().keywords, folder / "data", 1.0)


def measure(folder: Path) -> None:
    """Quantize, simulate and emulate the run folder's checkpoint, both schemes."""
    for scheme in ("int8", "int8x16"):
        pipeline.quantize_model(folder, scheme)
        pipeline.simulate_model(folder, lambda *_: None, scheme, Question(seconds=60.0))
    for board in BOARDS:
        boards.run_board(folder, board, folder, toolchain="gcc", emulator="qemu")


def main() -> int:
    folder = Path("build/gate")
    prepare(folder)
    if "--update" in sys.argv:
        pipeline.train_model(folder, lambda *_: None)
        shutil.copy(folder / "model.safetensors", FIXTURE / "model.safetensors")
    shutil.copy(FIXTURE / "model.safetensors", folder / "model.safetensors")
    measure(folder)
    if {"--update", "--baseline"} & set(sys.argv):
        why = " ".join(x for x in sys.argv[1:] if not x.startswith("--"))
        print(f"wrote {gate.write_baseline(folder, FIXTURE / 'baseline.json', why)}")
        return 0
    try:
        rows = gate.check(folder, FIXTURE / "baseline.json")["rows"]
    except EdgernnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in rows:
        print(f"{'ok   ' if row['ok'] else 'WORSE'} {row['metric']}: {row['baseline']} -> {row['value']} ({row['tolerance']})")
    return 0 if all(row["ok"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
