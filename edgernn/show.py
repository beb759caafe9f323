"""Results as people read them: a function a verb, which gives its result as tables and lines; the command line prints them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

#: a denoiser's metrics and how they are called
QUALITY = {"pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR dB", "dnsmos": "DNSMOS"}


class Table(NamedTuple):
    """A title, column heads, and rows of anything that str() takes."""

    title: str
    columns: list[str]
    rows: list[list[Any]]


Shown = Iterator[Table | str]


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
        [t["name"], t["dtype"], f"{t['largest']:.4g}", f"{t['step']:.3g}", t["snr_db"], _percent(t["saturated"])]
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


def compared(r: dict[str, Any]) -> Shown:
    """`edgernn simulate --compare`."""
    sizes = ("file_bytes", "arena_bytes")
    scored = "accuracy" in r["rows"][0]  # a denoiser's net has no labels
    rows = [
        [x["runtime"], *([_percent(x["accuracy"]), x["events_differing"]] if scored else []),
         f"{x['differing']} of {x['entries']}", "step {}, {}".format(*x["first"]) if x["first"] else "", x["us_per_step"],
         *(x[k] or "" for k in sizes)]
        for x in r["rows"]
    ]  # fmt: skip
    columns = ["runtime", *(["accuracy", "events differing"] if scored else []), "entries differing", "first difference",
               "us a step", "file", "arena"]  # fmt: skip
    steps = r["rows"][0]["steps"]
    yield Table(f"graph {r['graph'][:12]} ({r['scheme']}): {steps} steps of the {r['split']} split", columns, rows)
    for name, reason in r["skipped"].items():
        yield f"{name} skipped: {reason}"


def simulated(r: dict[str, Any]) -> Shown:
    """`edgernn simulate`, of either task."""
    if "clips" not in r:
        yield from _simulated_denoiser(r)
        return
    yield from _clips(r, r["clips"])
    yield from _stream(r["stream"])
    yield f"algorithmic latency {r['latency_ms']} ms, one step every {r['step_ms']} ms"
    if "speed" in r:
        s = r["speed"]
        yield (
            f"on this host, us a step: float {s['float_numpy_us']} (NumPy), int8 {s['integer_numpy_us']} (NumPy), "
            f"{s['integer_c_us']} (C with front end, {s['real_time_factor_c']:.0f} x real time)"
        )


def _clips(r: dict[str, Any], clips: dict[str, Any]) -> Shown:
    rows = [["all", *(_percent(clips[k]["accuracy"]) for k in ("float", "integer"))]]
    rows += [[x, *(_percent(clips[k]["per_class"][x]) for k in ("float", "integer"))] for x in clips["float"]["per_class"]]
    title = f"graph {r['graph'][:12]} ({r['scheme']}): accuracy over {clips['float']['clips']} {clips['split']} clips"
    yield Table(title, ["label", "float", "int8"], rows)
    matrix = zip(clips["labels"], clips["integer"]["confusion"], strict=True)
    rows = [[label, *(n or "" for n in row)] for label, row in matrix if any(row)]
    yield Table("confusion of the int8 model: said in rows, heard in columns", ["", *clips["labels"]], rows)
    yield f"agreement {_percent(clips['agreement'])}, logit SNR {clips['logit_snr_db']} dB"
    silence = clips["silence"]
    if silence["cuts"]:
        taken = silence["taken_for_keyword"]
        yield f"cuts of noise taken for a keyword: float {taken['float']}, int8 {taken['integer']} of {silence['cuts']}"


def _stream(stream: dict[str, Any]) -> Shown:
    rows = [[m["minute"], *(m[k] for k in stream["whole"])] for m in stream["minutes"]]
    rows.append(["all", *stream["whole"].values()])
    yield Table(f"SNR in dB over {stream['seconds']} s without a reset", ["minute", *stream["whole"]], rows)
    yield "saturated: " + ", ".join(f"{k} {_percent(v)}" for k, v in stream["saturated"].items())
    for name, s in stream["streaming"].items():
        yield (
            f"streaming, {name}: {_percent(s['frr'])} of {s['keywords']} keywords missed, "
            f"{s['fa_per_hour']} false accepts an hour (95 %: {s['fa_per_hour_95'][0]} to {s['fa_per_hour_95'][1]})"
        )


def _simulated_denoiser(r: dict[str, Any]) -> Shown:
    gaps = r["integer_minus_float"]
    columns = ["", *(QUALITY[m] for m in gaps)]
    rows = [[name, *scores.values()] for name, scores in r["mean"].items()]
    rows += [[f"integer - float, {which}", *(g[which] for g in gaps.values())] for which in ("mean", "largest")]
    yield Table(
        f"graph {r['graph'][:12]} ({r['scheme']}): {r['mixtures']} mixtures of {r['list'] or 'the ' + r['split'] + ' split'}",
        columns, rows,
    )  # fmt: skip
    by_snr = [
        [f"{snr} dB, {name}", *scores.values()] for snr, systems in r["by_snr"].items() for name, scores in systems.items()
    ]
    yield Table("at each SNR", columns, by_snr)
    s = r["stream"]
    yield (
        f"{s['seconds']} s without a reset: a repeated minute comes out again with {s['repeat_snr_db']} dB SNR, level within "
        f"{s['growth_db']} dB, no sample off by more than {s['change']} of 32768; steps between samples at most {s['jump']} of "
        f"the input's; silence gives at most {s['silence']}"
    )
    yield (
        f"algorithmic latency {r['latency_ms']} ms, one step every {r['step_ms']} ms; {r['weight_bytes']} bytes of weights, "
        f"{r['mmacs_per_second']} million MACs a second"
    )
    if "real_time_factor" in r:
        yield f"on this host, one core, C: {r['real_time_factor']:.0f} x real time"


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
    rows = [[", ".join(v) if isinstance(v, list) else v for v in r.values()] for r in found]
    yield Table("boards", list(found[0]), rows)


def built(r: dict[str, Any]) -> Shown:
    """`edgernn build`."""
    yield (
        f"{r['board']} ({r['cpu']}): {r['flash_bytes']} bytes of flash, {r['ram_bytes']} of RAM; "
        f"{r['toolchain']} {r['optimize']}"
    )


def emulated(r: dict[str, Any]) -> Shown:
    """`edgernn run`."""
    columns = ["board", "core", "flash", "RAM", "stack", "steps", "bits differing", "instructions/step", "instr./s of audio"]
    row = [r["board"], r["cpu"], r["flash_bytes"], r["ram_bytes"], r["stack_bytes"], r["steps"], r["bits_differing"],
           f"{r['instructions_per_step']:.0f}", f"{r['instructions_per_second'] / 1e6:.2f} M"]  # fmt: skip
    yield Table(f"{r['emulator']}, {r['toolchain']}", columns, [row])


def spotter(s: dict[str, Any]) -> Shown:
    """What `edgernn kws` shows at its end."""
    rows = [
        ["float accuracy", f"{_percent(s['float_accuracy'])} of {s['clips']} {s['split']} clips"],
        ["int8 accuracy", f"{_percent(s['int8_accuracy'])} ({s['scheme']})"],
        ["agreement", _percent(s["agreement"])],
        ["weights", f"{s['weight_bytes']} bytes"],
        ["algorithmic latency", f"{s['latency_ms']} ms"],
        *_costs(s),
    ]
    yield Table(f"graph {s['graph'][:12]}", ["", "result"], rows)
    folder, graph = s["folder"], f"{s['folder']}/graph-{s['scheme']}.ern"
    yield (
        f"wrote {folder}/: model.safetensors (float), {Path(graph).name} (int8), c/ (model.h, runtime, examples), *.json\n"
        f"next: edgernn detect some.wav --graph {graph}\n"
        f"      edgernn run {folder} --board microbit\n"
        f"      copy {folder}/c into your firmware; {folder}/c/examples/main.c shows how"
    )


def denoiser(s: dict[str, Any]) -> Shown:
    """What `edgernn denoise-train` shows at its end."""
    rows = [
        *(
            [f"{QUALITY[m]}: noisy, float, int8", ", ".join(f"{s['mean'][k][m]:.3f}" for k in ("noisy", "float", "integer"))]
            for m in ("pesq", "stoi", "si_sdr")
        ),
        ["weights", f"{s['weight_bytes']} bytes, {s['mmacs_per_second']} million MACs a second"],
        ["algorithmic latency", f"{s['latency_ms']} ms"],
        *_costs(s),
    ]
    title = f"graph {s['graph'][:12]} ({s['scheme']}), {s['mixtures']} mixtures of the {s['split']} split"
    yield Table(title, ["", "result"], rows)
    folder, graph = s["folder"], f"{s['folder']}/graph-{s['scheme']}.ern"
    yield (
        f"wrote {folder}/: model.safetensors (float), {Path(graph).name} (int8), c/ (denoise.h, runtime, example), *.json\n"
        f"next: edgernn denoise noisy.wav clean.wav --graph {graph} --report report.png\n"
        f"      copy {folder}/c into your firmware; {folder}/c/examples/main.c shows how"
    )


def _costs(s: dict[str, Any]) -> list[list[Any]]:
    """What a model of any task costs here and on each emulated core."""
    rows = [["this PC, the same C", f"{s['real_time_factor']:.0f} x real time"]] if s["real_time_factor"] else []
    for r in s["boards"]:
        core = f"{r['cpu']}: "
        rows += [
            [core + "flash, RAM, stack", f"{r['flash_bytes']}, {r['ram_bytes']}, {r['stack_bytes']} bytes"],
            [core + "instructions", f"{r['instructions_per_second'] / 1e6:.2f} M a second of audio"],
            [core + "bits differing", f"{r['bits_differing']} of {r['entries']} entries in {r['steps']} steps"],
        ]
    return rows


def checked(r: dict[str, Any]) -> Shown:
    """`edgernn check`."""
    rows = [[x["metric"], x["baseline"], x["value"], x["tolerance"], "ok" if x["ok"] else "WORSE"] for x in r["rows"]]
    yield Table(f"graph {r['graph'][:12]} against {r['baseline']}", ["metric", "baseline", "now", "tolerance", ""], rows)


def _percent(x: float) -> str:
    return f"{100 * x:.2f} %"
