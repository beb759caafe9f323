"""`edgernn export --package`: libraries that frameworks take, by their own tools where those can be had, else by their rules.

No framework was here and no board: examples are compiled for the cores, and run on this host, with the small doubles in
`stand_ins`. Every checker also gets something that is wrong.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import quantized_denoiser, random_denoiser
from fixture_runs import ROOT
from needs import need_module, need_packagers, need_program
from nets import quantized, random_net
from test_vad import random_graph, sound
from typer.testing import CliRunner

from edgernn import cli, face
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.hostcc import WARNINGS, host_compiler
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import write_wav
from edgernn.tasks import all_tasks, task_of
from firmware_export.emit import export_app
from firmware_export.package import (
    export_package,
    framework_names,
    load_framework,
    package_name,
    package_version,
    release,
)

STAND_INS = ROOT / "tests" / "stand_ins"
FRAMEWORKS = ["arduino", "cmake", "esp-idf", "pico-sdk", "platformio", "zephyr"]
#: where a package's microphone example lies, and the core that it is compiled for
EXAMPLES = {
    "arduino": ("examples/microphone/microphone.ino", "cortex-m4"),
    "cmake": ("examples/listen.c", "cortex-m4"),
    "esp-idf": ("examples/microphone/main/main.c", "rv32imc"),
    "pico-sdk": ("examples/microphone/main.c", "cortex-m0plus"),
    "platformio": ("examples/microphone/src/main.cpp", "cortex-m4"),
    "zephyr": ("samples/microphone/src/main.c", "cortex-m4"),
}
#: semver.org's own regular expression, without its groups
SEMVER = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}(-[0-9a-zA-Z.-]+)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?")


def keyword_graph() -> NetGraph:
    """Keywords whose thresholds the sound crosses now and then."""
    g = quantized(random_net("gru", 16, "conv"), "int8x16")
    posteriors = make_runtime("c", g).run(stream(g)).posteriors[:, : len(g.decision.thresholds)]
    thresholds = tuple(int(x) for x in np.percentile(posteriors, 90, axis=0))
    return replace(g, decision=replace(g.decision, thresholds=thresholds, smoothing=2, refractory=5))


GRAPHS: dict[str, Callable[[], NetGraph]] = {
    "spot": keyword_graph,
    "denoise": lambda: quantized_denoiser(random_denoiser(), "int8x16"),
    "vad": random_graph,
}
TASKS = sorted(GRAPHS)


@functools.cache
def graph(task: str) -> NetGraph:
    return GRAPHS[task]()


def stream(g: NetGraph) -> np.ndarray:
    """Two seconds at least, whole steps."""
    return sound(6)[: 120 * g.step_samples]


def call(command: list[Any], folder: Path | None = None, stdin: bytes = b"", **environment: str) -> bytes:
    """What a program prints; it must end with 0."""
    done = subprocess.run(
        [str(x) for x in command], cwd=folder, input=stdin, capture_output=True, timeout=120, env={**os.environ, **environment}
    )
    assert done.returncode == 0, f"{command}: {done.returncode}\n{(done.stdout + done.stderr).decode(errors='replace')[-3000:]}"
    return done.stdout


def packed(task: str, framework: str, folder: Path, prefix: str = "") -> Path:
    """The folder of an exported library."""
    g = graph(task)
    export_package(g, framework, folder, prefix)
    return folder / package_name(g, prefix or task_of(g).c.prefix)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[str, bytes]]:
    """What the application of `edgernn build` tells and gives of `stream`, by task: words after the self-test, sound."""

    @functools.cache
    def heard(task: str) -> tuple[str, bytes]:
        folder, g = tmp_path_factory.mktemp(task), graph(task)
        app = export_app(g, folder)
        sources = [app, *(folder / name for name in task_of(g).c.sources)]
        call([*host_compiler(), "-O1", f"-I{folder}", f"-I{STAND_INS}/device", *sources, "-o", folder / "app"])
        done = subprocess.run([folder / "app"], input=stream(g).tobytes(), capture_output=True, check=True)
        words = done.stdout.decode().split("self-test ok\n")[1].removesuffix("no more sound\n")
        return words, done.stderr

    return heard


# What every package is ---------------------------------------------------------------------------


def test_frameworks_are_the_folders_and_help_names_them() -> None:
    assert framework_names() == FRAMEWORKS == sorted(EXAMPLES)
    assert sorted(all_tasks()) == TASKS, "give the new task a graph above"
    said = re.sub(r"\s+", "", CliRunner().invoke(cli.app, ["export", "--help"]).stdout)
    page = (ROOT / "docs" / "packages.md").read_text()
    for name in FRAMEWORKS:
        assert name in said.split("--package")[-1], name
        assert f"--package {name}" in page, name


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_package_has_metadata_code_example_and_self_test(framework: str, task: str, tmp_path: Path) -> None:
    home = packed(task, framework, tmp_path, "own")
    assert [x.name for x in tmp_path.iterdir()] == [home.name]
    code, example = home / load_framework(framework).code, (home / EXAMPLES[framework][0]).read_text()
    assert '#define OWN_IMPLEMENTATION\n#include "' in (code / "own.c").read_text()
    assert {p.name for p in code.glob("ern_*.c")} >= set(task_of(graph(task)).c.sources)
    assert "own_self_test(&state, pcm)" in example and "own_process(&state, pcm" in example
    assert re.search(r'#include ["<]own\.h[">]', example) and (code / "own.h").is_file()
    for path in home.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        assert not re.search(r"\{\{|\{%|\bNone\b|Undefined", text), path
    assert "Apache-2.0" in (home / "README.md").read_text()


@pytest.mark.parametrize(
    ("model", "prefix", "name"),
    [
        ("demo", "kws", "kws_demo"),
        ("Küche & Bad", "kws", "kws_kuche_bad"),
        ("говори", "kws", "kws"),
        ("kws", "kws", "kws"),
        ("x" * 90, "kws", "kws_" + "x" * 44),
        ("a" * 43 + "_b", "kws", "kws_" + "a" * 43),
        ('2"; rm */ -', "k_", "k_2_rm"),
    ],
)
def test_names_come_from_prefix_and_model(model: str, prefix: str, name: str) -> None:
    g = replace(graph("vad"), name=model)
    assert package_name(g, prefix) == name
    for framework in FRAMEWORKS:
        assert re.fullmatch(load_framework(framework).name, name)


def test_versions_are_semantic_and_tell_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    g = graph("vad")
    assert package_version(g) == f"{release()}+{g.id[:12]}"
    for version, expected in (("0.1.0", "0.1.0"), ("1.2.dev3+x5", "1.2.3"), ("2", "2.0.0"), ("1.2.3.4", "1.2.3")):
        monkeypatch.setattr("firmware_export.package.__version__", version)
        assert release() == expected
        assert SEMVER.fullmatch(package_version(g))


def test_a_model_of_any_name_is_packed(tmp_path: Path) -> None:
    """What would end a comment, a string or a line in one of the files does not."""
    g = replace(graph("vad"), name='*/ "x" \\ ${y} $(z)\n# <ü>', labels=())
    for framework in FRAMEWORKS:
        export_package(g, framework, tmp_path / framework)
    home = tmp_path / "platformio" / package_name(g, "vad")
    assert json.loads((home / "library.json").read_text())["license"] == "Apache-2.0"
    properties = (tmp_path / "arduino" / home.name / "library.properties").read_text()
    assert all(re.match(r"[a-z_]+=", line) for line in properties.splitlines())


# The command line ---------------------------------------------------------------------------


def edgernn(*words: object) -> tuple[int, str]:
    """Exit code and output, or the error, of a command."""
    done = CliRunner().invoke(cli.app, [str(x) for x in words])
    if isinstance(done.exception, EdgernnError):
        return 2, str(done.exception)
    return done.exit_code, done.stdout


def test_the_verb_writes_beside_the_graph_or_where_it_is_told(tmp_path: Path) -> None:
    graph("vad").save(tmp_path / "x.ern")
    code, said = edgernn("export", tmp_path / "x.ern", "--package", "zephyr")
    assert code == 0
    usual = tmp_path / "packages" / "zephyr" / "vad_random" / "zephyr" / "module.yml"
    assert usual.is_file() and str(usual) in said
    code, said = edgernn(
        "export", tmp_path / "x.ern", "--package", "arduino", "--prefix", "ear", "--out", tmp_path / "libraries", "--json"
    )
    assert code == 0
    assert (tmp_path / "libraries" / "ear_random" / "library.properties").is_file()
    files = json.loads(said)["files"]
    assert len(files) > 15
    again = face.export(tmp_path / "x.ern", tmp_path / "libraries", prefix="ear", package="arduino")
    assert [str(path) for path in again] == files


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--package", "mbed"], f"unknown package 'mbed'; known: {', '.join(FRAMEWORKS)}"),
        (["--package", "cmake", "--format", "tflite"], "--package belongs to --format c, not to tflite"),
        (["--package", "cmake", "--format", "onnx"], "--package belongs to --format c, not to onnx"),
        (["--package", "arduino", "--prefix", "arduino_ear"], "'arduino_ear_random' cannot name a library for Arduino; give"),
        (["--package", "cmake", "--prefix", "Kws"], "prefix 'Kws' must be a lower-case C identifier"),
        (["--package", ".."], "unknown package '..'"),
    ],
)
def test_what_cannot_be_packed_is_refused_before_anything_is_written(words: list[str], why: str, tmp_path: Path) -> None:
    graph("vad").save(tmp_path / "x.ern")
    code, said = edgernn("export", tmp_path / "x.ern", *words, "--out", tmp_path / "out")
    assert code == 2
    assert said.startswith(why)
    assert not (tmp_path / "out").exists()


def test_a_new_framework_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "extension" / "packages" / "meson"
    home.mkdir(parents=True)
    about = 'title = "Meson"\ncode = "lib"\nname = "[a-z0-9_]+"\n'
    (home / "package.toml").write_text(about)
    (home / "meson.build.jinja").write_text("project('{{ name }}', 'c')\n")
    (home / "as-it-is").write_text("{{ name }}")
    monkeypatch.setenv("EDGERNN_EXTENSIONS", str(home.parent.parent))
    assert framework_names() == sorted([*FRAMEWORKS, "meson"])
    written = export_package(graph("vad"), "meson", tmp_path / "out")
    assert (tmp_path / "out/vad_random/meson.build").read_text() == "project('vad_random', 'c')\n"
    assert (tmp_path / "out/vad_random/as-it-is").read_text() == "{{ name }}"
    assert tmp_path / "out/vad_random/lib/vad.c" in written
    for wrong in (about + 'colour = "red"\n', about.replace('code = "lib"\n', ""), "title = "):
        (home / "package.toml").write_text(wrong)
        with pytest.raises(EdgernnError, match=r"package\.toml does not describe a framework"):
            export_package(graph("vad"), "meson", tmp_path / "again")


# CMake, for real ---------------------------------------------------------------------------


def cmake(source: Path, build: Path, *options: str, **environment: str) -> Path:
    """Configure and build with every warning an error."""
    need_program("cmake")
    need_program("ninja")
    flags = " ".join(WARNINGS[1:])
    call(["cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_C_FLAGS={flags}", *options], **environment)
    call(["cmake", "--build", build], **environment)
    return build


@pytest.mark.parametrize("task", TASKS)
def test_cmake_configures_builds_and_ctest_passes(task: str, told: Any, tmp_path: Path) -> None:
    home, g = packed(task, "cmake", tmp_path), graph(task)
    build = cmake(home, tmp_path / "build")
    assert b"100% tests passed, 0 tests failed out of 1" in call(["ctest", "--test-dir", build])
    listen, pcm = build / f"{home.name}_listen", stream(g)
    words, made = told(task)
    assert call([listen], stdin=pcm.tobytes()) == words.encode() + made
    write_wav(tmp_path / "sound.wav", pcm, g.sample_rate)
    assert call([listen, tmp_path / "sound.wav"]) == words.encode() + made
    assert made or len(words.splitlines()) >= 4, "the stream must say something"


def test_ctest_notices_a_weight_that_differs(tmp_path: Path) -> None:
    home = packed("vad", "cmake", tmp_path)
    header = next(p for p in (home / "src").glob("*.h") if "_weight[" in p.read_text())
    text = header.read_text()
    first = re.search(r"_weight\[\d+\] = \{\n\s+(-?\d+),", text)
    assert first
    header.write_text(text[: first.start(1)] + str(int(first[1]) ^ 1) + text[first.end(1) :])
    build = cmake(home, tmp_path / "build")
    done = subprocess.run(["ctest", "--test-dir", build, "--output-on-failure"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "self-test failed: -1" in done.stdout


@pytest.mark.parametrize("fault", ["rate", "stereo", "float", "cut", "text", "absent", "empty"])
def test_the_example_refuses_sound_of_another_kind(fault: str, tmp_path: Path, listener: Path) -> None:
    path, pcm = tmp_path / "sound.wav", sound(1)
    write_wav(path, pcm, 8000 if fault == "rate" else 16000)
    data = bytearray(path.read_bytes())
    data[20:24] = {"stereo": b"\1\0\2\0", "float": b"\3\0\1\0"}.get(fault, bytes(data[20:24]))
    content = {"cut": bytes(data[:40]), "text": b"no sound at all", "empty": b""}.get(fault, bytes(data))
    path.unlink()
    if fault != "absent":
        path.write_bytes(content)
    done = subprocess.run([listener, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path} is no WAV file of 16 bits, one channel, 16000 Hz\n"


def test_the_example_passes_over_other_chunks(tmp_path: Path, listener: Path, told: Any) -> None:
    """Chunks of odd length before the samples, and what lies behind them, are no sound."""
    write_wav(tmp_path / "a.wav", stream(graph("vad")), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(data[:12] + b"LIST\3\0\0\0abc\0" + data[12:] + b"LIST" + data[44:])
    assert call([listener, tmp_path / "b.wav"]).decode() == told("vad")[0]


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listener")
    home = packed("vad", "cmake", folder)
    return cmake(home, folder / "build") / f"{home.name}_listen"


def test_several_models_live_in_one_cmake_project(tmp_path: Path) -> None:
    names = [
        packed(task, "cmake", tmp_path, prefix).name for task, prefix in (("spot", ""), ("spot", "other"), ("denoise", ""))
    ]
    project = ["cmake_minimum_required(VERSION 3.16)", "project(all C)", "enable_testing()"]
    (tmp_path / "CMakeLists.txt").write_text("\n".join([*project, *(f"add_subdirectory({name})" for name in names)]))
    plain = cmake(tmp_path, tmp_path / "plain")
    assert b"tests passed" not in call(["ctest", "--test-dir", plain])
    build = cmake(tmp_path, tmp_path / "build", *(f"-D{name.upper()}_EXTRAS=ON" for name in names))
    assert b"out of 3" in call(["ctest", "--test-dir", build])
    second = tmp_path / names[1] / "CMakeLists.txt"
    second.write_text(second.read_text().replace(f'STREQUAL "{release()}"', 'STREQUAL "9.9.9"'))
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "two"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "export all by one" in re.sub(r"\s+", " ", done.stderr)


# The examples, with stand-ins ---------------------------------------------------------------------------


def slots(pcm: np.ndarray) -> np.ndarray:
    """Samples as an I2S microphone's slots of 32 bits: two bits of gain are to be taken, the lowest 14 are to be dropped."""
    low = np.random.default_rng(5).integers(0, 1 << 14, pcm.size)
    return (pcm.astype(np.int64) * (1 << 14) + low).astype(np.int32)


