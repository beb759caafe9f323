"""What stands between a firmware and its figures, with no emulator: ELF files made by hand, semihosting on a made-up memory."""

from __future__ import annotations

import importlib
import struct
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import targets
from edgernn.errors import EdgernnError
from targets import board as boards
from targets import board_file, run_qemu
from targets.elf import read_elf
from targets.run_types import Job
from targets.run_unicorn import _ISAS, _instructions
from targets.semihost import Host

MICROBIT = targets.load_board("microbit")

build: Any = importlib.import_module("targets.build")  # the package has a function of that name

# ELF ---------------------------------------------------------------------------

#: name, kind, flags (1: writable, 2: takes memory), address, content or size
SECTIONS: list[tuple[str, int, int, int, Any]] = [
    ("", 0, 0, 0, b""),
    (".text", 1, 6, 0x0, b"code" * 25),
    (".data", 1, 3, 0x20000000, b"d" * 12),
    (".bss", 8, 3, 0x2000000C, 40),
    (".stack", 8, 3, 0x20000100, 1024),
    (".comment", 1, 0, 0, b"c" * 9),
    (".empty", 1, 2, 0, b""),
]
SYMBOLS = [("", 0, 0), ("main", 0x41, 2), ("table", 0x51, 1), ("board_count_start", 0x11, 2)]


def elf(path: Path) -> Path:
    """A file with those sections and symbols, and three program headers: loaded, of no bytes, not loaded."""
    names = b"\0".join(s[0].encode() for s in SECTIONS) + b"\0.symtab\0.strtab\0.shstrtab\0"
    strings = b"\0" + b"".join(n.encode() + b"\0" for n, _, _ in SYMBOLS[1:])
    table = b"".join(struct.pack("<3I2BH", strings.find(n.encode() + b"\0") if n else 0, v, 0, k, 0, 1) for n, v, k in SYMBOLS)
    data, headers = bytearray(52), []
    for name, kind, flags, address, content in [*SECTIONS, (".symtab", 2, 0, 0, table), (".strtab", 3, 0, 0, strings),
                                                (".shstrtab", 3, 0, 0, names)]:  # fmt: skip
        size = content if isinstance(content, int) else len(content)
        link = len(SECTIONS) + 1 if kind == 2 else 0
        headers.append((names.find(name.encode() + b"\0") if name else 0, kind, flags, address, len(data), size, link, 0, 1, 0))
        data += b"" if isinstance(content, int) else content
    text = next(h for h in headers if h[3] == 0 and h[5] == 100)
    programs = [
        (1, text[4], 0, 0x08000000, 100, 100, 5, 4),
        (1, text[4], 0, 0x09000000, 0, 40, 6, 4),
        (6, 0, 0, 0x0A000000, 52, 52, 4, 4),
    ]
    at = len(data)
    data += b"".join(struct.pack("<8I", *p) for p in programs)
    sections_at = len(data)
    data += b"".join(struct.pack("<10I", *h) for h in headers)
    ident = b"\x7fELF\x01\x01" + bytes(10)
    data[:52] = struct.pack(
        "<16s2H5I6H", ident, 2, 40, 1, 0x41, at, sections_at, 0, 52, 32, 3, 40, len(headers), len(headers) - 1
    )
    path.write_bytes(data)
    return path


def test_an_elf_gives_what_takes_memory_what_is_loaded_and_where_functions_are(tmp_path: Path) -> None:
    found = read_elf(elf(tmp_path / "x.elf"))
    assert [(s.name, s.address, s.size, s.writable, s.stored) for s in found.sections] == [
        (".text", 0, 100, False, True), (".data", 0x20000000, 12, True, True), (".bss", 0x2000000C, 40, True, False),
        (".stack", 0x20000100, 1024, True, False),
    ]  # fmt: skip
    assert [(s.address, s.data) for s in found.segments] == [(0x08000000, b"code" * 25)]
    assert found.symbols == {"main": 0x40, "table": 0x51, "board_count_start": 0x10}, "Thumb functions without their bit"
    assert found.entry == 0x41


def test_sizes_are_of_what_lies_in_flash_and_of_variables_without_the_stack(tmp_path: Path) -> None:
    toolchain: Any = SimpleNamespace(version="gcc 1")
    found = build._measure(elf(tmp_path / "x.elf"), MICROBIT, toolchain)
    assert (found.flash_bytes, found.ram_bytes, found.board, found.toolchain) == (112, 52, "microbit", "gcc 1")


