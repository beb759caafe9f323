"""Libraries of `edgernn export --package` for tests: graphs of every task, what their application says, and compilers."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from denoisers import quantized_denoiser, random_denoiser
from fixture_runs import ROOT
from needs import need_program
from nets import quantized, random_net
from test_vad import random_graph, sound

from edgernn.core.graph import NetGraph
from edgernn.hostcc import WARNINGS, host_compiler
from edgernn.runtimes import make_runtime
from edgernn.tasks import task_of
from firmware_export.emit import export_app
from firmware_export.kernels import PLAIN, find_kernel
from firmware_export.package import export_package, package_name

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


def altered(path: Path, old: str, new: str) -> None:
    """The file with a text in another's place, which must stand there once."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def packed(task: str, framework: str, folder: Path, prefix: str = "", kernel: str = PLAIN) -> Path:
    """The folder of an exported library."""
    g = graph(task)
    export_package(g, framework, folder, prefix, find_kernel(kernel))
    return folder / package_name(g, prefix or task_of(g).c.prefix)


@functools.cache
def told(task: str) -> tuple[str, bytes]:
    """What the application of `edgernn build` tells and gives of `stream`, by task: words after the self-test, sound."""
    g = graph(task)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        app = export_app(g, folder)
        sources = [app, *(folder / name for name in task_of(g).c.sources)]
        call([*host_compiler(), "-O1", f"-I{folder}", f"-I{STAND_INS}/device", *sources, "-o", folder / "app"])
        done = subprocess.run([folder / "app"], input=stream(g).tobytes(), capture_output=True, check=True)
    words = done.stdout.decode().split("self-test ok\n")[1].removesuffix("no more sound\n")
    return words, done.stderr


def cmake(source: Path, build: Path, *options: str, **environment: str) -> Path:
    """Configure and build with every warning an error."""
    need_program("cmake")
    need_program("ninja")
    flags = " ".join(WARNINGS[1:])
    call(["cmake", "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_C_FLAGS={flags}", *options], **environment)
    call(["cmake", "--build", build], **environment)
    return build


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
