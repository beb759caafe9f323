"""Results as tables: titles, columns and rows; the command line prints them."""

from __future__ import annotations

from typing import Any

Table = tuple[str, list[str], list[list[Any]]]
#: a denoiser's metrics and how they are called
QUALITY = {"pesq": "PESQ", "stoi": "STOI", "estoi": "ESTOI", "si_sdr": "SI-SDR dB", "dnsmos": "DNSMOS"}


def simulated_tables(r: dict[str, Any]) -> list[Table]:
    """Quality on average and at each SNR, float and integer."""
    gaps = r["integer_minus_float"]
    columns = ["", *(QUALITY[m] for m in gaps)]
    rows = [[name, *scores.values()] for name, scores in r["mean"].items()]
    rows += [[f"integer - float, {which}", *(g[which] for g in gaps.values())] for which in ("mean", "largest")]
    title = (
        f"graph {r['graph'][:12]} ({r['scheme']}): {r['mixtures']} mixtures of {r['list'] or 'the ' + r['split'] + ' split'}"
    )
    by_snr = [
        [f"{snr} dB, {name}", *scores.values()] for snr, systems in r["by_snr"].items() for name, scores in systems.items()
    ]
    return [(title, columns, rows), ("at each SNR", columns, by_snr)]


def simulated_lines(r: dict[str, Any]) -> list[str]:
    """What does not fit the tables."""
    s = r["stream"]
    lines = [
        f"{s['seconds']} s without a reset: a repeated minute comes out again with {s['repeat_snr_db']} dB SNR, level within "
        f"{s['growth_db']} dB; steps between samples at most {s['jump']} of the input's; silence gives at most {s['silence']}",
        f"algorithmic latency {r['latency_ms']} ms, one step every {r['step_ms']} ms; {r['weight_bytes']} bytes of weights, "
        f"{r['mmacs_per_second']} million MACs a second",
    ]
    if "real_time_factor" in r:
        lines.append(f"on this host, one core, C: {r['real_time_factor']:.0f} x real time")
    return lines


def summary_table(s: dict[str, Any]) -> Table:
    """What `edgernn denoise-train` shows at its end."""
    rows = [
        [f"{QUALITY[m]}: noisy, float, int8", ", ".join(f"{s['mean'][k][m]:.3f}" for k in ("noisy", "float", "integer"))]
        for m in ("pesq", "stoi", "si_sdr")
    ]
    rows += [
        ["weights", f"{s['weight_bytes']} bytes, {s['mmacs_per_second']} million MACs a second"],
        ["algorithmic latency", f"{s['latency_ms']} ms"],
    ]
    if s["real_time_factor"]:
        rows.append(["this PC, the same C", f"{s['real_time_factor']:.0f} x real time"])
    rows += board_rows(s["boards"])
    return f"graph {s['graph'][:12]} ({s['scheme']}), {s['mixtures']} mixtures of the {s['split']} split", ["", "result"], rows


def board_rows(runs: list[dict[str, Any]]) -> list[list[Any]]:
    """What a model of any task costs on each emulated core."""
    rows = []
    for r in runs:
        core = f"{r['cpu']}: "
        rows += [
            [core + "flash, RAM, stack", f"{r['flash_bytes']}, {r['ram_bytes']}, {r['stack_bytes']} bytes"],
            [core + "instructions", f"{r['instructions_per_second'] / 1e6:.2f} M a second of audio"],
            [core + "bits differing", f"{r['bits_differing']} of {r['entries']} entries in {r['steps']} steps"],
        ]
    return rows