def program_of(framework: str, home: Path, build: Path) -> Path:
    """The example with its framework's stand-in, for this host: through its own CMake files where it has them."""
    stand_in = STAND_INS / framework
    if framework in ("arduino", "platformio"):
        need_program("g++")
        build.mkdir()
        flags = ["-Wall", "-Wextra", "-Werror", f"-I{STAND_INS}/arduino", f"-I{home}/src"]
        for source in (home / "src").glob("*.c"):
            call([*host_compiler(), "-c", source, "-o", build / f"{source.stem}.o"])
        # the Arduino builder puts Arduino.h before a sketch; PlatformIO's main.cpp includes it itself
        before = ["-include", "Arduino.h"] if framework == "arduino" else []
        sketch = ["-x", "c++", *before, home / EXAMPLES[framework][0], STAND_INS / "arduino" / "stand_in.cpp"]
        call(["g++", *flags, *sketch, "-x", "none", *build.glob("*.o"), "-o", build / "program"])
        return build / "program"
    variable = {"esp-idf": "IDF_PATH", "pico-sdk": "PICO_SDK_PATH", "zephyr": "ZEPHYR_BASE"}[framework]
    source = (home / EXAMPLES[framework][0]).parent
    source = source.parent if framework in ("esp-idf", "zephyr") else source
    cmake(source, build, "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror", **{variable: str(stand_in)})
    return build / ("app" if framework == "zephyr" else f"{home.name}_microphone")


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("framework", [name for name in FRAMEWORKS if name != "cmake"])
def test_examples_hear_what_the_application_hears(framework: str, task: str, told: Any, tmp_path: Path) -> None:
    """Ring buffers, halves, blocks and shifts lose no sample and change none: `edgernn build`'s program says the same."""
    program = program_of(framework, packed(task, framework, tmp_path), tmp_path / "build")
    pcm = stream(graph(task))
    given = slots(pcm) if framework in ("esp-idf", "pico-sdk") else pcm
    last = {"esp-idf": "the I2S driver gave no sound\n", "zephyr": "the microphone gave no sound\n"}.get(framework, "")
    assert call([program], stdin=given.tobytes()).decode() == f"self-test ok\n{told(task)[0]}{last}"


