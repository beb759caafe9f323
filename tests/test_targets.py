"""Every board, with every compiler that is here, in every emulator that can run it."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest

import targets
from edgernn.errors import EdgernnError
from edgernn.hostcc import host_compiler
from targets.toolchain import NAMES

BOARDS = targets.list_boards()
#: those that some emulator can be; tests/test_application.py sees to the others
EMULATED = [name for name in BOARDS if targets.load_board(name).qemu or targets.load_board(name).unicorn]
PROBE = Path(__file__).with_name("targets_probe.c")
EMULATORS = ("qemu", "unicorn")
IN_CI = os.environ.get("CI") == "true"


def need(there: bool, what: str) -> None:
    """Skips without a tool, except in CI, where every tool must be present."""
    if not there:
        assert not IN_CI, f"{what} is missing in CI"
        pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="session", params=itertools.product(EMULATED, NAMES), ids="-".join)
def probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> targets.Firmware:
    name, toolchain = request.param
    board = targets.load_board(name)
    need(toolchain in targets.available_toolchains(board), f"{toolchain} for {name}")
    elf = tmp_path_factory.mktemp("probe") / "probe.elf"
    return targets.build([PROBE], board, elf, toolchain=targets.find_toolchain(board, toolchain))


def run_everywhere(
    firmware: targets.Firmware, args: list[str], workdir: Path, *, count: bool = False
) -> dict[str, targets.RunResult]:
    board = targets.load_board(firmware.board)
    declared = [name for name in EMULATORS if getattr(board, name) is not None]
    usable = targets.usable_emulators(board, count=count)
    wanted = declared if IN_CI else usable
    need(usable != [] and usable == wanted, f"{' or '.join(declared)} for {board.name}")
    return {name: targets.run(firmware, board, args=args, workdir=workdir, emulator=name, count=count) for name in usable}


def test_boards_are_found() -> None:
    assert {"microbit", "cortex-m0-4m", "mps2-an386", "riscv32-virt"} <= set(BOARDS)
    for name in BOARDS:
        assert targets.load_board(name).name == name


def test_exit_code_and_command_line(probe: targets.Firmware, tmp_path: Path) -> None:
    for result in run_everywhere(probe, ["echo", "a,b=c", "two"], tmp_path).values():
        assert (result.exit_code, result.console) == (42, "echo a,b=c two")
    for result in run_everywhere(probe, [], tmp_path).values():
        assert result.exit_code == 7


def test_files(probe: targets.Firmware, tmp_path: Path) -> None:
    data = bytes((i * i) % 251 for i in range(1000))
    (tmp_path / "in.bin").write_bytes(data)
    for name in run_everywhere(probe, ["nothing"], tmp_path):
        result = targets.run(probe, targets.load_board(probe.board), args=["file"], workdir=tmp_path, emulator=name)
        assert result.exit_code == 0
        assert (tmp_path / "out.bin").read_bytes() == bytes(b ^ 0xFF for b in data)
        (tmp_path / "out.bin").unlink()


def test_counts_are_equal_everywhere(probe: targets.Firmware, tmp_path: Path) -> None:
    first = run_everywhere(probe, ["n"], tmp_path, count=True)
    again = run_everywhere(probe, ["n"], tmp_path, count=True)
    counts = {tuple(r.instructions) for r in (*first.values(), *again.values())}
    assert len(counts) == 1
    empty, *work = counts.pop()
    assert empty <= 2  # the call of the stop marker, which may take two instructions on RISC-V
    assert len(work) == 3
    assert 16 * 4 < work[0] < work[1] < work[2] < 64 * 1000


def test_stack(probe: targets.Firmware, tmp_path: Path) -> None:
    words = {r.exit_code for r in run_everywhere(probe, ["s"], tmp_path).values()}
    assert len(words) == 1
    assert 100 <= words.pop() <= 100 + 12  # the frame's 100 words, and what the call saves


def test_unaligned_access_faults_where_the_core_lacks_it(probe: targets.Firmware, tmp_path: Path) -> None:
    board = targets.load_board(probe.board)
    results = run_everywhere(probe, ["u"], tmp_path)
    for name, result in results.items():
        # QEMU has no Cortex-M0 machine with more than 16 KiB: there an M3 runs the M0's code.
        runs_on_m3 = name == "qemu" and board.qemu is not None and board.qemu.machine == "mps2-an385"
        faults = board.cpu in ("cortex-m0", "cortex-m0plus") and not runs_on_m3
        assert (result.exit_code, result.console) == ((125, "HardFault\n") if faults else (0, ""))


def test_a_stack_overflow_is_a_fault(probe: targets.Firmware, tmp_path: Path) -> None:
    for result in run_everywhere(probe, ["r"], tmp_path).values():
        assert (result.exit_code, result.console) == (125, "HardFault\n")


def test_sizes_come_from_the_sections(probe: targets.Firmware) -> None:
    sizes = {s.name: s.size for s in probe.sections}
    assert probe.flash_bytes == sizes[".text"] + sizes.get(".rodata", 0) + sizes[".data"] < 8192
    assert probe.ram_bytes == sizes[".data"] + sizes[".bss"] >= 4 + 4 + 256 + 128


@pytest.fixture(params=NAMES)
def microbit(request: pytest.FixtureRequest) -> tuple[targets.Board, targets.Toolchain]:
    board = targets.load_board("microbit")
    need(request.param in targets.available_toolchains(board), request.param)
    return board, targets.find_toolchain(board, request.param)


def build_text(text: str, microbit: tuple[targets.Board, targets.Toolchain], folder: Path) -> targets.Firmware:
    source = folder / "main.c"
    source.write_text(text)
    return targets.build([source], microbit[0], folder / "out.elf", toolchain=microbit[1])


@pytest.mark.parametrize(
    ("declaration", "message"),
    [
        ("volatile char big[20000];", r"RAM needs 210\d\d bytes of 16384 available, 1024 bytes of stack"),
        ("const volatile char big[300000] = {1};", r"FLASH needs 30\d{4} bytes of 262144 available"),
    ],
)
def test_what_does_not_fit_is_said_in_numbers(
    declaration: str, message: str, microbit: tuple[targets.Board, targets.Toolchain], tmp_path: Path
) -> None:
    with pytest.raises(EdgernnError, match=message):
        build_text(f"{declaration}\nint main(void) {{ return big[3]; }}\n", microbit, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["main.c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int main(void) { return x; }\n", "main.c:1.*undeclared"),
        ("int f(int i);\nint f(int i) { const char c = i; return c; }\n", "main.c:2.*conversion"),
        ("int absent(void);\nint main(void) { return absent(); }\n", "absent"),
    ],
)
def test_a_compiler_error_is_one_sentence(
    text: str, message: str, microbit: tuple[targets.Board, targets.Toolchain], tmp_path: Path
) -> None:
    with pytest.raises(EdgernnError, match=message):
        build_text(text, microbit, tmp_path)


def test_missing_compiler_names_both_ways(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgernnError, match=r"No gcc compiler .*(ziglang|edgernn\[zig\]).* or .*arm-none-eabi-gcc"):
        targets.find_toolchain(targets.load_board("microbit"), "gcc")
    monkeypatch.setenv("CC", "no-such-cc -O2")
    with pytest.raises(EdgernnError, match="no-such-cc"):
        host_compiler()


def test_missing_emulator_names_every_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    board = replace(targets.load_board("microbit"), unicorn=None)
    firmware = targets.Firmware(tmp_path / "x.elf", board.name, "", 0, 0, (), {})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgernnError, match=r"qemu-system-arm is not installed; Unicorn has no model"):
        targets.run(firmware, board, workdir=tmp_path)


def test_unknown_board_names_the_nearest() -> None:
    with pytest.raises(EdgernnError, match=r"Unknown board 'microbitt': did you mean 'microbit'\? .*riscv32"):
        targets.load_board("microbitt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("clock_hz", "clock", r"line 5, clock: Unknown key 'clock': did you mean 'clock_hz'.*'clock_hz' is missing"),
        ("origin = 0x0", "origins = 0x0", r"line 7, flash, origins: Unknown key 'origins'.*'origin' is missing"),
        ('family = "cortex-m"', 'family = "cortex-x"', "Unknown family 'cortex-x'"),
        ("clock_hz = 16000000", 'clock_hz = "16"', "line 5, clock_hz: '16' is not an integer"),
        ('"-mthumb"', "3", "is not a list of strings"),
        ("size = 0x4000 ", "size = -1 ", "sizes must be positive"),
        ("[gcc]", "[gcc", "Cannot read the board file"),
    ],
)
def test_a_bad_board_file_is_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (Path(targets.__file__).parent / "boards" / "microbit.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(EdgernnError, match=message):
        targets.load_board(path)


def test_a_board_of_ones_own_with_an_fpu(tmp_path: Path) -> None:
    text = (Path(targets.__file__).parent / "boards" / "mps2-an386.toml").read_text()
    text = text.replace('"-mfloat-abi=soft"', '"-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"')
    (tmp_path / "mine.toml").write_text(text.replace("mps2-an386", "mine", 1))
    board = targets.load_board(tmp_path / "mine.toml")
    need("gcc" in targets.available_toolchains(board), "gcc")
    need("qemu" in targets.usable_emulators(board), "qemu")
    source = tmp_path / "main.c"
    source.write_text("volatile float x = 1.5f;\nint main(void) { return (int)(x * x * 4.0f); }\n")
    gcc = targets.find_toolchain(board, "gcc")
    firmware = targets.build([source], board, tmp_path / "x.elf", toolchain=gcc)
    assert targets.run(firmware, board, workdir=tmp_path, emulator="qemu").exit_code == 9


@pytest.mark.parametrize("emulator", EMULATORS)
def test_time_runs_out_and_bad_requests(emulator: str, tmp_path: Path) -> None:
    board = targets.load_board("microbit")
    need(emulator in targets.usable_emulators(board), emulator)
    need(bool(targets.available_toolchains(board)), "a compiler for microbit")
    firmware = targets.build([PROBE], board, tmp_path / "probe.elf")
    with pytest.raises(EdgernnError, match=r"did not end within 0\.5 s on 'microbit'"):
        targets.run(firmware, board, args=["loop"], workdir=tmp_path, emulator=emulator, timeout_s=0.5)
    with pytest.raises(EdgernnError, match="holds a blank"):
        targets.run(firmware, board, args=["a b"], workdir=tmp_path, emulator=emulator)
    with pytest.raises(EdgernnError, match="was built for board 'microbit'"):
        targets.run(firmware, targets.load_board("mps2-an385"), workdir=tmp_path, emulator=emulator)
    with pytest.raises(EdgernnError, match="does not exist"):
        targets.run(firmware, board, workdir=tmp_path / "absent", emulator=emulator)
