"""The test firmware of every task as a program of this machine: what it writes, counts and refuses, with no emulator."""

from __future__ import annotations

import functools
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound
from test_notices_tasks import GRAPHS

from edgernn import firmware
from edgernn.core.graph import NetGraph
from edgernn.errors import EdgernnError
from edgernn.hostcc import host_compiler
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import write_wav
from edgernn.tasks import task_of
from firmware_export.emit import BOARD_DRIVER, export_c
from targets import load_board
from targets.build import STARTUP_DIR
from targets.run_types import RunResult

#: board.h over the C library; what is asked of the board is written down, letter by letter, in board.log
BOARD = r"""
#include "board.h"
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
static FILE *files[8];
static void note(const char *what) { FILE *log = fopen("board.log", "a"); fputs(what, log); fclose(log); }
int board_open(const char *path, int write) { int i; for (i = 0; files[i]; i++) { }
    files[i] = fopen(path, write ? "wb" : "rb"); return files[i] ? i : -1; }
uint32_t board_read(int fd, void *buf, uint32_t n) { return (uint32_t)fread(buf, 1, n, files[fd]); }
uint32_t board_write(int fd, const void *buf, uint32_t n) {
    n = (uint32_t)fwrite(buf, 1, n, files[fd]); fflush(files[fd]); return n; }
uint32_t board_cmdline(char *buf, uint32_t n) { const char *line = getenv("LINE");
    if (!line || strlen(line) >= n) return 0; strcpy(buf, line); return (uint32_t)strlen(line); }
void board_stack_paint(void) { note("P"); }
uint32_t board_stack_used(void) { note("U"); return 77; }
void board_count_start(void) { note("S"); }
void board_count_stop(void) { note("E"); }
"""


@functools.cache
def program(task: str) -> Path:
    """The harness with the board's driver, compiled for this machine."""
    folder = Path(tempfile.mkdtemp(prefix="board-"))
    g: NetGraph = GRAPHS[task]
    export_c(g, folder, "model")
    (folder / "board.c").write_text(BOARD)
    own = task_of(g)
    sources = [own.harness(), folder / "board.c", *(folder / s for s in own.c.sources)]
    include = [f"-I{folder}", f"-I{BOARD_DRIVER}", f"-I{STARTUP_DIR}"]
    subprocess.run([*host_compiler(), "-O1", *include, *map(str, sources), "-o", str(folder / "a.out")], check=True)
    return folder / "a.out"


def ran(task: str, line: str, folder: Path) -> tuple[int, str]:
    """Exit code, and what was asked of the board."""
    (folder / "board.log").unlink(missing_ok=True)
    done = subprocess.run([str(program(task))], cwd=folder, env={"LINE": line} if line else {}, check=False)
    log = folder / "board.log"
    return done.returncode, log.read_text() if log.exists() else ""


