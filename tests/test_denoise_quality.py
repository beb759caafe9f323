"""A trained denoiser on real speech in real noise: int8 loses nothing, it helps at every SNR, its bits are equal everywhere.

The checkpoint was trained on the train split; all of this runs on the validation split, so that the test split stays unseen.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from needs import need_module, need_recordings

from edgernn import pipeline
from edgernn.core.primitives import SCHEMES
from edgernn.data.corpus import Dataset
from edgernn.data.mixing import Mixture, make_mixtures
from edgernn.firmware import build_firmware, run_firmware
from edgernn.runtimes import make_runtime
from edgernn.runtimes.c import CRuntime
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.denoise.evaluate import differences, drift, enhancer, float_enhancer, judge
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.recipe import DenoiseNet
from targets import load_board

CHECKPOINT = Path(__file__).parent / "fixtures" / "denoise" / "dn-small.safetensors"
SNRS = (-5, 0, 5, 10, 15)


@dataclass(frozen=True)
class Trained:
    """The checkpoint, quantized on its training data, and mixtures of speakers it has not heard."""

    net: DenoiseNet
    data: Dataset
    graphs: dict[str, DenoiseGraph]
    mixtures: list[Mixture]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Made once."""
    for name in ("pesq", "pystoi", "soundfile"):
        need_module(name)
    need_recordings()
    folder, net = tmp_path_factory.mktemp("run"), load_checkpoint(CHECKPOINT)
    data = pipeline.prepare_data(net.recipe, folder, lambda *_: None)
    shutil.copy(CHECKPOINT, folder / "model.safetensors")
    graphs = {s: load_graph(Path(pipeline.quantize_model(folder, s)["path"])) for s in SCHEMES}
    return Trained(net, data, graphs, make_mixtures(data, "validation", 30, 1))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_int8_is_as_good_as_float_and_both_help_at_every_snr(scheme: str, trained: Trained) -> None:
    integer = enhancer(make_runtime("c", trained.graphs[scheme]))
    judged = judge(trained.mixtures, {"float": float_enhancer(trained.net), "integer": integer}, lambda *_: None)
    gap = differences(judged, "integer", "float")
    assert abs(gap["pesq"]["mean"]) <= 0.02
    assert abs(gap["si_sdr"]["mean"]) <= 0.1
    mean = judged["mean"]
    assert mean["integer"]["pesq"] > mean["noisy"]["pesq"] + 0.25
    assert mean["integer"]["si_sdr"] > mean["noisy"]["si_sdr"] + 4
    assert mean["integer"]["stoi"] > mean["noisy"]["stoi"] + 0.03
    assert len(judged["by_snr"]) == len(SNRS)
    for snr, systems in judged["by_snr"].items():
        for measure in ("pesq", "stoi", "si_sdr"):
            assert systems["integer"][measure] > systems["noisy"][measure], (snr, measure)


def test_listeners_would_prefer_it(trained: Trained) -> None:
    """DNSMOS, which needs no clean speech to compare with."""
    need_module("speechmos")
    mixtures = [m for m in trained.mixtures if m.snr_db == 5][:2]
    systems = {"integer": enhancer(make_runtime("c", trained.graphs["int8x16"]))}
    mean = judge(mixtures, systems, lambda *_: None, mos=True)["mean"]
    assert 1 < mean["noisy"]["dnsmos"] + 0.3 < mean["integer"]["dnsmos"] < 5
    assert 1 < mean["noisy"]["p808"] + 0.1 < mean["integer"]["p808"] < 5
    assert mean["integer"]["p808"] != mean["integer"]["dnsmos"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_whole_real_files_have_equal_bits(scheme: str, trained: Trained) -> None:
    """NumPy and C over whole files, without a reset between them; the net in the interpreters over two of them."""
    graph = trained.graphs[scheme]
    a, b = make_runtime("numpy", graph), make_runtime("c", graph)
    for m in trained.mixtures[:5]:
        assert np.array_equal(a.process(m.pair.noisy), b.process(m.pair.noisy))
    frames = a.features(np.concatenate([m.pair.noisy for m in trained.mixtures[:2]]))
    expected = make_runtime("numpy", graph).run_features(frames)
    for runtime, module in (("litert", "ai_edge_litert"), ("tflm", "tflite_micro"), ("onnx", "onnxruntime")):
        need_module(module)
        assert sum(expected.differing(make_runtime(runtime, graph).run_features(frames)).values()) == 0, runtime


@pytest.mark.parametrize("board", ["cortex-m0-4m", "mps2-an386", "riscv32-virt"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_whole_wav_has_equal_bits_on_emulated_cores(scheme: str, board: str, trained: Trained, tmp_path: Path) -> None:
    """Eight seconds of speech in noise, every sample and every value; and the figures that the small profile promises."""
    graph, target = trained.graphs[scheme], load_board(board)
    firmware, built = build_firmware(graph, target, tmp_path)
    sound = trained.mixtures[2].pair.noisy
    report = run_firmware(graph, firmware, target, sound)
    assert report.steps == len(sound) // graph.step_samples
    assert report.bits_differing == 0
    assert graph.weight_bytes <= 30_000
    assert built.ram_bytes + report.stack_bytes < 65_536
    if board == "mps2-an386":
        assert report.mhz_for_real_time < 100


def test_ten_minutes_without_a_reset(trained: Trained) -> None:
    d = drift(make_runtime("c", trained.graphs["int8x16"]), trained.net.recipe, trained.data, "validation", 600.0)
    assert d["repeat_snr_db"] > 45
    assert d["change"] < 64, "a click: a sample of a repeated minute is another"
    assert d["growth_db"] < 0.05
    assert d["jump"] <= 1.0, "a click: the output steps higher than the input"
    assert d["silence"] == 0


@pytest.mark.parametrize("signal", ["lowest", "square", "noise", "clicks", "clipped speech"])
def test_nothing_overflows_in_a_trained_net(signal: str, trained: Trained) -> None:
    """The debug arithmetic aborts on any sum that leaves 32 bits."""
    graph, n = trained.graphs["int8x16"], 32000
    sounds = {
        "lowest": np.full(n, -32768),
        "square": np.where(np.arange(n) // 40 % 2, 32767, -32768),
        "noise": np.random.default_rng(0).integers(-32768, 32768, n),
        "clicks": np.where(np.arange(n) % 4000 == 0, 32767, 0),
        "clipped speech": np.clip(trained.mixtures[0].pair.noisy[:n].astype(int) * 50, -32768, 32767),
    }
    x = sounds[signal].astype(np.int16)
    checked = CRuntime(graph, ("-O1", "-DERN_CHECKED", "-fsanitize=undefined", "-fno-sanitize-recover=all"))
    assert np.array_equal(checked.process(x), make_runtime("c", graph).process(x))
