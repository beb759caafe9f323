"""A picture of what a denoiser did to a sound: spectrograms before and after, the gains, and numbers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import replacing
from edgernn.errors import EdgernnError, needs_extra
from edgernn.runtimes import fast_runtime, make_runtime
from edgernn.signal import native, stft
from edgernn.signal.audio import Int16, to_float
from edgernn.tasks.denoise.graph import DenoiseGraph

LONGEST_SECONDS = 30  #: of a recording, in the picture
RANGE_DB = 70.0  #: of levels that a spectrogram shows below the sounds' loudest bin


def draw_report(g: DenoiseGraph, noisy: Int16, denoised: Int16, path: Path, reference: Int16 | None = None) -> dict[str, Any]:
    """Write a PNG of PCM [n] before and after, the gains in dB and both levels over time; returns the numbers in its title.

    reference: the clean speech [n]; with it the numbers hold PESQ, STOI, ESTOI, SI-SDR and what is left in its pauses, before
    and after. Both spectrograms share a scale that follows the sounds, so that soft speech is seen too.
    """
    plot = plot_library()
    shown = LONGEST_SECONDS * g.sample_rate
    before, after = (levels(pcm[:shown], g.stft) for pcm in (noisy, denoised))
    gains = _gains(g, noisy[:shown])
    seconds = max(1, len(before)) * g.stft.hop / g.sample_rate
    figure, axes = plot.subplots(4, 1, figsize=(10, 11), sharex=True, layout="constrained", height_ratios=(3, 3, 3, 2))
    nyquist, top = g.sample_rate / 2000, float(max(before.max(initial=-100.0), after.max(initial=-100.0)))
    pictures = (
        ("noisy", before, top - RANGE_DB, top, "dB"),
        ("denoised", after, top - RANGE_DB, top, "dB"),
        ("gain of each band", gains, 20 * np.log10(max(g.floor, 1) / 32768), 0, "dB"),
    )
    for axis, (title, picture, low, high, unit) in zip(axes, pictures, strict=False):
        image = axis.imshow(picture.T, origin="lower", aspect="auto", vmin=low, vmax=high, extent=(0, seconds, 0, nyquist))
        axis.set(title=title, ylabel="kHz")
        figure.colorbar(image, ax=axis, label=unit)
    times = np.arange(len(before)) * g.stft.hop / g.sample_rate
    for name, picture in (("noisy", before), ("denoised", after)):
        axes[-1].plot(times, 10 * np.log10(np.sum(10 ** (picture / 10), axis=1)), label=name, linewidth=0.8)
    axes[-1].set(title="level: what is left in pauses", ylabel="dB", xlabel="seconds", ylim=(top - RANGE_DB, top + 20))
    axes[-1].legend(loc="lower right", fontsize=8)
    numbers = report_numbers(noisy, denoised, reference)
    figure.suptitle(
        f"{g.name.replace('$', chr(92) + '$')}, graph {g.id[:12]}\n" + ", ".join(f"{k} {v}" for k, v in numbers.items()),
        fontsize=10,
    )
    with replacing(path) as scratch:
        figure.savefig(scratch, format="png", dpi=100)
    plot.close(figure)
    return numbers


def report_numbers(noisy: Int16, denoised: Int16, reference: Int16 | None) -> dict[str, Any]:
    """Level before and after; against a reference, what it gained."""
    levels = [
        round(10 * np.log10(float(np.mean(np.square(to_float(x), dtype=np.float64))) + 1e-12), 1) for x in (noisy, denoised)
    ]
    numbers: dict[str, Any] = {"level before": f"{levels[0]} dBFS", "after": f"{levels[1]} dBFS"}
    if reference is None:
        return numbers
    from edgernn.tasks.denoise.evaluate import left_in_pauses, score
    from edgernn.tasks.denoise.show import QUALITY

    check_reference(noisy, reference)
    scores, left = [score(reference, x) for x in (noisy, denoised)], [left_in_pauses(reference, x) for x in (noisy, denoised)]
    numbers |= {QUALITY[m]: " to ".join(f"{getattr(s, m):.2f}" for s in scores) for m in asdict(scores[0])}
    pauses = " to ".join(f"{x[0]:.1f}" for x in left if x)
    return numbers | {"in pauses": f"{pauses} dB below the speech" if pauses else "there is none"}


def check_reference(noisy: Int16, reference: Int16) -> None:
    """The clean speech belongs to the recording."""
    if len(reference) != len(noisy):
        raise EdgernnError(
            f"the reference has {len(reference)} samples, the recording {len(noisy)}; give the matching clean one"
        )


def plot_library() -> Any:
    """matplotlib's pyplot, which draws into files alone; that it is not installed is an EdgernnError."""
    try:
        import matplotlib
    except ImportError as error:
        raise needs_extra("a report needs matplotlib", "report", error) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def levels(pcm: Int16, p: stft.StftParams) -> NDArray[np.float64]:
    """Spectrogram [T, bins] in dB below a full-scale sine."""
    spectra, _ = native.analyze(pcm, p, stft.make_tables(p))
    power = np.square(spectra.astype(np.float64)).sum(axis=2)
    return np.asarray(10 * np.log10(power / 2.0**58 + 1e-12) + 8, np.float64)


def _gains(g: DenoiseGraph, pcm: Int16) -> NDArray[np.float64]:
    """Gains [T, bins] in dB as they meet the spectrum."""
    gains = stft.floored(make_runtime(fast_runtime(), g).run(pcm).posteriors, g.floor)
    return np.asarray(20 * np.log10(np.maximum(gains, 1) / 32768.0)[:, g.stft.band_of_bin()], np.float64)
