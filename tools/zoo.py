"""A model that comes along: made from a run folder, its card measured; or its card's figures checked against its files.

    python tools/zoo.py make NAME RUN --command "edgernn vad-train --recipe vad"
    python tools/zoo.py work [NAME...]
    python tools/zoo.py check [NAME...]

`make` copies graph, checkpoint and recipe of RUN to edgernn/zoo/NAME and writes the figures of its card.toml below the line
that says so; what stands above it (what the model is for, its data) is written by hand and stays. Without such a card one to be
filled in is written, and nothing else. RUN's data, and the list of mixtures that the card names (in $EDGERNN_DATA), are what
it is judged on; or its figures come from a bench that judged it (--figures). `work` measures the cores alone anew, after a
change of kernels or compilers. `check` measures again what takes seconds: bits, sizes, instructions, the quality of a sample.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import hashlib
import json
import os
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgernn.artifacts import write_all, write_text
from edgernn.core.graph import NetGraph
from edgernn.data.corpus import Dataset
from edgernn.data.paths import expanded
from edgernn.data.sources import prepare
from edgernn.firmware import build_firmware, run_firmware
from edgernn.runs import CHECKPOINT, load_data, run_recipe
from edgernn.tasks import find_task, load_checkpoint, load_graph, task_of
from edgernn.tasks.base import Question
from edgernn.zoo import CARD, OWN, Card, read_card
from firmware_export.golden import golden_signal
from targets import find_toolchain, load_board

BOARDS = ("cortex-m0-4m", "mps2-an386", "mps3-an547-mve", "riscv32-virt")
STEPS = 60  #: of the self-test's signal, on each core
SAMPLE = 10  #: mixtures of the list that `check` judges again
MEASURED = "# Measured by tools/zoo.py; not written by hand."
EMPTY = """\
summary = ""
use = ""
limits = ""
default = false
list = ""  # mixtures to judge by, in $EDGERNN_DATA; empty: the test split

[[data]]
name = ""
licence = ""
by = ""

"""


# Figures ---------------------------------------------------------------------------


def of_graph(graph: NetGraph) -> dict[str, Any]:
    """What the graph is."""
    return {
        "id": graph.id, "task": task_of(graph).name, "scheme": graph.scheme, "weight_bytes": graph.weight_bytes,
        "table_bytes": graph.table_bytes, "macs_per_second": round(graph.macs_per_step * graph.steps_per_second),
        "latency_ms": round(graph.latency_ms, 3), "step_ms": round(graph.step_ms, 3), "sample_rate": graph.sample_rate,
    }  # fmt: skip


def of_core(graph: NetGraph, name: str) -> dict[str, Any]:
    """Bits and work on one emulated core, by its own kernel, gcc and the self-test's signal."""
    board = load_board(name)
    with tempfile.TemporaryDirectory() as scratch:
        firmware, built = build_firmware(graph, board, Path(scratch), "gcc", kernel="auto")
        ran = run_firmware(graph, firmware, board, golden_signal(graph.step_samples, STEPS))
    keys = ("flash_bytes", "ram_bytes", "state_bytes", "stack_bytes", "steps", "entries", "bits_differing")
    found = {**built.to_dict(), **ran.to_dict()}
    return {
        "board": name, "cpu": built.cpu, "kernel": built.kernel, "compiler": compiler(name), **{k: found[k] for k in keys},
        "instructions_per_second": round(ran.instructions_per_second),
    }  # fmt: skip


def compiler(board: str) -> str:
    """Another one makes other code."""
    found = find_toolchain(load_board(board), "gcc")
    return f"{found.name} {found.version}"


def judged(folder: Path, graph: NetGraph, data: Dataset, mixtures: Path | None, mos: bool = False) -> dict[str, Any]:
    """What its task says of it, as numbers by dotted names."""
    task, options = task_of(graph), {"mixtures": mixtures} if mixtures else {}
    if mos and any(o.name == "mos" for o in task.options_of("simulate")):
        options["mos"] = True  # type: ignore[assignment]
    question = Question("test", 60.0, options=options)
    result = task.judge(load_checkpoint(folder / CHECKPOINT), graph, data, question, progress)
    return dict(flat(task.summary(result)))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Numbers of nested tables, by dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{key}", value


