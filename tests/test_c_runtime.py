"""The C as C: warnings are errors everywhere, sanitizers find nothing, and it lives in other people's projects."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fixture_runs import ROOT
from nets import quantized, random_net, recurrent_cells

from edgernn.core.primitives import SCHEMES
from edgernn.hostcc import WARNINGS, host_compiler
from edgernn.runtimes import make_runtime
from edgernn.tasks.spot import TASK
from edgernn.tasks.spot.graph import SpotGraph
from firmware_export.emit import c_macros, export_c
from firmware_export.golden import GOLDEN_STEPS, golden_signal
from targets import available_toolchains, find_toolchain, list_boards, load_board

RUNTIME_SOURCES = TASK.c.sources
README = ROOT / "firmware_export" / "runtime" / "README.md"


@pytest.fixture(scope="module")
def graph() -> SpotGraph:
    return quantized(random_net("gru", 24, "separable"), "int8")


def call(command: list[str], cwd: Path | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, timeout=120)


def compiled(command: list[str]) -> None:
    done = call(command)
    assert done.returncode == 0, done.stderr.decode()[:2000]


def need_tool(name: str) -> None:
    if shutil.which(name) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is missing")
        pytest.skip(f"{name} is missing")


def test_every_board_compiler_accepts_runtime_and_examples(graph: SpotGraph, tmp_path: Path) -> None:
    export_c(graph, tmp_path)
    (tmp_path / "stdio.h").write_text("/* main.c's printf and stdin belong to the host */\n")
    tried = 0
    for name in list_boards():
        board = load_board(name)
        for toolchain in available_toolchains(board):
            command = list(find_toolchain(board, toolchain).command)
            for source in (*RUNTIME_SOURCES, "examples/kws_main_interrupt.c"):
                compiled([*command, *WARNINGS, "-ffreestanding", "-O2", f"-I{tmp_path}", "-c", str(tmp_path / source),
                          "-o", str(tmp_path / "x.o")])  # fmt: skip
                tried += 1
    assert tried >= 4


def test_example_runs_on_the_host(graph: SpotGraph, tmp_path: Path) -> None:
    export_c(graph, tmp_path)
    program = tmp_path / "listen"
    sources = [tmp_path / "examples/kws_main.c", *(tmp_path / s for s in RUNTIME_SOURCES)]
    compiled([*host_compiler(), *WARNINGS, "-O1", f"-I{tmp_path}", *map(str, sources), "-o", str(program)])
    assert len((tmp_path / "examples/kws_main.c").read_text().splitlines()) <= 35
    assert call([str(program)], stdin=golden_signal(640, 50).tobytes()).returncode == 0


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", recurrent_cells())
def test_sanitizers_and_checked_arithmetic_find_nothing(cell: str, scheme: str, tmp_path: Path) -> None:
    """ASan, UBSan and ERN_CHECKED over loud sound: the same posteriors as the definition, and every operation counted."""
    need_tool("gcc")
    g = quantized(random_net(cell, 24, "conv"), scheme)
    export_c(g, tmp_path)
    (tmp_path / "main.c").write_text(
        '#define KWS_IMPLEMENTATION\n#include "kws.h"\n#include <stdio.h>\n'
        'extern ern_counts ern_counted;\n#include "ern_math.h"\n'
        "int main(void) { static kws_state s; static int16_t pcm[KWS_HOP]; kws_event e;\n"
        "  if (kws_self_test(&s, pcm) != 0) return 1;\n  kws_reset(&s); ern_counted.mac = 0;\n"
        "  while (fread(pcm, 2, KWS_HOP, stdin) == KWS_HOP) { kws_process(&s, pcm, &e);\n"
        "    fwrite(s.posteriors, 2, KWS_LABELS, stdout); }\n"
        '  fprintf(stderr, "%llu\\n", (unsigned long long)ern_counted.mac); return 0; }\n'.replace("extern ern_counts", "//")
    )
    program = tmp_path / "checked"
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-DERN_CHECKED", "-std=c99", "-Wall"]
    sources = [tmp_path / "main.c", *(tmp_path / s for s in RUNTIME_SOURCES)]
    text = (tmp_path / "main.c").read_text().replace('#include "kws.h"', '#include "ern_math.h"\n#include "kws.h"', 1)
    (tmp_path / "main.c").write_text(text)
    compiled(["gcc", *flags, f"-I{tmp_path}", *map(str, sources), "-o", str(program)])
    rng = np.random.default_rng(0)
    loud = np.concatenate([
        rng.integers(-32768, 32768, 40 * g.step_samples), np.full(10 * g.step_samples, -32768),
        np.zeros(10 * g.step_samples), np.where(np.arange(20 * g.step_samples) % 50 < 25, 32767, -32768),
    ]).astype(np.int16)  # fmt: skip
    done = call([str(program)], stdin=loud.tobytes())
    assert done.returncode == 0, done.stderr.decode()[:2000]
    expected = make_runtime("numpy", g).run(loud).posteriors
    assert np.array_equal(np.frombuffer(done.stdout, np.int16).reshape(expected.shape), expected)
    assert int(done.stderr) == g.macs_per_step * len(expected)


def test_checked_arithmetic_catches_an_overflow(tmp_path: Path) -> None:
    need_tool("gcc")
    from edgernn.signal.native import runtime_dir

    body = "int main(void) { ern_wide x = 2147483647; return ERN_PROVE32(x + 1) == 0; }\n"
    (tmp_path / "t.c").write_text('#define ERN_CHECKED\n#include "ern_math.h"\n' + body)
    compiled(["gcc", f"-I{runtime_dir()}", str(tmp_path / "t.c"), "-o", str(tmp_path / "t")])
    done = call([str(tmp_path / "t")])
    assert done.returncode < 0
    assert b"does not fit 32 bits" in done.stderr


def test_both_wide_products_agree(tmp_path: Path) -> None:
    """Cores without a long multiplication take the second form: equal over extremes and a million random operands."""
    from edgernn.signal.native import runtime_dir

    (tmp_path / "t.c").write_text(
        '#include "ern_math.h"\nint main(void) { static const int32_t e[] = {0, 1, -1, 65535, 65536, -65536, 2147483647,'
        " -2147483647 - 1, 32768, -32769};\n uint32_t s = 1; int i, j;"
        " for (i = 0; i < 10; i++) for (j = -32768; j <= 32767; j++)"
        " if (ern_mul_wide_long(e[i], (int16_t)j) != ern_mul_wide_short(e[i], (int16_t)j)) return 1;\n"
        " for (i = 0; i < 1000000; i++) { int32_t a; s = s * 1664525u + 1013904223u; a = (int32_t)s;"
        " s = s * 1664525u + 1013904223u; if (ern_mul_wide_long(a, (int16_t)(s >> 16)) !="
        " ern_mul_wide_short(a, (int16_t)(s >> 16))) return 2; } return 0; }\n"
    )
    compiled([*host_compiler(), "-O1", f"-I{runtime_dir()}", str(tmp_path / "t.c"), "-o", str(tmp_path / "t")])
    assert call([str(tmp_path / "t")]).returncode == 0


def test_self_test_finds_a_changed_weight_and_a_changed_table(graph: SpotGraph, tmp_path: Path) -> None:
    export_c(graph, tmp_path)
    header = (tmp_path / "kws.h").read_text()
    main = '#define KWS_IMPLEMENTATION\n#include "kws.h"\n#include <stdio.h>\nint main(void) { static kws_state s;' \
           ' static int16_t p[KWS_HOP]; printf("%ld", (long)kws_self_test(&s, p)); return 0; }\n'  # fmt: skip
    (tmp_path / "t.c").write_text(main)
    sources = [str(tmp_path / "t.c"), *(str(tmp_path / s) for s in RUNTIME_SOURCES)]

    def result(text: str) -> int:
        (tmp_path / "kws.h").write_text(text)
        compiled([*host_compiler(), "-O1", f"-I{tmp_path}", *sources, "-o", str(tmp_path / "t")])
        return int(call([str(tmp_path / "t")]).stdout)

    def changed(array: str) -> str:
        """The header with the first value of an array moved by one."""
        found = re.search(re.escape(array) + r"\[[^]]*\] = \{\s*(-?\d+)", header)
        assert found, array
        value = int(found[1])
        return header[: found.start(1)] + str(value - 1 if value > 0 else value + 1) + header[found.end(1) :]

    assert result(header) == 0
    assert result(changed("kws_gru2_fh_weight")) == -1
    assert result(changed("kws_offset")) == -1
    assert result(changed("kws_thresholds")) == 0, "a threshold is the user's to tune"
    numbers = f", {graph.frontend.floor_log2}, {graph.affine.shift}, {graph.affine.bits},\n"
    assert header.count(numbers) == 2, "of the model's own front end, and for one that is shared"
    other_shift = header.replace(numbers, f", {graph.frontend.floor_log2}, {graph.affine.shift + 1}, {graph.affine.bits},\n")
    assert 1 <= result(other_shift) <= GOLDEN_STEPS, "what no checksum covers shows in the posteriors"


def test_two_models_in_one_program_and_cpp(tmp_path: Path) -> None:
    need_tool("g++")
    graphs = {"wake": quantized(random_net("gru", 8), "int8"), "word": quantized(random_net("lstm", 8), "int8x16")}
    for prefix, g in graphs.items():
        export_c(g, tmp_path / prefix, prefix)
        implementation = f'#define {prefix.upper()}_IMPLEMENTATION\n#include "{prefix}/{prefix}.h"\n'
        (tmp_path / f"{prefix}.c").write_text(implementation)
    body = '#include "wake/wake.h"\n#include "word/word.h"\nint main() { static wake_state a; static word_state b;' \
           " static int16_t p[WAKE_HOP]; return wake_self_test(&a, p) != 0 || word_self_test(&b, p) != 0; }\n"  # fmt: skip
    (tmp_path / "main.cpp").write_text(body)
    objects = []
    for source in ("wake.c", "word.c", *(f"wake/{s}" for s in RUNTIME_SOURCES)):
        objects.append(str(tmp_path / (source.replace("/", "_") + ".o")))
        compiled(["gcc", *WARNINGS, f"-I{tmp_path}", f"-I{tmp_path}/wake", "-c", str(tmp_path / source), "-o", objects[-1]])
    compiled(["g++", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", f"-I{tmp_path}/wake", str(tmp_path / "main.cpp"), *objects,
              "-o", str(tmp_path / "both")])  # fmt: skip
    assert call([str(tmp_path / "both")]).returncode == 0
    compiled(["g++", "-x", "c++", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}", "-fsyntax-only", str(tmp_path / "wake.c")])


def test_header_is_deterministic_and_names_its_graph(graph: SpotGraph, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        export_c(graph, tmp_path / folder)
    texts = [(tmp_path / f / "kws.h").read_text() for f in ("a", "b")]
    assert texts[0] == texts[1]
    assert graph.id in texts[0]
    assert f"#define KWS_WEIGHT_BYTES {graph.weight_bytes} " in texts[0]


def test_labels_of_any_script_have_macros_of_their_own(graph: SpotGraph, tmp_path: Path) -> None:
    from dataclasses import replace

    assert c_macros(["hey robin", "größe", "привет", "你好", "a b", "a_b", "A-B", "a_b_2"]) == [
        "HEY_ROBIN", "GROSSE", "WORD", "WORD_2", "A_B", "A_B_2", "A_B_3", "A_B_2_2",
    ]  # fmt: skip
    for labels in (("a b", "a_b", "a_b_2", "unknown", "silence"), ('"\\ü', "*/b", "??/ccc\\", "привет", "你好")):
        export_c(replace(graph, labels=labels, name="x */ y \\\n#error"), tmp_path)
        (tmp_path / "t.c").write_text('#define KWS_IMPLEMENTATION\n#include "kws.h"\n')
        compiled([*host_compiler(), *WARNINGS, f"-I{tmp_path}", "-c", str(tmp_path / "t.c"), "-o", str(tmp_path / "t.o")])


def test_budgets_are_checked_by_the_compiler(graph: SpotGraph, tmp_path: Path) -> None:
    export_c(graph, tmp_path)
    text = (tmp_path / "kws.h").read_text()
    (tmp_path / "t.c").write_text('#define KWS_IMPLEMENTATION\n#include "kws.h"\n')
    for name, change in (("STATE_BYTES", -200), ("WEIGHT_BYTES", 1)):
        value = int(text.split(f"#define KWS_{name} ")[1].split()[0])
        old = f"#define KWS_{name} {value}"
        (tmp_path / "kws.h").write_text(text.replace(old, f"#define KWS_{name} {value + change}"))
        assert call([*host_compiler(), f"-I{tmp_path}", "-c", str(tmp_path / "t.c"), "-o", "/dev/null"]).returncode != 0


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("", "", ""),
        ("ern_math.h", "((int64_t)1 << (k - 1))", "((int64_t)1 << (k - 2))"),
        ("ern_math.h", "(t + 64 - (t < 0)) >> 7", "(t + 96 - (t < 0)) >> 7"),
        ("ern_decide.c", "held[found.label] = 1;", ""),
        ("ern_decide.c", "4 * sum < 3 * goal", "4 * sum < 4 * goal"),
        ("ern_net.c", "0xEDB88320u", "0xEDB88321u"),
    ],
)
def test_the_runtime_tests_itself_without_python(file: str, right: str, wrong: str, tmp_path: Path) -> None:
    from edgernn.signal.native import runtime_dir

    need_tool("make")
    folder = tmp_path / "runtime"
    shutil.copytree(runtime_dir(), folder)
    if file:
        text = (folder / file).read_text()
        assert text.count(right) == 1
        (folder / file).write_text(text.replace(right, wrong))
    done = call(["make", "test"], cwd=folder)
    assert (done.returncode == 0) == (not file), done.stdout.decode() + done.stderr.decode()


@pytest.mark.parametrize(("board", "optimize", "count"), [
    ("microbit", "-O2", 3), ("microbit", "-Os", 6), ("riscv32-virt", "-Os", 3), ("riscv32-virt", "-O2", 0),
    ("mps2-an386", "-Os", 0),
])  # fmt: skip
def test_the_readme_names_the_helpers_that_gcc_calls(
    graph: SpotGraph, tmp_path: Path, board: str, optimize: str, count: int
) -> None:
    """What the objects leave undefined: functions of the compiler's own library that a firmware must link."""
    gcc = load_board(board).gcc
    if gcc is None or shutil.which(gcc.command) is None or shutil.which("nm") is None:
        pytest.skip(f"no GCC for {board}")
    files = export_c(graph, tmp_path)
    (tmp_path / "t.c").write_text('#define KWS_IMPLEMENTATION\n#include "kws.h"\n')
    objects = []
    for source in [tmp_path / "t.c", *(f for f in files if f.suffix == ".c" and f.parent == tmp_path)]:
        objects.append(source.with_suffix(".o"))
        compiled([gcc.command, *gcc.flags, "-std=c99", "-ffreestanding", optimize, "-c", str(source), "-o", str(objects[-1])])
    told = subprocess.run(["nm", "-u", *objects], capture_output=True, check=True).stdout.decode().split()
    called = {name for name in told if name.startswith("__")}
    page = README.read_text(encoding="utf-8")
    assert {name for name in called if f"`{name}`" not in page} == set() and len(called) <= count
    if "12." in subprocess.run([gcc.command, "-dumpfullversion"], capture_output=True, check=True).stdout.decode():
        assert len(called) == count
