"""The sections that every run has, whatever it was trained for: headline, differences, cost, tensors, training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgernn import show
from edgernn.console import beside
from edgernn.reports import charts
from edgernn.reports.charts import Axis, Line
from edgernn.reports.facts import Facts, Values
from edgernn.reports.parts import Part, Picture, Section
from edgernn.show import Table

#: columns of metrics.csv that need no picture of their own
_UNDRAWN = {"epoch", "gradient_norm_max", "clipped", "learning_rate"}


def shared(runs: Sequence[Facts]) -> Iterator[Section]:
    """Sections in which all runs stand side by side."""
    if len(runs) > 1:
        yield differences(runs)
    yield from (x for x in (cost(runs), tensors(runs), training(runs)) if x.parts)


def headline(run: Facts) -> Section:
    """The table of `edgernn kws` and its like, and what it means."""
    s = run.simulated
    if s is None:
        return Section(run.name, [f"{run.folder} was never judged: `edgernn simulate {run.folder}` does it"])
    common = ("graph", "scheme", "split", "weight_bytes", "mmacs_per_second", "latency_ms")
    values = {
        **{key: s[key] for key in common}, **run.task.summary(s), "folder": str(run.folder), "boards": run.boards,
        "real_time_factor": s.get("speed", {}).get("real_time_factor_c"),
    }  # fmt: skip
    quality = [row for row in run.task.show_summary(values) if row[0] != "verdict"]
    table = next(iter(show.summary(values, quality, ["-"], "")))
    assert isinstance(table, Table)
    verdict = [*run.task.verdict(s), *_same_bits(run.boards)]
    return Section(run.name, ["\n".join(f"- {line}" for line in verdict), table._replace(title="")])


def _same_bits(boards: Sequence[Values]) -> list[str]:
    """Whether the cores compute what was judged."""
    wrong = [b["board"] for b in boards if b["bits_differing"]]
    if wrong:
        return [f"{', '.join(wrong)} computed other bits than those judged here: nothing on this page holds there"]
    if boards:
        steps = sum(b["steps"] for b in boards)
        return [
            f"0 bits differ on {', '.join(b['board'] for b in boards)} in {steps} steps: what is judged here is what runs there"
        ]
    return []


def differences(runs: Sequence[Facts]) -> Section:
    """Every figure of every run, and how the others differ from the first."""
    found = [figures(run) for run in runs]
    names = list(dict.fromkeys(name for values in found for name in values))
    first, *others = found
    columns = ["", runs[0].name, *(text for run in runs[1:] for text in (run.name, f"{run.name}, difference"))]
    rows = []
    for name in names:
        row: list[Any] = [name.replace("_", " "), _figure(first.get(name))]
        for values in others:
            a, b = first.get(name), values.get(name)
            row += [_figure(b), _figure(b - a, "+") if a is not None and b is not None else ""]
        rows.append(row)
    parts: list[Part] = [Table("", columns, rows)]
    judged = {str(run.task.figures(run.simulated)[0]) for run in runs if run.simulated}
    if len(judged) > 1:
        parts.insert(0, "The runs were judged on different sounds: how good they are does not compare.")
    return Section(f"Differences from {runs[0].name}", parts)


def figures(run: Facts) -> dict[str, float]:
    """What can be compared of a run, by name."""
    found: dict[str, float] = dict(run.task.figures(run.simulated)[1]) if run.simulated else {}
    found["weight_bytes"] = run.graph.weight_bytes
    found["macs_per_step"] = run.graph.macs_per_step
    found["latency_ms"] = round(run.graph.latency_ms, 2)
    for b in run.boards:
        found |= {
            f"{b['board']}: {key}": b[key] for key in ("flash_bytes", "ram_bytes", "stack_bytes", "instructions_per_second")
        }
    return found


def _figure(value: float | None, sign: str = "") -> str:
    """A figure, large ones without decimals; sign: "+" for one that is always told."""
    return "" if value is None else f"{value:{sign},.0f}" if abs(value) >= 1000 else f"{value:{sign}.6g}"


def cost(runs: Sequence[Facts]) -> Section:
    """Latency, instructions and memory of each board, and what the flash is filled with."""
    rows = [
        [run.name, b["board"], b["cpu"], b["flash_bytes"], b["ram_bytes"], b["state_bytes"], b["stack_bytes"],
         f"{b['instructions_per_second'] / 1e6:.2f} M", f"{b['bits_differing']} of {b['entries']}"]
        for run in runs for b in run.boards
    ]  # fmt: skip
    columns = ["run", "board", "core", "flash, bytes", "RAM", "of it state", "stack", "instructions a second of sound",
               "bits differing"]  # fmt: skip
    section = Section("What it costs", [latency(runs)], wide=True)
    if rows:
        section.parts.append(Table("On emulated cores", columns, rows))
    section.parts.extend(by_part(runs))
    for run in runs:
        section.parts.extend(flash_maps(run))
    return section


def by_part(runs: Sequence[Facts]) -> Iterator[Table]:
    """What the instructions of a step on each board are spent on, where that was counted."""
    from firmware_export.parts import PARTS

    counted = [(run, b, b["instructions_by_part"]) for run in runs for b in run.boards if b.get("instructions_by_part")]
    parts = [part for part in PARTS if any(part in found for _, _, found in counted)]
    rows = [
        [run.name, b["board"], f"{b['instructions_per_step']:,.0f}", *(_share(found.get(part), b) for part in parts)]
        for run, b, found in counted
    ]
    if rows:
        yield Table("Instructions of a step, part by part", ["run", "board", "in all", *parts], rows)


def _share(count: float | None, b: Values) -> str:
    """A part of a step's instructions, and how much of them it is."""
    return "" if count is None else f"{count:,.0f} ({100 * count / b['instructions_per_step']:.0f} %)"


def latency(runs: Sequence[Facts]) -> Table:
    """What each run's model makes of time and memory, before any board."""
    rows = [
        [r.name, f"{r.graph.latency_ms:.1f} ms", f"{r.graph.step_ms:g} ms",
         f"{r.graph.latency_ms - r.graph.step_ms:.1f} ms", r.graph.weight_bytes, r.graph.table_bytes,
         f"{r.graph.macs_per_step * r.graph.steps_per_second / 1e6:.2f} M",
         f"{r.simulated['speed']['real_time_factor_c']:.0f} x" if r.simulated and r.simulated.get("speed") else ""]
        for r in runs
    ]  # fmt: skip
    columns = [
        "run",
        "algorithmic latency",
        "of it a step's sound",
        "window, smoothing, delay",
        "weights, bytes",
        "tables, bytes",
        "MACs a second",
        "real time on this PC",
    ]
    return Table("Latency and arithmetic", columns, rows)


KINDS = ["weights", "tables", "the model's code", "test firmware, start-up"]


def flash_maps(run: Facts) -> Iterator[Picture]:
    """A map of each board's flash, symbol by symbol, where its test firmware still lies in the run folder."""
    from targets.elf import read_elf

    for b in run.boards:
        path = beside(run.folder) / b["board"] / "test" / f"{b['board']}.elf"
        if not path.is_file():
            run.missing.append(f"no {path}: `edgernn run {run.folder} --board {b['board']}` builds it, and its map of flash")
            continue
        tiles = flash_tiles(run, read_elf(path).stored(), path.parent / "src")
        total = sum(t.size for t in tiles)
        shares = [100 * sum(t.size for t in tiles if t.colour == i) / total for i in range(len(KINDS))]
        about = f"{total:,.0f} bytes of flash on {b['board']}: " + ", ".join(
            f"{kind} {share:.0f} %" for kind, share in zip(KINDS, shares, strict=True)
        )
        yield charts.treemap(f"{run.name}: flash of {b['board']}", about, tiles, "bytes", KINDS)


