"""A reader for little-endian ELF files: what a board loads (32 bits), and where symbols are (32 and 64 bits)."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgernn.errors import EdgernnError

_HEADER = struct.Struct("<16s2H5I6H")
_PROGRAM_HEADER = struct.Struct("<8I")
_SECTION_HEADER = struct.Struct("<10I")
_SYMBOL = struct.Struct("<3I2BH")
_IDENT = b"\x7fELF\x01\x01"
_IDENT64 = b"\x7fELF\x02\x01"
_HEADER64 = struct.Struct("<16s2HI3QI6H")
_SECTION_HEADER64 = struct.Struct("<2I4Q2I2Q")
_SYMBOL64 = struct.Struct("<I2BH2Q")
_PT_LOAD, _SHT_SYMTAB, _SHT_NOBITS, _STT_FUNC = 1, 2, 8, 2
_SHF_WRITE, _SHF_ALLOC = 1, 2


@dataclass(frozen=True)
class Section:
    """A section that takes memory on the device; `stored` ones have bytes in flash."""

    name: str
    address: int
    size: int
    writable: bool
    stored: bool


@dataclass(frozen=True)
class Segment:
    """Bytes to place at a physical (load) address."""

    address: int
    data: bytes


@dataclass(frozen=True)
class Symbol:
    """A function or an object of `size` bytes."""

    name: str
    address: int
    size: int
    function: bool


@dataclass(frozen=True)
class Elf:
    """`symbols` maps a name to its address; Thumb functions come without the mode bit. sized: symbols that take memory.

    functions: of each address where one begins its name, in rising order.
    """

    entry: int
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]
    symbols: dict[str, int]
    sized: tuple[Symbol, ...] = ()
    functions: tuple[tuple[int, str], ...] = ()

    def stored(self) -> list[Symbol]:
        """What takes flash, symbol by symbol."""
        spans = [(s.address, s.address + s.size) for s in self.sections if s.stored]
        return [s for s in self.sized if any(a <= s.address < b for a, b in spans)]

    def by_function(self, by_address: Mapping[int, int]) -> dict[str, int]:
        """What was counted at addresses, by the name of the function that each lies in; "" before the first."""
        begins, counted = [address for address, _ in self.functions], Counter[str]()
        for address, count in by_address.items():
            at = bisect_right(begins, address) - 1
            counted[self.functions[at][1] if at >= 0 else ""] += count
        return dict(counted)


def read_elf(path: Path) -> Elf:
    """Reads `path`; raises EdgernnError when it is no 32-bit little-endian ELF file or is cut short."""
    data = path.read_bytes()
    if not data.startswith(_IDENT):
        raise EdgernnError(f"{path} is not a 32-bit little-endian ELF file: build the firmware again.")
    try:
        return _parse(data)
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise EdgernnError(f"{path} is a damaged ELF file ({error}): build the firmware again.") from error


def read_symbols(path: Path) -> dict[str, int]:
    """Addresses by name of a program of 32 or 64 bits; those of Thumb functions without the mode bit."""
    data = path.read_bytes()
    return _symbols64(data) if data.startswith(_IDENT64) else read_elf(path).symbols


def _symbols64(data: bytes) -> dict[str, int]:
    header = _HEADER64.unpack_from(data)
    headers = [_SECTION_HEADER64.unpack_from(data, header[6] + 64 * i) for i in range(header[12])]
    found = {}
    for _name, kind, _flags, _address, offset, size, link, *_ in headers:
        if kind == _SHT_SYMTAB:
            strings = headers[link][4]
            for name, _info, _other, _section, value, _size in _SYMBOL64.iter_unpack(data[offset : offset + size]):
                found[_text(data, strings + name)] = value
    return found


def _parse(data: bytes) -> Elf:
    header = _HEADER.unpack_from(data)
    entry, program_offset, section_offset = header[4:7]
    program_count, section_count, names_index = header[10], header[12], header[13]
    headers = [_SECTION_HEADER.unpack_from(data, section_offset + 40 * i) for i in range(section_count)]
    names_offset = headers[names_index][4]
    programs = [_PROGRAM_HEADER.unpack_from(data, program_offset + 32 * i) for i in range(program_count)]
    return Elf(
        entry=entry,
        sections=tuple(
            Section(_text(data, names_offset + name), address, size, bool(flags & _SHF_WRITE), kind != _SHT_NOBITS)
            for name, kind, flags, address, _offset, size, *_ in headers
            if flags & _SHF_ALLOC and size > 0
        ),
        segments=tuple(
            Segment(address, data[offset : offset + size])
            for kind, offset, _virtual, address, size, *_ in programs
            if kind == _PT_LOAD and size > 0
        ),
        symbols={s.name: s.address for s in _symbols(data, headers)},
        sized=tuple(s for s in _symbols(data, headers) if s.size > 0),
        functions=tuple(sorted({s.address: s.name for s in _symbols(data, headers) if s.function}.items())),
    )


def _symbols(data: bytes, headers: list[tuple[int, ...]]) -> Iterator[Symbol]:
    for _name, kind, _flags, _address, offset, size, link, *_ in headers:
        if kind != _SHT_SYMTAB:
            continue
        strings = headers[link][4]
        for name, value, bytes_, info, *_ in _SYMBOL.iter_unpack(data[offset : offset + size]):
            if name:
                place = value & ~1 if info & 0xF == _STT_FUNC else value
                yield Symbol(_text(data, strings + name), place, bytes_, info & 0xF == _STT_FUNC)


def _text(data: bytes, offset: int) -> str:
    return data[offset : data.index(b"\0", offset)].decode()