@pytest.mark.parametrize("framework", ["esp-idf", "pico-sdk"])
def test_loud_sound_is_clipped_not_wrapped(framework: str, tmp_path: Path) -> None:
    """The example's own function, over slots of every size."""
    found = re.search(
        r"#define SHIFT .*?\n}\n", (packed("vad", framework, tmp_path) / EXAMPLES[framework][0]).read_text(), re.S
    )
    assert found
    loop = (
        "int main(void) { int32_t x; while (fread(&x, 4, 1, stdin) == 1) { int16_t y = sample(x); fwrite(&y, 2, 1, stdout); } }"
    )
    (tmp_path / "sample.c").write_text(f"#include <stdint.h>\n#include <stdio.h>\n{found[0]}{loop}\n")
    call([*host_compiler(), tmp_path / "sample.c", "-o", tmp_path / "sample"])
    near = [s * (1 << 29) + d for s in (-1, 1) for d in (-16385, -1, 0, 1, 16385)]
    given = np.array([*range(-(1 << 31), 1 << 31, 999983), *near, (1 << 31) - 1], np.int64)
    made = np.frombuffer(call([tmp_path / "sample"], stdin=given.astype(np.int32).tobytes()), np.int16)
    assert np.array_equal(made, np.clip(given >> 14, -32768, 32767))


