"""A linked program in the forms that flashers take: BIN, Intel HEX, UF2. All from the ELF file's loadable segments."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgernn.artifacts import write_bytes
from edgernn.errors import EdgernnError
from targets.board import Board
from targets.elf import Segment, read_elf

_BOOT2_BYTES = 252  #: RP2040's ROM checks so many bytes of flash by the CRC-32 behind them
_UF2_PAYLOAD = 256
_UF2_MAGICS = (0x0A324655, 0x9E5D5157, 0x0AB16F30)
_UF2_HAS_FAMILY = 0x2000
_HEX_LINE = 16


def write_images(elf: Path, board: Board) -> list[Path]:
    """BIN and HEX beside an ELF file, UF2 too where the board's bootloader takes it; returns the files written."""
    segments = in_flash(read_elf(elf).segments, board)
    contents = {".bin": flat(segments), ".hex": intel_hex(segments)}
    if board.uf2:
        contents[".uf2"] = uf2(flat(segments), segments[0].address, board.uf2.family)
    written = []
    for suffix, data in contents.items():
        written.append(elf.with_suffix(suffix))
        write_bytes(written[-1], data)
    return written


def in_flash(segments: Sequence[Segment], board: Board) -> list[Segment]:
    """The segments in rising order; all must lie in the board's flash, whose image they are."""
    found = sorted(segments, key=lambda s: s.address)
    for s in found:
        if not board.flash.origin <= s.address <= s.address + len(s.data) <= board.flash.origin + board.flash.size:
            raise EdgernnError(f"the program has {len(s.data)} bytes at {s.address:#x}, outside {board.name}'s flash")
    if not found:
        raise EdgernnError(f"the program for {board.name} is empty: build it again")
    return found


def flat(segments: Sequence[Segment]) -> bytes:
    """One block from the first byte to the last, gaps as erased flash (FF)."""
    begin = segments[0].address
    out = bytearray()
    for s in segments:
        out += b"\xff" * (s.address - begin - len(out)) + s.data
    return bytes(out)


def intel_hex(segments: Sequence[Segment]) -> bytes:
    """Records of 16 bytes with extended linear addresses."""
    lines, upper = [], -1
    for s in segments:
        for at, piece in _pieces(s):
            if at >> 16 != upper:
                upper = at >> 16
                lines.append(_record(0, 4, upper.to_bytes(2, "big")))
            lines.append(_record(at & 0xFFFF, 0, piece))
    return ("\n".join([*lines, _record(0, 1, b"")]) + "\n").encode()


def _pieces(s: Segment) -> Iterator[tuple[int, bytes]]:
    """Pieces of at most 16 bytes, none over an address that is a multiple of 16."""
    at = s.address
    while at < s.address + len(s.data):
        end = min(at // _HEX_LINE * _HEX_LINE + _HEX_LINE, s.address + len(s.data))
        yield at, s.data[at - s.address : end - s.address]
        at = end


def _record(address: int, kind: int, data: bytes) -> str:
    body = bytes([len(data), address >> 8, address & 0xFF, kind]) + data
    return ":" + (body + bytes([-sum(body) & 0xFF])).hex().upper()


def uf2(image: bytes, address: int, family: int) -> bytes:
    """Blocks of 512 bytes that carry 256 each (Microsoft's UF2 specification)."""
    blocks = [image[i : i + _UF2_PAYLOAD].ljust(_UF2_PAYLOAD, b"\0") for i in range(0, len(image), _UF2_PAYLOAD)]
    out = b""
    for i, block in enumerate(blocks):
        head = struct.pack(
            "<8I", *_UF2_MAGICS[:2], _UF2_HAS_FAMILY, address + i * _UF2_PAYLOAD, _UF2_PAYLOAD, i, len(blocks), family
        )
        out += head + block.ljust(476, b"\0") + struct.pack("<I", _UF2_MAGICS[2])
    return out


def seal_boot(elf: Path, address: int) -> None:
    """Put the CRC-32 that RP2040's ROM asks for behind the second boot stage, in the ELF file itself."""
    data = bytearray(elf.read_bytes())
    stage = next(s for s in read_elf(elf).segments if s.address <= address < s.address + len(s.data))
    begin = address - stage.address
    code = stage.data[begin : begin + _BOOT2_BYTES]
    at = data.find(stage.data) + begin + _BOOT2_BYTES
    data[at : at + 4] = crc32_forward(code).to_bytes(4, "little")
    write_bytes(elf, bytes(data))


def crc32_forward(data: bytes) -> int:
    """CRC-32 with polynomial 04C11DB7, most significant bit first, from all ones, not inverted (CRC-32/MPEG-2)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc
