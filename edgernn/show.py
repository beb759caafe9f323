"""Results as people read them: a function a verb, which gives its result as tables and lines; the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from edgernn.errors import extra_command


class Table(NamedTuple):
    """A title, column heads, and rows of anything that str() takes."""

    title: str
    columns: list[str]
    rows: list[list[Any]]


Shown = Iterator[Table | str]


def models(found: list[dict[str, Any]]) -> Shown:
    """`edgernn models`: all of them."""
    rows = [
        [m["name"] + (" *" if m["default"] else ""), m["summary"], f"{m['graph']['weight_bytes']:,}",
         f"{m['graph']['latency_ms']:g} ms", _on_core(m, "cortex-m4")]
        for m in found
    ]  # fmt: skip
    yield Table("models that come along", ["model", "what it does", "weights, bytes", "latency", "on a Cortex-M4"], rows)
    yield "* is what its verb takes where no model, and no run folder under ./run, is at hand; `edgernn models NAME` has more"


def _on_core(m: Mapping[str, Any], core: str) -> str:
    found = [x for x in m["work"] if x["cpu"] == core]
    return f"{found[0]['instructions_per_second'] / 1e6:.1f} M instructions/s" if found else ""


def model(m: dict[str, Any]) -> Shown:
    """`edgernn models NAME`: its card, or where it was copied to."""
    if m["files"]:
        yield f"{m['name']} -> {', '.join(m['files'])}"
        return
    g = m["graph"]
    yield f"{m['name']}: {m['summary']}"
    yield f"\nfor: {m['use']}\n\nnot for: {m['limits']}\n"
    rows = [[f"{where}: {key.replace('_', ' ')}", value] for where in ("graph", "made") for key, value in m[where].items()]
    yield Table(f"graph {g['id'][:12]} in {m['folder']}", ["", ""], rows)
    figures = [[key.replace(".", ": ").replace("_", " "), value] for key, value in m["quality"].items() if key != "sample"]
    yield Table("how good it is", ["", ""], figures)
    yield Table(
        "what it costs, bytes and millions of instructions a second of sound",
        ["board", "core", "kernel", "flash", "RAM", "state", "stack", "instructions", "entries differing"],
        [[w["board"], w["cpu"], w["kernel"], w["flash_bytes"], w["ram_bytes"], w["state_bytes"], w["stack_bytes"],
          f"{w['instructions_per_second'] / 1e6:.2f} M", f"{w['bits_differing']} of {w['entries']}"] for w in m["work"]],
    )  # fmt: skip
    yield Table("trained on", ["data", "licence", "by"], [[d["name"], d["licence"], d["by"]] for d in m["data"]])


def dataset(r: dict[str, Any]) -> Shown:
    """`edgernn data`."""
    splits = ("train", "validation", "test")
    rows = [[x["label"], *(f"{x[s]} ({x[s + '_speakers']})" for s in splits), x["seconds"]] for x in r["labels"]]
    columns = ["label", *(f"{s} (speakers)" for s in splits), "seconds"]
    yield Table(f"dataset {r['dataset'][:12]} in {r['folder']}", columns, rows)


def trained(r: dict[str, Any]) -> Shown:
    """`edgernn train`."""
    yield f"{r['parameters']} parameters -> {r['checkpoint']}"


def quantized(r: dict[str, Any]) -> Shown:
    """`edgernn quantize`."""
    rows = [
        [t["name"], t["dtype"], f"{t['largest']:.4g}", f"{t['step']:.3g}", t["snr_db"], percent(t["saturated"])]
        for t in r["tensors"]
    ]
    title = (
        f"graph {r['graph'][:12]} ({r['scheme']}): {r['weight_bytes']} bytes of weights, {r['table_bytes']} of tables, "
        f"{r['macs_per_step']} MACs a step"
    )
    yield Table(title, ["tensor", "type", "range", "step", "SNR dB", "saturated"], rows)
    for row in r["enlarged"]:
        yield f"{row['tensor']} row {row['row']}: scale enlarged x{row['factor']:.3g} so that it cannot overflow"
    yield f"wrote {r['path']}"


#: what every row of a comparison has; the others are the task's own
_COMPARED = ("runtime", "steps", "entries", "differing", "first", "us_per_step", "file_bytes", "arena_bytes")


def compared(r: dict[str, Any]) -> Shown:
    """`edgernn simulate --compare`."""
    own = [key for key in r["rows"][0] if key not in _COMPARED]
    rows = [
        [x["runtime"], *(percent(x[k]) if isinstance(x[k], float) else x[k] for k in own),
         f"{x['differing']} of {x['entries']}", "step {}, {}".format(*x["first"]) if x["first"] else "", x["us_per_step"],
         x["file_bytes"] or "", x["arena_bytes"] or ""]
        for x in r["rows"]
    ]  # fmt: skip
    columns = ["runtime", *(key.replace("_", " ") for key in own), "entries differing", "first difference", "us a step", "file",
               "arena"]  # fmt: skip
    steps = r["rows"][0]["steps"]
    yield Table(f"graph {r['graph'][:12]} ({r['scheme']}): {steps} steps of the {r['split']} split", columns, rows)
    for name, reason in r["skipped"].items():
        yield f"{name} skipped: {reason}"


def drifted(stream: Mapping[str, Any]) -> Shown:
    """A result of `drift.drift`: integers against floats minute by minute."""
    rows = [[m["minute"], *(m[k] for k in stream["whole"])] for m in stream["minutes"]]
    rows.append(["all", *stream["whole"].values()])
    yield Table(f"SNR in dB over {stream['seconds']} s without a reset", ["minute", *stream["whole"]], rows)
    yield "saturated: " + ", ".join(f"{k} {percent(v)}" for k, v in stream["saturated"].items())


def speed_line(r: Mapping[str, Any]) -> Shown:
    """How fast a judged model is on this host, where that was measured."""
    s = r.get("speed")
    if s and "float_numpy_us" in s:
        yield (
            f"on this host, us a step: float {s['float_numpy_us']} (NumPy), int8 {s['integer_numpy_us']} (NumPy), "
            f"{s['integer_c_us']} (C with signal path, {s['real_time_factor_c']:.0f} x real time)"
        )
    elif s:
        yield f"on this host, one core, C: {s['real_time_factor_c']:.0f} x real time"


def exported(r: dict[str, Any]) -> Shown:
    """`edgernn export`."""
    yield "\n".join(["wrote", *r["files"]])
    for name, size in r.get("bytes", {}).items():
        yield f"{name}: {size} bytes"
    if r.get("arena_bytes"):
        yield f"TFLM arena, measured on this host: {r['arena_bytes']} bytes"
    if r.get("clip_steps"):
        yield f"warning: {r['clip_steps']} steps unrolled; on a device run one step at a time (without --clip)"
    if "qdq_snr_db" in r:
        distances = ", ".join(f"{k} {v} dB" for k, v in r["qdq_snr_db"].items())
        yield f"the QDQ model is not exact; SNR to the integer model: {distances}"
    if r.get("warning"):
        yield f"warning: {r['warning']}"


def inspected(result: dict[str, Any]) -> Shown:
    """`edgernn inspect`, file by file."""
    for path, r in result.items():
        yield f"{path}: {r['kind']}, {r['bytes']} bytes, by {r['producer']}, graph {r['graph_id'] or 'unknown'}"
        if r["labels"]:
            yield f"labels: {', '.join(r['labels'])}"
        for state in r["states"]:
            yield "state: {} -> {}".format(*state)
        yield Table("operators", ["operator", "count"], [[k, n] for k, n in r["operators"].items()])
        rows = [
            [t["name"], t["dtype"], "x".join(map(str, t["shape"])), t["bytes"] or "", _scale(t.get("scale"))]
            for t in r["tensors"]
        ]
        yield Table("tensors", ["tensor", "type", "shape", "constant bytes", "scale"], rows)


def _scale(scale: Any) -> str:
    if scale is None:
        return ""
    return " to ".join(f"{x:.4g}" for x in (scale if isinstance(scale, list) else [scale]))


def imported(r: dict[str, Any]) -> Shown:
    """`edgernn import`."""
    yield f"{r['parameters']} parameters -> {r['checkpoint']}; layers: {', '.join(x['cell'] for x in r['layers'])}"
    if r["largest_difference"] is not None:
        yield f"largest difference to the model's own outputs: {r['largest_difference']:.3g}"
    for note in r["notes"]:
        yield f"note: {note}"


def boards(found: list[dict[str, Any]]) -> Shown:
    """`edgernn boards`."""
    emulated = [r for r in found if r["flash"] and not r["ways"]["flash"]]
    real, linux = [r for r in found if r["flash"] and r["ways"]["flash"]], [r for r in found if not r["flash"]]
    rows = [[*_board(r), ", ".join(r["emulators"]) or "-"] for r in emulated]
    yield Table("emulated boards", ["name", "core", "flash, RAM", "build", "run"], rows)
    rows = [[*_board(r), *((r[key] or ["-"])[0].split()[0] for key in ("probes", "flashers"))] for r in real]
    yield Table("boards to flash", ["name", "core", "flash, RAM", "build", "probe", "flash"], rows)
    rows = [[r["name"], r["cpu"], ", ".join(r["toolchains"]) or "-", ", ".join(r["emulators"]) or "-"] for r in linux]
    yield Table("Linux boards, for edgernn deploy", ["name", "core", "build", "run"], rows)
    yield "edgernn boards NAME tells all of one board, and how to get what is missing here"


def _board(r: dict[str, Any]) -> list[str]:
    """What both tables say of a board, short enough for 80 columns."""
    sizes = f"{_size(r['flash'])}, {_size(r['ram'])}"
    return [r["name"], r["cpu"].removeprefix("cortex-"), sizes, ", ".join(r["toolchains"]) or "-"]


def _size(number: int) -> str:
    """Bytes as people say them."""
    return f"{number >> 20} MB" if number % (1 << 20) == 0 else f"{number / 1024:g} KB"


def board(r: dict[str, Any]) -> Shown:
    """`edgernn boards NAME`."""
    if not r["flash"]:
        yield f"{r['name']}: {r['description']}; core: {r['cpu']}"
        yield "; ".join(
            f"{key}: {', '.join(r[what]) or 'none here'}" for key, what in (("build", "toolchains"), ("run", "emulators"))
        )
        return
    reads = f", loads find it at {r['flash_reads']:#010x}" if r["flash_reads"] is not None else ""
    yield f"{r['name']}: {r['description']}"
    yield f"core: {r['cpu']} at {r['clock_hz'] / 1e6:g} MHz; stack: {r['stack_bytes']} bytes at least"
    yield f"flash: {_size(r['flash'])} at {r['flash_origin']:#010x}{reads}; RAM: {_size(r['ram'])} at {r['ram_origin']:#010x}"
    for key, what in (
        ("console", "console"),
        ("pin", "pin"),
        ("microphone", "microphone"),
        ("twin", "instructions counted on"),
    ):
        if key in r:
            yield f"{what}: {r[key]}"
    for kind, tools in r["ways"].items():
        for name, missing in tools:
            yield f"{kind}: {name}, {f'not here: {missing}' if missing else 'here'}"


def built(r: dict[str, Any]) -> Shown:
    """`edgernn build`."""
    yield Table(
        f"{r['board']} ({r['cpu']}), {r['toolchain']} {r['optimize']}, kernel {r['kernel']}",
        ["", "takes", "of"],
        [
            ["flash, bytes", r["flash_bytes"], r["flash_size"]],
            ["RAM without stack, bytes", r["ram_bytes"], r["ram_size"]],
            ["of it the model's state", r["state_bytes"], ""],
        ],
    )
    if load := r["load"]:
        yield (
            f"keeps up: {r['keeps_up']}; {load['instructions_per_second'] / 1e6:.2f} million instructions a second of audio "
            f"(counted on {load['counted_on']}) take {100 * load['share']:.1f} % of {r['clock_hz'] / 1e6:g} MHz, assuming "
            f"{load['cycles_percent'] / 100:g} cycles an instruction"
        )
    else:
        yield f"keeps up: unknown; nothing here counts instructions: {extra_command('emulate')}"
    yield f"console: {r['console']}; pin: {r['pin']}"
    if r["audio"] is None:
        yield f"microphone: {r['microphone']}; give its C with --audio FILE (it defines device_audio, see app/device.h)"
    yield from (f"wrote {path}" for path in r["files"])


def flashed(r: dict[str, Any]) -> Shown:
    """`edgernn flash`."""
    yield from r["ways"]
    if r["written"]:
        yield f"done: {r['written']}"
        yield r["self_test"] or f"the board tells its self-test on {r['console']}; --serial PORT asks it"


def programs(r: dict[str, Any]) -> Shown:
    """`edgernn build` for a Linux board."""
    rows = [[p["machine"], p["bytes"], p["toolchain"], p["kernel"], p["file"]] for p in r["programs"]]
    yield Table(f"{r['board']} ({r['cpu']}), {r['optimize']}", ["uname -m", "bytes", "compiler", "kernel", "file"], rows)
    yield "copy one there, or let `edgernn deploy` do it; --help on it says how it takes sound"


def programs_run(r: dict[str, Any]) -> Shown:
    """`edgernn run` for a Linux board."""
    keys = ("machine", "emulator", "toolchain", "kernel", "steps", "entries", "bits_differing")
    rows = [[x[key] for key in keys] for x in r["runs"]]
    yield Table(r["board"], ["uname -m", "run by", "compiler", "kernel", "steps", "entries", "bits differing"], rows)


def deployed(r: dict[str, Any]) -> Shown:
    """`edgernn deploy`."""
    yield f"{r['host']}: {r['board']}{' (' + r['model'] + ')' if r['model'] else ''}, {r['machine']}"
    if not r["done"]:
        yield f"would write {r['program']}, after its self-test there"
        yield f"would write {r['unit']} and enable it:\n{r['unit_text']}" if r["unit"] else "would write no systemd unit"
        return
    yield f"{r['program']}: {r['bytes']} bytes, {r['self_test'][-1]}"
    if r["sound"]:
        pcm = f"-q -f S16_LE -r {r['rate']} -c 1 -t raw"
        yield f"there: arecord {pcm} | {r['program']} | aplay {pcm}"
    elif r["unit"]:
        yield f"{r['unit']}: {r['state']}"
        yield f"hear it there: journalctl --user -u edgernn-{r['name']} -f -o cat"
    else:
        yield f"start it there: {r['program']} --device {r['device']}"


def removed(r: dict[str, Any]) -> Shown:
    """`edgernn deploy --remove`."""
    yield from (f"removed {path} from {r['host']}" for path in r["removed"])
    yield from (f"kept {path}, which was changed" for path in r["kept"])


def emulated(r: dict[str, Any]) -> Shown:
    """`edgernn run`."""
    columns = ["board", "core", "flash", "RAM", "of it state", "stack", "steps", "bits differing", "instructions/step",
               "instr./s of audio"]  # fmt: skip
    counted = r["instructions_per_step"] is not None
    row = [r["board"], r["cpu"], r["flash_bytes"], r["ram_bytes"], r["state_bytes"], r["stack_bytes"], r["steps"],
           r["bits_differing"], f"{r['instructions_per_step']:.0f}" if counted else "unknown",
           f"{r['instructions_per_second'] / 1e6:.2f} M" if counted else "unknown"]  # fmt: skip
    yield Table(f"{r['emulator']}, {r['toolchain']}, kernel {r['kernel']}", columns, [row])
    if "cycles_per_step" in r:
        cycles = r["cycles_per_step"]
        yield f"cycles a step, by the core's counter: {f'{cycles:.0f}' if cycles else 'none; this core has no counter'}"


def summary(s: Mapping[str, Any], quality: list[list[Any]], next_steps: list[str], header: str) -> Shown:
    """What a task's verb for everything shows at its end; quality: the task's rows; header: the exported C's."""
    rows = [
        *quality,
        ["weights", f"{s['weight_bytes']} bytes, {s['mmacs_per_second']} million MACs a second"],
        ["algorithmic latency", f"{s['latency_ms']} ms"],
        *_costs(s),
    ]
    yield Table(f"graph {s['graph'][:12]}", ["", "result"], rows)
    folder, graph = s["folder"], f"{s['folder']}/graph-{s['scheme']}.ern"
    yield f"wrote {folder}/: model.safetensors (float), {Path(graph).name} (int8), c/ ({header}, runtime, examples), *.json"
    first, *others = [*next_steps, f"copy {folder}/c into your firmware; {folder}/c/examples/ shows how"]
    yield "\n".join([f"next: {first}", *(f"      {line}" for line in others)])


def _costs(s: Mapping[str, Any]) -> list[list[Any]]:
    """What a model of any task costs here and on each emulated core."""
    rows = [["this PC, the same C", f"{s['real_time_factor']:.0f} x real time"]] if s["real_time_factor"] else []
    for r in s["boards"]:
        core = f"{r['cpu']}: "
        rows += [
            [core + "flash, RAM, stack", f"{r['flash_bytes']}, {r['ram_bytes']}, {r['stack_bytes']} bytes"],
            [core + "model's state", f"{r['state_bytes']} bytes of that RAM"],
            [core + "instructions", f"{r['instructions_per_second'] / 1e6:.2f} M a second of audio"],
            [core + "bits differing", f"{r['bits_differing']} of {r['entries']} entries in {r['steps']} steps"],
        ]
    return rows


def reported(r: dict[str, Any]) -> Shown:
    """`edgernn report`."""
    yield f"wrote {r['path']}, {r['bytes']} bytes"
    yield from (f"missing: {line}" for line in r["missing"])


def runs_listed(found: list[dict[str, Any]]) -> Shown:
    """`edgernn runs`."""
    if not found:
        yield "no runs here; `edgernn data` and the verbs after it make one"
        return
    rows = [[r["name"], r["task"], r["recipe"], r["stage"], r["made"], ", ".join(r["tags"]), _first_figures(r)] for r in found]
    yield Table(_runs(found), ["run", "task", "recipe", "state", "newest result", "tags", "figures"], rows)
    yield from (f"{r['name']}: {r['problem']}" for r in found if r["problem"])


def _runs(found: list[dict[str, Any]]) -> str:
    return f"{len(found)} run{'s' if len(found) != 1 else ''}"


def _first_figures(r: dict[str, Any]) -> str:
    """Two figures of what was judged, without the scheme."""
    judged = [(k.split(": ")[1], v) for k, v in r["figures"].items() if not k.endswith(("_bytes", "_per_second"))]
    return ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in judged[:2])


def runs_compared(found: list[dict[str, Any]]) -> Shown:
    """`edgernn runs --compare`."""
    names = list(dict.fromkeys(name for r in found for name in r["figures"]))
    rows = [
        [name.replace("_", " "), *(f"{r['figures'][name]:.8g}" if name in r["figures"] else "" for r in found)]
        for name in names
    ]
    yield Table(_runs(found), ["figure", *(r["name"] for r in found)], rows)
    yield from (f"{r['name']}: {r['problem']}" for r in found if r["problem"])


def runs_deleted(r: dict[str, Any]) -> Shown:
    """`edgernn runs --prune`."""
    yield from (f"deleted {name}" for name in r["deleted"])


def percent(x: float) -> str:
    """A share as it is read."""
    return f"{100 * x:.2f} %"
