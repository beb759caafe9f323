"""`edgernn flash`: what would be done, what is found, what is refused, and the answer of the self-test."""

from __future__ import annotations

import errno
import os
import pty
import shlex
import shutil
import sys
import threading
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from fixture_runs import ROOT, fixture_run
from needs import need_module
from typer.testing import CliRunner

from edgernn import boards, cli, pipeline
from edgernn.errors import EdgernnError
from edgernn.tasks import load_graph
from targets import flash, load_board

INFO = "UF2 Bootloader v3.0\r\nModel: Raspberry Pi RP2\r\nBoard-ID: {}\r\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a Pico's application."""
    folder = fixture_run(tmp_path_factory.mktemp("flash") / "run")
    pipeline.quantize_model(folder)
    boards.build_board(folder, "pico", folder)
    return folder


@pytest.fixture(autouse=True)
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """No drive and no flasher of this machine takes part."""
    monkeypatch.setattr(flash, "mounted_drives", list)
    monkeypatch.setattr(flash.shutil, "which", lambda name: f"/bin/{name}" if name == "sh" else None)


def drive(folder: Path, board_id: str = "RPI-RP2") -> Path:
    folder.mkdir()
    (folder / "INFO_UF2.TXT").write_text(INFO.format(board_id))
    return folder


def said(*args: object, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, [str(a) for a in args])
    if code == 2:
        assert isinstance(result.exception, EdgernnError), result.output
        return str(result.exception)
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout


def own_board(folder: Path, flashers: str) -> Path:
    """The Pico without its drive, with other flashers."""
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    path = folder / "own.toml"
    path.write_text(text[: text.index("[uf2]")] + flashers)
    return path


def test_a_dry_run_names_every_way_and_does_nothing(built: Path) -> None:
    text = said("flash", built, "--board", "pico", "--dry-run")
    assert f"cp {built / 'pico' / 'pico.uf2'}" in text and "RPI-RP2" in text
    assert f"pyocd flash --target rp2040 {built / 'pico' / 'pico.hex'}" in text
    assert f"-c 'program {built / 'pico' / 'pico.elf'} verify reset exit'" in text


