"""How good a denoiser is: PESQ, STOI, ESTOI, SI-SDR, DNSMOS of mixtures, float against integer; drift; speed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.measure import snr_db
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixer, Mixture, make_mixtures, read_mixtures
from edgernn.drift import best_of, float_trace
from edgernn.drift import drift as against_floats
from edgernn.errors import EdgernnError, needs_extra
from edgernn.runtimes import Runtime, fast_runtime, make_runtime
from edgernn.signal import native
from edgernn.signal.audio import SAMPLE_RATE, Int16, to_float
from edgernn.tasks.base import Question
from edgernn.tasks.denoise.recipe import DenoiseNet, DenoiseRecipe
from edgernn.tasks.denoise.stream import FloatDenoiser, aligned, denoised, denoiser

Progress = Callable[[str, int, int], None]
Enhance = Callable[[Int16], Int16]
MIXTURES = 50  #: judged by `simulate` when nothing else is asked for
FLOAT_SECONDS = 600.0  #: of the stream without a reset that the floats go along with
PAUSE_BANDS = (0, 1000, 2000, 4300, 8000)  #: Hz: edges of the bands in which pauses are listened to
LEAST_SI_SDR = -60.0  #: dB: of what has nothing in common with the clean speech, silence too
_PAUSE_DB = -45.0  #: a frame of clean speech so far below its loudest is a pause
_FRAME = 512


@dataclass(frozen=True)
class Scores:
    """PESQ wide band (ITU-T P.862.2), STOI and ESTOI (Taal 2011, Jensen 2016) 0..1, SI-SDR in dB (Le Roux 2019)."""

    pesq: float
    stoi: float
    estoi: float
    si_sdr: float


def score(clean: Int16, enhanced: Int16) -> Scores:
    """Judge `enhanced` [n] against `clean` [n], both at 16 kHz."""
    try:
        from pesq import NoUtterancesError, pesq
        from pystoi import stoi
    except ImportError as error:
        raise needs_extra("judging speech needs the packages pesq and pystoi", "judge", error) from None
    if len(clean) < SAMPLE_RATE // 2 or not clean.any():
        raise EdgernnError("the clean speech to judge against is silent or shorter than half a second; give a longer one")
    c, e = to_float(clean).astype(np.float64), to_float(enhanced).astype(np.float64)
    if not enhanced.any():
        return Scores(1.0, 0.0, 0.0, LEAST_SI_SDR)  # nothing left to hear
    try:
        quality = float(pesq(SAMPLE_RATE, c, e, "wb"))
    except NoUtterancesError:
        quality = 1.0
    return Scores(quality, float(stoi(c, e, SAMPLE_RATE)), float(stoi(c, e, SAMPLE_RATE, extended=True)), si_sdr(c, e))


def opinions(pcm: Int16) -> dict[str, float]:
    """What listeners would say of PCM [n] at 16 kHz, about 1..5 each; needs no reference.

    dnsmos: DNSMOS P.835, overall (Reddy et al. 2022), which a training may listen to (`train.opinion_loss`); p808: DNSMOS P.808
    (Reddy et al. 2021), another net that heard other listeners, to which none does.
    """
    try:
        from speechmos import dnsmos
    except ImportError as error:
        raise needs_extra("DNSMOS needs the package speechmos", "mos", error) from None
    marks = dnsmos.run(to_float(pcm), SAMPLE_RATE)
    return {"dnsmos": float(marks["ovrl_mos"]), "p808": float(marks["p808_mos"])}


def si_sdr(clean: NDArray[np.float64], enhanced: NDArray[np.float64]) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, [n] each; no less than LEAST_SI_SDR, which is that of silence."""
    target = clean * (np.dot(enhanced, clean) / max(float(np.dot(clean, clean)), 1e-12))
    noise = enhanced - target
    power = float(np.dot(target, target))
    if power <= 0:
        return LEAST_SI_SDR
    return max(LEAST_SI_SDR, float(10 * np.log10(power / max(float(np.dot(noise, noise)), 1e-12))))


def left_in_pauses(clean: Int16, enhanced: Int16) -> list[float] | None:
    """Level of `enhanced` [n] in the pauses of `clean` [n], dB below the speech's own: in all, then band by band.

    None where a recording has less than 0.1 s of pauses.
    """
    c, e = (_powers(to_float(x)) for x in (clean, enhanced))
    loud = c.sum(1)
    pause = loud < loud.max() * 10 ** (_PAUSE_DB / 10)
    if pause.sum() < 7 or pause.all():
        return None
    speech = float(loud[~pause].mean())
    edges = [round(f * _FRAME / SAMPLE_RATE) for f in PAUSE_BANDS]
    left = e[pause].mean(0)
    parts = [float(left[a:b].sum()) for a, b in itertools.pairwise(edges)]
    return [10 * float(np.log10(max(x / speech, 1e-12))) for x in (sum(parts), *parts)]


