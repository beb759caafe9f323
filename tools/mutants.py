"""One-line faults that the tests must notice: each is planted in a copy of the tree, and its tests must then fail.

    python tools/mutants.py                       every fault of tools/mutants.toml
    python tools/mutants.py --sample 40           some of them, chosen by the commit; --seed chooses others
    python tools/mutants.py --only core/trace     those whose file, text or tests contain this
    python tools/mutants.py --minutes 5           begin no fault so many minutes after the first

Exit 0: every fault that was tried was noticed. 1: one was not, a survivor: write the test that notices it. 2: an entry of the
list cannot be judged, because its text no longer stands exactly once in its file, or its tests fail without the fault, do not
exist, did not run or did not end. The working tree is never touched.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIST = "tools/mutants.toml"
KILLED, SURVIVED, BROKEN, LATE = "killed", "SURVIVED", "BROKEN", "not begun"
TIMEOUT_S = 240
#: at the root: what is no part of the tree that tests need
_LEFT_OUT = {".git", ".venv", "build", "run", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-rfE", "--tb=no")


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file` the text `old`, which stands there once, becomes `new`; one of `tests` (node ids) must then fail."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        """File and change, on one line."""
        old, new = (" ".join(x.split()) for x in (self.old, self.new))
        return f"{self.file}: {old} -> {new or '(nothing)'}"

    def mutated(self, root: Path) -> str:
        """The file's text with the fault; ValueError where it cannot be planted."""
        path = root / self.file
        if not path.is_file():
            raise ValueError("there is no such file")
        text = path.read_text(encoding="utf-8")
        if (found := text.count(self.old)) != 1:
            raise ValueError(f"its text stands {found} times in the file, not once: mend the entry")
        return text.replace(self.old, self.new)


def read_list(path: Path) -> list[Mutant]:
    """The mutants of a TOML: tables [[mutant]] with file, old, new and tests."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))["mutant"]
    return [Mutant(t["file"], t["old"], t["new"], tuple(t["tests"])) for t in tables]


def chosen(mutants: Sequence[Mutant], only: str, sample: int, seed: str) -> list[Mutant]:
    """Those that match, in an order that follows the seed; at most `sample` of them (0: all)."""
    found = [m for m in mutants if only in m.name or any(only in test for test in m.tests)]
    random.Random(seed).shuffle(found)
    return found[: sample or None]


def commit(root: Path) -> str:
    """The commit's hash, where there is one."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=root, capture_output=True, text=True, encoding="utf-8")
    return done.stdout.strip() or "0"


