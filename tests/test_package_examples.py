"""The examples of libraries: compiled for the cores, and run on this host with the small doubles in `stand_ins`.

No framework was here and no board. Every check also gets something that is wrong.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from needs import need_program
from packages import (
    CORES,
    EXAMPLES,
    FRAMEWORKS,
    STAND_INS,
    TASKS,
    altered,
    call,
    cmake,
    compiled,
    graph,
    packed,
    stream,
    told,
)

from edgernn.hostcc import WARNINGS, host_compiler
from edgernn.runtimes import make_runtime
from edgernn.tasks import task_of

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
def test_examples_hear_what_the_application_hears(framework: str, task: str, tmp_path: Path) -> None:
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
def test_a_fault_in_an_example_shows(framework: str, tmp_path: Path) -> None:
    home, (old, new) = packed("vad", framework, tmp_path), FAULTS[framework]
    example = home / EXAMPLES[framework][0]
    altered(example, old, new)
    pcm = stream(graph("vad"))
    given = slots(pcm) if framework in ("esp-idf", "pico-sdk") else pcm
    done = subprocess.run([program_of(framework, home, tmp_path / "build")], input=given.tobytes(), capture_output=True)
    assert told("vad")[0] not in done.stdout.decode(errors="replace")


def test_several_models_live_in_one_zephyr_program(tmp_path: Path) -> None:
    """Zephyr links libraries whole: two runtimes would clash."""
    home, other = packed("vad", "zephyr", tmp_path), packed("denoise", "zephyr", tmp_path / "other")
    configuration = home / "samples/microphone/prj.conf"
    configuration.write_text(configuration.read_text() + f"CONFIG_{other.name.upper()}=y\n")
    sample = home / "samples/microphone/CMakeLists.txt"
    sample.write_text(sample.read_text().replace("../..)", f"../..)\nlist(APPEND ZEPHYR_EXTRA_MODULES {other})"))
    program = program_of("zephyr", home, tmp_path / "build")
    assert told("vad")[0] in call([program], stdin=stream(graph("vad")).tobytes()).decode()


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
