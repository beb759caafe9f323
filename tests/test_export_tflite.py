"""TFLite: the exported file computes the graph's bits in LiteRT and in TFLM, and a damaged file reaches neither."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
from denoisers import NETS as DENOISERS
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from needs import need_module, need_tflm_headers
from nets import FRONTS, assert_alive, log_energies, quantized, random_net, recurrent_cells
from numpy.typing import NDArray

from edgernn.core.primitives import PRIMITIVES, SCHEMES
from edgernn.errors import EdgernnError
from edgernn.exports import _arena
from edgernn.exports._tflite_file import CHECKSUM_KEY, AlignedBuffer, pack
from edgernn.exports._tflite_project import RESOLVER_METHODS
from edgernn.exports.metadata import metadata
from edgernn.exports.tflite import LOWER, VERSIONS, export_tflite, load_schema, model_bytes, operators, read_metadata, verify
from edgernn.runtimes import Runtime, Trace, _tflite, make_runtime
from edgernn.runtimes.litert import RESOLVERS, LiteRTRuntime
from edgernn.runtimes.tflm import TFLMRuntime
from edgernn.tasks.denoise.graph import DenoiseGraph
from edgernn.tasks.denoise.stream import denoiser
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.recipe import SpotRecipe

STEPS = 10_000
Files = list[tuple[SpotGraph, bytes]]


@pytest.fixture(autouse=True)
def _packages() -> None:
    need_module("ai_edge_litert")
    need_module("tflite_micro")


def frames_of(g: SpotGraph, steps: int, seed: int = 5) -> NDArray[np.int16]:
    return g.affine.apply(log_energies(SpotRecipe(frontend=g.frontend), steps * g.frames_per_step, seed))


def assert_equal(expected: Trace, found: Trace) -> None:
    assert expected.differing(found) == dict.fromkeys(dict(expected.arrays()), 0)


def runtimes(g: SpotGraph, file: bytes | None = None) -> Iterator[Runtime]:
    """The graph in LiteRT with each set of kernels, then in TFLM."""
    for resolver in RESOLVERS:
        yield LiteRTRuntime(g, file, resolver)
    yield TFLMRuntime(g, file)


def test_table_has_every_primitive() -> None:
    assert set(LOWER) == set(PRIMITIVES)
    assert set(RESOLVER_METHODS) == set(VERSIONS)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_equal_bits_over_ten_thousand_steps(cell: str, front: str, scheme: str) -> None:
    """The long reference is the exported C, for its speed; test_conformance.py holds it to NumPy on this very stream."""
    g = quantized(random_net(cell, 64 if front == "bare" else 32, front), scheme)
    frames = frames_of(g, STEPS)
    expected = make_runtime("c", g).run_features(frames)
    assert len(expected.logits) == STEPS
    assert_alive(g, expected, {})
    short = frames[: 300 * g.frames_per_step]
    assert_equal(make_runtime("numpy", g).run_features(short), make_runtime("c", g).run_features(short))
    for runtime in runtimes(g):
        assert_equal(expected, runtime.run_features(frames))


@pytest.mark.parametrize(("units", "bands"), list(itertools.product((1, 7, 64), (1, 10, 40))))
@pytest.mark.parametrize("scheme", SCHEMES)
def test_odd_sizes(units: int, bands: int, scheme: str) -> None:
    for cell in recurrent_cells():
        g = quantized(random_net(cell, units, bands=bands, seed=units + bands), scheme)
        frames = frames_of(g, 100)
        expected = make_runtime("numpy", g).run_features(frames)
        for runtime in runtimes(g):
            assert_equal(expected, runtime.run_features(frames))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_stacked_cells_and_whole_path_from_pcm(scheme: str) -> None:
    pcm = (np.random.default_rng(3).normal(size=16000 * 4) * 3000).astype(np.int16)
    for cell in recurrent_cells():
        g = quantized(random_net(cell, 16, "separable", stack=2), scheme)
        expected = make_runtime("numpy", g).run(pcm)
        for runtime in runtimes(g):
            assert_equal(expected, runtime.run(pcm))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reset_and_pieces(scheme: str) -> None:
    """State carries from call to call, and a reset forgets it."""
    g = quantized(random_net("lstm", 16, "conv"), scheme)
    frames = frames_of(g, 60)
    expected = make_runtime("numpy", g).run_features(frames)
    runtime = LiteRTRuntime(g)
    cut = 25 * g.frames_per_step
    runtime.run_features(frames[:cut])
    assert np.array_equal(runtime.run_features(frames[cut:]).logits, expected.logits[25:])
    runtime.reset()
    assert_equal(expected, runtime.run_features(frames))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_state_inside_the_model(cell: str, scheme: str) -> None:
    """Resource variables: one input, equal scores, and `reset` starts anew (in TFLM the interpreter's own reset does)."""
    from ai_edge_litert.interpreter import Interpreter
    from tflite_micro import runtime as tflm

    g = quantized(random_net(cell, 16, "conv"), scheme)
    steps = 200
    frames = frames_of(g, steps).astype(g.values[g.input].dtype).reshape(steps, 1, g.frames_per_step, 1, -1)
    expected = make_runtime("numpy", g).run_features(frames_of(g, steps))
    data = model_bytes(g, stateful=True)
    lite, micro = Interpreter(model_content=data), tflm.Interpreter.from_bytes(data)
    lite.allocate_tensors()
    step, reset = lite.get_signature_runner("serving_default"), lite.get_signature_runner("reset")
    for _ in range(2):
        for t, x in enumerate(frames):
            found = step(features=x)
            micro.set_input(x, 0)
            micro.invoke()
            assert np.array_equal(found["logits"].ravel(), expected.logits[t])
            assert np.array_equal(found["posteriors"].ravel(), expected.posteriors[t])
            assert np.array_equal(micro.get_output(0).ravel(), expected.logits[t])
        reset()
        micro.reset()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_whole_clip(cell: str, scheme: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    g = quantized(random_net(cell, 16, "conv"), scheme)
    steps = 30
    frames = frames_of(g, steps)
    expected = make_runtime("numpy", g).run_features(frames)
    net = Interpreter(model_content=model_bytes(g, clip_steps=steps))
    net.allocate_tensors()
    clip = frames.astype(g.values[g.input].dtype)[None, :, None, :]
    found = net.get_signature_runner("serving_default")(features=clip)
    assert np.array_equal(found["logits"][0, :, 0], expected.logits)
    assert np.array_equal(found["posteriors"][0, :, 0], expected.posteriors)
    with pytest.raises(EdgernnError, match="clip_steps"):
        model_bytes(g, clip_steps=0)


def test_signature_names_and_metadata() -> None:
    from ai_edge_litert.interpreter import Interpreter

    g = quantized(random_net("lstm", 8), "int8")
    data = model_bytes(g)
    net = Interpreter(model_content=data)
    inputs, outputs = ["features", "state_0", "state_1"], ["logits", "posteriors", "state_0_out", "state_1_out"]
    assert net.get_signature_list() == {"serving_default": {"inputs": inputs, "outputs": outputs}}
    details = [*net.get_input_details(), *net.get_output_details()]
    assert [d["name"] for d in details] == [*inputs, *outputs]
    assert read_metadata(data) == {**metadata(g), "edgernn.form": "step"}
    described = [*json.loads(metadata(g)["edgernn.inputs"]), *json.loads(metadata(g)["edgernn.outputs"])]
    for d, port in zip(details, described, strict=True):
        assert np.dtype(d["dtype"]) == port["dtype"]
        assert d["shape"].tolist() == [1, port["shape"][0], 1, port["shape"][1]]
        assert d["quantization"] == (float.fromhex(port["step"]), 0)


def test_bytes_are_the_same_in_every_process(tmp_path: Path) -> None:
    g = quantized(random_net("gru", 16, "separable"), "int8")
    g.save(tmp_path / "g.ern")
    code = (
        "import sys, hashlib; from pathlib import Path; from edgernn.tasks import load_graph;"
        "from edgernn.exports.tflite import model_bytes;"
        "print(hashlib.sha256(model_bytes(load_graph(Path(sys.argv[1])))).hexdigest())"
    )
    found = {
        subprocess.run([sys.executable, "-c", code, tmp_path / "g.ern"], capture_output=True, check=True, text=True).stdout
        for _ in range(2)
    }
    assert found == {hashlib.sha256(model_bytes(g)).hexdigest() + "\n"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_size_and_arena_of_a_gru_of_64_units(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nets, "LABELS", tuple(f"word{i}" for i in range(12)))
    runtime = TFLMRuntime(quantized(random_net("gru", 64), scheme))
    assert runtime.file_bytes <= 37_000
    assert runtime.arena_bytes <= 10_000
    assert runtime.arena_bytes % 16 == 0


def test_constants_are_aligned() -> None:
    schema = load_schema()
    data = model_bytes(quantized(random_net("gru", 7, "conv"), "int8"))
    model = schema.Model.GetRootAsModel(data, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    assert buffers[0].DataIsNone()
    offsets = [b._tab.Vector(b._tab.Offset(4)) for b in buffers[1:]]
    assert len(offsets) > 20
    assert all(offset % 16 == 0 for offset in offsets)


# --- the project around the model


@pytest.mark.parametrize(("front", "stateful"), [("bare", False), ("conv", True), ("separable", False)])
def test_project(front: str, stateful: bool, tmp_path: Path) -> None:
    """The example registers the operators the model uses and no others; everything but TFLM compiles."""
    g = quantized(random_net("gru", 16, front), "int8")
    written, report = export_tflite(g, tmp_path, stateful=stateful, prefix="kws")
    assert all(path.is_file() for path in written)
    data = written[0].read_bytes()
    assert data == model_bytes(g, stateful=stateful)
    text = (tmp_path / "kws_main.cc").read_text()
    registered = re.findall(r"resolver\.(\w+)\(\)", text)
    assert registered == [RESOLVER_METHODS[name] for name in operators(data)]
    assert f"MicroMutableOpResolver<{len(registered)}>" in text
    assert ("CALL_ONCE" in operators(data)) is stateful is ("MicroResourceVariables::Create" in text)
    size = int(re.search(r"ARENA_BYTES (\d+)", (tmp_path / "kws_tflite.h").read_text())[1])  # type: ignore[index]
    assert size == _arena.arena_bytes(data) == report["arena_bytes"]
    assert report["bytes"] == {"kws.tflite": len(data)}
    for source in ("kws_tflite.cc", "ern_frontend.c", "ern_decide.c"):
        subprocess.run(["c++", "-Wall", "-Wextra", "-Werror", "-c", tmp_path / source, "-o", tmp_path / "x.o"], check=True)


@pytest.mark.parametrize(
    ("cell", "front", "scheme", "stateful"),
    [
        ("gru", "bare", "int8", False),
        ("lstm", "conv", "int8x16", True),
        ("rnn_relu", "separable", "int8", True),
        ("gru_reset_before", "separable", "int8x16", False),
    ],
)
def test_the_example_compiles_against_tflm(cell: str, front: str, scheme: str, stateful: bool, tmp_path: Path) -> None:
    """main.cc and the C array, with every warning an error of ours, against TFLM's real headers."""
    include = need_tflm_headers()
    export_tflite(quantized(random_net(cell, 16, front), scheme), tmp_path, stateful=stateful)
    for source in ("kws_main.cc", "kws_tflite.cc"):
        done = compile_cc(tmp_path / source, include)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("net", DENOISERS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_denoisers_example_compiles_against_tflm(scheme: str, net: str, tmp_path: Path) -> None:
    include = need_tflm_headers()
    g = quantized_denoiser(random_denoiser(net), scheme)
    written, report = export_tflite(g, tmp_path, prefix="dn")
    assert all(path.is_file() for path in written)
    assert report["arena_bytes"] == _arena.arena_bytes(written[0].read_bytes())
    for source in ("dn_main.cc", "dn_tflite.cc"):
        done = compile_cc(tmp_path / source, include)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_denoisers_project_is_sound_in_and_sound_out(scheme: str, tmp_path: Path) -> None:
    """The steps of main.cc with the project's own C and tables around the real TFLM interpreter: the definition's sound."""
    g, data, c = built_project(scheme, tmp_path)
    main = (tmp_path / "dn_main.cc").read_text()
    assert "overlap, spectrum, net.output(1)->data.i16, DN_GAIN_FLOOR" in main
    floor = int(re.search(r"GAIN_FLOOR (\d+)", (tmp_path / "dn_tflite.h").read_text())[1])  # type: ignore[index]
    tflm = TFLMRuntime(g, data)
    sound, hop = noisy_sound(g.step_samples * 60), g.stft.hop
    path = ctypes.byref(ctypes.c_char.in_dll(c, "dn_stft"))
    history, overlap, spectrum = np.zeros(hop, np.int16), np.zeros(hop, np.int32), np.zeros(2 * hop + 2, np.int32)
    out, frame = np.zeros_like(sound), np.zeros(g.bands, np.int16)
    for begin in range(0, len(sound), hop):
        pcm = sound[begin : begin + hop].copy()
        c.ern_stft_analyze(path, spectrum.ctypes, history.ctypes, pcm.ctypes)
        c.ern_stft_features(path, frame.ctypes, spectrum.ctypes)
        gains = np.ascontiguousarray(tflm.run_features(frame[None]).posteriors[0])
        c.ern_stft_synthesize(path, pcm.ctypes, overlap.ctypes, spectrum.ctypes, gains.ctypes, ctypes.c_int16(floor))
        out[begin : begin + hop] = pcm
    assert np.array_equal(out, denoiser(make_runtime("numpy", g))(sound))


def built_project(scheme: str, folder: Path) -> tuple[DenoiseGraph, bytes, ctypes.CDLL]:
    """A denoiser's graph, its model and its project's C as a library for this host."""
    g = quantized_denoiser(random_denoiser(), scheme)
    data = export_tflite(g, folder, prefix="dn")[0][0].read_bytes()
    sources = [folder / "dn_tflite.cc", folder / "ern_stft.c"]
    flags = ["-fPIC", "-c", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    for source, compiler in zip(sources, ("c++", "cc"), strict=True):
        subprocess.run([compiler, *flags, source, "-o", source.with_suffix(".o")], check=True)
    subprocess.run(["c++", "-shared", *(s.with_suffix(".o") for s in sources), "-o", folder / "path.so"], check=True)
    return g, data, ctypes.CDLL(str(folder / "path.so"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("AddConv2D", "AddConv2d"),
        ("AllocateTensors", "AllocTensors"),
        ("arena, sizeof arena", "sizeof arena, arena"),
        ("state->bytes", "state->size"),
    ],
)
def test_a_wrong_call_of_tflm_does_not_compile(old: str, new: str, tmp_path: Path) -> None:
    """The compiler does look at the calls: each change must be refused."""
    include = need_tflm_headers()
    export_tflite(quantized(random_net("gru", 16, "bare"), "int8"), tmp_path)
    main = tmp_path / "kws_main.cc"
    text = main.read_text()
    assert old in text, f"kws_main.cc no longer contains {old!r}: mend this test"
    main.write_text(text.replace(old, new))
    assert compile_cc(main, include).returncode != 0


def compile_cc(source: Path, include: list[str]) -> subprocess.CompletedProcess[str]:
    """One C++ file to an object."""
    warnings = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
    command = ["g++", "-std=c++17", *warnings, "-DTF_LITE_STATIC_MEMORY", f"-I{source.parent}", *include]
    return subprocess.run([*command, "-c", str(source), "-o", str(source.with_suffix(".o"))], capture_output=True, text=True)


def test_c_array_holds_the_file(tmp_path: Path) -> None:
    g = quantized(random_net("rnn_relu", 4), "int8x16")
    data = export_tflite(g, tmp_path)[0][0].read_bytes()
    text = (tmp_path / "kws_tflite.cc").read_text()
    array = re.search(r"alignas\(16\) const unsigned char kws_model\[\] = \{([^}]*)\}", text)
    assert array is not None
    assert bytes(int(x) for x in array[1].replace(",", " ").split()) == data


def test_without_tflm_the_arena_is_an_error_of_the_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_arena, "has_tflm", lambda: False)
    export_tflite(quantized(random_net("gru", 4), "int8"), tmp_path)
    assert "define KWS_ARENA_BYTES" not in (tmp_path / "kws_tflite.h").read_text()
    assert re.search(r"#ifndef KWS_ARENA_BYTES\n#error", (tmp_path / "kws_main.cc").read_text())


def test_a_clip_has_no_project(tmp_path: Path) -> None:
    g = quantized(random_net("gru", 4), "int8")
    files, report = export_tflite(g, tmp_path, clip_steps=25)
    assert [p.name for p in files] == ["kws.tflite"]
    assert report["arena_bytes"] > 25 * 2 * 5, "TFLM runs it too, although it joins no more than ten tensors at once"
    with pytest.raises(EdgernnError, match="prefix"):
        export_tflite(g, tmp_path, prefix="No")


def test_a_net_without_state(tmp_path: Path) -> None:
    g = quantized(random_net("dense", 8), "int8")
    assert not g.states
    expected = make_runtime("numpy", g).run_features(frames_of(g, 50))
    for runtime in runtimes(g):
        assert_equal(expected, runtime.run_features(frames_of(g, 50)))
    export_tflite(g, tmp_path)
    assert "carried" not in (tmp_path / "kws_main.cc").read_text()
    with pytest.raises(EdgernnError, match="no state"):
        model_bytes(g, stateful=True)


# --- faults in the file


def edited(data: bytes, change: Callable[[Any], None]) -> bytes:
    """The file with a change in its object form, sealed again."""
    schema = load_schema()
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    model.buffers = [AlignedBuffer(schema, b"" if b.data is None else bytes(b.data)) for b in model.buffers]
    return pack(model)


def operator(model: Any, name: str, number: int = 0) -> Any:
    """The n-th operator of a kind."""
    code = getattr(load_schema().BuiltinOperator, name)
    rows = [o for o in model.subgraphs[0].operators if model.operatorCodes[o.opcodeIndex].builtinCode == code]
    return rows[number]


def operand(model: Any, name: str, number: int, index: int) -> Any:
    return model.subgraphs[0].tensors[operator(model, name, number).inputs[index]]


def rewrite(model: Any, tensor: Any, dtype: str, change: Callable[[NDArray[Any]], None]) -> None:
    buffer = model.buffers[tensor.buffer]
    array = np.array(buffer.data, np.uint8).view(dtype).copy()
    change(array)
    buffer.data = array.view(np.uint8)


def add_at(index: int, step: int) -> Callable[[NDArray[Any]], None]:
    def change(a: NDArray[Any]) -> None:
        a[index] += step

    return change


def zero_from(index: int) -> Callable[[NDArray[Any]], None]:
    def change(a: NDArray[Any]) -> None:
        assert np.any(a[index:])
        a[index:] = 0

    return change


def halve_scale(model: Any) -> None:
    q = operand(model, "CONV_2D", -2, 1).quantization
    scale = np.array(q.scale, np.float32)
    scale[3] /= 2
    q.scale = scale


def next_multiplier(model: Any) -> None:
    q = operand(model, "CONV_2D", -2, 1).quantization
    scale = np.array(q.scale, np.float32)
    scale[3] *= 1 + 2.0**-13
    q.scale = scale


def swap_gates(model: Any) -> None:
    """r reads what z should read."""
    first, second = operator(model, "SLICE", -6), operator(model, "SLICE", -5)
    first.inputs, second.inputs = second.inputs, first.inputs
    first, second = operator(model, "SLICE", -3), operator(model, "SLICE", -2)
    first.inputs, second.inputs = second.inputs, first.inputs


def no_relu(model: Any) -> None:
    operator(model, "CONV_2D", 0).builtinOptions.fusedActivationFunction = 0


def swap_outputs(model: Any) -> None:
    first, second, *rest = model.subgraphs[0].outputs
    model.subgraphs[0].outputs = [second, first, *rest]


#: in a GRU of 32 units behind a convolution: products conv (0), fx (-3), fh (-2), head (-1); slices history, fx0..2, fh0..2
FAULTS: dict[str, Callable[[Any], None]] = {
    "bias off by one": lambda m: rewrite(m, operand(m, "CONV_2D", -2, 2), "int64", add_at(5, 1)),
    "k off by one": halve_scale,
    "m off by a few": next_multiplier,
    "gates r and z swapped": swap_gates,
    "b_hn lost": lambda m: rewrite(m, operand(m, "CONV_2D", -2, 2), "int64", zero_from(64)),
    "one weight changed": lambda m: rewrite(m, operand(m, "CONV_2D", -2, 1), "int8", add_at(7, 1)),
    "one weight of the front changed": lambda m: rewrite(m, operand(m, "DEPTHWISE_CONV_2D", 0, 1), "int8", add_at(0, 1)),
    "gate slice moved by one": lambda m: rewrite(m, operand(m, "SLICE", -2, 1), "int32", add_at(3, 1)),
    "history moved by one": lambda m: rewrite(m, operand(m, "SLICE", 0, 1), "int32", add_at(1, -1)),
    "relu lost": no_relu,
    "logits and posteriors swapped": swap_outputs,
}


@functools.cache
def faulty_material() -> tuple[SpotGraph, bytes, NDArray[np.int16], Trace]:
    # in int8 a unit of the bias is a fifth of a unit of the result; in int8x16 a thousandth, too rare to count on
    g = quantized(random_net("gru", 32, "conv"), "int8")
    frames = frames_of(g, 1500)
    expected = make_runtime("numpy", g).run_features(frames)
    assert_alive(g, expected, {})
    return g, model_bytes(g), frames, expected


def test_an_unchanged_file_goes_through_the_editor() -> None:
    g, data, frames, expected = faulty_material()
    for runtime in runtimes(g, edited(data, lambda m: None)):
        assert_equal(expected, runtime.run_features(frames))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_model_is_caught(fault: str) -> None:
    g, data, frames, expected = faulty_material()
    broken = edited(data, FAULTS[fault])
    for runtime in (LiteRTRuntime(g, broken), TFLMRuntime(g, broken)):
        assert sum(expected.differing(runtime.run_features(frames)).values()) > 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_fault_in_the_lowering_is_caught(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, other in {"add": "sub", "sigmoid": "tanh", "add_relu": "add"}.items():
        g = quantized(random_net("rnn_relu" if kind == "add_relu" else "gru", 16), scheme)
        frames = frames_of(g, 200)
        with monkeypatch.context() as patch:
            patch.setitem(LOWER, kind, LOWER[other])  # type: ignore[misc]
            broken = model_bytes(g)
        expected = make_runtime("numpy", g).run_features(frames)
        for runtime in (LiteRTRuntime(g, broken), TFLMRuntime(g, broken)):
            assert sum(expected.differing(runtime.run_features(frames)).values()) > 0


# --- files that must not reach an interpreter


def test_damaged_bytes_are_refused() -> None:
    g = quantized(random_net("gru", 8), "int8")
    data, rng = model_bytes(g), np.random.default_rng(0)
    for _ in range(600):
        bad = mutated(data, rng)
        if bad != data:
            with pytest.raises(EdgernnError):
                LiteRTRuntime(g, bad)
    for size in range(0, len(data), 97):
        with pytest.raises(EdgernnError):
            TFLMRuntime(g, data[:size])


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One byte changed, cut out or inserted."""
    at, value = int(rng.integers(len(data))), bytes([int(rng.integers(256))])
    return data[:at] + (value, b"", value + data[at : at + 1])[rng.integers(3)] + data[at + 1 :]


def test_files_of_others_are_refused() -> None:
    g = quantized(random_net("gru", 8), "int8")
    other = quantized(random_net("gru", 8, seed=1), "int8")
    foreign = edited(model_bytes(g), lambda m: setattr(m, "metadata", m.metadata[:0]))
    cases: list[tuple[bytes, str]] = [
        (b"", "TFL3"),
        (g.to_bytes(), "TFL3"),
        (model_bytes(other), "exported from graph"),
        (model_bytes(g, stateful=True), "form stateful"),
        (model_bytes(g).replace(CHECKSUM_KEY.encode(), b"x" * len(CHECKSUM_KEY)), "damaged"),
        (model_bytes(g).replace(b"edgernn-crc32:", b"EDGERNN-CRC32:"), "did not write"),
        (foreign, "graph None"),
    ]
    for data, reason in cases:
        with pytest.raises(EdgernnError, match=reason):
            LiteRTRuntime(g, data)
    verify(model_bytes(g))


def test_unknown_resolver_is_refused() -> None:
    with pytest.raises(EdgernnError, match="resolver"):
        LiteRTRuntime(quantized(random_net("gru", 4), "int8"), resolver="FAST")


def test_any_interpreter_takes_the_first_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    g = quantized(random_net("gru", 8), "int8")
    runtime = make_runtime("tflite", g)
    assert runtime.package == "ai_edge_litert"  # type: ignore[attr-defined]
    assert_equal(make_runtime("numpy", g).run_features(frames_of(g, 30)), runtime.run_features(frames_of(g, 30)))
    tried: list[str] = []

    def absent(package: str) -> None:
        tried.append(package)
        raise EdgernnError("absent")

    monkeypatch.setattr(_tflite, "interpreter_module", absent)
    with pytest.raises(EdgernnError, match="none of ai_edge_litert, tflite_runtime, tensorflow is installed"):
        _tflite.any_interpreter()
    assert tried == ["ai_edge_litert", "tflite_runtime", "tensorflow"]
