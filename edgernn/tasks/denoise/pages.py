"""A denoiser's sections of `edgernn report`: what each metric gained, and sounds before and after, to look at and to hear."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgernn.data.mixing import Mixture, make_mixtures, read_mixtures
from edgernn.errors import EdgernnError
from edgernn.reports import charts
from edgernn.reports.charts import Axis, Line
from edgernn.reports.facts import Facts, Values
from edgernn.reports.parts import Part, Picture, Section, Sound
from edgernn.reports.sections import drift_picture
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.show import Table
from edgernn.signal.audio import SAMPLE_RATE, Int16
from edgernn.tasks.denoise.evaluate import left_in_pauses
from edgernn.tasks.denoise.report import RANGE_DB, levels
from edgernn.tasks.denoise.show import QUALITY, simulated
from edgernn.tasks.denoise.stream import denoised

SHOWN = 2  #: mixtures that are heard: the one that gained least, and the one in the middle


def sections(run: Facts) -> Iterator[Section]:
    """All of them."""
    assert run.simulated is not None
    s = run.simulated
    main, by_snr, *rest = simulated(s)
    yield Section("Float against int8", [*gains(s), main, by_snr])
    section = Section("Before and after")
    mixtures = _mixtures(run)
    if not mixtures:
        section.parts.append("The recordings are gone from the run folder: there is nothing to listen to.")
    for m in mixtures:
        section.parts.extend(_heard(run, m))
    yield section
    yield Section("One stream without a reset", [*(drift_picture(s["drift"]) if "drift" in s else []), *rest])


def gains(s: Values) -> Iterator[Picture]:
    """Each metric over the SNR of what came in: noisy, float, int8."""
    snrs = sorted(s["by_snr"], key=float)
    for metric in (m for m in QUALITY if m in s["integer_minus_float"]):
        series = {
            name: Line([float(x) for x in snrs], [s["by_snr"][x][key][metric] for x in snrs], colour=i, dash=dash)
            for i, (name, key, dash) in enumerate((("int8", "integer", 0), ("float", "float", 1), ("noisy", "noisy", 3)))
        }
        mean = {key: s["mean"][key][metric] for key in ("noisy", "float", "integer")}
        about = f"{QUALITY[metric]}, mean of all: {mean['noisy']} before, {mean['integer']} by int8, {mean['float']} by floats"
        yield charts.lines(QUALITY[metric], about, series, Axis("SNR of the mixture, dB"), Axis(QUALITY[metric]))


def _mixtures(run: Facts) -> list[Mixture]:
    """The judged mixture that gained the least SI-SDR, and the one in the middle; none where their recordings are gone."""
    assert run.simulated is not None
    s, dataset = run.simulated, run.dataset()
    net = run.checkpoint() if dataset else None
    if dataset is None or net is None:
        return []
    try:
        made = (
            read_mixtures(Path(s["list"])) if s["list"] else make_mixtures(dataset, s["split"], s["mixtures"], net.recipe.seed)
        )
    except EdgernnError as error:
        run.missing.append(f"no mixtures to listen to: {error}")
        return []
    gain = {f["name"]: f["scores"]["integer"]["si_sdr"] - f["scores"]["noisy"]["si_sdr"] for f in s["files"]}
    known = sorted((m for m in made if m.name in gain), key=lambda m: gain[m.name])
    return [known[0], known[len(known) // 2]][: min(SHOWN, len(known))] if known else []


def _heard(run: Facts, m: Mixture) -> Iterator[Part]:
    """One mixture: spectrograms on one scale, what is left in pauses, players."""
    g: Any = run.graph
    samples = int(run.sound_seconds / SHOWN / 3 * SAMPLE_RATE)
    sounds = {"noisy": m.pair.noisy, "denoised": denoised(make_runtime(fast_runtime(), g), m.pair.noisy), "clean": m.pair.clean}
    shown = {name: pcm[:samples] for name, pcm in sounds.items()}
    pictures = {name: levels(pcm, g.stft) for name, pcm in shown.items()}
    top = max(float(x.max()) for x in pictures.values())
    left = in_pauses(shown)
    title = f"{m.noise or 'noise'} at {m.snr_db:g} dB"
    for name, picture in pictures.items():
        about = f"{title}, {name}: in the pauses of the speech {left[name]}"
        ends = top - RANGE_DB, top
        yield charts.spectrogram(f"{title}: {name}", about, picture, len(shown[name]) / SAMPLE_RATE, g.sample_rate / 2000, ends)
    rows: list[list[Any]] = [[name, left[name], Sound(f"{title}, {name}", pcm, SAMPLE_RATE)] for name, pcm in shown.items()]
    yield Table(f"{m.name}: {title}", ["", "in pauses", "listen"], rows)


def in_pauses(sounds: dict[str, Int16]) -> dict[str, str]:
    """The level of each sound [n] where the clean one pauses, below that of its speech."""
    left = {name: left_in_pauses(sounds["clean"], pcm) for name, pcm in sounds.items()}
    return {name: f"{x[0]:.1f} dB below the speech" if x else "no pauses" for name, x in left.items()}
