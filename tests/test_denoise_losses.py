"""What a denoiser's training lowers, against the measures it stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound
from needs import need_module, need_recordings

from edgernn.data.mixing import make_mixtures
from edgernn.data.sources import prepare
from edgernn.signal.audio import Int16, to_float, to_int16
from edgernn.signal.stft import StftParams, make_tables

torch = pytest.importorskip("torch", reason="training needs torch")
P = StftParams()
TABLES = make_tables(P)


def losses_of(ours: Int16, clean: Int16) -> Any:
    from edgernn.signal.native import analyze
    from edgernn.tasks.denoise.losses import measure
    from edgernn.tasks.denoise.train import _spectra

    length = len(clean) // P.hop * P.hop
    a, b = (_spectra([analyze(x[:length], P, TABLES)[0]], P) for x in (ours, clean))
    return measure(a, b, torch.from_numpy(to_float(clean[: length - P.hop]))[None], P)


def with_noise(clean: Int16, snr_db: float, seed: int = 0) -> Int16:
    x = to_float(clean).astype(np.float64)
    noise = np.random.default_rng(seed).normal(size=len(x))
    noise *= np.sqrt(np.sum(x**2) / np.sum(noise**2) / 10 ** (snr_db / 10))
    return to_int16(x + noise)


def test_clean_speech_has_no_loss_and_noise_raises_every_part() -> None:
    clean = noisy_sound(48000)
    same, some, more = (losses_of(x, clean) for x in (clean, with_noise(clean, 10), with_noise(clean, 0)))
    for part in ("magnitude", "complex", "intelligibility"):
        a, b, c = (float(getattr(x, part)) for x in (same, some, more))
        assert abs(a) < 1e-3 < b < c, part
    assert float(some.sdr) == pytest.approx(-10, abs=0.2)
    assert float(more.sdr) == pytest.approx(0, abs=0.2)
    assert float(same.sdr) < -35


def test_residue_is_the_decibels_above_clean_speech_in_every_bin_alike() -> None:
    from edgernn.tasks.denoise.losses import measure

    clean = torch.full((1, 10, P.window // 2 + 1), 0.5, dtype=torch.complex64)
    sound = torch.zeros(1, 9 * P.hop)
    for factor, expected in ((1.0, 0.0), (10**0.5, 10.0), (0.1, 0.0)):
        assert float(measure(factor * clean, clean, sound, P).residue) == pytest.approx(expected, abs=1e-3)
    high = clean.clone()
    high[..., 200:] *= 10
    assert float(measure(high, clean, sound, P).residue) == pytest.approx(20 * 57 / 257, abs=1e-3)
    still = torch.zeros_like(clean)
    left = measure(still + 0.03, still, sound, P)
    assert float(left.residue) == pytest.approx(10 * np.log10(1 + 100), abs=1e-3)
    assert float(measure(still + 0.0003, still, sound, P).residue) < 0.05, "what cannot be heard need not be quieter"


def test_silence_counts_in_neither_intelligibility_nor_sdr() -> None:
    found = losses_of(noisy_sound(16000), np.zeros(16000, np.int16))
    assert float(found.intelligibility) == 0
    assert float(found.sdr) == 0
    assert float(found.magnitude) > 0


def test_gradients_are_finite_at_silence_and_at_the_target() -> None:
    from edgernn.tasks.denoise.losses import measure

    for scale in (0.0, 1.0):
        clean = scale * torch.randn(2, 40, P.window // 2 + 1, dtype=torch.complex64)
        ours = clean.clone().requires_grad_()
        found = measure(ours, clean, torch.zeros(2, 39 * P.hop), P)
        (found.magnitude + found.complex + found.sdr + found.intelligibility + found.residue).backward()
        assert torch.view_as_real(ours.grad).isfinite().all()


def test_intelligibility_follows_stoi(tmp_path: Path) -> None:
    """On real speech in recorded noise; pystoi drops pauses and has other frames, so a file may be off by some hundredths."""
    need_module("pystoi")
    from pystoi import stoi

    folder = need_recordings() / "denoise"
    manifest: dict[str, Any] = {"kind": "manifest", "path": str(folder / "manifest.csv")}
    tables = [
        {**manifest, "filter": {"kind": kind, "split": "validation"}, flag: True}
        for kind, flag in (("clean", "speech"), ("noise", "noise"))
    ]
    mixtures = make_mixtures(prepare(tables, (), tmp_path, 0), "validation", 15, 4)
    expected = np.array([stoi(to_float(m.pair.clean), to_float(m.pair.noisy), 16000) for m in mixtures])
    found = np.array([1 - float(losses_of(m.pair.noisy, m.pair.clean).intelligibility) for m in mixtures])
    assert np.abs(found - expected).mean() < 0.03
    assert np.abs(found - expected).max() < 0.1
    assert np.corrcoef(found, expected)[0, 1] > 0.95
