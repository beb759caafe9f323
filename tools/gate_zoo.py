"""The models that come along in this project's own gate: a kernel, compiler or judge that changes what they do fails the build.

    python tools/gate_zoo.py [NAME...]              check against tests/fixtures/gate/zoo; exit 0, 1 or 2 as `edgernn check`
    python tools/gate_zoo.py --why TEXT [NAME...]   write the baselines, when something changed on purpose

Every model, as it lies in the package, is judged on words that espeak-ng says anew, beside its floats, and runs on emulated
cores. Where $EDGERNN_DATA names recordings, their test part is judged too, in a run and a baseline of its own.
Models are the same every time, and sounds but for the last digits in which machines differ: those may turn a clip or two, so
losses are judged item by item at the usual level, and a test set is the same when its items are. SNRs keep to half a dB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgernn import boards, gate, pipeline, runs
from edgernn.console import printed
from edgernn.data.paths import expanded
from edgernn.data.sources import prepare
from edgernn.errors import EdgernnError
from edgernn.gate.as_table import checked
from edgernn.recipe import Recipe
from edgernn.tasks import find_task
from edgernn.tasks.base import Question
from edgernn.zoo import CARD, OWN, Card, read_card

BASELINES = Path(__file__).resolve().parent.parent / "tests" / "fixtures" / "gate" / "zoo"
FOLDER = Path("build/gate-zoo")
BOARDS = ("cortex-m0-4m", "mps2-an386", "riscv32-virt")
ASKED = Question(seconds=120.0, count=12)
#: what is said, a table a source; words only where the model knows some
SPOKEN: tuple[Mapping[str, Any], ...] = ({"kind": "spoken", "utterances": 240},)
SPOKEN_WORDS: tuple[Mapping[str, Any], ...] = (
    {"kind": "synthetic", "clips_per_keyword": 250, "unknown_clips": 500, "noise_seconds": 0.0},
)
RECORDED = tuple(
    {"kind": "manifest", "path": "${EDGERNN_DATA}/denoise/manifest.csv", "filter": {"kind": kind, "split": "test"}, what: True}
    for kind, what in (("clean", "speech"), ("noise", "noise"))
)
RECORDED_WORDS: tuple[Mapping[str, Any], ...] = (
    {"kind": "synthetic", "clips_per_keyword": 30, "unknown_clips": 30, "noise_seconds": 0.0},  # no split may lack a word
    {"kind": "manifest", "path": "${EDGERNN_DATA}/wake/manifest.csv", "filter": {"split": "test"}},
    {"kind": "manifest", "path": "${EDGERNN_DATA}/commands/manifest.csv", "filter": {"split": "test"}, "speech": True},
)  # fmt: skip


def sources(recipe: Recipe, recorded: bool) -> list[Mapping[str, Any]]:
    """What a model of this recipe is judged on."""
    common, words = (RECORDED, RECORDED_WORDS) if recorded else (SPOKEN, SPOKEN_WORDS)
    return [expanded(table) for table in (*common, *(words if recipe.keywords else ()))]


def made(card: Card, folder: Path, recorded: bool) -> Path:
    """A run folder of the model, with the sound it is judged on."""
    shutil.rmtree(folder, ignore_errors=True)
    runs.copy_model(card, folder)
    recipe = runs.run_recipe(folder)
    seconds = find_task(recipe.task, card.name).clip_seconds(recipe)
    prepare(sources(recipe, recorded), recipe.keywords, folder / "data", recipe.seed, seconds, lambda *_: None, True)
    return folder


def measured(folder: Path, on: Sequence[str]) -> Path:
    """The run folder with its figures: beside the floats, beside the definition, on cores."""
    pipeline.simulate_model(folder, lambda *_: None, question=ASKED)
    if on:
        pipeline.compare_model(folder, "c", lambda *_: None, seconds=30.0)
    for board in on:
        boards.run_board(folder, board, folder, toolchain="gcc", emulator="qemu")
    return folder


def tolerances(folder: Path) -> dict[str, float]:
    """Those that are narrower than usual: nothing is trained anew here."""
    kinds = {metric.split("[")[0].rsplit(".", 1)[-1] for metric in gate.collect(folder).metrics}
    return {name: 0.5 for name in kinds if name.endswith("snr_db") and "repeat" not in name}


def verdict(folder: Path, baseline: Path, why: str) -> int:
    """The baseline written, or the figures held to it; the exit code of `edgernn check`."""
    if why:
        print(f"wrote {gate.write_baseline(folder, baseline, why, tolerances=tolerances(folder), any_data=True)}")
        return 0
    result = gate.check(folder, baseline)
    printed(result, False, checked)
    return gate.exit_code(result)


def gated(card: Card, why: str, folder: Path = FOLDER, on: Sequence[str] = BOARDS) -> Iterator[int]:
    """The verdict over each run of a model."""
    yield verdict(measured(made(card, folder / card.name, False), on), BASELINES / f"{card.name}.json", why)
    if "EDGERNN_DATA" in os.environ:
        own = measured(made(card, folder / f"{card.name}-recorded", True), ())
        yield verdict(own, BASELINES / f"{card.name}-recorded.json", why)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="models; default: all")
    parser.add_argument("--why", default="", metavar="TEXT", help="write the baselines, and this into them")
    given = parser.parse_args()
    cards = [read_card(path.parent) for path in sorted(OWN.glob(f"*/{CARD}"))]
    if unknown := set(given.names) - {card.name for card in cards}:
        parser.error(f"no model {sorted(unknown)[0]}; there are {', '.join(card.name for card in cards)}")
    try:
        return max(code for card in cards if card.name in (given.names or [card.name]) for code in gated(card, given.why))
    except EdgernnError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
