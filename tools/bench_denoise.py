"""The denoising report: every denoiser and its peers on one list of mixtures, drift, work on emulated cores.

    python tools/bench_denoise.py LIST.csv RUN...             writes docs/results/denoise.json; tools/readme.py shows it
    python tools/bench_denoise.py --pauses LIST.csv RUN...    writes docs/results/pauses.json: what is left where nobody speaks

LIST.csv names the mixtures (columns id, snr_db, clean, noise, noise_label); a RUN is a run folder with a trained denoiser,
as `edgernn denoise-train` leaves it. What was measured of other recipes before is kept, each with its date. The peers: the
noisy input, a Wiener filter with decision-directed SNR (Ephraim & Malah 1984), and RNNoise (Valin 2018) as the package
pyrnnoise carries it, if that is installed; it works at 48 kHz, so sounds are resampled around it.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edgernn import pipeline
from edgernn.artifacts import write_json
from edgernn.core.primitives import SCHEMES
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixture, read_mixtures
from edgernn.firmware import build_firmware, run_firmware
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16, to_float, to_int16
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.denoise.evaluate import (
    PAUSE_BANDS,
    differences,
    drift,
    enhancer,
    float_enhancer,
    judge_files,
    left_in_pauses,
    means,
    real_time_factor,
    summary,
)  # fmt: skip
from edgernn.tasks.denoise.graph import DenoiseGraph
from targets import load_board

OUT = Path(__file__).resolve().parent.parent / "docs" / "results" / "denoise.json"
PAUSES = OUT.with_name("pauses.json")
BOARDS = ("cortex-m0-4m", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547", "riscv32-virt")
BIT_BOARDS = ("cortex-m0-4m", "mps2-an386", "riscv32-virt")
DRIFT_SECONDS = 1800.0
BIT_FILES, BIT_STEPS = 20, 10_000
EMULATED_FILES = 5  #: mixtures from all over the list, run whole on emulated cores


# Peers ---------------------------------------------------------------------------


def wiener(noisy: Int16) -> Int16:
    """Decision-directed Wiener gains; the noise follows the smoothed spectrum's minimum over 1.5 s. 32 ms frames."""
    n, hop = 512, 256
    x = np.concatenate([np.zeros(hop), to_float(noisy).astype(np.float64), np.zeros(n)])
    taper = np.sin(np.pi * (np.arange(n) + 0.5) / n)
    frames = np.stack([x[i : i + n] for i in range(0, len(x) - n + 1, hop)])
    spectra = np.fft.rfft(frames * taper)
    out, past, smooth = np.zeros_like(spectra), np.zeros(n // 2 + 1), np.abs(spectra[0]) ** 2
    history: list[Any] = []
    for t, spectrum in enumerate(spectra):
        power = np.abs(spectrum) ** 2 + 1e-12
        smooth = 0.85 * smooth + 0.15 * power
        history = [*history[-93:], smooth]
        noise = 1.5 * np.min(history, axis=0) + 1e-12
        prior = 0.98 * past / noise + 0.02 * np.maximum(power / noise - 1, 0)
        gain = np.maximum(prior / (1 + prior), 0.1)
        out[t] = gain * spectrum
        past = np.abs(out[t]) ** 2
    sound = np.zeros(len(x))
    for t, frame in enumerate(np.fft.irfft(out, n) * taper):
        sound[t * hop : t * hop + n] += frame
    return to_int16(sound[hop : hop + len(noisy)])


def rnnoise(noisy: Int16) -> Int16:
    """RNNoise at 48 kHz, its delay taken off by the best match with the input."""
    import soxr
    from pyrnnoise import rnnoise as library

    wide = to_int16(np.asarray(soxr.resample(to_float(noisy), SAMPLE_RATE, 48000), np.float32))
    state, out = library.create(), []
    padded = np.concatenate([wide, np.zeros(4800, np.int16)])
    for i in range(0, len(padded) - 479, 480):
        frame, _ = library.process_mono_frame(state, padded[i : i + 480])
        out.append(np.asarray(frame, np.int16).ravel())
    library.destroy(state)
    sound = np.concatenate(out)
    lag = best_lag(wide, sound)
    back = np.asarray(soxr.resample(to_float(sound[lag : lag + len(wide)]), 48000, SAMPLE_RATE), np.float32)
    return to_int16(np.resize(np.concatenate([back, np.zeros(len(noisy), np.float32)]), len(noisy)))


def best_lag(a: Int16, b: Int16, most: int = 2400) -> int:
    """Samples by which b is late."""
    size = 1 << (len(b) + len(a)).bit_length()
    match = np.fft.irfft(np.conj(np.fft.rfft(a.astype(float), size)) * np.fft.rfft(b.astype(float), size), size)
    return int(np.argmax(match[:most]))


def peers() -> dict[str, Any]:
    found: dict[str, Any] = {"Wiener filter": wiener}
    try:
        import pyrnnoise  # noqa: F401
    except ImportError:
        print("pyrnnoise is not installed: RNNoise left out")
    else:
        found["RNNoise (pyrnnoise)"] = rnnoise
    return found


# Quality ---------------------------------------------------------------------------


def systems(runs: list[Path]) -> dict[str, Any]:
    """Everything that is judged, by name."""
    found = peers()
    for run in runs:
        net = load_checkpoint(run / "model.safetensors")
        found[f"{net.recipe.name}, float"] = float_enhancer(net)
        for scheme in SCHEMES:
            found[f"{net.recipe.name}, {scheme}"] = enhancer(make_runtime("c", graph_of(run, scheme)))
    return found


def graph_of(run: Path, scheme: str) -> DenoiseGraph:
    path = run / f"graph-{scheme}.ern"
    if not path.is_file():
        pipeline.quantize_model(run, scheme)
    return load_graph(path)


def judge_part(part: tuple[list[Mixture], list[Path]]) -> list[dict[str, Any]]:
    """Scores of some mixtures by every system; one process's share. DNSMOS of the peers and of what ships only: it is slow."""
    mixtures, runs = part
    found = systems(runs)
    heard = [name for name in ("noisy", *found) if ", " not in name or name.endswith("int8x16")]
    if importlib.util.find_spec("speechmos") is None:
        print("speechmos is not installed: DNSMOS left out")
        heard = []
    return judge_files(mixtures, found, progress, heard)


def progress(stage: str, done: int, total: int) -> None:
    print(stage, done, "of", total, flush=True)


def names_of(runs: list[Path]) -> list[str]:
    """The recipes' names; two runs of one recipe could not be told apart."""
    names = [load_checkpoint(run / "model.safetensors").recipe.name for run in runs]
    if len(set(names)) < len(names):
        sys.exit(f"each run must have another recipe, not {', '.join(names)}")
    return names


def quality(mixtures: list[Mixture], runs: list[Path]) -> dict[str, Any]:
    with ProcessPoolExecutor(2) as pool:
        rows = [row for part in pool.map(judge_part, [(mixtures[0::2], runs), (mixtures[1::2], runs)]) for row in part]
    names = names_of(runs)
    gaps = {f"{n}, {s}": differences({"files": rows}, f"{n}, {s}", f"{n}, float") for n in names for s in SCHEMES}
    kinds = sorted({r["noise"] for r in rows})
    found = {key: value for key, value in summary(rows).items() if key != "files"}
    by_noise = {k: means([r for r in rows if r["noise"] == k]) for k in kinds}
    return {**found, "integer_minus_float": gaps, "by_noise": by_noise}


# Pauses ---------------------------------------------------------------------------


def pauses(mixtures: list[Mixture], runs: list[Path]) -> dict[str, Any]:
    """Mean level in the pauses of each mixture's clean speech, dB below that speech: in all, then band by band."""
    shipped = {f"{load_checkpoint(run / 'model.safetensors').recipe.name}, int8x16": run for run in runs}
    judged: dict[str, Any] = {"clean": None, "noisy": lambda x: x, **peers()}
    judged |= {name: enhancer(make_runtime("c", graph_of(run, "int8x16"))) for name, run in shipped.items()}
    levels: dict[str, list[list[float]]] = {name: [] for name in judged}
    for m in mixtures:
        if left_in_pauses(m.pair.clean, m.pair.clean) is None:
            continue
        for name, enhance in judged.items():
            sound = enhance(m.pair.noisy) if enhance else m.pair.clean
            levels[name] += [left for left in [left_in_pauses(m.pair.clean, sound)] if left]
    rows = {name: [round(float(x), 1) for x in np.mean(found, axis=0)] for name, found in levels.items()}
    return {"bands_hz": list(PAUSE_BANDS), "mixtures": len(next(iter(levels.values()))), "level_db": rows}


# Bits, work, drift ---------------------------------------------------------------------------


def cost(run: Path, mixtures: list[Mixture]) -> dict[str, Any]:
    """What one denoiser costs on each core, and that its bits are equal everywhere."""
    net = load_checkpoint(run / "model.safetensors")
    data = Dataset.load(run / "data")
    found: dict[str, Any] = {"schemes": {}}
    for scheme in SCHEMES:
        g = graph_of(run, scheme)
        runtime = make_runtime("c", g)
        sound = np.concatenate([m.pair.noisy for m in spread(mixtures, 5)])
        boards = BOARDS if scheme == "int8x16" else BIT_BOARDS
        found["schemes"][scheme] = {
            "graph": g.id, "weight_bytes": g.weight_bytes, "table_bytes": g.table_bytes,
            "mmacs_per_second": round(g.macs_per_step * g.steps_per_second / 1e6, 2), "latency_ms": g.latency_ms,
            "drift": drift(runtime, net.recipe, data, "test", DRIFT_SECONDS),
            "real_time_factor": round(real_time_factor(runtime, sound), 1),
            "bits": bits(g, mixtures), "boards": {b: on_board(run, g, b, mixtures) for b in boards},
        }  # fmt: skip
    return found


def spread(mixtures: list[Mixture], count: int) -> list[Mixture]:
    """`count` mixtures from all over the list, which may be in the order of their SNR."""
    return [mixtures[i] for i in np.unique(np.linspace(0, len(mixtures) - 1, count).astype(int))]


def bits(g: DenoiseGraph, mixtures: list[Mixture]) -> dict[str, Any]:
    """Samples that differ between NumPy and C over whole files; entries that differ in the interpreters over BIT_STEPS."""
    a, b = make_runtime("numpy", g), make_runtime("c", g)
    compared = differing = 0
    for m in spread(mixtures, BIT_FILES):
        a.reset()
        b.reset()
        x, y = a.process(m.pair.noisy), b.process(m.pair.noisy)
        compared, differing = compared + len(x), differing + int(np.count_nonzero(x != y))
    frames = a.features(np.concatenate([m.pair.noisy for m in spread(mixtures, BIT_FILES)])[: BIT_STEPS * g.step_samples])
    expected = make_runtime("c", g).run_features(frames)
    nets = {"numpy": make_runtime("numpy", g), **{name: make_runtime(name, g) for name in ("tflm", "litert", "onnx")}}
    return {
        "samples": compared, "samples_differing": differing, "steps": len(frames),
        "net_differing": {name: sum(expected.differing(r.run_features(frames)).values()) for name, r in nets.items()},
        "file_bytes": {name: r.file_bytes for name, r in nets.items() if r.file_bytes}, "arena_bytes": nets["tflm"].arena_bytes,
    }  # fmt: skip


def on_board(run: Path, g: DenoiseGraph, name: str, mixtures: list[Mixture]) -> dict[str, Any]:
    """Instructions, flash and RAM of one core; every value of some mixtures, each from a reset: whole files on some cores."""
    board = load_board(name)
    firmware, built = build_firmware(g, board, run / "bench" / f"{g.scheme}-{name}")
    files = [m.pair.noisy for m in spread(mixtures, EMULATED_FILES)]
    sounds = files if name in BIT_BOARDS else [files[0][:SAMPLE_RATE]]
    reports = [run_firmware(g, firmware, board, sound).to_dict() for sound in sounds]
    sums = {key: sum(r[key] for r in reports) for key in ("steps", "entries", "bits_differing")}
    stack = max(r["stack_bytes"] for r in reports)
    return {**built.to_dict(), **reports[0], **sums, "stack_bytes": stack, "files": len(sounds) if name in BIT_BOARDS else 0}


def with_others(new: Any, old: Any) -> Any:
    """`new`, and what `old` has beside it, at every depth: systems that were not judged again."""
    if not (isinstance(new, dict) and isinstance(old, dict)):
        return new
    return {key: with_others(new[key], old.get(key)) if key in new else old[key] for key in sorted({*old, *new})}


def main() -> int:
    given = [word for word in sys.argv[1:] if word != "--pauses"]
    if len(given) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    mixtures, runs = read_mixtures(Path(given[0])), [Path(p) for p in given[1:]]
    if "--pauses" in sys.argv:
        found = {"dates": dict.fromkeys(names_of(runs), datetime.date.today().isoformat()), **pauses(mixtures, runs)}
        write_json(PAUSES, with_others(found, json.loads(PAUSES.read_text(encoding="utf-8")) if PAUSES.is_file() else {}))
        print(f"wrote {PAUSES}")
        return 0
    for run in runs:
        for scheme in SCHEMES:
            graph_of(run, scheme)
    with ProcessPoolExecutor(2) as pool:
        costs = dict(zip(names_of(runs), pool.map(cost, runs, [mixtures] * len(runs)), strict=True))
    dates = dict.fromkeys(names_of(runs), datetime.date.today().isoformat())
    result = {"dates": dates, "quality": quality(mixtures, runs), "cost": costs}
    write_json(OUT, with_others(result, json.loads(OUT.read_text(encoding="utf-8")) if OUT.is_file() else {}))
    print(f"wrote {OUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