@pytest.mark.parametrize("cut", [3, 40, 200, 700])
def test_a_cut_elf_is_refused(cut: int, tmp_path: Path) -> None:
    path = elf(tmp_path / "x.elf")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(EdgernnError, match="ELF file"):
        read_elf(path)


def test_what_does_not_fit_is_the_largest_excess_of_each_region() -> None:
    excess = (("RAM", 40), ("RAM", 900), ("RAM", 50), ("FLASH", 8))
    said = "".join(f"ld: region `{region}' overflowed by {size} bytes\n" for region, size in excess)
    found = build._explain(said, MICROBIT, SimpleNamespace(version="gcc"))  # type: ignore[arg-type]
    assert "FLASH needs 262152 bytes of 262144 available" in found
    assert "RAM needs 17284 bytes of 16384 available, 1024 bytes of stack included" in found
    other = build._explain("note\nx.c:3: error: oops\n", MICROBIT, SimpleNamespace(version="gcc 1"))  # type: ignore[arg-type]
    assert other == "gcc 1 failed for board 'microbit': x.c:3: error: oops"


# Semihosting ---------------------------------------------------------------------------


class Memory:
    """4 KB that a host reads and writes; block(..) lays words at 0x100, text(..) bytes at 0x800."""

    def __init__(self, folder: Path, cmdline: str = "") -> None:
        self.bytes = bytearray(4096)
        self.host = Host(lambda a, n: bytes(self.bytes[a : a + n]), self.write, folder, cmdline)

    def write(self, address: int, data: bytes) -> None:
        self.bytes[address : address + len(data)] = data

    def call(self, operation: int, *words: int) -> int:
        self.write(0x100, struct.pack(f"<{len(words)}I", *words))
        return self.host.call(operation, 0x100)

    def open(self, name: str, mode: int) -> int:
        self.write(0x800, name.encode())
        return self.call(0x01, 0x800, mode, len(name))


def test_files_are_opened_read_written_measured_and_closed(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"hello")
    m = Memory(tmp_path)
    first, out = m.open("in", 1), m.open("out", 5)
    assert {first, out} == {1, 2}
    assert m.call(0x0C, first) == 5
    assert m.call(0x06, first, 0x900, 3) == 0 and m.bytes[0x900:0x903] == b"hel"
    assert m.call(0x06, first, 0x900, 10) == 8, "what was not read"
    assert m.bytes[0x900:0x902] == b"lo"
    assert m.call(0x06, first, 0x900, 4) == 4
    assert m.call(0x05, out, 0x900, 2) == 0
    assert m.call(0x02, first) == 0 and m.call(0x02, first) == -1
    assert m.open("in", 1) == out + 1, "no handle that is still open is given again"
    m.host.close()
    assert (tmp_path / "out").read_bytes() == b"lo"
    assert (tmp_path / "in").read_bytes() == b"hello", "reading does not empty a file"


def test_what_cannot_be_done_says_so(tmp_path: Path) -> None:
    m = Memory(tmp_path)
    assert m.open("absent", 1) == -1
    assert m.open("no/folder", 5) == -1
    assert m.call(0x0C, 9) == -1
    assert m.call(0x05, 9, 0x900, 7) == 7 and m.call(0x06, 9, 0x900, 7) == 7
    assert m.call(0x77) == -1
    for mode in (4, 5, 6, 7):
        assert m.open(f"w{mode}", mode) > 0 and (tmp_path / f"w{mode}").exists()
    m.host.close()


def test_a_command_line_needs_room_for_its_end(tmp_path: Path) -> None:
    m = Memory(tmp_path, "ab cd")
    assert m.call(0x15, 0x900, 5) == -1
    assert m.call(0x15, 0x900, 6) == 0
    assert m.bytes[0x900:0x906] == b"ab cd\0"
    assert struct.unpack("<I", m.bytes[0x104:0x108])[0] == 5


def test_text_ends_at_its_zero_and_exit_keeps_its_code(tmp_path: Path) -> None:
    m = Memory(tmp_path)
    m.write(0x800, b"hi\0no")
    assert m.host.call(0x04, 0x800) == 0 and m.host.console == b"hi"
    assert m.host.exit_code is None
    m.call(0x20, 0x20026, 0x1FF)
    assert m.host.exit_code == 255


# Emulators ---------------------------------------------------------------------------