@pytest.mark.parametrize("framework", ["arduino", "pico-sdk"])
def test_an_example_that_is_late_goes_on_with_whole_steps(framework: str, tmp_path: Path) -> None:
    """Eight steps at once: the ring keeps the first four. Two halves at once: the older one counts as missed."""
    home, g = packed("vad", framework, tmp_path), graph("vad")
    hops = stream(g).reshape(-1, 8, g.step_samples)
    kept = (hops[:, :4] if framework == "arduino" else hops[:, 1::2]).ravel()
    active = make_runtime("numpy", g).process(kept)[:, 0]
    changes = np.flatnonzero(np.diff(np.concatenate([[0], active])))
    assert len(changes) >= 2
    given = slots(hops.ravel()) if framework == "pico-sdk" else hops
    program = program_of(framework, home, tmp_path / "build")
    said = call([program], stdin=given.tobytes(), STAND_IN_LATE=str(16 * g.step_samples)).decode().splitlines()
    assert said == ["self-test ok", *("speech" if active[i] else "pause" for i in changes)]


FAULTS = {
    "arduino": ("(tail + 1) % ROOM", "(tail + 2) % ROOM"),
    "esp-idf": ("slot_mask = I2S_STD_SLOT_LEFT", "slot_mask = I2S_STD_SLOT_BOTH"),
    "pico-sdk": ("_write_addr(channels[i], halves[i], false)", "_write_addr(channels[i], halves[0], false)"),
    "platformio": ("PDM.begin(1,", "PDM.begin(2,"),
    "zephyr": ("k_mem_slab_free(&blocks, block);", ""),
}  # fmt: skip