def _powers(x: NDArray[np.float32]) -> NDArray[np.float64]:
    """Power spectra [frames, bins] of frames of 32 ms, half of them overlapping."""
    frames = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), _FRAME)[:: _FRAME // 2]
    return np.asarray(np.abs(np.fft.rfft(frames * np.hanning(_FRAME))) ** 2)


def judge_denoiser(net: DenoiseNet, graph: NetGraph, dataset: Dataset, q: Question, progress: Progress) -> dict[str, Any]:
    """Float against integer: mixtures judged file by file, one long stream without a reset, speed."""
    runtime = make_runtime(fast_runtime() if q.runtime == "auto" else q.runtime, graph)
    listed, mos = q.options.get("mixtures"), bool(q.options.get("mos"))
    mixtures = read_mixtures(Path(listed)) if listed else make_mixtures(dataset, q.split, q.count or MIXTURES, net.recipe.seed)
    judged = judge(mixtures, {"float": float_enhancer(net), "integer": enhancer(runtime)}, progress, mos)
    result = {
        "runtime": runtime.name, "list": str(listed) if listed else None, **judged,
        "integer_minus_float": differences(judged, "integer", "float"),
        "stream": drift(runtime, net.recipe, dataset, q.split, q.seconds),
        "drift": drift_from_floats(net, runtime, dataset, q.split, q.seconds),
    }  # fmt: skip
    if runtime.name == "c":
        mixer = Mixer(net.recipe.mix, dataset, q.split, np.random.default_rng(1))
        sound = np.concatenate([mixer().noisy for _ in range(5)])
        result["speed"] = {"real_time_factor_c": round(real_time_factor(runtime, sound), 1)}
    return result


def judge(mixtures: Sequence[Mixture], systems: dict[str, Enhance], progress: Progress, mos: bool = False) -> dict[str, Any]:
    """Every system over every mixture: see `summary`. "noisy" is the input."""
    return summary(judge_files(mixtures, systems, progress, ("noisy", *systems) if mos else ()))


def judge_files(
    mixtures: Sequence[Mixture], systems: dict[str, Enhance], progress: Progress, mos: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Scores of every system, one row a mixture. mos: who gets DNSMOS too, some tenths of a second a sound."""
    rows: list[dict[str, Any]] = []
    for done, m in enumerate(mixtures):
        progress("judging mixtures", done, len(mixtures))
        outputs = {"noisy": m.pair.noisy, **{name: enhance(m.pair.noisy) for name, enhance in systems.items()}}
        scores = {name: asdict(score(m.pair.clean, pcm)) for name, pcm in outputs.items()}
        for name in mos:
            scores[name] |= opinions(outputs[name])
        rows.append({"name": m.name, "snr_db": m.snr_db, "noise": m.noise, "scores": scores})
    progress("judging mixtures", len(mixtures), len(mixtures))
    return rows


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """`files` (the rows), and of each system `mean` and `by_snr`."""
    snrs = sorted({row["snr_db"] for row in rows})
    by_snr = {f"{snr:g}": means([r for r in rows if r["snr_db"] == snr]) for snr in snrs}
    return {"mixtures": len(rows), "mean": means(rows), "by_snr": by_snr, "files": rows}


def means(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Each system's mean of each metric."""
    first = rows[0]["scores"]
    return {n: {m: round(float(np.mean([r["scores"][n][m] for r in rows])), 4) for m in first[n]} for n in first}


def enhancer(runtime: Runtime[NetGraph]) -> Enhance:
    """The integer denoiser over whole sounds."""
    return lambda pcm: denoised(runtime, pcm)


def float_enhancer(net: DenoiseNet) -> Enhance:
    """The float denoiser over whole sounds."""

    def enhance(pcm: Int16) -> Int16:
        model = FloatDenoiser(net)
        return np.concatenate(list(aligned(iter([pcm]), model.denoise, net.recipe.stft.hop)))

    return enhance


def differences(judged: dict[str, Any], a: str, b: str) -> dict[str, dict[str, float]]:
    """Metric by metric, a - b file by file: mean, and the largest magnitude."""
    rows = judged["files"]
    gaps = {m: np.array([r["scores"][a][m] - r["scores"][b][m] for r in rows]) for m in rows[0]["scores"][b]}
    return {m: {"mean": round(float(g.mean()), 4), "largest": round(float(np.abs(g).max()), 4)} for m, g in gaps.items()}


def drift(
    runtime: Runtime[NetGraph], recipe: DenoiseRecipe, dataset: Dataset, split: str, seconds: float, piece: float = 60.0
) -> dict[str, Any]:
    """One stream without a reset: the same noisy minute again and again, then silence.

    repeat_snr_db: the least SNR of a repetition's output against the second one's; growth_db: most that its level differs;
    change: largest difference of a sample between a repetition and the second one, LSB: a click would stand here; jump: largest
    step between neighbouring samples of the output over that of the input; silence: largest sample after the first second
    of digital silence at the end.
    """
    hop = runtime.graph.step_samples
    sound = _piece(recipe, dataset, split, hop, piece)
    runtime.reset()
    denoise = denoiser(runtime)
    repetitions = max(3, round(seconds * SAMPLE_RATE / len(sound)))
    reference, worst, growth, jump, change, last = np.zeros(0, np.int16), np.inf, 0.0, 0.0, 0, np.zeros(1, np.int16)
    for i in range(repetitions):
        out = denoise(sound)
        jump = max(jump, _jump(np.concatenate([last, out])))
        last = out[-1:]
        if i == 1:
            reference = out
        elif i > 1:
            worst = min(worst, snr_db(reference, out))
            change = max(change, int(np.abs(out.astype(np.int64) - reference).max()))
            growth = max(growth, abs(10 * np.log10(max(_energy(out), 1.0) / max(_energy(reference), 1.0))))
    tail = denoise(np.zeros(SAMPLE_RATE * 10 // hop * hop, np.int16))[SAMPLE_RATE:]
    return {
        "seconds": round(repetitions * len(sound) / SAMPLE_RATE, 1), "repeat_snr_db": round(min(worst, 200.0), 2),
        "growth_db": round(float(growth), 4), "change": change, "jump": round(jump / max(1.0, _jump(sound)), 3),
        "silence": int(np.abs(tail.astype(np.int64)).max()),
    }  # fmt: skip


def _piece(recipe: DenoiseRecipe, dataset: Dataset, split: str, hop: int, seconds: float) -> Int16:
    """What a stream repeats: so much noisy speech in whole hops."""
    sound = Mixer(recipe.mix, dataset, split, np.random.default_rng([recipe.seed, 5])).stream(seconds)
    return sound[: len(sound) // hop * hop]


def drift_from_floats(
    net: DenoiseNet, runtime: Runtime[Any], dataset: Dataset, split: str, seconds: float, piece: float = 60.0
) -> dict[str, Any]:
    """How far the integers are from the floats, as `edgernn.drift.drift` tells it, over the stream of `drift` before its end.

    Both carry their state from step to step. Everything that both computed is held at once, hence FLOAT_SECONDS at most.
    """
    hop = runtime.graph.step_samples
    sound = _piece(net.recipe, dataset, split, hop, piece)
    length = min(seconds, FLOAT_SECONDS) * SAMPLE_RATE
    pcm = np.resize(sound, max(1, round(length / hop)) * hop)
    runtime.reset()
    return against_floats(runtime.graph, float_trace(net, features(net, pcm)), runtime.run(pcm))


def features(net: DenoiseNet, pcm: Int16) -> NDArray[np.float32]:
    """Normalised float features [T, bands] of whole hops of PCM [n], from reset."""
    heard = np.concatenate([np.zeros(net.recipe.stft.hop, np.int16), pcm])
    return net.features(native.analyze(heard, net.recipe.stft, net.tables)[1][1:])


def _jump(pcm: Int16) -> float:
    """Largest step between neighbouring samples."""
    return float(np.abs(np.diff(pcm.astype(np.int64))).max())


def _energy(pcm: Int16) -> float:
    return float(np.square(pcm.astype(np.float64)).sum())


def real_time_factor(runtime: Runtime[NetGraph], pcm: Int16) -> float:
    """Seconds of sound denoised in one second, PCM in memory to PCM, the best of five runs."""
    runtime.reset()
    runtime.process(pcm[: SAMPLE_RATE // 2])
    return len(pcm) / SAMPLE_RATE / best_of(5, lambda: runtime.process(pcm))
