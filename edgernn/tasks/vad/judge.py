"""How good a voice-activity detector is: AUC, misses, false alarms on noise alone, onset delay; float against integer.

Everything is measured on a grid of 10 ms: entry j speaks of samples 160 j .. 160 (j + 1). A detector that works in longer steps
gives all entries of a step the step's score; that score is known only at the end of its step, and onset delays count so. Scores
are taken as they come: nothing is moved back by the delay that a net was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.measure import snr_db
from edgernn.core.qmath import PREACT_SCALE
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import EVALUATION_PEAK, EVALUATION_SECONDS, Ingredients, draw_ingredients, read_ingredients
from edgernn.drift import drift, float_trace, speed
from edgernn.errors import EdgernnError
from edgernn.outcomes import Outcome, Values, outcome_dict, unique
from edgernn.runtimes import Runtime, fast_runtime, make_runtime
from edgernn.signal import native
from edgernn.signal.audio import SAMPLE_RATE, Int16, to_float, to_int16
from edgernn.tasks.base import Question
from edgernn.tasks.vad.decision import Gate, activity
from edgernn.tasks.vad.graph import VadGraph
from edgernn.tasks.vad.recipe import VadNet
from edgernn.tasks.vad.truth import GRID, Bools, speech_frames, stretches

Progress = Callable[[str, int, int], None]
Floats = NDArray[np.float64]
MIXTURES = 50  #: judged by `simulate` when nothing else is asked for
PAD_SECONDS = 2  #: of the mixture's own noise before and after the speech
NOISE_SECONDS = 600  #: of noise alone
FALSE_ALARMS = 0.05  #: at which misses are compared
LEAST_SNR = 5.0  #: dB, of mixtures in which onsets are timed
LATEST_MS = 1000.0  #: an onset that was not found by then counts so much


@dataclass(frozen=True)
class Case:
    """One mixture with noise before and after: PCM, where it is speech on the grid, SNR in dB, kind of noise."""

    name: str
    pcm: Int16
    truth: Bools
    snr_db: float
    noise: str


def case(x: Ingredients) -> Case:
    """The first 8 s of the speech in the noises joined end to end, with 2 s of them before and after.

    The SNR is that of the part with speech in it; the sum is scaled by 0.7 / max(its peak, 0.7).
    """
    clean = x.clean[: EVALUATION_SECONDS * SAMPLE_RATE]
    clean = clean[: len(clean) // GRID * GRID]
    speech, pad = to_float(clean).astype(np.float64), PAD_SECONDS * SAMPLE_RATE
    noise = np.resize(np.concatenate([to_float(n) for n in x.noises]).astype(np.float64), len(speech) + 2 * pad)
    inner = noise[pad : pad + len(speech)]
    noise = noise * np.sqrt(np.sum(speech**2) / max(np.sum(inner**2), 1e-12) / 10 ** (x.snr_db / 10))
    whole = noise + np.pad(speech, pad)
    scale = EVALUATION_PEAK / max(float(np.abs(whole).max()), EVALUATION_PEAK)
    truth = np.pad(speech_frames(clean), (pad // GRID, pad // GRID))
    return Case(x.name, to_int16(whole * scale), truth, x.snr_db, x.noise)


def noise_alone(dataset: Dataset, split: str) -> Int16:
    """The split's noise recordings in random order at their own levels, end to end, at most NOISE_SECONDS."""
    rows = dataset.noise(split)
    if not rows:
        raise EdgernnError(f"the {split} split has no noise to be silent in; add a data source with noise = true")
    order = np.random.default_rng(2).permutation(len(rows))
    pcm = np.concatenate([dataset.pcm(rows[i]) for i in order])[: NOISE_SECONDS * SAMPLE_RATE]
    return pcm[: len(pcm) // GRID * GRID]


# Measures ---------------------------------------------------------------------------


def on_grid(steps: NDArray[Any], step_samples: int, frames: int) -> NDArray[Any]:
    """A value of each step -> of each frame of the grid: the step in which the frame's middle lies."""
    index = (np.arange(frames) * GRID + GRID // 2) // step_samples
    return steps[np.minimum(index, len(steps) - 1)]


def auc(scores: Floats, said: Bools) -> float:
    """Area under the ROC curve: the chance that a frame of speech scores above another; ties count half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    n = int(said.sum())
    if not 0 < n < len(said):
        raise EdgernnError("there is no speech to judge on, or nothing else")
    return float((rank[said].sum() - n * (n + 1) / 2) / (n * (len(said) - n)))


def at_false_alarms(scores: Floats, said: Bools, alone: Floats) -> dict[str, float]:
    """At the threshold of FALSE_ALARMS: threshold, share of speech missed, share of noise alone taken for speech."""
    threshold = float(np.quantile(scores[~said], 1 - FALSE_ALARMS, method="higher"))
    missed, taken = float(np.mean(scores[said] <= threshold)), float(np.mean(alone > threshold))
    return {"threshold": round(threshold, 4), "misses": round(missed, 4), "noise_alone": round(taken, 4)}


def onset_delays(cases: Sequence[Case], decisions: Sequence[Bools], step_samples: int) -> Floats:
    """ms from each mixture's first true onset to the end of the first step that says speech after it, at LEAST_SNR and above.

    decisions: bool on the grid. A detector that already says speech at the onset counts the end of that step.
    """
    delays = []
    for c, on in zip(cases, decisions, strict=True):
        if c.snr_db < LEAST_SNR or not c.truth.any():
            continue
        onset = int(np.argmax(c.truth))
        late = np.flatnonzero(on[onset:])
        if not len(late):
            delays.append(LATEST_MS)
            continue
        middle = (onset + int(late[0])) * GRID + GRID // 2
        known = (middle // step_samples + 1) * step_samples
        delays.append(min(LATEST_MS, (known - onset * GRID) * 1000.0 / SAMPLE_RATE))
    return np.array(delays)


def onsets_a_minute(decisions: Bools) -> float:
    """Beginnings of speech a minute, of decisions on the grid."""
    return len(stretches(decisions)) / (len(decisions) / 6000)


@dataclass(frozen=True)
class Heard:
    """What a detector made of every case and of noise alone: scores and decisions, one a step."""

    scores: list[Floats]
    decisions: list[Bools]
    alone_scores: Floats
    alone_decisions: Bools


def measured(cases: Sequence[Case], heard: Heard, step_samples: int) -> dict[str, Any]:
    """All figures of one detector."""
    grid = [on_grid(s, step_samples, len(c.truth)) for s, c in zip(heard.scores, cases, strict=True)]
    said, every = np.concatenate([c.truth for c in cases]), np.concatenate(grid)
    decisions = [on_grid(d, step_samples, len(c.truth)) for d, c in zip(heard.decisions, cases, strict=True)]
    hit = np.concatenate(decisions)
    frames = len(heard.alone_scores) * step_samples // GRID
    alone = on_grid(heard.alone_decisions, step_samples, frames)
    onsets = onset_delays(cases, decisions, step_samples)
    return {
        "auc": round(auc(every, said), 5), "auc_by_snr": _by_snr(cases, grid),
        "at_5_percent_false_alarms": at_false_alarms(every, said, on_grid(heard.alone_scores, step_samples, frames)),
        "misses": round(float(1 - hit[said].mean()), 4), "false_alarms": round(float(hit[~said].mean()), 4),
        "noise_alone": round(float(alone.mean()), 4), "triggers_a_minute": round(onsets_a_minute(alone), 2),
        "onset_ms": {"median": _rounded(np.median, onsets), "mean": _rounded(np.mean, onsets), "onsets": len(onsets)},
    }  # fmt: skip


def outcomes(cases: Sequence[Case], heard: Heard, step_samples: int) -> dict[str, Outcome]:
    """Mixture by mixture: its own AUC, and the shares of speech missed and of noise taken for speech at the thresholds."""
    found: dict[str, dict[str, tuple[float, float]]] = {"mixture_auc": {}, "misses": {}, "false_alarms": {}}
    names = unique(c.name for c in cases)
    for name, c, scores, decided in zip(names, cases, heard.scores, heard.decisions, strict=True):
        said, on = c.truth, on_grid(decided, step_samples, len(c.truth))
        for key, where, wrong in (("misses", said, ~on), ("false_alarms", ~said, on)):
            if where.any():
                found[key][name] = (round(float(wrong[where].mean()), 5), int(where.sum()))
        if said.any() and not said.all():
            found["mixture_auc"][name] = (round(auc(on_grid(scores, step_samples, len(said)), said), 5), 1)
    return {key: Values(items) for key, items in found.items() if items}


def _rounded(of: Callable[[Floats], Any], values: Floats) -> float | None:
    return round(float(of(values)), 1) if len(values) else None


def _by_snr(cases: Sequence[Case], grid: Sequence[Floats]) -> dict[str, float]:
    out = {}
    for snr in sorted({c.snr_db for c in cases}):
        which = [i for i, c in enumerate(cases) if c.snr_db == snr]
        said = np.concatenate([cases[i].truth for i in which])
        out[f"{snr:g}"] = round(auc(np.concatenate([grid[i] for i in which]), said), 5)
    return out


# Float and integer ---------------------------------------------------------------------------


def float_heard(net: VadNet, gate: Gate, cases: Sequence[Case], alone: Int16) -> Heard:
    """The float net, its posteriors rounded to Q15 for the same decision stage."""

    def logits(pcm: Int16) -> Floats:
        return np.asarray(net.run(features(net, pcm)[None])[0, :, 0], np.float64)

    def decisions(scores: Floats) -> Bools:
        q15 = np.rint(32768 * (0.5 + 0.5 * np.tanh(0.5 * scores)))
        return activity(np.clip(q15, 0, 32767).astype(np.int16), gate)

    scores, quiet = [logits(c.pcm) for c in cases], logits(alone)
    return Heard(scores, [decisions(s) for s in scores], quiet, decisions(quiet))


def features(net: VadNet, pcm: Int16) -> NDArray[np.float32]:
    """Normalised float features [T, bands] of PCM [n] from reset."""
    return np.asarray(net.features(native.log_mels(pcm[None], net.recipe.frontend, net.tables))[0], np.float32)


def integer_heard(runtime: Runtime[VadGraph], cases: Sequence[Case], alone: Int16, progress: Progress) -> Heard:
    """The integer detector, whole: logits as scores, its own decisions."""
    runs = []
    for i, pcm in enumerate((*(c.pcm for c in cases), alone)):
        runtime.reset()
        trace = runtime.run(pcm)
        assert trace.output is not None  # `run` always gives one
        runs.append((np.asarray(trace.logits[:, 0] * PREACT_SCALE, np.float64), np.asarray(trace.output[:, 0] != 0, bool)))
        progress("judging mixtures", i + 1, len(cases) + 1)
    return Heard([s for s, _ in runs[:-1]], [d for _, d in runs[:-1]], *runs[-1])


def chosen_cases(dataset: Dataset, seed: int, q: Question) -> list[Case]:
    """Those of a list, or some of a split."""
    listed = q.options.get("mixtures")
    found = read_ingredients(Path(listed)) if listed else draw_ingredients(dataset, q.split, q.count or MIXTURES, seed)
    return [case(x) for x in found]


def judge(net: VadNet, graph: VadGraph, dataset: Dataset, q: Question, progress: Progress) -> dict[str, Any]:
    """Float against integer over mixtures and noise alone; one stream without a reset; speed."""
    runtime = make_runtime(fast_runtime() if q.runtime == "auto" else q.runtime, graph)
    cases, alone = chosen_cases(dataset, net.recipe.seed, q), noise_alone(dataset, q.split)
    step, listed = graph.step_samples, q.options.get("mixtures")
    heard = {
        "float": float_heard(net, graph.decision, cases, alone), "integer": integer_heard(runtime, cases, alone, progress)
    }  # fmt: skip
    both = [np.concatenate([*h.scores, h.alone_scores]) for h in heard.values()]
    result = {
        "runtime": runtime.name, "mixtures": len(cases), "noise_seconds": len(alone) / SAMPLE_RATE,
        "list": str(listed) if listed else None, **{name: measured(cases, h, step) for name, h in heard.items()},
        "logit_snr_db": round(snr_db(*both), 2), "delay_ms": graph.delay_ms,
        "stream": _stream(net, runtime, cases, q.seconds),
        "outcomes": {name: outcome_dict(x) for name, x in outcomes(cases, heard["integer"], step).items()},
    }  # fmt: skip
    if fast_runtime() == "c":
        result["speed"] = speed(net, graph, alone, features(net, alone[: 200 * step]))
    return result


def _stream(net: VadNet, runtime: Runtime[VadGraph], cases: Sequence[Case], seconds: float) -> dict[str, Any]:
    """The cases again and again without a reset."""
    sound = np.concatenate([c.pcm for c in cases])
    pcm = np.resize(sound, max(runtime.graph.step_samples, round(seconds * SAMPLE_RATE)))
    runtime.reset()
    return drift(runtime.graph, float_trace(net, features(net, pcm)), runtime.run(pcm))
