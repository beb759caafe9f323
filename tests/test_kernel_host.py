"""The kernel of this host: the definition's bits in whole streams, over sizes, shifts and extremes, under sanitizers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from needs import need_program
from test_emulated import sound
from test_kernels import KINDS, check_entries, entries_program, graphs

from edgernn.core import qmath
from edgernn.core.primitives import SCHEMES
from edgernn.core.structure import Op
from edgernn.errors import EdgernnError
from edgernn.hostcc import WARNINGS, host_core
from edgernn.runtimes import make_runtime
from edgernn.runtimes.c import CRuntime
from firmware_export.kernels import find_kernel, kernels
from targets.build import STARTUP_DIR
from targets.linux_build import HARNESS

KERNEL = find_kernel("auto", host_core())


def need_kernel() -> str:
    if KERNEL is None:
        pytest.skip(f"no kernel for {host_core()}")
    return KERNEL.name


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_hosts_kernel_has_the_bits_of_the_definition(kind: str, scheme: str) -> None:
    name, g = need_kernel(), graphs(scheme)[kind]
    fast, pcm = CRuntime(g, kernel=name), sound(150 * g.step_samples)
    assert fast.self_test() == 0
    assert sum(make_runtime("numpy", g).run(pcm).differing(fast.run(pcm)).values()) == 0


def test_the_kernel_is_chosen_and_can_be_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g, name = graphs("int8")["gru"], need_kernel()
    monkeypatch.setenv("EDGERNN_CACHE", str(tmp_path))
    for wanted, found in (("plain", "plain"), ("", name)):
        monkeypatch.setenv("EDGERNN_KERNEL", wanted)
        assert CRuntime(g).self_test() == 0
        assert [p.name for p in tmp_path.glob(f"graph-{g.id[:24]}-{found}")]
    assert len(list(tmp_path.glob("graph-*"))) == 2
    with pytest.raises(EdgernnError, match="kernel dsp is for cortex-m4"):
        CRuntime(g, kernel="dsp")


def test_the_processor_is_what_the_system_says_it_is() -> None:
    about = Path("/proc/cpuinfo")
    if not about.is_file():
        pytest.skip("/proc/cpuinfo is missing")
    assert (host_core() == "x86-64-v3") == ("avx2" in about.read_text().split())


def test_entries_are_exact_over_all_inputs_under_sanitizers(tmp_path: Path) -> None:
    """As on emulated cores, run by this processor itself."""
    kernel = kernels()[need_kernel()]
    need_program("gcc")
    flags = [*kernel.flags, "-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    sources = [*entries_program(kernel, tmp_path), HARNESS]
    include = [f"-I{folder}" for folder in (tmp_path, STARTUP_DIR)]
    subprocess.run(["gcc", *WARNINGS, *flags, *include, *map(str, sources), "-o", str(tmp_path / "t")], check=True)
    subprocess.run([str(tmp_path / "t")], cwd=tmp_path, check=True)
    check_entries(tmp_path)


CHECK = r"""
#include <stdio.h>
#include <stdlib.h>
#include "KERNEL.h"

static void *got(FILE *f, size_t bytes)
{
    void *const p = malloc(bytes + (bytes == 0));
    return p != 0 && fread(p, 1, bytes, f) == bytes ? p : 0;
}

int main(void)
{
    FILE *const f = fopen("cases", "rb");
    uint32_t head[6], wrong = 0, i;
    /* rows, columns, n, relu, words of the stream, entries of x: no more than may be read */
    while (fread(head, 4, 6, f) == 6) {
        const size_t bytes = 2 * head[0] * head[2];
        const uint16_t rows = (uint16_t)head[0], columns = (uint16_t)head[1], groups = (uint16_t)((columns + 3) / 4);
        uint32_t *const stream = got(f, 4 * head[4]);
        int16_t *const x = got(f, 2 * head[5]), *const y = malloc(bytes), *const wanted = got(f, bytes);
        const ern_fast_linear l = { stream, rows, groups, (uint16_t)head[3], columns, columns };
        ern_fast_matvec_rows(y, &l, x, head[2]);
        for (i = 0; i < head[0] * head[2]; i++) {
            wrong += y[i] != wanted[i];
        }
        free(stream);
        free(x);
        free(y);
        free(wanted);
    }
    printf("%u", wrong);
    return 0;
}
"""


def case(rng: np.random.Generator, name: str, rows: int, columns: int, n: int, relu: int, extreme: bool) -> bytes:
    """One product as bytes: sizes, stream, operand, and what the definition makes of them."""
    kernel: Any = kernels()[name]
    if extreme:
        w, x = rng.choice([-127, 127], (rows, columns)), rng.choice([-32768, 32767], (n, columns))
    else:
        w, x = rng.integers(-127, 128, (rows, columns)), rng.integers(-32768, 32768, (n, columns))
    shift = rng.integers(kernel.shifts[0], kernel.shifts[1] + 1, rows)
    bias, m = rng.integers(-(2**20), 2**20, rows), rng.integers(16384, 32768, rows)
    op = Op("matvec", "y", ("x",), {"relu": relu})
    constants = {"y.weight": w, "y.bias": bias, "y.multiplier": m, "y.shift": shift}
    g: Any = SimpleNamespace(constants=constants, values={"x": SimpleNamespace(dtype="int16", shape=(n, columns))})
    assert kernel.takes(g, op, True)
    wanted = qmath.requantize(x @ w.T + bias, m, shift)
    stream, behind = kernel.packed(g, op), rng.integers(-32768, 32768, -columns % 4)
    operand = np.concatenate([x.ravel(), behind])
    head = np.array([rows, columns, n, relu, len(stream), len(operand)], "<u4")
    wanted = np.maximum(wanted, 0 if relu else -32768)
    return head.tobytes() + stream.tobytes() + operand.astype("<i2").tobytes() + wanted.astype("<i2").tobytes()


def test_products_of_every_size_under_sanitizers(tmp_path: Path) -> None:
    """Random sizes with 1, odd ones, primes and 512; every shift; the greatest operands; not an entry too much is read."""
    name, rng = need_kernel(), np.random.default_rng(1)
    need_program("gcc")
    sizes = [(1, 1), (4, 16), (5, 17), (3, 512), (512, 3), (31, 67), (64, 64), (96, 40), (2, 15), (7, 12)]
    sizes += [(int(r), int(c)) for r, c in rng.integers(1, 90, (60, 2))]
    cases = [case(rng, name, r, c, int(rng.integers(1, 4)), i % 2, i % 5 == 0) for i, (r, c) in enumerate(sizes)]
    (tmp_path / "cases").write_bytes(b"".join(cases))
    kernel = kernels()[name]
    for file, data in kernel.files().items():
        (tmp_path / file).write_bytes(data)
    (tmp_path / "t.c").write_text(CHECK.replace("KERNEL.h", kernel.header))
    flags = [*kernel.flags, "-O2", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run(["gcc", *flags, "-I.", "t.c", *kernel.compiled, "-o", "t"], cwd=tmp_path, check=True)
    done = subprocess.run(["./t"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "0"), done.stderr[:2000]
