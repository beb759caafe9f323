"""The application for a board: the model, its chip's console and pin, the user's microphone; as every kind of image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgernn.errors import EdgernnError
from targets.board import DEVICE_DIR, Board, Device
from targets.build import Firmware, build
from targets.images import seal_boot, write_images
from targets.toolchain import Toolchain

#: emulated boards have a console and nothing else
EMULATED = Device(
    chip="semihosting", console="the emulator's standard output", pin="none", microphone="none: an emulator hears files",
    twin="", cycles_percent=100,
)  # fmt: skip


def device_of(board: Board) -> Device:
    """What an application finds on the board."""
    return board.device or EMULATED


def build_application(
    sources: Sequence[Path], board: Board, elf: Path, include: Sequence[Path], toolchain: Toolchain, optimize: str
) -> tuple[Firmware, list[Path]]:
    """Link `sources`, one of which defines main, with the board's device; returns the program and its images."""
    device = device_of(board)
    parts = [*sources, DEVICE_DIR / "device.c", DEVICE_DIR / "chips" / f"{device.chip}.c"]
    if device.boot:
        parts.append(DEVICE_DIR / "boot" / f"{device.boot}.S")
    for source in sources:
        if not source.is_file():
            raise EdgernnError(f"there is no C file {source}; check its path")
    firmware = build(
        parts, board, elf, include_dirs=[*include, DEVICE_DIR], defines=device.defines, toolchain=toolchain, optimize=optimize
    )
    if "device_boot" in firmware.symbols:
        seal_boot(elf, firmware.symbols["device_boot"])
    return firmware, [elf, *write_images(elf, board)]