def test_the_drive_is_found_by_its_board_id(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drives = [tmp_path / "empty", drive(tmp_path / "other", "nRF52840-SeeedXiao-v1"), drive(tmp_path / "mine")]
    monkeypatch.setattr(flash, "mounted_drives", lambda: drives)
    assert "done: cp" in said("flash", built, "--board", "pico")
    assert (tmp_path / "mine" / "pico.uf2").read_bytes() == (built / "pico" / "pico.uf2").read_bytes()
    assert not (tmp_path / "other" / "pico.uf2").exists()


def test_a_named_drive_must_be_the_boards(built: Path, tmp_path: Path) -> None:
    wrong = drive(tmp_path / "wrong", "RP2350")
    assert "is the drive of RP2350, not of pico (RPI-RP2); nothing was written" in said(
        "flash", built, "--board", "pico", "--drive", wrong, code=2
    )
    assert "no drive of a UF2 bootloader" in said("flash", built, "--board", "pico", "--drive", tmp_path, code=2)
    assert [p.name for p in wrong.iterdir()] == ["INFO_UF2.TXT"]


def test_without_any_way_it_says_what_to_do(built: Path) -> None:
    text = said("flash", built, "--board", "pico", code=2)
    assert "hold BOOTSEL while you plug it in" in text and "install pyocd (pip install pyocd) and connect a probe" in text


def test_a_full_or_unwritable_drive_is_a_sentence(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = drive(tmp_path / "mine")
    usage = namedtuple("usage", "total used free")
    size = (built / "pico" / "pico.uf2").stat().st_size
    monkeypatch.setattr(flash.shutil, "disk_usage", lambda _: usage(0, 0, size - 1))
    assert f"has {size - 1} bytes left, {size} are needed; nothing was written" in said(
        "flash", built, "--board", "pico", "--drive", mine, code=2
    )
    monkeypatch.setattr(flash.shutil, "disk_usage", lambda _: usage(0, 0, size))
    (mine / "pico.uf2").mkdir()
    assert "may be written in part" in said("flash", built, "--board", "pico", "--drive", mine, code=2)


def test_a_read_only_drive_is_a_sentence(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, plain = drive(tmp_path / "mine"), Path.open

    def refusing(path: Path, mode: str = "r", *rest: Any, **more: Any) -> Any:
        if path.parent == mine and "w" in mode:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return plain(path, mode, *rest, **more)

    monkeypatch.setattr(Path, "open", refusing)
    text = said("flash", built, "--board", "pico", "--drive", mine, code=2)
    assert "is read-only (Read-only file system); nothing was written" in text
    assert [p.name for p in mine.iterdir()] == ["INFO_UF2.TXT"]


def test_esptool_and_dfu_util_are_called_as_they_want(tmp_path: Path) -> None:
    ways = {
        way.command[0]: way.command
        for name in ("esp32-c3", "nucleo-f446re")
        for way in flash.all_ways(load_board(name), tmp_path)
    }
    assert ways["esptool"] == ("esptool", "--chip", "esp32c3", "write-flash", "0x0", str(tmp_path / "esp32-c3.bin"))
    assert ways["dfu-util"][-3:] == ("0x08000000:leave", "-D", str(tmp_path / "nucleo-f446re.bin"))


def test_esptool_itself_takes_the_command_and_finds_no_board(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_module("esptool")
    boards.build_board(built, "esp32-c3", built)
    program = Path(sys.executable).parent / "esptool"
    monkeypatch.setattr(flash.shutil, "which", lambda name: str(program) if name == "esptool" else None)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("ESPTOOL_PORT", "/dev/ttyNOWHERE")
    text = said("flash", built, "--board", "esp32-c3", code=2)
    assert text.startswith("esptool failed (") and "/dev/ttyNOWHERE" in text, text


def test_what_was_not_built_or_is_of_another_graph_is_refused(built: Path, tmp_path: Path) -> None:
    assert "run `edgernn build` for pico2 first" in said("flash", built, "--board", "pico2", code=2)
    other = tmp_path / "run"
    shutil.copytree(built, other)
    pipeline.quantize_model(other, "int8")
    mine = drive(tmp_path / "mine")
    text = said("flash", other, "--board", "pico", "--drive", mine, "--scheme", "int8", code=2)
    assert "of another graph or board file" in text and not (mine / "pico.uf2").exists()


def test_a_flasher_is_called_with_the_images_and_its_failure_is_told(built: Path, tmp_path: Path) -> None:
    copy = f'[[flashers]]\ncommand = ["sh", "-c", "cat {{bin}} > {tmp_path}/flash"]\ninstall = "it is there"\n'
    board = own_board(tmp_path, copy)
    boards.build_board(built, str(board), built)
    assert "done: sh -c" in said("flash", built, "--board", board)
    assert (tmp_path / "flash").read_bytes() == (built / "pico" / "pico.bin").read_bytes()
    fail = '[[flashers]]\ncommand = ["sh", "-c", "echo Error: no probe >&2; exit 3"]\ninstall = "it is there"\n'
    board = own_board(tmp_path, fail)
    boards.build_board(built, str(board), built)
    text = said("flash", built, "--board", board, code=2)
    boards.build_board(built, "pico", built)
    assert text.startswith("sh failed (Error: no probe); the board may be written in part")


# The self-test's answer ---------------------------------------------------------------------------


def ask(*pieces: bytes, graph: str = "abc", seconds: float = 5.0) -> str:
    """What a board that sends these pieces is heard to say, over a pseudo-terminal."""
    need_module("serial")
    board, port = pty.openpty()

    def send() -> None:
        for piece in pieces:
            os.write(board, piece)

    try:
        threading.Timer(0.3, send).start()
        return flash.self_test_answer(os.ttyname(port), graph, seconds)
    finally:
        os.close(board)
        os.close(port)


def test_the_answer_is_read_in_pieces_and_amid_other_lines() -> None:
    assert ask(b"hello\r\nedgern", b"n abc\r\nself-", b"test ok\r\nno more sound\r\n") == "self-test ok"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"edgernn abc\nself-test 3 failed\n", "says 'self-test 3 failed'.*do not trust it"),
        (b"edgernn other\nself-test ok\n", "runs another model"),
        (b"self-test o", r"within 1 s \(nothing came\)"),
        (b"hello\n", r"within 1 s \(its last line was 'hello'\)"),
    ],
)
def test_any_other_answer_is_an_error(line: bytes, message: str) -> None:
    with pytest.raises(EdgernnError, match=message):
        ask(line, seconds=1.0)


def test_a_port_that_is_none(tmp_path: Path) -> None:
    need_module("serial")
    with pytest.raises(EdgernnError, match=r"cannot read .*gone"):
        flash.self_test_answer(str(tmp_path / "gone"), "abc", 1.0)


def test_the_verb_asks_the_board(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(flash, "self_test_answer", lambda *a: asked.append(a) or "self-test ok")
    text = said("flash", built, "--board", "pico", "--drive", drive(tmp_path / "d"), "--serial", "/dev/x")
    graph = load_graph(built / "graph-int8x16.ern")
    assert "self-test ok" in text and asked == [("/dev/x", graph.id, 30.0)]
    assert load_board("pico").uf2 is not None


# What a board's file may not say ---------------------------------------------------------------------------


def test_a_drive_without_a_board_id_is_never_taken(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    monkeypatch.setattr(flash, "mounted_drives", lambda: [plain, drive(tmp_path / "blank", "")])
    assert "nothing here can write" in said("flash", built, "--board", "pico", code=2)
    assert not list(plain.iterdir())


def test_a_program_of_another_board_file_of_that_name_is_refused(built: Path, tmp_path: Path) -> None:
    other = own_board(tmp_path, '[[flashers]]\ncommand = ["sh", "-c", "true"]\ninstall = "x"\n')
    boards.build_board(built, "pico", built)
    assert "another graph or board file" in said("flash", built, "--board", other, code=2)
    (built / "build-pico.json").write_text("[1]")
    assert "another graph or board file" in said("flash", built, "--board", "pico", "--drive", drive(tmp_path / "d"), code=2)
    boards.build_board(built, "pico", built)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('board_id = "RPI-RP2"', 'board_id = " "', "board_id must not be empty"),
        ("family = 0xe48bff56", "family = -1", "family lie within 32 bits"),
        ("family = 0xe48bff56", "family = 0x1e48bff56", "family lie within 32 bits"),
        ('"{hex}"', '"{foo}"', "no other braces"),
        ('"{hex}"', '"{elf:99}"', "no other braces"),
        ('"{hex}"', '"{elf.__class__}"', "no other braces"),
        ('"{hex}"', '"{"', "no other braces"),
        ('["pyocd", "flash", "--target", "rp2040", "{hex}"]', "[]", "there must be words"),
        ("DEVICE_LED = 25", '"A B" = 25', r"names are DEVICE_\.\."),
        ("DEVICE_LED = 25", "DEVICE_LED = 0x100000000", "values lie within 32 bits"),
        ('boot = "rp2040"\n', "", "needs boot"),
        ("origin = 0x10000000", "origin = 0x10000001", "no multiple of 256"),
        ('twin = "cortex-m0-4m"', 'twin = "pico"', "is no emulated board"),
        ('name = "pico"', 'name = "data"', "is a folder of every run"),
    ],
)
def test_boards_that_cannot_work_are_refused(old: str, new: str, message: str, tmp_path: Path) -> None:
    text = (ROOT / "targets" / "boards" / "pico.toml").read_text()
    assert text.count(old) == 1
    (tmp_path / "x.toml").write_text(text.replace(old, new))
    with pytest.raises(EdgernnError, match=message):
        load_board(tmp_path / "x.toml")


def test_a_dry_run_is_fit_for_a_shell_and_a_board_without_ways_says_so(built: Path, tmp_path: Path) -> None:
    odd = tmp_path / "q$(id)`x` y"
    shutil.copytree(built, odd)
    lines = said("flash", odd, "--board", "pico", "--dry-run").splitlines()
    assert any(str(odd / "pico" / "pico.uf2") in shlex.split(line) for line in lines)
    assert "names no way" in said("flash", built, "--board", "mps2-an386", "--dry-run", code=2)