@pytest.mark.parametrize("framework", FAULTS)
def test_a_fault_in_an_example_shows(framework: str, told: Any, tmp_path: Path) -> None:
    home, (old, new) = packed("vad", framework, tmp_path), FAULTS[framework]
    example = home / EXAMPLES[framework][0]
    assert example.read_text().count(old) == 1
    example.write_text(example.read_text().replace(old, new))
    pcm = stream(graph("vad"))
    given = slots(pcm) if framework in ("esp-idf", "pico-sdk") else pcm
    done = subprocess.run([program_of(framework, home, tmp_path / "build")], input=given.tobytes(), capture_output=True)
    assert told("vad")[0] not in done.stdout.decode(errors="replace")


def test_several_models_live_in_one_zephyr_program(tmp_path: Path, told: Any) -> None:
    """Zephyr links libraries whole: two runtimes would clash."""
    home, other = packed("vad", "zephyr", tmp_path), packed("denoise", "zephyr", tmp_path / "other")
    configuration = home / "samples/microphone/prj.conf"
    configuration.write_text(configuration.read_text() + f"CONFIG_{other.name.upper()}=y\n")
    sample = home / "samples/microphone/CMakeLists.txt"
    sample.write_text(sample.read_text().replace("../..)", f"../..)\nlist(APPEND ZEPHYR_EXTRA_MODULES {other})"))
    program = program_of("zephyr", home, tmp_path / "build")
    assert told("vad")[0] in call([program], stdin=stream(graph("vad")).tobytes()).decode()


CORES = {
    "cortex-m0plus": ["arm-none-eabi-{}", "-mcpu=cortex-m0plus", "-mthumb"],
    "cortex-m4": ["arm-none-eabi-{}", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"],
    "rv32imc": ["riscv64-unknown-elf-{}", "-march=rv32imc", "-mabi=ilp32", "-ffreestanding", f"-I{STAND_INS}/libc"],
}


def compiled(framework: str, home: Path) -> subprocess.CompletedProcess[str]:
    """A package's example for its core, every warning an error, with the headers of the framework's stand-in."""
    name, core = EXAMPLES[framework]
    language = "g++" if framework in ("arduino", "platformio") else "gcc"
    stand_in = STAND_INS / ("arduino" if language == "g++" else framework)
    program, *flags = CORES[core]
    need_program(program.format(language))
    before = ["-x", "c++", "-include", "Arduino.h"] if framework == "arduino" else []
    command = [program.format(language), *flags, "-O2", "-Wall", "-Wextra", "-Werror", f"-I{stand_in}", f"-I{home}/src",
               *before, "-c", str(home / name), "-o", os.devnull]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_examples_and_library_compile_for_the_core(framework: str, tmp_path: Path) -> None:
    core = CORES[EXAMPLES[framework][1]]
    for task in TASKS:
        home = packed(task, framework, tmp_path)
        done = compiled(framework, home)
        assert done.returncode == 0, done.stderr[:2000]
        prefix = task_of(graph(task)).c.prefix
        sources = [home / "src" / f"{prefix}.c", *((home / "src").glob("ern_*.c") if task == TASKS[0] else [])]
        for source in sources:
            call([core[0].format("gcc"), *core[1:], *WARNINGS, "-O1", "-c", source, "-o", os.devnull])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_an_example_with_a_warning_does_not_compile(framework: str, tmp_path: Path) -> None:
    home = packed("vad", framework, tmp_path)
    example = home / EXAMPLES[framework][0]
    example.write_text(example.read_text() + "\nstatic int forgotten(unsigned x)\n{\n    return x > -1;\n}\n")
    assert "forgotten" in compiled(framework, home).stderr


# PlatformIO, ESP-IDF, Kconfig and PIO: by their own tools ---------------------------------------------------------------------


def told_by_tool(*words: object) -> Any:
    """What `packagers_check.py` found."""
    python = need_packagers()
    said = call([python, ROOT / "tests" / "packagers_check.py", *words], PYTHONPATH="")
    return json.loads(said.splitlines()[-1])


@pytest.mark.parametrize("task", TASKS)
def test_platformio_takes_and_packs_the_library(task: str, tmp_path: Path) -> None:
    home = packed(task, "platformio", tmp_path)
    found = told_by_tool("platformio", home)
    assert found["errors"] == []
    assert found["manifest"]["version"] == package_version(graph(task))
    assert found["manifest"]["license"] == "Apache-2.0"
    every = {p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file()}
    assert set(found["packed"]) - {".piopm"} == every
    for example in found["manifest"]["examples"]:
        assert all((home / example["base"] / name).is_file() for name in example["files"])
    assert (home / "src" / found["manifest"]["headers"][0]).is_file()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"version": "', '"version": "r', "Invalid semantic versioning"),
        ('"license": "Apache-2.0"', '"license": "Apache"', "Invalid SPDX license"),
        ('"name": "vad_random"', '"name": "vad/random"', "not allowed"),
        ('"audio"', '"Hörspiel"', "chars are allowed"),
        ('"base": ', '"bass": ', "Missing data"),
        ('"name": "vad_random",', "", "Missing data"),
    ],
)
def test_platformio_says_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    manifest = packed("vad", "platformio", tmp_path) / "library.json"
    assert manifest.read_text().count(old) == 1
    manifest.write_text(manifest.read_text().replace(old, new))
    assert why in str(told_by_tool("platformio", manifest.parent)["errors"])


