"""Results of a voice-activity detector as people read them."""

from __future__ import annotations

from typing import Any

from edgernn.show import Shown, Table, percent, speed_line
from edgernn.tasks.base import Values


def simulated(r: Values) -> Shown:
    """`edgernn simulate`."""
    where = r["list"] or f"the {r['split']} split"
    title = f"graph {r['graph'][:12]} ({r['scheme']}): {r['mixtures']} mixtures of {where}, {r['noise_seconds']:.0f} s of noise"
    both = [r["float"], r["integer"]]
    yield Table(title, ["", "float", "int8"], _rows(both))
    snrs = sorted(r["float"]["auc_by_snr"], key=float)  # a JSON file has them in the order of their letters
    columns = ["", *(f"{snr} dB" for snr in snrs)]
    rows = [[name, *(r[key]["auc_by_snr"][snr] for snr in snrs)] for name, key in (("float", "float"), ("int8", "integer"))]
    yield Table("AUC at each SNR", columns, rows)
    s = r["stream"]
    yield f"{s['seconds']} s without a reset: SNR of the logits {s['whole']['logits']} dB; saturated: " + ", ".join(
        f"{name} {percent(share)}" for name, share in s["saturated"].items()
    )
    yield (
        f"algorithmic latency {r['latency_ms']} ms ({r['delay_ms']:g} ms of it is how long ago the posterior speaks of), one "
        f"step every {r['step_ms']} ms"
    )
    yield from speed_line(r)


def _rows(both: list[Values]) -> list[list[Any]]:
    five = [x["at_5_percent_false_alarms"] for x in both]
    onset = [f"{x['onset_ms']['median']} / {x['onset_ms']['mean']} ms" for x in both]
    return [
        ["AUC", *(x["auc"] for x in both)],
        ["misses at 5 % false alarms", *(percent(x["misses"]) for x in five)],
        ["noise alone taken for speech there", *(percent(x["noise_alone"]) for x in five)],
        ["at the graph's thresholds: misses", *(percent(x["misses"]) for x in both)],
        ["false alarms", *(percent(x["false_alarms"]) for x in both)],
        ["noise alone taken for speech", *(percent(x["noise_alone"]) for x in both)],
        ["onsets a minute in noise alone", *(x["triggers_a_minute"] for x in both)],
        ["first onset found after, median / mean", *onset],
    ]


def summary(s: Values) -> list[list[Any]]:
    """Rows of the summary."""
    return [
        ["float AUC", f"{s['float']['auc']} over {s['mixtures']} mixtures of the {s['split']} split"],
        ["int8 AUC", f"{s['integer']['auc']} ({s['scheme']})"],
        [
            "int8, at its thresholds",
            f"misses {percent(s['integer']['misses'])}, false alarms {percent(s['integer']['false_alarms'])}",
        ],
        ["onsets a minute in noise", s["integer"]["triggers_a_minute"]],
    ]


def verdict(s: Values) -> list[str]:
    """What the figures mean, and what to do next, in plain words."""
    a, b = s["float"], s["integer"]
    lines = [f"int8 separates speech from noise as well as floats do: AUC {b['auc']} against {a['auc']}"]
    if b["auc"] < a["auc"] - 0.003:
        lines = [f"int8 loses {a['auc'] - b['auc']:.4f} of AUC against floats: look for tensors of low SNR below"]
    worst = min(b["auc_by_snr"], key=lambda snr: b["auc_by_snr"][snr])
    lines.append(f"it is worst at {worst} dB SNR, AUC {b['auc_by_snr'][worst]}")
    wakes = f"noise alone wakes it {b['triggers_a_minute']} times a minute"
    lines.append(f"at its thresholds {percent(b['misses'])} of speech is missed, and {wakes}")
    return lines