def flash_tiles(run: Facts, symbols: Sequence[Any], source: Path) -> list[charts.Tile]:
    """Symbols of a test firmware by what they belong to, as in KINDS; those of a product's weights are one tile."""
    from firmware_export.plan import c_name

    ours = " ".join(path.read_text(encoding="utf-8") for path in sorted(source.glob("*.[chS]")))
    words = set(ours.replace("(", " ").replace("[", " ").replace("*", " ").split())
    products = sorted({c_name(op.output) for op in run.graph.ops if f"{op.output}.weight" in run.graph.constants}, key=len)
    sizes: dict[tuple[str, int], int] = {}
    for symbol in symbols:
        name = symbol.name.removeprefix("model_")
        product = next((p for p in reversed(products) if name == p or name.startswith(f"{p}_")), None)
        if product and not symbol.function:
            key = product, 0
        elif symbol.name in words:
            key = name, 2 if symbol.function else 1
        else:
            key = symbol.name, 3
        sizes[key] = sizes.get(key, 0) + symbol.size
    return [charts.Tile(name, size, kind) for (name, kind), size in sizes.items()]


def tensors(runs: Sequence[Facts]) -> Section:
    """How far each integer tensor is from its float twin."""
    section = Section("Tensor by tensor, integers against floats")
    quantized = [run for run in runs if run.quantized]
    for run in quantized:
        assert run.quantized is not None
        rows = run.quantized["tensors"]
        worst = min(rows, key=lambda t: t["snr_db"])
        about = f"SNR of {len(rows)} tensors; the least is {worst['snr_db']} dB, of {worst['name']}"
        names, values = [t["name"] for t in rows], [t["snr_db"] for t in rows]
        section.parts.append(charts.bars(f"{run.name}: SNR of each tensor", about, names, {"SNR": values}, "dB"))
    for run in quantized:
        assert run.quantized is not None
        table = next(x for x in show.quantized(dict(run.quantized)) if isinstance(x, Table))
        section.parts.append(table._replace(title=f"{run.name}: {table.title}"))
    return section


def training(runs: Sequence[Facts]) -> Section:
    """Learning curves, those of all runs of one task in one picture: another task's loss is another thing."""
    section = Section("Learning curves")
    tasks = list(dict.fromkeys(run.task.name for run in runs))
    for task in tasks:
        own = [(i, run) for i, run in enumerate(runs) if run.task.name == task]
        names = list(dict.fromkeys(name for _, run in own for name in run.metrics if name not in _UNDRAWN))
        for name in names:
            series = {
                run.name: Line(run.metrics.get("epoch", range(len(run.metrics[name]))), run.metrics[name], colour=i)
                for i, run in own if name in run.metrics
            }  # fmt: skip
            words = name.replace("_", " ")
            title = words if len(tasks) == 1 else f"{', '.join(series)}: {words}"
            section.parts.append(charts.lines(title, _from_to(words, series), series, Axis("epoch"), Axis(words)))
    return section


def _from_to(words: str, series: Mapping[str, Line]) -> str:
    """Where curves begin and end."""
    ends = (f"{key} from {line.y[0]:.4g} to {line.y[-1]:.4g}" for key, line in series.items() if len(line.y))
    return f"{words} over epochs: {'; '.join(ends)}"


def drift_picture(stream: Values) -> list[Part]:
    """SNR of scores and states over one stream without a reset, minute by minute."""
    minutes, names = stream["minutes"], list(stream["whole"])
    series = {name: Line([m["minute"] for m in minutes], [m[name] for m in minutes], colour=i) for i, name in enumerate(names)}
    first, last = minutes[0]["logits"], minutes[-1]["logits"]
    about = (
        f"over {stream['seconds']} s without a reset the logits' SNR is {first} dB in the first minute and {last} in the last"
    )
    return [charts.lines("Drift: integers against floats", about, series, Axis("minute"), Axis("SNR, dB"))]
