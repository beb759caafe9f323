"""A trained denoiser on real speech in real noise: int8 loses nothing, and it helps at every SNR."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from needs import need_module, need_recordings

from edgernn.data.mixing import Mixture, read_mixtures
from edgernn.denoise.evaluate import differences, enhancer, float_enhancer, judge
from edgernn.denoise.floatnet import load_denoise_checkpoint
from edgernn.denoise.quantize import quantize_denoiser
from edgernn.graph import SCHEMES
from edgernn.native import analyze
from edgernn.runtimes import make_denoiser, make_runtime

CHECKPOINT = Path(__file__).parent / "fixtures" / "denoise" / "dn-small.safetensors"


def real_mixtures() -> list[Mixture]:
    """Two of each SNR of the list, as long as they are."""
    for name in ("pesq", "pystoi", "soundfile"):
        need_module(name)
    found = read_mixtures(need_recordings() / "denoise" / "mixtures_test.csv")
    return [m for snr in (-5, 0, 5, 10, 15) for m in [x for x in found if x.snr_db == snr][:2]]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_int8_is_as_good_as_float_and_both_help(scheme: str) -> None:
    mixtures = real_mixtures()
    net = load_denoise_checkpoint(CHECKPOINT)
    graph, _ = quantize_denoiser(net, calibration(mixtures, net.recipe.stft, net.tables), scheme)
    judged = judge(
        mixtures, {"float": float_enhancer(net), "integer": enhancer(make_denoiser("c", graph))}, lambda *_: None
    )  # fmt: skip
    gap = differences(judged, "integer", "float")
    assert abs(gap["pesq"]["mean"]) <= 0.02
    assert abs(gap["si_sdr"]["mean"]) <= 0.1
    mean = judged["mean"]
    assert mean["integer"]["pesq"] > mean["noisy"]["pesq"] + 0.15
    assert mean["integer"]["si_sdr"] > mean["noisy"]["si_sdr"] + 2
    assert mean["integer"]["stoi"] > mean["noisy"]["stoi"] - 0.01


def calibration(mixtures, stft, tables):  # type: ignore[no-untyped-def]
    """Log band powers of the mixtures' first 2 s."""
    return [analyze(m.pair.noisy[: 16000 * 2], stft, tables)[1] for m in mixtures]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_whole_real_files_have_equal_bits(scheme: str) -> None:
    """NumPy and C over whole files, without a reset between them; the net in LiteRT over one of them."""
    need_module("ai_edge_litert")
    mixtures = real_mixtures()[::2]
    net = load_denoise_checkpoint(CHECKPOINT)
    graph, _ = quantize_denoiser(net, calibration(mixtures, net.recipe.stft, net.tables), scheme)
    a, b = make_denoiser("numpy", graph), make_denoiser("c", graph)
    for m in mixtures:
        assert np.array_equal(a.denoise(m.pair.noisy), b.denoise(m.pair.noisy))
    frames = make_denoiser("numpy", graph).features(mixtures[0].pair.noisy)
    expected = make_runtime("numpy", graph).run_features(frames)
    assert sum(expected.differing(make_runtime("litert", graph).run_features(frames)).values()) == 0