def test_instructions_are_counted_by_their_lengths() -> None:
    arm, riscv = _ISAS["arm"], _ISAS["riscv"]
    assert _instructions(bytes.fromhex("ffe700e8ffff00f000000047"), arm) == 4, "0xE800 and up are two half-words"
    assert _instructions(bytes.fromhex("0145130000000100ef008000"), riscv) == 4
    assert _instructions(bytes.fromhex("13000000") * 3, riscv) == 3 and _instructions(bytes.fromhex("0145") * 4, riscv) == 4
    assert _instructions(b"", arm) == 0


def job(tmp_path: Path, *args: str) -> Job:
    firmware = targets.Firmware(
        tmp_path / "x.elf", "microbit", "", 0, 0, (), {"board_count_start": 0x10, "board_count_stop": 0x20}
    )
    return Job(firmware, MICROBIT, args, tmp_path, False, 1.0)


def test_arguments_with_commas_reach_the_firmware_whole(tmp_path: Path) -> None:
    command = run_qemu._command(job(tmp_path, "a,b", "c"))
    assert command[-1].endswith(",arg=a,,b,arg=c")
    assert run_qemu._command(job(tmp_path))[-1].endswith(",arg=")


@pytest.mark.parametrize(
    ("code", "stderr", "fails"),
    [(0, "", False), (1, "", False), (1, "qemu-system-arm: no machine", True), (1, "qemu-system-arm: warning: slow", False),
     (3, "qemu-system-arm: odd", False), (-6, "", True), (1, "other: message", False)],
)  # fmt: skip
def test_qemus_own_failure_is_told_from_the_firmwares_code(code: int, stderr: str, fails: bool, tmp_path: Path) -> None:
    done = subprocess.CompletedProcess([], code, b"", stderr.encode())
    if fails:
        with pytest.raises(EdgernnError, match=r"failed with x\.elf"):
            run_qemu._check(done, job(tmp_path), "QEMU")
    else:
        run_qemu._check(done, job(tmp_path), "QEMU")


@pytest.mark.parametrize(
    ("version", "ok"), [("7.2.11", True), ("7.20.1", False), ("8.0.0", False), ("of unknown version", False)]
)
def test_counts_need_the_version_they_were_verified_with(version: str, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_qemu.shutil, "which", lambda _: "/bin/true")
    monkeypatch.setattr(run_qemu, "_version", lambda _: version)
    assert run_qemu.obstacle(MICROBIT, False) is None
    assert (run_qemu.obstacle(MICROBIT, True) is None) is ok
    assert run_qemu.obstacle(replace(MICROBIT, qemu=None), False) == "QEMU has no machine for it"


def test_a_firmware_runs_on_its_own_board_and_is_counted_between_both_marks(tmp_path: Path) -> None:
    firmware = job(tmp_path).firmware
    other = replace(firmware, board="mps2-an386")
    with pytest.raises(EdgernnError, match="was built for board 'mps2-an386', not for 'microbit'"):
        targets.run(other, MICROBIT, workdir=tmp_path)
    for name in firmware.symbols:
        less = replace(firmware, symbols={k: v for k, v in firmware.symbols.items() if k != name})
        with pytest.raises(EdgernnError, match="nothing to count"):
            targets.run(less, MICROBIT, workdir=tmp_path, count=True)
    for arg in ("", "a b", " a"):
        with pytest.raises(EdgernnError, match="is empty or holds a blank"):
            targets.run(firmware, MICROBIT, workdir=tmp_path, args=[arg])


def test_boards_are_checked_at_their_bounds() -> None:
    good = replace(MICROBIT, clock_hz=1, stack_bytes=1, flash=boards.Memory(0, 1), ram=boards.Memory(1, 1))
    boards._check(good)
    for change in (
        {"clock_hz": 0}, {"stack_bytes": 0}, {"flash": boards.Memory(0, 0)}, {"ram": boards.Memory(1, 0)},
        {"flash": boards.Memory(-1, 1)}, {"ram": boards.Memory(-1, 1)}, {"ram": boards.Memory(0, 1)},
    ):  # fmt: skip
        with pytest.raises(board_file.BoardFileError):
            boards._check(replace(good, **change))  # type: ignore[arg-type]
    for value, kind in ((True, int), ("1", int), (1, str), (1.0, int), ("x", tuple[str, ...]), ([1], tuple[str, ...])):
        with pytest.raises(board_file.BoardFileError, match="is not"):
            board_file.parse(value, kind, ("here",))