class Bench:
    """A copy of the tree in which tests run unharmed, and copies of that copy, one a fault.

    Files are linked, not copied, and a planted file replaces its link. Compiled C is kept by its content, so faults find what
    the unharmed run compiled; each has a cache of its own, for what is named by less than its content.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        self._scratch, self._base = scratch, scratch / "base"
        shutil.copytree(root, self._base, ignore=lambda at, names: _LEFT_OUT & set(names) if Path(at) == root else ())

    def unharmed(self, tests: Sequence[str], jobs: int) -> dict[str, str]:
        """Why tests cannot judge: they fail without any fault, or there are none of that name."""
        groups = [tests[i::jobs] for i in range(jobs) if tests[i::jobs]]
        with ThreadPoolExecutor(jobs) as pool:
            done = list(pool.map(lambda group: self._run(self._base, _grouped(group), "all"), groups))
        wrong: dict[str, str] = {}
        for group, (code, output) in zip(groups, done, strict=True):
            named = re.findall(r"^(?:FAILED|ERROR:?) (?:not found: )?(.*?)(?: - .*)?$", output, re.MULTILINE)
            failed = {t: "it fails without the fault, or does not exist" for t in group if any(_is_of(n, t) for n in named)}
            if code and not failed:
                failed = dict.fromkeys(group, f"pytest ended with {code}: {output.strip()[-300:]}")
            wrong |= failed
        return wrong

    def judge(self, number: int, m: Mutant) -> tuple[str, str]:
        """What became of a fault, and why."""
        copy = self._scratch / f"mutant-{number}"
        shutil.copytree(self._base, copy, copy_function=os.link)
        try:
            _replace(copy / m.file, m.mutated(self._base))
            code, output = self._run(copy, ["-x", *m.tests], f"mutant-{number}")
        finally:
            shutil.rmtree(copy)
        if code == 0:
            return (SURVIVED, "") if re.search(r"\d+ passed", output) else (BROKEN, "none of its tests ran")
        return (KILLED, "") if code == 1 else (BROKEN, f"pytest ended with {code}: {output.strip()[-300:]}")

    def _run(self, folder: Path, arguments: Sequence[str], cache: str) -> tuple[int | str, str]:
        """pytest in a copy: its exit code, or what came instead of one, and what it said."""
        own = self._scratch / f"cache-{cache}"
        if own != (warm := self._scratch / "cache-all"):
            own.mkdir()
            for library in warm.glob("ern-*.so"):
                os.link(library, own / library.name)
        environment = {**os.environ, "PYTHONPATH": str(folder), "EDGERNN_CACHE": str(own)}
        process = subprocess.Popen(
            [sys.executable, *_PYTEST, *arguments], cwd=folder, env=environment, encoding="utf-8", stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            output = process.communicate(timeout=TIMEOUT_S if own != warm else 3 * TIMEOUT_S)[0]
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return "no answer in time", process.communicate()[0]
        finally:
            if own != warm:
                shutil.rmtree(own, ignore_errors=True)


def _grouped(tests: Sequence[str]) -> list[str]:
    """Tests of one file together, so that their fixtures are made once."""
    return sorted(tests, key=lambda test: test.split("::")[0])


def _is_of(found: str, test: str) -> bool:
    """Whether what pytest named is the test asked for, or one of its parameters."""
    return found.endswith(test) or found.startswith((f"{test}[", f"{test}::", f"{test} "))


def _replace(path: Path, text: str) -> None:
    """Another text at `path`: not in the file that is linked there, and not hidden by what Python compiled of it."""
    path.unlink()
    path.write_text(text, encoding="utf-8")
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*"):
        compiled.unlink()


def run_all(root: Path, mutants: Sequence[Mutant], jobs: int, minutes: float) -> Iterator[tuple[Mutant, str, str]]:
    """Each mutant with what became of it and why, in order; none begins so many `minutes` (0: no end) after the first could.

    What the tests take where nothing is planted is not counted: else slow ones leave no time for any fault.
    """
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        bench = Bench(root, Path(scratch))
        wrong = bench.unharmed(sorted({test for m in mutants for test in m.tests}), jobs)
        until = time.monotonic() + 60 * minutes if minutes else float("inf")

        def judged(number: int, m: Mutant) -> tuple[Mutant, str, str]:
            if bad := next((f"{test}: {wrong[test]}" for test in m.tests if test in wrong), ""):
                return m, BROKEN, bad
            return (m, LATE, "") if time.monotonic() > until else (m, *bench.judge(number, m))

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(judged, range(len(mutants)), mutants)


def plantable(root: Path, mutants: Sequence[Mutant]) -> Iterator[tuple[Mutant, str]]:
    """Each mutant with why it cannot be planted, empty where it can."""
    for m in mutants:
        try:
            m.mutated(root)
            yield m, "" if m.tests else "it names no tests"
        except ValueError as error:
            yield m, str(error)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sample", type=int, default=0, metavar="N", help="try so many; 0: all")
    parser.add_argument("--seed", default="", help="chooses the sample and the order; default: the commit")
    parser.add_argument("--only", default="", metavar="TEXT", help="those whose file, text or tests contain it")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=0.0, metavar="M", help="begin none so many after the first; 0: no end")
    parser.add_argument("--root", type=Path, default=ROOT, help="of the tree")
    given = parser.parse_args(arguments)
    root, seed = given.root.resolve(), given.seed or commit(given.root)
    mutants = chosen(read_list(root / LIST), given.only, given.sample, seed)
    print(f"{len(mutants)} faults, chosen by {seed}", flush=True)
    count: Counter[str] = Counter()
    good = []
    for m, why in plantable(root, mutants):
        if why:
            count[BROKEN] += 1
            print(f"{BROKEN} {m.name}\n    {why}", flush=True)
        else:
            good.append(m)
    for m, fate, why in run_all(root, good, given.jobs, given.minutes) if good else ():
        count[fate] += 1
        shown = [why] if why else [f"not noticed by {', '.join(m.tests)}"] if fate == SURVIVED else []
        print("\n    ".join([f"{fate} {m.name}", *shown]), flush=True)
    print(", ".join(f"{n} {fate}" for fate, n in sorted(count.items())) or "no fault was tried")
    return 1 if count[SURVIVED] else 2 if count[BROKEN] or not count[KILLED] else 0


if __name__ == "__main__":
    sys.exit(main())
