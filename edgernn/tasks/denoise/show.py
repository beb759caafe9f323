"""Results of a denoiser as people read them."""

from __future__ import annotations

from typing import Any

from edgernn.show import Shown, Table, drifted, speed_line
from edgernn.tasks.base import Values

#: metrics and how they are called
QUALITY = {"pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR dB", "dnsmos": "DNSMOS", "p808": "P.808"}


def simulated(r: Values) -> Shown:
    """`edgernn simulate`."""
    gaps = {m: r["integer_minus_float"][m] for m in QUALITY if m in r["integer_minus_float"]}
    columns = ["", *(QUALITY[m] for m in gaps)]
    rows = [[name, *(scores[m] for m in gaps)] for name, scores in _systems(r["mean"])]
    rows += [[f"integer - float, {which}", *(g[which] for g in gaps.values())] for which in ("mean", "largest")]
    yield Table(
        f"graph {r['graph'][:12]} ({r['scheme']}): {r['mixtures']} mixtures of {r['list'] or 'the ' + r['split'] + ' split'}",
        columns, rows,
    )  # fmt: skip
    by_snr = [
        [f"{snr} dB, {name}", *(scores[m] for m in gaps)]
        for snr in sorted(r["by_snr"], key=float)
        for name, scores in _systems(r["by_snr"][snr])
    ]
    yield Table("at each SNR", columns, by_snr)
    s = r["stream"]
    yield (
        f"{s['seconds']} s without a reset: a repeated minute comes out again with {s['repeat_snr_db']} dB SNR, level within "
        f"{s['growth_db']} dB, no sample off by more than {s['change']} of 32768; steps between samples at most {s['jump']} of "
        f"the input's; silence gives at most {s['silence']}"
    )
    if "drift" in r:
        yield from drifted(r["drift"])
    yield (
        f"algorithmic latency {r['latency_ms']} ms, one step every {r['step_ms']} ms; {r['weight_bytes']} bytes of weights, "
        f"{r['mmacs_per_second']} million MACs a second"
    )
    yield from speed_line(r)


def _systems(scores: Values) -> list[tuple[str, Values]]:
    """What came in first, then what was made of it; a JSON file has them in the order of their letters."""
    return sorted(scores.items(), key=lambda x: x[0] != "noisy")


def summary(s: Values) -> list[list[Any]]:
    """Rows of the summary."""
    return [
        [f"{QUALITY[m]}: noisy, float, int8", ", ".join(f"{s['mean'][k][m]:.3f}" for k in ("noisy", "float", "integer"))]
        for m in ("pesq", "stoi", "si_sdr")
    ]


def verdict(s: Values) -> list[str]:
    """What the figures mean in plain words: what was gained, what int8 costs, and whether a stream stays clean."""
    mean, gap, stream = s["mean"], s["integer_minus_float"], s["stream"]
    gained = mean["integer"]["si_sdr"] - mean["noisy"]["si_sdr"]
    lines = [f"SI-SDR rises by {gained:.1f} dB, PESQ from {mean['noisy']['pesq']:.2f} to {mean['integer']['pesq']:.2f}"]
    largest = max(gap, key=lambda m: abs(gap[m]["mean"]) / max(abs(mean["float"][m]), 1e-9))
    lines.append(f"int8 against floats: most in {QUALITY[largest]}, {gap[largest]['mean']:+.4f} in the mean")
    worse = [f["name"] for f in s["files"] if f["scores"]["integer"]["si_sdr"] < f["scores"]["noisy"]["si_sdr"]]
    if worse:
        lines.append(f"{len(worse)} of {s['mixtures']} mixtures come out with less SI-SDR than they had, such as {worse[0]}")
    if stream["silence"] > 1 or stream["growth_db"] > 0.1:
        lines.append(f"the stream drifts: level {stream['growth_db']} dB, silence gives up to {stream['silence']} of 32768")
    return lines
