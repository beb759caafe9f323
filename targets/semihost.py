"""The host's side of startup/semihost.c, for emulators that bring none: files, text, arguments, exit."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_MODE_WRITE = 4
_FAILED = -1


class Host:
    """Serves semihosting calls over a machine's memory, given as functions.

    `read(address, size)` gives bytes, `write(address, data)` stores them. `exit_code` is None until
    the firmware ends. Paths are relative to `workdir`.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes | bytearray],
        write: Callable[[int, bytes], None],
        workdir: Path,
        cmdline: str,
    ) -> None:
        self._read, self._write = read, write
        self._workdir, self._cmdline = workdir, os.fsencode(cmdline)
        self._files: dict[int, BinaryIO] = {}
        self.console = bytearray()
        self.exit_code: int | None = None

    def call(self, operation: int, block: int) -> int:
        """Carries out one operation with the parameters at address `block`; gives its result."""
        services = {
            0x01: self._open_file,
            0x02: self._close_file,
            0x04: self._write_text,
            0x05: self._write_file,
            0x06: self._read_file,
            0x0C: self._file_length,
            0x15: self._get_cmdline,
            0x20: self._exit,
        }
        return services[operation](block) if operation in services else _FAILED

    def close(self) -> None:
        """Closes the files that the firmware left open."""
        for file in self._files.values():
            file.close()

    def _words(self, block: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self._read(block, 4 * count))

    def _open_file(self, block: int) -> int:
        address, mode, length = self._words(block, 3)
        path = self._workdir / os.fsdecode(bytes(self._read(address, length)))
        try:
            file: BinaryIO = path.open("wb") if mode >= _MODE_WRITE else path.open("rb")
        except (OSError, ValueError):
            return _FAILED
        handle = max(self._files, default=0) + 1
        self._files[handle] = file
        return handle

    def _close_file(self, block: int) -> int:
        file = self._files.pop(self._words(block, 1)[0], None)
        if file is None:
            return _FAILED
        file.close()
        return 0

    def _write_text(self, address: int) -> int:
        while (byte := self._read(address, 1)) != b"\0":
            self.console += byte
            address += 1
        return 0

    def _write_file(self, block: int) -> int:
        handle, address, size = self._words(block, 3)
        try:
            self._files[handle].write(self._read(address, size))
        except (KeyError, OSError):
            return size
        return 0

    def _read_file(self, block: int) -> int:
        handle, address, size = self._words(block, 3)
        try:
            data = self._files[handle].read(size)
        except (KeyError, OSError):
            return size
        self._write(address, data)
        return size - len(data)

    def _file_length(self, block: int) -> int:
        file = self._files.get(self._words(block, 1)[0])
        return _FAILED if file is None else os.fstat(file.fileno()).st_size

    def _get_cmdline(self, block: int) -> int:
        address, size = self._words(block, 2)
        if len(self._cmdline) >= size:
            return _FAILED
        self._write(address, self._cmdline + b"\0")
        self._write(block + 4, struct.pack("<I", len(self._cmdline)))
        return 0

    def _exit(self, block: int) -> int:
        self.exit_code = self._words(block, 2)[1] & 0xFF
        return 0