@pytest.fixture(params=GRAPHS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def heard(g: NetGraph, steps: int, more: int = 0) -> Any:
    """Sound that comes and goes, some samples longer than so many steps."""
    n = steps * g.step_samples + more
    return (noisy_sound(n, 3) * (np.arange(n) // 4000 % 2)).astype(np.int16)


def events_of(task: str, output: Any) -> int:
    """What a task's harness counts: words, beginnings of speech, nothing."""
    if task == "spot":
        return int(((output[:, 0] >= 0) & (output[:, 2] == 0)).sum())  # an event is told again when it is over
    return int((np.diff(np.concatenate([[0], output[:, 0]])) == 1).sum()) if task == "vad" else 0


def test_every_step_is_written_and_counted_and_events_are_those_of_the_definition(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    g, steps = GRAPHS[task], 60
    pcm = heard(g, steps, g.step_samples - 1)

    def run(built: Any, board: Any, *, args: Any, workdir: Path, count: bool = False, **_: Any) -> Any:
        code, log = ran(task, " ".join(args), workdir)
        spans = "SE" * steps if not count else "SE" * min(steps, firmware.COUNTED_STEPS)
        assert log == f"PSEU{spans[2:]}", "the stack is measured around the first step, every step is a span"
        return RunResult(code, "", [5] * (log.count("E")), "none")

    monkeypatch.setattr(firmware, "run", run)
    report = firmware.run_firmware(g, None, load_board("microbit"), pcm)  # type: ignore[arg-type]
    expected = make_runtime("numpy", g).run(pcm)
    assert (report.bits_differing, report.steps, report.stack_bytes, report.counted_steps) == (0, steps, 77, 50)
    assert report.entries == sum(a.size for _, a in expected.arrays())
    assert report.events == events_of(task, expected.output)
    assert task == "denoise" or report.events > 1


def test_totals_tell_self_test_steps_events_stack_and_bytes(task: str, tmp_path: Path) -> None:
    g = GRAPHS[task]
    pcm = heard(g, 7, g.step_samples - 1)  # what fills no step is no step
    write_wav(tmp_path / "in.wav", pcm)
    assert ran(task, "in.wav out.bin", tmp_path)[0] == 0
    total = np.fromfile(tmp_path / "out.bin.sum", "<u4").tolist()
    assert total[4] * 7 == (tmp_path / "out.bin").stat().st_size
    assert total[:4] == [0, 7, events_of(task, make_runtime("numpy", g).run(pcm).output), 77]
    (tmp_path / "out.bin").unlink()
    assert ran(task, "in.wav o count", tmp_path)[0] == 0
    assert np.fromfile(tmp_path / "o.sum", "<u4").tolist() == [*total[:4], 0]
    assert not (tmp_path / "o").exists(), "counting writes nothing but the sum"


def test_a_word_that_still_lasts_when_the_sound_ends_is_counted(tmp_path: Path) -> None:
    g, steps = GRAPHS["spot"], 4
    pcm = heard(g, steps)
    output = make_runtime("numpy", g).run(pcm).output
    assert events_of("spot", output) == 1 and not output[:, 3].any(), "it fired, and is not over"
    write_wav(tmp_path / "in.wav", pcm)
    ran("spot", "in.wav out.bin", tmp_path)
    assert np.fromfile(tmp_path / "out.bin.sum", "<u4").tolist()[1:3] == [steps, 1]


def test_the_stream_begins_from_reset_after_the_self_test(task: str, tmp_path: Path) -> None:
    """The self-test's noise is not heard by the first step."""
    g = GRAPHS[task]
    write_wav(tmp_path / "in.wav", np.zeros(3 * g.step_samples, np.int16))
    ran(task, "in.wav out.bin", tmp_path)
    total = np.fromfile(tmp_path / "out.bin.sum", "<u4")
    trace = firmware.parsed_trace(g, np.fromfile(tmp_path / "out.bin", np.uint8).reshape(int(total[1]), int(total[4])))
    assert sum(make_runtime("numpy", g).run(np.zeros(3 * g.step_samples, np.int16)).differing(trace).values()) == 0


def test_samples_are_found_behind_other_chunks_and_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    g = GRAPHS["spot"]
    write_wav(tmp_path / "in.wav", heard(g, 4))
    whole = (tmp_path / "in.wav").read_bytes()
    ran("spot", "in.wav a", tmp_path)
    chunk = b"LIST" + struct.pack("<I", 6) + b"abcdef"
    (tmp_path / "in.wav").write_bytes(whole[:36] + chunk + whole[36:])
    assert ran("spot", "in.wav b", tmp_path)[0] == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    for content in (b"", b"RIFF", whole[:36], b"RIFX" + whole[4:8] + b"AVEW" + whole[12:]):
        (tmp_path / "in.wav").write_bytes(content)
        assert ran("spot", "in.wav c", tmp_path)[0] == 3
    assert ran("spot", "absent.wav c", tmp_path)[0] == 3
    assert ran("spot", "in.wav", tmp_path)[0] == 3
    assert ran("spot", "", tmp_path)[0] == 2


def test_a_self_test_that_fails_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    g = GRAPHS["spot"]

    def run(built: Any, board: Any, *, args: Any, workdir: Path, **_: Any) -> Any:
        code, _ = ran("spot", " ".join(args), workdir)
        total = np.fromfile(workdir / "out.bin.sum", "<u4")
        total[0] = 3
        total.tofile(workdir / "out.bin.sum")
        return RunResult(code, "", [], "none")

    monkeypatch.setattr(firmware, "run", run)
    with pytest.raises(EdgernnError, match="self-test failed at output 2"):
        firmware.emulated_trace(g, None, load_board("microbit"), heard(g, 3))  # type: ignore[arg-type]