def test_the_component_manager_takes_the_component(tmp_path: Path) -> None:
    for task in TASKS:
        home = packed(task, "esp-idf", tmp_path)
        assert told_by_tool("idf", home) == {"errors": [], "version": package_version(graph(task)), "license": "Apache-2.0"}
        listed = told_by_tool("yaml", home / "idf_component.yml")["examples"]
        assert all((home / example["path"] / "CMakeLists.txt").is_file() for example in listed)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('version: "', 'version: "x', "version"),
        ("license: Apache-2.0", "license: [1, 2]", "license"),
        ("description:", "description: [", "Cannot parse"),
        ('idf: ">=5.1"', 'idf: ">=five"', "idf"),
        ("  - audio", "  - a!", "tags"),
    ],
)
def test_the_component_manager_says_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    manifest = packed("vad", "esp-idf", tmp_path) / "idf_component.yml"
    assert manifest.read_text().count(old) == 1
    manifest.write_text(manifest.read_text().replace(old, new))
    assert why in str(told_by_tool("idf", manifest.parent)["errors"])


def kconfig(home: Path) -> Any:
    sample = home / "samples" / "microphone"
    return told_by_tool("kconfig", STAND_INS / "zephyr" / "Kconfig", home / "zephyr" / "Kconfig", sample / "prj.conf")


def test_kconfig_knows_the_symbol_that_the_sample_sets(tmp_path: Path) -> None:
    home = packed("vad", "zephyr", tmp_path)
    found = kconfig(home)
    assert found["errors"] == []
    assert found["values"]["VAD_RANDOM"] == found["values"]["AUDIO_DMIC"] == "y"
    settings = home / "samples" / "microphone" / "prj.conf"
    settings.write_text(settings.read_text() + "CONFIG_VAD_RANDON=y\n")
    assert "VAD_RANDON" in str(kconfig(home)["errors"])
    (home / "zephyr" / "Kconfig").write_text('config VAD_RANDOM\n\tbuul "x"\n')
    assert "syntax error" in str(kconfig(home)["errors"])


def heard_by_pio(program: dict[str, Any], words: np.ndarray) -> tuple[list[int], int]:
    """What a PIO program takes from an I2S microphone that sends `words` in the left slot, and the cycles of the last frame.

    The machine is rp2040py's; the microphone follows Philips' bus: it takes the word clock that stands as the bit clock rises,
    and begins a slot as the bit clock next falls. Data at GP20, bit clock at GP21, word clock at GP22.
    """
    from rp2040py import RP2040

    chip = RP2040()
    pio, machine = chip.pio[0], chip.pio[0].machines[0]
    for i, instruction in enumerate(program["instructions"]):
        pio.write_uint32(0x48 + 4 * i, instruction)
    execute, shift = program["wrap"] << 12 | program["wrap_target"] << 7, 1 << 31 | 1 << 16  # FIFOs joined; left, push at 32
    for register, value in (
        (0xC8, 1 << 16),
        (0xCC, execute),
        (0xD0, shift),
        (0xDC, 2 << 29 | 2 << 26 | 20 << 15 | 21 << 10 | 21 << 5),
    ):
        pio.write_uint32(register, value)
    pio.write_uint32(0xD8, 0xE083)  # set pindirs, 3
    for pin in (20, 21, 22):
        chip.write_uint32(0x40014004 + 8 * pin, 6)  # the pin is PIO 0's
        chip.write_uint32(0x4001C004 + 4 * pin, 0x56)  # and an input as well
    machine.enabled, machine.next_due_fp = True, pio.cycle_fp
    pio.recompute_due()
    taken, times = list[int](), list[int]()
    bit_clock = word_clock = begins = word = False
    left, register = iter(int(x) & 0xFFFFFFFF for x in words), 0
    for cycle in range(128 * (len(words) + 2)):
        pio.step()
        before, bit_clock = bit_clock, bool(chip.gpio[21].output_value)
        if bit_clock and not before:
            begins, word_clock = word != word_clock, word
        elif before and not bit_clock:
            register = (0 if word_clock else next(left, 0)) if begins else register << 1 & 0xFFFFFFFF
            chip.gpio[20].set_input_value(bool(register >> 31))
            begins = False
        word = bool(chip.gpio[22].output_value)
        while not pio.read_uint32(0x04) >> 8 & 1:
            taken.append(pio.read_uint32(0x20))
            times.append(cycle)
    return taken, times[-1] - times[-2] if len(times) > 1 else 0


