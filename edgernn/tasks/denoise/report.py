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


def draw_report(g: DenoiseGraph, noisy: Int16, denoised: Int16, path: Path, reference: Int16 | None = None) -> dict[str, Any]:
    """Write a PNG of PCM [n] before and after, and the gains in dB; returns the numbers in its title.

    reference: the clean speech [n]; with it the numbers hold PESQ, STOI, ESTOI and SI-SDR before and after.
    """
    plot = _plot_library()
    shown = LONGEST_SECONDS * g.sample_rate
    before, after = (levels(pcm[:shown], g.stft) for pcm in (noisy, denoised))
    gains = _gains(g, noisy[:shown])
    seconds = len(before) * g.stft.hop / g.sample_rate
    figure, axes = plot.subplots(3, 1, figsize=(10, 9), sharex=True, layout="constrained")
    nyquist = g.sample_rate / 2000
    pictures = (
        ("noisy", before, -100, 0, "dB"),
        ("denoised", after, -100, 0, "dB"),
        ("gain of each band", gains, 20 * np.log10(max(g.floor, 1) / 32768), 0, "dB"),
    )
    for axis, (title, picture, low, high, unit) in zip(axes, pictures, strict=True):
        image = axis.imshow(picture.T, origin="lower", aspect="auto", vmin=low, vmax=high, extent=(0, seconds, 0, nyquist))
        axis.set(title=title, ylabel="kHz")
        figure.colorbar(image, ax=axis, label=unit)
    axes[-1].set_xlabel("seconds")
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
    from edgernn.tasks.denoise.evaluate import score
    from edgernn.tasks.denoise.show import QUALITY

    if len(reference) != len(noisy):
        raise EdgernnError(
            f"the reference has {len(reference)} samples, the recording {len(noisy)}; give the matching clean one"
        )
    scores = [score(reference, x) for x in (noisy, denoised)]
    return numbers | {QUALITY[m]: " to ".join(f"{getattr(s, m):.2f}" for s in scores) for m in asdict(scores[0])}


def _plot_library() -> Any:
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
