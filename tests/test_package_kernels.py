"""Libraries for one kind of core: `edgernn export --package --kernel`. Every file of theirs is compiled, as frameworks do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from needs import need_program
from packages import CORES, EXAMPLES, TASKS, call, cmake, compiled, graph, packed, stream, told
from test_emulated import need
from typer.testing import CliRunner

from edgernn import cli
from edgernn.hostcc import WARNINGS, host_core
from edgernn.tasks import task_of
from firmware_export.kernels import PLAIN, find_kernel, kernels
from targets import build, find_toolchain, load_board, run

MAIN = """\
#include "board.h"
#include "own.h"

static own_state state;
static int16_t pcm[HOP];

int main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return -own_self_test(&state, pcm);
}
"""
#: of the kernels for emulated boards
BOARDS = {"dsp": "mps2-an386", "m0": "cortex-m0-4m", "m3": "mps2-an385", "mve": "mps3-an547-mve", "rv32": "riscv32-virt"}
#: kernels for the core that a framework's example is compiled for
OWN = {name: kernel.name for name, (_, core) in EXAMPLES.items() if (kernel := find_kernel("auto", core))}


def self_tested(home: Path, prefix: str, board: str) -> int:
    """What the self-test of a library says on an emulated board; every file of its folder is compiled."""
    b, main = load_board(board), home / "main.c"
    main.write_text(MAIN.replace("HOP", f"{prefix.upper()}_HOP").replace("own", prefix))
    sources = [main, *sorted((home / "src").glob("*.[cS]"))]
    firmware = build(sources, b, home / "x.elf", include_dirs=[home / "src"], toolchain=find_toolchain(b, "gcc"))
    return run(firmware, b, workdir=home, emulator="qemu", timeout_s=120).exit_code


def test_every_kernel_is_packed_here() -> None:
    assert set(BOARDS) | {"avx2", "neon"} == set(kernels())
    assert set(OWN.values()) == {"dsp", "m0", "rv32"}


@pytest.mark.parametrize(("kernel", "task"), [*(("dsp", task) for task in TASKS), *((k, "vad") for k in BOARDS if k != "dsp")])
def test_the_self_test_passes_on_the_kernel_s_core(kernel: str, task: str, tmp_path: Path) -> None:
    need(BOARDS[kernel], "gcc", "qemu")
    home, prefix = packed(task, "arduino", tmp_path, kernel=kernel), task_of(graph(task)).c.prefix
    header = home / "src" / f"{prefix}.h"
    assert f'#include "{kernels()[kernel].header}"' in header.read_text()
    assert self_tested(home, prefix, BOARDS[kernel]) == 0
    if task == "vad":
        text = header.read_text()
        begin = text.index("{", text.index("_stream[")) + 1
        first = text[begin : text.index(",", begin)]
        header.write_text(text[:begin] + str(int(first) ^ 1) + text[begin + len(first) :])
        assert self_tested(home, prefix, BOARDS[kernel]) == 1, "of other weights it says so"


@pytest.mark.parametrize("framework", OWN)
def test_examples_and_library_compile_for_the_core(framework: str, tmp_path: Path) -> None:
    home = packed("vad", framework, tmp_path, kernel=OWN[framework])
    done = compiled(framework, home)
    assert done.returncode == 0, done.stderr[:2000]
    listed = "".join(path.read_text() for path in home.rglob("CMakeLists.txt"))
    if framework not in ("arduino", "platformio"):  # these compile the whole folder
        assert all(source.name in listed for source in (home / "src").glob("ern_*.[cS]"))
    assert f"--kernel {OWN[framework]}" in (home / "README.md").read_text()


@pytest.mark.parametrize(
    ("kernel", "core"), [("dsp", "cortex-m0plus"), ("rv32", "cortex-m4"), ("m0", "rv32imc"), ("neon", "cortex-m4")]
)
def test_another_core_is_refused_in_words(kernel: str, core: str, tmp_path: Path) -> None:
    framework = next(name for name, (_, c) in EXAMPLES.items() if c == core)
    done = compiled(framework, packed("vad", framework, tmp_path, kernel=kernel))
    assert done.returncode != 0
    assert f"(--kernel {kernel}): export it with another kernel, or none, for your core" in done.stderr


def host_kernel() -> str:
    found = find_kernel("auto", host_core())
    if found is None:
        pytest.skip(f"no kernel for {host_core()}")
    return found.name


@pytest.mark.parametrize("task", TASKS)
def test_cmake_builds_for_this_host_and_ctest_passes(task: str, tmp_path: Path) -> None:
    home = packed(task, "cmake", tmp_path, kernel=host_kernel())
    build = cmake(home, tmp_path / "build")
    assert b"100% tests passed, 0 tests failed out of 1" in call(["ctest", "--test-dir", build])
    words, made = told(task)
    assert call([build / f"{home.name}_listen"], stdin=stream(graph(task)).tobytes()) == words.encode() + made


def test_models_of_two_kernels_do_not_share_a_runtime(tmp_path: Path) -> None:
    names = [packed("vad", "cmake", tmp_path, f"x{i}", kernel).name for i, kernel in enumerate((PLAIN, host_kernel()))]
    lines = ["cmake_minimum_required(VERSION 3.16)", "project(all C)", *(f"add_subdirectory({name})" for name in names)]
    (tmp_path / "CMakeLists.txt").write_text("\n".join(lines))
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "build"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "export all by one" in " ".join(done.stderr.split()) and f"--kernel {host_kernel()}" in done.stderr


def exported(folder: Path, kernel: str) -> Any:
    """`edgernn export --package zephyr` of a graph file, into `folder`/out."""
    graph("vad").save(folder / "x.ern")
    words: list[Any] = ["export", folder / "x.ern", "--package", "zephyr", "--kernel", kernel, "--out", folder / "out"]
    return CliRunner().invoke(cli.app, [str(x) for x in words])


def test_the_verb_takes_the_kernel_along(tmp_path: Path) -> None:
    assert exported(tmp_path, "m0").exit_code == 0
    assert list((tmp_path / "out").glob("*/src/ern_m0_rows.S"))


@pytest.mark.parametrize("kernel", ["auto", "fast"])
def test_what_is_no_kernel_is_refused_before_anything_is_written(kernel: str, tmp_path: Path) -> None:
    done = exported(tmp_path, kernel)
    assert "kernel" in str(done.exception) and done.exit_code != 0
    assert not (tmp_path / "out").exists()


def test_warnings_find_nothing_in_a_kernel_s_package(tmp_path: Path) -> None:
    """The dsp kernel's C and the model's, as a compiler of Cortex-M4 sees them."""
    program, *flags = CORES["cortex-m4"]
    need_program(program.format("gcc"))
    home = packed("spot", "zephyr", tmp_path, kernel="dsp")
    for source in (home / "src").glob("*.c"):
        call([program.format("gcc"), *flags, *WARNINGS, "-O1", "-c", source, "-o", os.devnull])
