"""The denoiser whole: equal bits in every runtime and on emulated cores, over live streams; files, pipes, bad input."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import NETS, noisy_sound, quantized_denoiser, random_denoiser, recipe
from needs import need_module
from nets import assert_alive

from edgernn import tasks
from edgernn.core import qmath
from edgernn.core.definition import IntegerNet
from edgernn.core.measure import snr_db
from edgernn.core.primitives import SCHEMES
from edgernn.errors import EdgernnError
from edgernn.runs import find_graph_of
from edgernn.runtimes import Trace, make_runtime
from edgernn.signal import stft
from edgernn.signal.audio import Int16, read_audio, to_int16, write_wav
from edgernn.tasks import load_checkpoint, load_graph
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.stream import FloatDenoiser, aligned, denoise_file, denoised, denoiser

STEPS = 10_000


def alive(g: DenoiseGraph, trace: Trace) -> None:
    """Streams must move: the recurrent state, where there is one, and the gains."""
    if g.states:
        assert_alive(g, trace, {})
    assert np.mean(np.diff(trace.posteriors.astype(int), axis=0) != 0) > 0.5


def live_features(g: DenoiseGraph, steps: int) -> Int16:
    """Features of a noisy sound, again and again."""
    sound = noisy_sound(min(steps, 3000) * g.step_samples, 7)
    frames = make_runtime("numpy", g).features(sound)
    return np.resize(frames, (steps, g.bands)).astype(np.int16)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("net", NETS)
def test_numpy_equals_c_over_ten_thousand_steps(net: str, scheme: str) -> None:
    g = quantized_denoiser(random_denoiser(net), scheme)
    frames = live_features(g, STEPS)
    expected = make_runtime("numpy", g).run_features(frames)
    alive(g, expected)
    assert np.ptp(expected.posteriors) > 16000, "the gains hardly move"
    found = make_runtime("c", g).run_features(frames)
    assert expected.differing(found) == dict.fromkeys(expected.differing(found), 0)


INTERPRETERS = [("litert", "ai_edge_litert"), ("tflm", "tflite_micro"), ("onnx", "onnxruntime")]


@pytest.mark.parametrize(("runtime", "module"), INTERPRETERS)
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("net", NETS)
def test_the_exported_net_has_the_same_bits(net: str, scheme: str, runtime: str, module: str) -> None:
    need_module(module)
    g = quantized_denoiser(random_denoiser(net), scheme)
    frames = live_features(g, 1500)
    expected = make_runtime("numpy", g).run_features(frames)
    alive(g, expected)
    assert sum(expected.differing(make_runtime(runtime, g).run_features(frames)).values()) == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("net", NETS)
def test_sound_to_sound_is_equal_in_numpy_and_c(net: str, scheme: str) -> None:
    """Whole and in pieces; and the firmware's self-test passes."""
    g = quantized_denoiser(random_denoiser(net), scheme)
    x = noisy_sound(16000 * 5, 3)
    expected = denoiser(make_runtime("numpy", g))(x)
    assert np.abs(expected.astype(int)).max() > 500
    runtime = make_runtime("c", g)
    assert np.array_equal(denoiser(runtime)(x), expected)
    assert runtime.self_test() == 0  # type: ignore[attr-defined]
    for r in (make_runtime("numpy", g), make_runtime("c", g)):
        pieces = [denoiser(r)(x[i : i + 640]) for i in range(0, len(x) // 640 * 640, 640)]
        assert np.array_equal(np.concatenate(pieces), expected[: len(x) // 640 * 640])


HOSTILE: dict[str, Callable[[int], Any]] = {
    "silence": lambda n: np.zeros(n),
    "lowest": lambda n: np.full(n, -32768),
    "square": lambda n: np.where(np.arange(n) // 40 % 2, 32767, -32768),
    "noise": lambda n: np.random.default_rng(0).integers(-32768, 32768, n),
    "clicks": lambda n: np.where(np.arange(n) % 4000 == 0, 32767, 0),
}


@pytest.mark.parametrize("signal", HOSTILE)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_nothing_overflows_on_hostile_sound(scheme: str, signal: str) -> None:
    """The debug arithmetic aborts on any sum that leaves 32 bits; the bits are those of NumPy."""
    from edgernn.runtimes.c import CRuntime

    g = quantized_denoiser(random_denoiser(), scheme)
    x = np.asarray(HOSTILE[signal](16000 * 2)).astype(np.int16)
    checked = CRuntime(g, ("-O1", "-DERN_CHECKED", "-fsanitize=undefined", "-fno-sanitize-recover=all"))
    found = denoiser(checked)(x)
    assert np.array_equal(found, denoiser(make_runtime("numpy", g))(x))
    if signal == "silence":
        assert not found.any()


@pytest.mark.parametrize("board", ["cortex-m0-4m", "mps2-an386", "riscv32-virt"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_emulated_cores_give_the_same_sound(scheme: str, board: str, tmp_path: Path) -> None:
    """A whole WAV file: samples, features, gains and carried state."""
    from edgernn.firmware import build_firmware, run_firmware
    from targets import load_board

    g = quantized_denoiser(random_denoiser(), scheme)
    target = load_board(board)
    firmware, built = build_firmware(g, target, tmp_path)
    report = run_firmware(g, firmware, target, noisy_sound(16000, 3))
    assert report.steps == 250
    assert report.entries > 100_000
    assert report.bits_differing == 0
    assert 0 < report.stack_bytes <= 512
    assert report.instructions_per_step > 1000
    assert built.ram_bytes < 16384


#: one-line faults in a graph: what a battery must notice
GRAPH_FAULTS: dict[str, Callable[[DenoiseGraph], DenoiseGraph]] = {
    "a weight": lambda g: _constant(g, "row_conv2.y.weight", lambda a: a - 9 * (np.arange(a.size).reshape(a.shape) == 5)),
    "a lost bias": lambda g: _constant(g, "head", lambda a: a * 0),
    "rows mixed up": lambda g: _constant(g, "subbands0.local.weight", lambda a: a[:, ::-1]),
    "a band's offset": lambda g: replace(g, affine=replace(g.affine, offset=np.roll(g.affine.offset, 1))),
    "the floor": lambda g: replace(g, floor=g.floor + 20000),
}


def _constant(g: DenoiseGraph, name: str, change: Callable[[Any], Any]) -> DenoiseGraph:
    key = "logits.bias" if name == "head" else name
    changed = np.clip(change(g.constants[key].astype(np.int64)), -127 if key.endswith("weight") else -(2**20), 2**20)
    return replace(g, constants={**g.constants, key: np.ascontiguousarray(changed.astype(g.constants[key].dtype))})


@pytest.mark.parametrize("fault", GRAPH_FAULTS)
def test_a_fault_in_the_graph_is_heard(fault: str) -> None:
    g, x = quantized_denoiser(random_denoiser(), "int8x16"), noisy_sound(32000, 3)
    expected = denoiser(make_runtime("numpy", g))(x)
    assert not np.array_equal(denoiser(make_runtime("c", GRAPH_FAULTS[fault](g)))(x), expected)


def test_less_than_a_hop_gives_nothing() -> None:
    g, x = quantized_denoiser(random_denoiser(), "int8x16"), noisy_sound(10)
    assert len(denoiser(make_runtime("numpy", g))(x)) == len(denoiser(make_runtime("c", g))(x)) == 0


def test_activity_is_the_mean_gain(tmp_path: Path) -> None:
    import ctypes

    from edgernn.hostcc import shared_library
    from edgernn.tasks.denoise import TASK
    from firmware_export.emit import export_c

    g = quantized_denoiser(random_denoiser(), "int8x16")
    export_c(g, tmp_path)
    source = tmp_path / "activity.c"
    source.write_text(
        '#define DN_IMPLEMENTATION\n#include "dn.h"\nint16_t active(const int16_t *gains);\n'
        "int16_t active(const int16_t *gains)\n{\n    static dn_state s;\n"
        "    ern_copy(s.gains, gains, sizeof s.gains);\n    return dn_activity(&s);\n}\n"
    )
    library = shared_library([source, *(tmp_path / name for name in TASK.c.sources)], [tmp_path])
    library.active.restype = ctypes.c_int16
    gains = np.random.default_rng(0).integers(0, 32768, g.bands).astype(np.int16)
    assert library.active(gains.ctypes) == int(gains.astype(int).sum()) // g.bands


# The graph file ---------------------------------------------------------------------------


def test_the_file_comes_back_and_names_its_task(tmp_path: Path) -> None:
    g = quantized_denoiser(random_denoiser(), "int8")
    path = tmp_path / "g.ern"
    assert g.save(path) == g.id
    again = load_graph(path)
    assert again.id == g.id
    assert again.floor == g.floor
    x = noisy_sound(8000)
    assert np.array_equal(denoiser(make_runtime("c", again))(x), denoiser(make_runtime("c", g))(x))
    with pytest.raises(EdgernnError, match="the graph of a denoiser, not of a keyword spotter"):
        find_graph_of(tasks.find_task("spot", "here"), path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"floor": 40000}, "gain floor 40000"),
        ({"frames_per_step": 2}, "one frame a step"),
        ({"tables": "window"}, "half a window apart"),
        ({"tables": "cosine"}, "not one of cosines"),
    ],
)
def test_a_graph_whose_proof_fails_does_not_exist(change: dict[str, Any], said: str) -> None:
    g = quantized_denoiser(random_denoiser(), "int8x16")
    if which := change.get("tables"):
        a = getattr(g.tables, which).copy()
        a[5] //= 2
        change = {"tables": replace(g.tables, **{which: a})}
    with pytest.raises(EdgernnError, match=said):
        replace(g, **change)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    data = quantized_denoiser(random_denoiser(), "int8x16").to_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        broken[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        with pytest.raises(EdgernnError):
            tasks.graph_from_bytes(bytes(broken))


# Float and integer ---------------------------------------------------------------------------


@pytest.mark.parametrize("net", NETS)
def test_float_net_equals_torch(net: str) -> None:
    need_module("torch")
    import torch

    r = recipe(net)
    torch.manual_seed(1)
    from edgernn.core.net import Net

    module = Net(r.net_layers(())).eval()
    base = random_denoiser(net)
    ours = replace(base, weights=module.weights(module.state_dict()))
    x = np.random.default_rng(0).normal(size=(3, 40, r.stft.bands)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x))[0].numpy()
    assert np.abs(ours.run(x) - wanted).max() < 1e-5


@pytest.mark.parametrize(("scheme", "least"), [("int8x16", 30.0), ("int8", 20.0)])
def test_integer_sound_is_close_to_float_sound(scheme: str, least: float) -> None:
    net, x = random_denoiser(), noisy_sound(48000, 3)
    model = FloatDenoiser(net)
    wanted = np.concatenate(list(aligned(iter([x]), model.denoise, net.recipe.stft.hop)))
    found = denoised(make_runtime("c", quantized_denoiser(net, scheme)), x)
    assert snr_db(wanted, found) > least


def test_checkpoint_comes_back(tmp_path: Path) -> None:
    net = random_denoiser()
    net.save(tmp_path / "model.safetensors")
    again = load_checkpoint(tmp_path / "model.safetensors")
    assert again.recipe == net.recipe
    assert all(np.array_equal(again.weights[k], v) for k, v in net.weights.items())


# Files and pipes ---------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 63, 64, 65, 1000, 5000])
def test_any_length_comes_out_as_long_and_aligned(samples: int) -> None:
    """A process that only delays by one hop must give back its input, however it is cut."""
    x, hop, held = noisy_sound(samples), 64, np.zeros(64, np.int16)

    def delay(block: Int16) -> Int16:
        nonlocal held
        joined = np.concatenate([held, block])
        held = joined[len(block) :]
        return joined[: len(block)]

    cuts = [0, *sorted(np.random.default_rng(samples).integers(0, samples + 1, 4)), samples]
    blocks = [x[a:b] for a, b in itertools.pairwise(cuts)]
    assert np.array_equal(np.concatenate(list(aligned(iter(blocks), delay, hop))), x)


def through(g: DenoiseGraph, source: Path, target: Path) -> int:
    """A file through the C; samples written."""
    return denoise_file(denoiser(make_runtime("c", g)), 16000, g.step_samples, str(source), str(target))


def test_files_of_any_kind(tmp_path: Path) -> None:
    """Stereo float at 44.1 kHz as well as the plain file; the plain one as the definition has it."""
    import soundfile

    g, x = quantized_denoiser(random_denoiser(), "int8x16"), noisy_sound(20001, 3)
    write_wav(tmp_path / "in.wav", x)
    assert through(g, tmp_path / "in.wav", tmp_path / "out.wav") == 20001
    out = read_audio(tmp_path / "out.wav")
    assert np.array_equal(out, denoised(make_runtime("numpy", g), x))
    wide = np.stack([x, x], axis=1).astype(np.float32) / 32768
    soundfile.write(tmp_path / "wide.wav", np.repeat(wide, 3, axis=0), 44100, subtype="FLOAT")
    done = through(g, tmp_path / "wide.wav", tmp_path / "w.wav")
    assert abs(done - 60003 * 16000 / 44100) < 3
    with wave.open(str(tmp_path / "w.wav")) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (16000, 1, done)


def test_pipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    g, x = quantized_denoiser(random_denoiser(), "int8x16"), noisy_sound(9000, 3)

    class Pipe:
        def __init__(self, data: bytes = b"") -> None:
            self.buffer = io.BytesIO(data)

        def flush(self) -> None: ...

    with monkeypatch.context() as m:
        m.setattr(sys, "stdin", Pipe())
        with pytest.raises(EdgernnError, match="standard input holds no samples"):
            denoise_file(denoiser(make_runtime("c", g)), 16000, g.step_samples, "-", "-")
    sink = Pipe()
    with monkeypatch.context() as m:
        m.setattr(sys, "stdin", Pipe(x.astype("<i2").tobytes()))
        m.setattr(sys, "stdout", sink)
        assert denoise_file(denoiser(make_runtime("c", g)), 16000, g.step_samples, "-", "-") == 9000
    assert np.array_equal(np.frombuffer(sink.buffer.getvalue(), "<i2"), denoised(make_runtime("numpy", g), x))


def test_sound_that_cannot_be_denoised(tmp_path: Path) -> None:
    """One sentence; and nothing is left at the place of the output."""
    import soundfile

    g = quantized_denoiser(random_denoiser(), "int8x16")
    (tmp_path / "empty.wav").write_bytes(b"")
    write_wav(tmp_path / "none.wav", np.zeros(0, np.int16))
    soundfile.write(tmp_path / "nan.wav", np.full(4000, np.nan, np.float32), 16000, subtype="FLOAT")
    for name, said in (("empty", "is empty"), ("none", "holds no samples"), ("nan", "NaN"), ("gone", "not a file")):
        with pytest.raises(EdgernnError, match=said):
            through(g, tmp_path / f"{name}.wav", tmp_path / "out.wav")
        assert not (tmp_path / "out.wav").exists()


def test_a_wav_ends_at_four_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgernn.tasks.denoise import stream

    g = quantized_denoiser(random_denoiser(), "int8x16")
    write_wav(tmp_path / "in.wav", noisy_sound(16000))
    monkeypatch.setattr(stream, "_LARGEST_WAV", 20000)
    with pytest.raises(EdgernnError, match="ends at 4 GB"):
        through(g, tmp_path / "in.wav", tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000])
def test_files_of_other_rates(rate: int, tmp_path: Path) -> None:
    """Resampled on the way in; the output is as long, at the model's rate."""
    need_module("soxr")
    g = quantized_denoiser(random_denoiser(), "int8x16")
    write_wav(tmp_path / "in.wav", noisy_sound(rate), rate)
    assert abs(through(g, tmp_path / "in.wav", tmp_path / "out.wav") - 16000) <= 2
    assert np.abs(read_audio(tmp_path / "out.wav")).max() > 500


def test_clipped_float_and_dc_are_taken(tmp_path: Path) -> None:
    import soundfile

    g = quantized_denoiser(random_denoiser(), "int8")
    loud = np.sin(np.arange(8000) / 9).astype(np.float32) * 4 + 0.5
    soundfile.write(tmp_path / "loud.wav", loud, 16000, subtype="FLOAT")
    assert through(g, tmp_path / "loud.wav", tmp_path / "o.wav") == 8000
    assert np.array_equal(read_audio(tmp_path / "o.wav"), denoised(make_runtime("numpy", g), to_int16(loud)))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Peak resident memory of the command over a second and over twenty minutes at 48 kHz, 115 MB."""
    need_module("soxr")
    if not Path("/proc/self/status").is_file():
        pytest.skip("/proc is missing")
    g = quantized_denoiser(random_denoiser(), "int8x16")
    g.save(tmp_path / "graph-int8x16.ern")
    code = (
        "import re; from pathlib import Path; from edgernn import cli; cli.app(standalone_mode=False)\n"
        "print(re.search(r'VmHWM:\\s*(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    peaks = []
    for seconds in (1, 1200):
        write_wav(tmp_path / "in.wav", np.resize(noisy_sound(48000), 48000 * seconds), 48000)
        args = ["denoise", "in.wav", "out.wav", "--graph", "graph-int8x16.ern"]
        done = subprocess.run([sys.executable, "-c", code, *args], cwd=tmp_path, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout))
        with wave.open(str(tmp_path / "out.wav")) as file:
            assert abs(file.getnframes() - 16000 * seconds) <= 2
    assert peaks[1] < peaks[0] + 20_000, f"{peaks} KiB"


def test_long_streams_do_not_drift(tmp_path: Path) -> None:
    """Three minutes without a reset: a repeated sound comes out again; silence stays silent."""
    from denoisers import tiny_corpus

    from edgernn.tasks.denoise.evaluate import drift

    net = random_denoiser()
    d = drift(make_runtime("c", quantized_denoiser(net, "int8")), net.recipe, tiny_corpus(tmp_path / "d"), "test", 180.0, 15.0)
    assert d["seconds"] >= 170
    assert d["repeat_snr_db"] > 30
    assert d["growth_db"] < 0.05
    assert d["silence"] == 0


def test_gains_meet_the_spectrum_as_the_definition_says() -> None:
    """From the pieces: analysis, net, floor, synthesis."""
    g, x = quantized_denoiser(random_denoiser(), "int8"), noisy_sound(64 * 50, 3)
    re, im = stft.analyze(x, g.stft, g.tables)
    net, gains = IntegerNet(g), []
    state = net.zero_state(1)
    for frame in stft.features(re, im, g.stft, g.affine):
        values, state = net.step(frame[None, None], state)
        gains.append(values["gains"].ravel())
    floored = np.maximum(np.array(gains), g.floor).astype(np.int16)
    out, _ = stft.synthesize(re, im, floored, g.stft, g.tables)
    assert np.array_equal(out, denoiser(make_runtime("c", g))(x))
    assert qmath.INT16_MAX == stft.GAIN_ONE
