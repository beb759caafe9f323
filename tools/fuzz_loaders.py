"""Damaged files and odd texts: each reader must give one sentence, never a traceback and never a crash.

    python tools/fuzz_loaders.py [MUTATIONS]        # 50,000 a model format, 3,000 a text by default

Changes, cuts and insertions at random places of one small model of every format: what a loader accepts must be the undamaged
file. Recipes, boards, baselines and the JSON of a run folder get odd values too; a changed one may be a good one, but nothing
may be raised that is no EdgernnError. Names are put into generated C, which must compile and hold them byte by byte. Exits 1
on any fault.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from nets import quantized, random_net

from edgernn import gate, runs
from edgernn.data.corpus import Dataset
from edgernn.errors import EdgernnError
from edgernn.hostcc import host_compiler
from edgernn.tasks import graph_from_bytes, recipe_paths
from edgernn.tasks.spot.graph import SpotGraph
from firmware_export.emit import c_macros, c_string, comment
from targets import board, load_board

Loader = tuple[bytes, Callable[[bytes], object]]
MUTATIONS, TEXT_MUTATIONS = 50_000, 3_000
#: what stands for a number, a text or a word of a recipe or a JSON file
ODD = (
    b"nan", b"inf", b"-inf", b"NaN", b"-Infinity", b"0", b"-1", b"1e400", b"9" * 40, b"9" * 5000, b"1.5", b"true", b"false",
    b"null", b"[]", b"{}", b"[[]]", b'""', b'"../../x"', b'"\\u0000"', b'"\\ud800"', b"[nan, 1]", b"1979-05-27",
)  # fmt: skip
_VALUE = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?|\btrue\b|\bfalse\b')


# Models ---------------------------------------------------------------------------


def ern(g: SpotGraph) -> Loader:
    return g.to_bytes(), graph_from_bytes


def tflite(g: SpotGraph) -> Loader:
    from edgernn.exports.tflite import model_bytes
    from edgernn.runtimes.litert import LiteRTRuntime

    return model_bytes(g), lambda data: LiteRTRuntime(g, data)


def onnx(g: SpotGraph) -> Loader:
    from edgernn.exports.onnx import integer_model
    from edgernn.runtimes.onnx import OnnxRuntime

    path = Path(tempfile.mkdtemp()) / "model.onnx"
    return integer_model(g), reading(path, lambda: OnnxRuntime(g, path))


#: format -> module that must exist, loader
LOADERS: Mapping[str, tuple[str, Callable[[SpotGraph], Loader]]] = {
    "ern": ("edgernn.core.graph", ern),
    "tflite": ("edgernn.exports.tflite", tflite),
    "onnx": ("edgernn.runtimes.onnx", onnx),
}


# Mutations ---------------------------------------------------------------------------


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to four bytes changed, some bytes cut out, inserted or doubled, or the end missing."""
    at, count = int(rng.integers(len(data))), int(rng.integers(1, 5))
    some = rng.integers(0, 256, count, np.uint8).tobytes()
    kinds = (
        data[:at] + some + data[at + count :],
        data[:at] + data[at + count :],
        data[:at] + some + data[at:],
        data[:at] + data[at : at + 64] + data[at:],
        data[:at],
    )
    return kinds[rng.integers(len(kinds))]


def mutated_text(data: bytes, rng: np.random.Generator) -> bytes:
    """One to three values exchanged for odd ones, or bytes changed as in `mutated`."""
    if rng.random() < 0.3:
        return mutated(data, rng)
    for _ in range(rng.integers(1, 4)):
        found = list(_VALUE.finditer(data))
        if found:
            at = found[rng.integers(len(found))]
            data = data[: at.start()] + ODD[rng.integers(len(ODD))] + data[at.end() :]
    return data


def attack(data: bytes, load: Callable[[bytes], object], mutations: int) -> list[str]:
    """What went wrong with a file that carries checksums: nothing but the undamaged one may pass."""
    return _attack(data, load, mutations, mutated, may_pass=False)


def attack_text(data: bytes, load: Callable[[bytes], object], mutations: int) -> list[str]:
    """What went wrong with a text, of which a changed one may be a good one."""
    return _attack(data, load, mutations, mutated_text, may_pass=True)


def _attack(
    data: bytes, load: Callable[[bytes], object], mutations: int,
    change: Callable[[bytes, np.random.Generator], bytes], may_pass: bool,
) -> list[str]:  # fmt: skip
    rng, wrong = np.random.default_rng(0), []
    for i in range(mutations):
        bad = change(data, rng)
        if bad == data:
            continue
        try:
            load(bad)
            wrong += [] if may_pass else [f"mutation {i}: accepted"]
        except EdgernnError:
            continue
        except Exception as error:
            wrong.append(f"mutation {i}: {type(error).__name__}: {error}")
    return wrong


# Texts ---------------------------------------------------------------------------