PIO_SOURCE = ROOT / "firmware_export/packages/pico-sdk/examples/microphone/i2s_in.pio"


def pio_hears(source: Path) -> bool:
    """Whether a program takes every word of the left slot, in as many cycles a sample as main.c sets the clock by."""
    need_module("rp2040py")
    words = np.random.default_rng(0).integers(-(1 << 31), 1 << 31, 12)
    taken, cycles = heard_by_pio(told_by_tool("pio", source), words)
    stated = re.search(r"#define FRAME_CYCLES (\d+)u", PIO_SOURCE.with_name("main.c.jinja").read_text())
    assert stated
    return taken[1:12] == [int(x) & 0xFFFFFFFF for x in words[:11]] and cycles == int(stated[1])


def test_the_pio_program_hears_an_i2s_microphone() -> None:
    """Assembled by adafruit's assembler, run by rp2040py's machine: neither is pioasm or an RP2040."""
    assert pio_hears(PIO_SOURCE)
    program = told_by_tool("pio", PIO_SOURCE)
    assert (program["sideset_pin_count"], program["sideset_enable"]) == (2, False)
    stand_in = (STAND_INS / "pico-sdk" / "i2s_in.pio.h").read_text()
    assert f"i2s_in_program_instructions[{len(program['instructions'])}]" in stand_in


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    set x, 29          side 0b00", "    set x, 28          side 0b00"),
        ("    set x, 29          side 0b00", "    set x, 29          side 0b10"),
        ("    in pins, 1         side 0b11", "    in null, 1         side 0b11"),
        ("    set x, 29          side 0b10", "    set x, 30          side 0b10"),
        ("    nop                side 0b00\n", ""),
    ],
)
def test_a_fault_in_the_pio_program_is_heard(old: str, new: str, tmp_path: Path) -> None:
    text = PIO_SOURCE.read_text()
    assert text.count(old) == 1
    (tmp_path / "x.pio").write_text(text.replace(old, new))
    assert not pio_hears(tmp_path / "x.pio")


# Zephyr and Arduino: by their published rules ---------------------------------------------------------------------------


#: keys of zephyr/module.yml and their types: "Module yaml file description" in Zephyr's documentation (develop/modules),
#: and the schema of scripts/zephyr_module.py
MODULE_KEYS: dict[str, Any] = {
    "name": str, "build": dict, "tests": list, "samples": list, "boards": list, "blobs": list, "runners": list,
    "package-managers": dict, "security": dict,
}  # fmt: skip
BUILD_KEYS: dict[str, Any] = {
    "cmake": str, "kconfig": str, "cmake-ext": bool, "kconfig-ext": bool, "sysbuild-cmake": str, "sysbuild-kconfig": str,
    "sysbuild-cmake-ext": bool, "sysbuild-kconfig-ext": bool, "depends": list, "settings": dict,
}  # fmt: skip


def module_faults(home: Path) -> list[str]:
    """What Zephyr would not take: unknown keys, wrong types, folders and files that are named and not there."""
    module = told_by_tool("yaml", home / "zephyr" / "module.yml")
    build = module.get("build", {})
    faults = [
        f"unknown key {k}" for known, given in ((MODULE_KEYS, module), (BUILD_KEYS, build)) for k in set(given) - set(known)
    ]
    for known, given in ((MODULE_KEYS, module), (BUILD_KEYS, build)):
        faults += [f"{k} is no {known[k].__name__}" for k, v in given.items() if k in known and not isinstance(v, known[k])]
    if not (home / build.get("cmake", "zephyr") / "CMakeLists.txt").is_file():
        faults.append("cmake names a folder without CMakeLists.txt")
    if not (home / build.get("kconfig", "zephyr/Kconfig")).is_file():
        faults.append("kconfig names no file")
    for folder in module.get("samples", []):
        samples = [p.parent for p in (home / folder).rglob("sample.yaml")]
        if not samples or not all((s / x).is_file() for s in samples for x in ("CMakeLists.txt", "prj.conf", "src/main.c")):
            faults.append(f"{folder} holds no sample")
    return faults


@pytest.mark.parametrize("task", TASKS)
def test_zephyr_s_rules_find_nothing(task: str, tmp_path: Path) -> None:
    home = packed(task, "zephyr", tmp_path)
    assert module_faults(home) == []
    sample = told_by_tool("yaml", home / "samples" / "microphone" / "sample.yaml")
    assert set(sample) == {"sample", "tests"}
    overlay = (home / "samples" / "microphone" / "boards" / "nrf52840dk_nrf52840.overlay").read_text()
    assert "dmic_dev: &pdm0" in overlay and "DT_NODELABEL(dmic_dev)" in (home / EXAMPLES["zephyr"][0]).read_text()


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("  cmake: zephyr", "  cmake: code", "cmake names a folder"),
        ("  kconfig: zephyr/Kconfig", "  kconfig: Kconfig", "kconfig names no file"),
        ("name: ", "title: ", "unknown key title"),
        ("  cmake: zephyr", "  cmake-ext: maybe", "cmake-ext is no bool"),
        ("  - samples", "  - examples", "examples holds no sample"),
        ("  kconfig: ", "  Kconfig: ", "unknown key Kconfig"),
    ],
)
def test_zephyr_s_rules_say_what_is_wrong(old: str, new: str, why: str, tmp_path: Path) -> None:
    home = packed("vad", "zephyr", tmp_path)
    module = home / "zephyr" / "module.yml"
    assert module.read_text().count(old) == 1
    module.write_text(module.read_text().replace(old, new))
    assert any(why in fault for fault in module_faults(home))


