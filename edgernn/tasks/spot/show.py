"""Results of a keyword spotter as people read them."""

from __future__ import annotations

import textwrap
from typing import Any

from edgernn.show import Shown, Table, drifted, percent, speed_line
from edgernn.tasks.base import Values
from edgernn.tasks.spot.scoring import poisson_interval, share_interval

_CELL = 40  #: columns of a sentence in the summary's table, which is read in a terminal of 80


def simulated(r: Values) -> Shown:
    """`edgernn simulate`."""
    if "spotting" in r:
        yield from _spotting(r["spotting"])
    yield from _clips(r, r["clips"])
    yield from _stream(r["stream"])
    yield f"algorithmic latency {r['latency_ms']} ms, one step every {r['step_ms']} ms"
    yield from speed_line(r)


def summary(s: Values) -> list[list[Any]]:
    """Rows of the summary."""
    return [
        *(_spotted(s["spotting"]) if "spotting" in s else []),
        ["float accuracy", f"{percent(s['float_accuracy'])} of {s['clips']} {s['split']} clips"],
        ["int8 accuracy", f"{percent(s['int8_accuracy'])} ({s['scheme']})"],
        ["agreement", percent(s["agreement"])],
    ]


def _spotting(s: dict[str, Any]) -> Shown:
    """Each keyword in streams, its curve, and what it means."""
    rows = [
        [word, name, f"{row['threshold']:.3f}", _missed(x), percent(x["misses_at_target"]), x["false_accepts"], _per_hour(x)]
        for word, row in s["keywords"].items() for name, x in (("float", row["float"]), ("int8", row["integer"]))
    ]  # fmt: skip
    title = (
        f"{s['split']} words in a stream, and {s['hours']:g} hours without them (of {s['distinct_minutes']:g} minutes of "
        f"recordings); means over {s['smoothing_ms']} ms"
    )
    yield Table(title, ["word", "model", "threshold", "missed (95 %)", f"missed at {_told_rate(s):g} an hour",
                        "false accepts", "an hour (95 %)"], rows)  # fmt: skip
    rows = [
        [word, name, *map(percent, row[key]["curve"])]
        for word, row in s["keywords"].items() for name, key in (("float", "float"), ("int8", "integer"))
    ]  # fmt: skip
    yield Table("missed, at so many false accepts an hour (or at one in all of the hours)",
                ["word", "model", *(f"{rate:g}" for rate in s["rates"])], rows)  # fmt: skip
    yield from verdict(s)


def verdict(s: Values) -> list[str]:
    """What the figures of `spotting.spotting` mean, and what to do next, in plain words."""
    worst = max(s["keywords"], key=lambda word: s["keywords"][word]["integer"]["misses"])
    missed = s["keywords"][worst]["integer"]["misses"]
    false = sum(row["integer"]["false_accepts"] for row in s["keywords"].values())
    lines, hours = [], "an hour" if s["hours"] == 1 else f"{s['hours']:g} hours"
    if not s["hours"]:
        lines.append("nothing without a keyword was at hand: nothing is known of false accepts; add running speech and noise")
    elif false:
        lines.append(f"{false} false accepts in {hours} made of {s['distinct_minutes']:g} minutes of recordings")
    else:
        lines.append(f"no false accept in {hours} made of {s['distinct_minutes']:g} minutes of recordings")
    too_many = poisson_interval(false)[0] > s["target_per_hour"] * s["hours"] * len(s["keywords"])
    if too_many:
        lines.append(
            "that is more than was asked for: add running speech and sounds of the place (a source with speech = true)"
        )
    if missed > 0.1:
        lines.append(f"{worst} is missed most, {100 * missed:.0f} %: add voices, or recordings of people who say it")
    if not s["people"]:
        lines.append(
            "the test words were spoken by engines: no person was heard, and people are missed more often; record some with "
            "`edgernn record`"
        )
    return lines


def _told_rate(s: Values) -> float:
    """The rate that `misses_at_target` is of: the recipe's, or one in all of the hours where they are too few to tell it."""
    return float(max(s["target_per_hour"], round(1 / s["hours"], 2) if s["hours"] else 0))


def _missed(x: Values) -> str:
    return f"{percent(x['misses'])} of {x['said']} {_interval(x['misses'], x['said'])}"


def _interval(misses: float, said: int) -> str:
    low, high = share_interval(round(misses * said), said)
    return f"({100 * low:.1f} to {100 * high:.1f})"


def _per_hour(x: dict[str, Any]) -> str:
    return "not heard" if x["per_hour"] is None else f"{x['per_hour']} ({x['per_hour_95'][0]} to {x['per_hour_95'][1]})"


def _spotted(s: dict[str, Any]) -> list[list[Any]]:
    """Rows of the summary, of the integers."""
    rows = [row["integer"] for row in s["keywords"].values()]
    said = sum(x["said"] for x in rows)
    missed, at_target = (sum(x[key] * x["said"] for x in rows) / max(1, said) for key in ("misses", "misses_at_target"))
    false, hours = sum(x["false_accepts"] for x in rows), s["hours"]
    interval = [x / hours for x in poisson_interval(false)] if hours else [0, 0]
    heard = f"{false / hours:.1f} ({interval[0]:.1f} to {interval[1]:.1f}, {hours:g} h)" if hours else "not heard"
    return [
        [f"missed at {_told_rate(s):g} an hour a word", f"{percent(at_target)} of {said} {s['split']} words"],
        ["missed at the thresholds", f"{percent(missed)} {_interval(missed, said)}"],
        ["false accepts an hour, all words", heard],
        ["verdict", "\n".join(line for text in verdict(s) for line in textwrap.wrap(text, _CELL))],
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
    yield from drifted(stream)
    for name, s in stream["streaming"].items():
        yield (
            f"streaming, {name}: {percent(s['frr'])} of {s['keywords']} keywords missed, "
            f"{s['fa_per_hour']} false accepts an hour (95 %: {s['fa_per_hour_95'][0]} to {s['fa_per_hour_95'][1]})"
        )