def reading(path: Path, read: Callable[[], object]) -> Callable[[bytes], object]:
    """Write the bytes, then read."""

    def load(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return load


def texts(folder: Path) -> Iterator[tuple[str, bytes, Callable[[bytes], object]]]:
    """(name, the good text, its reader) of everything that people or edgernn write as text."""
    for name, source in recipe_paths().items():
        path = folder / f"{name}.toml"
        yield f"recipe {name}", source.read_bytes(), reading(path, lambda path=path: runs.find_recipe(str(path)))  # type: ignore[misc]
    own = folder / "board.toml"
    yield "board", (board.BOARDS_DIR / "microbit.toml").read_bytes(), reading(own, lambda: load_board(own))
    yield from results(folder / "run")


def results(run: Path) -> Iterator[tuple[str, bytes, Callable[[bytes], object]]]:
    """The JSON of a run folder, and a baseline."""
    import fixture_runs
    import test_gate

    fixture_runs.fixture_run(run)
    readers: dict[str, Callable[[], object]] = {
        "recipe.json": lambda: runs.run_recipe(run),
        "data/index.json": lambda: Dataset.load(run / "data").summary(),
    }
    test_gate.write(run, test_gate.results())
    baseline = gate.write_baseline(run, run / "baseline.json")
    for name in ("baseline", *test_gate.results()):
        readers[f"{name}.json"] = lambda: gate.check(run, baseline)
    for name, read in readers.items():
        good = (run / name).read_bytes()
        yield name, good, reading(run / name, read)
        (run / name).write_bytes(good)


# Names ---------------------------------------------------------------------------


def odd_names(count: int) -> list[str]:
    """Texts that try to leave a comment, a string or a name."""
    rng = np.random.default_rng(1)
    parts = ["\\\n", "*/", "/*", "??/", "\\", '"', "\n", "\r", "\0", "//", "?", "#", "%s", "é", "你", "\u2028", "a", "7", " "]
    return ["".join(rng.choice(parts, rng.integers(1, 12))) for _ in range(count)]


def attack_c(count: int) -> list[str]:
    """Odd names as a comment, as a string and as macros of one C file: it must compile, and say them back byte by byte."""
    names = odd_names(count)
    lines = [f"/* {comment(x)} */ static const char t{i}[] = {c_string(x)};" for i, x in enumerate(names)]
    lines += [f"#define L_{macro} {i}" for i, macro in enumerate(c_macros(names))]
    lines += ["static void say(const char *t, unsigned long n) { unsigned long i;"]
    lines += ['for (i = 0; i < n; i++) { printf("%02x", (unsigned)(unsigned char)t[i]); }', 'puts(""); }']
    said = " ".join(f"say(t{i}, sizeof t{i});" for i in range(count))
    source = "\n".join(["#include <stdio.h>", *lines, f"int main(void) {{ {said} return 0; }}\n"])
    with tempfile.TemporaryDirectory() as scratch:
        path, program = Path(scratch) / "names.c", Path(scratch) / "names"
        path.write_text(source, encoding="utf-8")
        flags = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O0")
        done = subprocess.run([*host_compiler(), *flags, str(path), "-o", str(program)], capture_output=True, check=False)
        if done.returncode:
            return [done.stderr.decode(errors="replace")[:2000]]
        found = subprocess.run([str(program)], capture_output=True, check=True).stdout.decode().split()
    wanted = [(x.encode() + b"\0").hex() for x in names]
    return [f"{x!r} became {y}" for x, y, w in zip(names, found, wanted, strict=True) if y != w]


# Everything ---------------------------------------------------------------------------


def told(name: str, what: str, begin: float, wrong: list[str]) -> bool:
    """Print a line; whether anything went wrong."""
    print(f"{name:24} {what} in {time.monotonic() - begin:.0f} s: {len(wrong)} wrong")
    print("\n".join(wrong[:10]), end="\n" if wrong else "", flush=True)
    return bool(wrong)


def attack_texts(mutations: int) -> bool:
    """Whether anything went wrong."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for name, data, load in texts(Path(scratch)):
            load(data)
            begin = time.monotonic()
            failed |= told(name, f"{mutations} mutations", begin, attack_text(data, load, mutations))
    begin = time.monotonic()
    return told("names in C", f"{mutations} names", begin, attack_c(mutations)) or failed


def attack_models(mutations: int) -> bool:
    """Whether anything went wrong."""
    g, failed = quantized(random_net("gru", 8), "int8"), False
    for name, (module, make) in LOADERS.items():
        if importlib.util.find_spec(module) is None:
            print(f"{name:8} not in this checkout")
            continue
        data, load = make(g)
        load(data)
        begin = time.monotonic()
        failed |= told(name, f"{mutations} mutations of {len(data)} bytes", begin, attack(data, load, mutations))
    return failed


def main() -> None:
    mutations = int(sys.argv[1]) if len(sys.argv) > 1 else MUTATIONS
    failed = attack_texts(min(mutations, TEXT_MUTATIONS))
    failed |= attack_models(mutations)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
