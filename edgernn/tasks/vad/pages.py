"""A voice-activity detector's sections of `edgernn report`: its curve, AUC at each SNR, drift, mixtures to look at and hear."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.reports import charts
from edgernn.reports.charts import Axis, Line
from edgernn.reports.facts import Facts
from edgernn.reports.parts import Part, Picture, Section, Sound
from edgernn.reports.sections import drift_picture
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.show import Table
from edgernn.signal.audio import SAMPLE_RATE
from edgernn.tasks.base import Question
from edgernn.tasks.vad.judge import FALSE_ALARMS, Case, Floats, chosen_cases, integer_heard, on_grid
from edgernn.tasks.vad.show import simulated
from edgernn.tasks.vad.truth import Bools

POINTS = 200  #: of a curve
SHOWN = 3  #: mixtures that are looked at and heard


def sections(run: Facts) -> Iterator[Section]:
    """All of them."""
    assert run.simulated is not None
    s = run.simulated
    main, by_snr, *rest = simulated(s)
    judged = Section("Misses against false alarms", [main, *_snr_picture(s), by_snr])
    cases = _cases(run)
    examples = Section("Mixtures, the worst heard first")
    if cases:
        grids, posteriors = heard(run, cases)
        judged.parts.insert(0, curve(run, cases, grids))
        examples.parts.extend(_examples(run, cases, grids, posteriors))
    else:
        examples.parts.append("The recordings or the float net are gone from the run folder: there is no curve and no example.")
    yield judged
    yield examples
    yield Section("One stream without a reset", [*drift_picture(s["stream"]), *rest])


def _cases(run: Facts) -> list[Case]:
    """The mixtures that were judged; none where their recordings are gone."""
    dataset, net = run.dataset(), run.checkpoint()
    assert run.simulated is not None
    s = run.simulated
    if dataset is None or net is None:
        return []
    options = {"mixtures": Path(s["list"])} if s["list"] else {}
    try:
        return chosen_cases(dataset, net.recipe.seed, Question(s["split"], count=s["mixtures"], options=options))
    except EdgernnError as error:
        run.missing.append(f"no mixtures, so no curve: {error}")
        return []


def heard(run: Facts, cases: Sequence[Case]) -> tuple[list[Floats], list[NDArray[np.int16]]]:
    """Logits of each case on the judge's grid, by the integers, and the grid's decisions."""
    g: Any = run.graph
    found = integer_heard(make_runtime(fast_runtime(), g), cases, np.zeros(g.step_samples, np.int16), lambda *_: None)
    pairs = zip(found.scores, found.decisions, cases, strict=True)
    both = [[on_grid(x, g.step_samples, len(c.truth)) for x in (scores, decisions)] for scores, decisions, c in pairs]
    return [a for a, _ in both], [b for _, b in both]


def curve(run: Facts, cases: Sequence[Case], grids: Sequence[Floats]) -> Picture:
    """Misses against false alarms as the threshold goes from end to end; dots at FALSE_ALARMS, and where the gate stands."""
    assert run.simulated is not None
    said, scores = np.concatenate([c.truth for c in cases]), np.concatenate(list(grids))
    alarms, misses = trade_off(scores, said)
    s = run.simulated["integer"]
    five = s["at_5_percent_false_alarms"]
    series = {
        "int8, any threshold": Line(
            alarms, misses, (100 * FALSE_ALARMS, 100 * five["misses"]), f"at {100 * FALSE_ALARMS:g} % false alarms"
        ),
        "its decision stage": Line([100 * s["false_alarms"]], [100 * s["misses"]], colour=1),
    }
    about = (
        f"AUC {s['auc']}; at {100 * FALSE_ALARMS:g} % false alarms {100 * five['misses']:.1f} % of speech is missed; the "
        f"decision stage misses {100 * s['misses']:.1f} % at {100 * s['false_alarms']:.1f} %"
    )
    axes = Axis("false alarms, % of frames without speech", ends=(-2, 102)), Axis("missed, % of speech", ends=(-2, 102))
    return charts.lines("Misses against false alarms", about, series, *axes)


def trade_off(scores: Floats, said: Bools) -> tuple[list[float], list[float]]:
    """Percent of false alarms and of misses at POINTS thresholds, from the highest to the lowest."""
    speech, other = np.sort(scores[said]), np.sort(scores[~said])
    thresholds = np.quantile(other, np.linspace(1, 0, POINTS))
    alarms = 1 - np.searchsorted(other, thresholds, "right") / len(other)
    misses = np.searchsorted(speech, thresholds, "right") / len(speech)
    return (100 * alarms).tolist(), (100 * misses).tolist()


def _snr_picture(s: Any) -> list[Part]:
    """AUC at each SNR, in the order of the SNRs."""
    snrs = sorted(s["float"]["auc_by_snr"], key=float)
    if len(snrs) < 2:
        return []
    series = {
        name: Line([float(x) for x in snrs], [s[key]["auc_by_snr"][x] for x in snrs], colour=i, dash=1 - i)
        for i, (name, key) in enumerate((("float", "float"), ("int8", "integer")))
    }
    ends = [s["integer"]["auc_by_snr"][x] for x in (snrs[0], snrs[-1])]
    about = f"the int8 model's AUC is {ends[0]} at {snrs[0]} dB and {ends[1]} at {snrs[-1]} dB"
    return [charts.lines("AUC at each SNR", about, series, Axis("SNR, dB"), Axis("AUC"))]


def _examples(
    run: Facts, cases: Sequence[Case], grids: Sequence[Floats], decisions: Sequence[NDArray[np.int16]]
) -> Iterator[Part]:
    """The mixtures with most wrong frames: the posterior beside the truth, and the sound."""
    wrong = [float(np.mean((d != 0) != c.truth)) for c, d in zip(cases, decisions, strict=True)]
    seconds, rows = run.sound_seconds / SHOWN, []
    for i in np.argsort(wrong)[::-1][:SHOWN].tolist():
        c = cases[i]
        frames = min(len(c.truth), int(100 * seconds))
        x = (np.arange(frames) / 100).tolist()
        series = {
            "posterior": Line(x, (1 / (1 + np.exp(-grids[i][:frames]))).tolist()),
            "said": Line(x, (c.truth[:frames] * 1.0).tolist(), colour=2, dash=1),
            "decided": Line(x, ((decisions[i][:frames] != 0) * 0.96 + 0.02).tolist(), colour=1, dash=3),
        }
        about = f"{c.name}, {c.noise or 'noise'} at {c.snr_db:g} dB: {100 * wrong[i]:.1f} % of its frames are decided wrongly"
        yield charts.lines(f"{c.noise or 'noise'}, {c.snr_db:g} dB", about, series, Axis("seconds"), Axis("speech"))
        label = f"{c.name}, {c.noise or 'noise'}"
        rows.append(
            [
                label,
                f"{c.snr_db:g} dB",
                f"{100 * wrong[i]:.1f} %",
                Sound(label, c.pcm[: frames * SAMPLE_RATE // 100], SAMPLE_RATE),
            ]
        )
    yield Table("", ["mixture", "SNR", "frames wrong", "listen"], rows)
