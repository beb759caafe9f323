"""Results of a keyword spotter as people read them."""

from __future__ import annotations

from typing import Any

from edgernn.show import Shown, Table, percent, speed_line
from edgernn.tasks.base import Values


def simulated(r: Values) -> Shown:
    """`edgernn simulate`."""
    yield from _clips(r, r["clips"])
    yield from _stream(r["stream"])
    yield f"algorithmic latency {r['latency_ms']} ms, one step every {r['step_ms']} ms"
    yield from speed_line(r)


def summary(s: Values) -> list[list[Any]]:
    """Rows of the summary."""
    return [
        ["float accuracy", f"{percent(s['float_accuracy'])} of {s['clips']} {s['split']} clips"],
        ["int8 accuracy", f"{percent(s['int8_accuracy'])} ({s['scheme']})"],
        ["agreement", percent(s["agreement"])],
    ]


def _clips(r: Values, clips: dict[str, Any]) -> Shown:
    rows = [["all", *(percent(clips[k]["accuracy"]) for k in ("float", "integer"))]]
    rows += [[x, *(percent(clips[k]["per_class"][x]) for k in ("float", "integer"))] for x in clips["float"]["per_class"]]
    title = f"graph {r['graph'][:12]} ({r['scheme']}): accuracy over {clips['float']['clips']} {clips['split']} clips"
    yield Table(title, ["label", "float", "int8"], rows)
    matrix = zip(clips["labels"], clips["integer"]["confusion"], strict=True)
    rows = [[label, *(n or "" for n in row)] for label, row in matrix if any(row)]
    yield Table("confusion of the int8 model: said in rows, heard in columns", ["", *clips["labels"]], rows)
    yield f"agreement {percent(clips['agreement'])}, logit SNR {clips['logit_snr_db']} dB"
    silence = clips["silence"]
    if silence["cuts"]:
        taken = silence["taken_for_keyword"]
        yield f"cuts of noise taken for a keyword: float {taken['float']}, int8 {taken['integer']} of {silence['cuts']}"


def _stream(stream: dict[str, Any]) -> Shown:
    rows = [[m["minute"], *(m[k] for k in stream["whole"])] for m in stream["minutes"]]
    rows.append(["all", *stream["whole"].values()])
    yield Table(f"SNR in dB over {stream['seconds']} s without a reset", ["minute", *stream["whole"]], rows)
    yield "saturated: " + ", ".join(f"{k} {percent(v)}" for k, v in stream["saturated"].items())
    for name, s in stream["streaming"].items():
        yield (
            f"streaming, {name}: {percent(s['frr'])} of {s['keywords']} keywords missed, "
            f"{s['fa_per_hour']} false accepts an hour (95 %: {s['fa_per_hour_95'][0]} to {s['fa_per_hour_95'][1]})"
        )