#: "Library specification" of arduino-cli (arduino.github.io/arduino-cli, library-specification), rev. 2.2
REQUIRED = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
OPTIONAL = {"depends", "dot_a_linkage", "includes", "precompiled", "ldflags"}
CATEGORIES = {"Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing", "Data Storage",
              "Data Processing", "Other"}  # fmt: skip
#: rules a value must match: letters, digits, space, _ . - with at least one letter, no beginning with "Arduino"; semver; ..
VALUES = {
    "name": r"(?!(?i:arduino))(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}",
    "version": SEMVER.pattern,
    "maintainer": r"(?!(?i:arduino)).+",
    "author": r".+", "sentence": r".+", "architectures": r"\*|[a-z0-9_-]+(,[a-z0-9_-]+)*",
    "url": r"https?://[^\s/]+(/\S*)?", "dot_a_linkage": r"true|false",
}  # fmt: skip


def library_faults(home: Path) -> list[str]:
    """What Arduino's library specification forbids: fields, values, folders, sketches, keywords."""
    lines = [line for line in (home / "library.properties").read_text().splitlines() if line and not line.startswith("#")]
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    faults = [f"no field: {line}" for line in lines if "=" not in line]
    faults += [f"{k} is missing" for k in REQUIRED - set(fields)]
    faults += [f"{k} is no field" for k in set(fields) - REQUIRED - OPTIONAL]
    faults += [f"{k} = {fields[k]}" for k, rule in VALUES.items() if k in fields and not re.fullmatch(rule, fields[k])]
    if fields.get("category") not in CATEGORIES:
        faults.append("category")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", home.name):
        faults.append("the folder's name")
    faults += [f"{x} is not in src" for x in fields.get("includes", "").split(",") if x and not (home / "src" / x).is_file()]
    if list(home.glob("*.[ch]")) or (home / "utility").exists():
        faults.append("code outside src")
    sketches = [p for p in (home / "examples").iterdir() if p.is_dir()] if (home / "examples").is_dir() else []
    faults += [f"{p.name} has no sketch of its name" for p in sketches if not (p / f"{p.name}.ino").is_file()]
    if not sketches:
        faults.append("no example")
    for line in (home / "keywords.txt").read_text().splitlines():
        if line and not re.fullmatch(r"#.*|\w+\t(KEYWORD[123]|LITERAL[12])(\t\w*){0,2}", line):
            faults.append(f"keywords.txt: {line}")
    return faults


@pytest.mark.parametrize("task", TASKS)
def test_arduino_s_rules_find_nothing(task: str, tmp_path: Path) -> None:
    assert library_faults(packed(task, "arduino", tmp_path)) == []


def replaced(file: str, old: str, new: str) -> Callable[[Path], object]:
    def change(home: Path) -> None:
        text = (home / file).read_text()
        assert text.count(old) == 1
        (home / file).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (replaced("library.properties", "name=vad_random", "name=Arduino ear"), "name = Arduino ear"),
        (replaced("library.properties", "name=vad_random", "name=12"), "name = 12"),
        (replaced("library.properties", "version=", "version=v"), "version = v"),
        (replaced("library.properties", "category=Signal Input/Output", "category=Audio"), "category"),
        (replaced("library.properties", "maintainer=your name <you@example.com>\n", ""), "maintainer is missing"),
        (replaced("library.properties", "url=https://", "url=www "), "url = www"),
        (replaced("library.properties", "dot_a_linkage=true", "dot_a_linkage=yes"), "dot_a_linkage = yes"),
        (replaced("library.properties", "includes=", "include="), "include is no field"),
        (replaced("library.properties", "paragraph=", "paragraph=x\n"), "no field: Graph"),
        (replaced("keywords.txt", "vad_reset\t", "vad_reset "), "keywords.txt: vad_reset"),
        (lambda home: (home / "src" / "vad.c").rename(home / "vad.c"), "code outside src"),
        (lambda home: (home / "examples" / "microphone").rename(home / "examples" / "mic"), "mic has no sketch"),
        (lambda home: shutil.rmtree(home / "examples"), "no example"),
        (replaced("library.properties", "includes=", "includes=x"), "is not in src"),
    ],
)
def test_arduino_s_rules_say_what_is_wrong(change: Callable[[Path], object], why: str, tmp_path: Path) -> None:
    home = packed("vad", "arduino", tmp_path)
    change(home)
    assert any(why in fault for fault in library_faults(home))


def test_the_checker_s_own_python_is_named_when_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGERNN_PACKAGERS", str(tmp_path / "python"))
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="EDGERNN_PACKAGERS"):
        need_packagers()