def progress(stage: str, done: int, total: int) -> None:
    if total and done % 10 == 0:
        print(f"{stage} {done} of {total}", file=sys.stderr, flush=True)


def sample_of(listed: Path, folder: Path) -> Path:
    """Every so manieth row of a list of mixtures, with whole paths."""
    with listed.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kept = rows[:: max(1, len(rows) // SAMPLE)][:SAMPLE]
    for row in kept:
        row["clean"] = str(listed.parent / row["clean"])
        row["noise"] = ";".join(str(listed.parent / name) for name in row["noise"].split(";"))
    with (folder / "sample.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(kept)
    return folder / "sample.csv"


def recordings(name: str) -> Path:
    """A list of mixtures in $EDGERNN_DATA."""
    return Path(os.environ["EDGERNN_DATA"]) / name


def quality(folder: Path, graph: NetGraph, data: Dataset, listed: str, known: Path | None) -> dict[str, Any]:
    """The figures of the whole list, or those that a bench has measured; and those of its sample where there is a list."""
    if known:
        values = json.loads(known.read_text(encoding="utf-8"))
        found = {"date": values.get("date", ""), **dict(flat(values))}
    else:
        mixtures = recordings(listed) if listed else None
        found = {"date": datetime.date.today().isoformat(), **judged(folder, graph, data, mixtures, mos=bool(listed))}
    return {**found, "sample": sample(folder, graph, data, listed)} if listed else found


def sample(folder: Path, graph: NetGraph, data: Dataset, listed: str) -> dict[str, Any]:
    """The figures of some mixtures of the list."""
    with tempfile.TemporaryDirectory() as scratch:
        return judged(folder, graph, data, sample_of(recordings(listed), Path(scratch)))


# Cards ---------------------------------------------------------------------------


def toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key_text(k)} = {toml(v)}" for k, v in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else repr(value)


def key_text(key: str) -> str:
    return key if key.replace("_", "").isalnum() else json.dumps(key)


def tables(figures: Mapping[str, Any]) -> str:
    """The measured part of a card."""
    lines = [MEASURED]
    for name, value in figures.items():
        for table in value if isinstance(value, list) else [value]:
            lines += ["", f"[[{name}]]" if isinstance(value, list) else f"[{name}]"]
            lines += [f"{key_text(k)} = {toml(v)}" for k, v in table.items() if not isinstance(v, Mapping)]
            lines += [f"\n[{name}.{k}]\n" + "\n".join(f"{key_text(a)} = {toml(b)}" for a, b in v.items())
                      for k, v in table.items() if isinstance(v, Mapping)]  # fmt: skip
    return "\n".join(lines) + "\n"


def make(name: str, run: Path, command: str, date: str, known: Path | None) -> None:
    folder = OWN / name
    if not (folder / CARD).is_file():
        write_text(folder / CARD, EMPTY)
        sys.exit(f"fill in {folder / CARD}, then run this again")
    own = (folder / CARD).read_text(encoding="utf-8").split(MEASURED)[0].rstrip() + "\n\n"
    recipe, net = run_recipe(run), load_checkpoint(run / CHECKPOINT)
    scheme = recipe.quantize.scheme
    graph = load_graph(run / f"graph-{scheme}.ern")
    files = (f"graph-{scheme}.ern", CHECKPOINT, "recipe.json")
    write_all({folder / file: (run / file).read_bytes() for file in files})
    made = {"command": command, "recipe": recipe.name, "seed": recipe.seed, "date": date,
            "dataset": net.source.get("dataset", ""), "parameters": net.parameters}  # fmt: skip
    checkpoint = {"sha256": hashlib.sha256((folder / CHECKPOINT).read_bytes()).hexdigest(), "fingerprint": net.fingerprint}
    figures = {
        "made": made, "graph": of_graph(graph), "checkpoint": checkpoint, "work": [of_core(graph, b) for b in BOARDS],
        "quality": quality(folder, graph, load_data(run), tomllib.loads(own)["list"], known),
    }  # fmt: skip
    write_text(folder / CARD, own + tables(figures))
    print(f"wrote {folder}: {sum(f.stat().st_size for f in folder.iterdir()):,} bytes")


def measure_work(names: list[str]) -> None:
    """Cards with what the cores do now; the rest stays."""
    for folder in chosen(names):
        path = folder / CARD
        own, measured = path.read_text(encoding="utf-8").split(MEASURED)
        figures = tomllib.loads(measured)
        figures["work"] = [of_core(load_graph(read_card(folder).file), board) for board in BOARDS]
        write_text(path, own + tables(figures))
        print(f"wrote {path}")


def chosen(names: list[str]) -> list[Path]:
    """Folders of the models of those names, all where none is named."""
    return [path.parent for path in sorted(OWN.glob(f"*/{CARD}")) if not names or path.parent.name in names]


# Checks ---------------------------------------------------------------------------


def wrong_graph(card: Card) -> list[str]:
    """What the card says of the files that is not so."""
    found = {**of_graph(load_graph(card.file)), "sha256": hashlib.sha256((card.folder / CHECKPOINT).read_bytes()).hexdigest()}
    net = load_checkpoint(card.folder / CHECKPOINT)
    found |= {"fingerprint": net.fingerprint, "seed": net.recipe.seed, "recipe": net.recipe.name, "parameters": net.parameters,
              "dataset": net.source.get("dataset", "")}  # fmt: skip
    said = {**card.graph, **card.checkpoint, **{k: v for k, v in card.made.items() if k not in ("command", "date")}}
    return [f"{card.name}: {k} = {said.get(k)!r}, the file has {v!r}" for k, v in found.items() if said.get(k) != v]


def wrong_work(card: Card) -> list[str]:
    """What the cores do that the card does not say. By another compiler the figures may be 5 % off, and bits never."""
    graph, wrong = load_graph(card.file), []
    for said in card.work:
        found = of_core(graph, said["board"])
        near = 0.0 if found["compiler"] == said["compiler"] else 0.05
        for key, value in found.items():
            if key == "compiler":
                continue
            loose = near if key.endswith(("_bytes", "_second")) else 0.0
            if value != said[key] and (isinstance(value, str) or abs(value - said[key]) > loose * abs(said[key])):
                wrong.append(f"{card.name}: {said['board']}: {key} = {said[key]!r}, measured {value!r}")
        if found["bits_differing"]:
            wrong.append(f"{card.name}: {said['board']}: {found['bits_differing']} entries differ from the definition")
    return wrong


def wrong_quality(card: Card, data: Dataset) -> list[str]:
    """Figures of the sample that are not what the card says: some float arithmetic is the host's own, hence a thousandth."""
    said = card.quality.get("sample", {})
    listed = tomllib.loads((card.folder / CARD).read_text(encoding="utf-8"))["list"]
    found = sample(card.folder, load_graph(card.file), data, listed)
    return [
        f"{card.name}: {key} = {said.get(key)!r}, measured {value!r}"
        for key, value in found.items()
        if key not in said or abs(value - said[key]) > 1e-3 * max(1.0, abs(said[key]))
    ]


def its_data(card: Card, folder: Path) -> Dataset:
    """The recordings of a model's recipe, from $EDGERNN_DATA."""
    recipe = run_recipe(card.folder)
    tables = [expanded(table) for table in recipe.sources]
    seconds = find_task(recipe.task, card.name).clip_seconds(recipe)
    return prepare(tables, recipe.keywords, folder, recipe.seed, seconds, progress, False)


def check(names: list[str]) -> list[str]:
    wrong = []
    for card in map(read_card, chosen(names)):
        wrong += wrong_graph(card) + wrong_work(card)
        if "EDGERNN_DATA" in os.environ and "sample" in card.quality:
            with tempfile.TemporaryDirectory() as scratch:
                wrong += wrong_quality(card, its_data(card, Path(scratch) / "data"))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    maker = verbs.add_parser("make")
    maker.add_argument("name")
    maker.add_argument("run", type=Path)
    maker.add_argument("--command", required=True)
    maker.add_argument("--figures", type=Path, help="JSON of a bench that judged this graph, instead of judging it now")
    maker.add_argument("--date", default=datetime.date.today().isoformat(), help="of the training")
    for verb in ("work", "check"):
        verbs.add_parser(verb).add_argument("names", nargs="*")
    given = parser.parse_args()
    if given.verb == "make":
        make(given.name, given.run, given.command, given.date, given.figures)
        return 0
    if given.verb == "work":
        measure_work(given.names)
        return 0
    wrong = check(given.names)
    print("\n".join(wrong) or "every figure is that of its file")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
