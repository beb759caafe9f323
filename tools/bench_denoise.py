"""The denoising report: every denoiser and its peers on one list of mixtures, drift, work on emulated cores.

    python tools/bench_denoise.py LIST.csv RUN...             writes docs/results/denoise.json; tools/readme.py shows it
    python tools/bench_denoise.py --pauses LIST.csv RUN...    writes docs/results/pauses.json: what is left where nobody speaks
    python tools/bench_denoise.py --validation RUN...         writes docs/results/denoise-validation.json: to choose by

LIST.csv names the mixtures (columns id, snr_db, clean, noise, noise_label); a RUN is a run folder with a trained denoiser,
as `edgernn denoise-train` leaves it. What was measured of others before is kept, each with its date. On validation the floats
are judged, on mixtures of the first RUN's data, each by its folder's name, so that trainings of one recipe can be told apart.
The peers: the noisy input, a Wiener filter with decision-directed SNR (Ephraim & Malah 1984), and RNNoise (Valin 2018) as the
package pyrnnoise carries it, if that is installed; it works at 48 kHz, so sounds are resampled around it.
"""

from __future__ import annotations

import datetime
import importlib.util
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from edgernn import pipeline
from edgernn.artifacts import read_json, write_json
from edgernn.core.primitives import SCHEMES
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixture, make_mixtures, read_mixtures
from edgernn.firmware import build_firmware, run_firmware
from edgernn.runs import load_data
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import SAMPLE_RATE, Int16, to_float, to_int16
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.denoise.evaluate import (
    PAUSE_BANDS,
    Enhance,
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
VALIDATION = OUT.with_name("denoise-validation.json")
VALIDATION_MIXTURES, VALIDATION_SEED = 40, 77
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
    return judge_files(mixtures, found, progress, heard if has_mos() else ())


def has_mos() -> bool:
    found = importlib.util.find_spec("speechmos") is not None
    if not found:
        print("speechmos is not installed: DNSMOS left out")
    return found


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
    judged = {"noisy": lambda x: x, **peers()}
    for name, run in zip(names_of(runs), runs, strict=True):
        judged[f"{name}, int8x16"] = enhancer(make_runtime("c", graph_of(run, "int8x16")))
    mixtures = [m for m in mixtures if left_in_pauses(m.pair.clean, m.pair.clean) is not None]
    clean = np.mean([left_in_pauses(m.pair.clean, m.pair.clean) for m in mixtures], axis=0)
    rows = {"clean": levels(clean), **{name: levels(left(mixtures, enhance)) for name, enhance in judged.items()}}
    return {"bands_hz": list(PAUSE_BANDS), "mixtures": len(mixtures), "level_db": rows}


def left(mixtures: list[Mixture], enhance: Enhance) -> Any:
    """Mean over the mixtures with pauses, [1 + bands] dB."""
    found = (left_in_pauses(m.pair.clean, enhance(m.pair.noisy)) for m in mixtures)
    return np.mean([x for x in found if x is not None], axis=0)


def levels(db: Any) -> list[float]:
    return [round(float(x), 1) for x in db]


# Validation ---------------------------------------------------------------------------


def once(enhance: Enhance) -> Enhance:
    """The same, for what hears each sound twice."""
    kept: dict[bytes, Int16] = {}

    def again(pcm: Int16) -> Int16:
        key = pcm.tobytes()
        if key not in kept:
            kept[key] = enhance(pcm)
        return kept[key]

    return again


def on_validation(runs: list[Path]) -> dict[str, Any]:
    """Means of the float nets and the peers over mixtures of the validation split, and what is left in pauses."""
    mixtures = make_mixtures(load_data(runs[0]), "validation", VALIDATION_MIXTURES, VALIDATION_SEED)
    judged: dict[str, Enhance] = {run.name: float_enhancer(load_checkpoint(run / "model.safetensors")) for run in runs}
    judged = {name: once(enhance) for name, enhance in (judged | peers()).items()}
    found = means(judge_files(mixtures, judged, progress, ("noisy", *judged) if has_mos() else ()))
    for name, enhance in {"noisy": lambda x: x, **judged}.items():
        found[name]["pauses_db"] = levels(left(mixtures, enhance))[0]
    return {"mixtures": len(mixtures), "mean": found}


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


def keep(path: Path, names: list[str], found: dict[str, Any]) -> int:
    """Writes what was found today of `names`, beside what is known of others."""
    dates = dict.fromkeys(names, datetime.date.today().isoformat())
    write_json(path, with_others({"dates": dates, **found}, read_json(path) if path.is_file() else {}))
    print(f"wrote {path}")
    return 0


def main() -> int:
    given = [word for word in sys.argv[1:] if not word.startswith("--")]
    if "--validation" in sys.argv and given:
        runs = [Path(p).resolve() for p in given]
        return keep(VALIDATION, [run.name for run in runs], on_validation(runs))
    if len(given) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    mixtures, runs = read_mixtures(Path(given[0])), [Path(p) for p in given[1:]]
    names = names_of(runs)
    if "--pauses" in sys.argv:
        return keep(PAUSES, names, pauses(mixtures, runs))
    for run in runs:
        for scheme in SCHEMES:
            graph_of(run, scheme)
    with ProcessPoolExecutor(2) as pool:
        costs = dict(zip(names, pool.map(cost, runs, [mixtures] * len(runs)), strict=True))
    return keep(OUT, names, {"quality": quality(mixtures, runs), "cost": costs})


if __name__ == "__main__":
    sys.exit(main())
