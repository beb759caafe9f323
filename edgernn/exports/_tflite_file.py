"""The bytes of a .tflite file: packed with aligned buffers, sealed with a checksum, verified, and its metadata read.

LiteRT and TFLM follow the offsets of a FlatBuffer without checking most of them, so damaged bytes can end the process.
Every file edgernn writes therefore carries a CRC-32 over all its other bytes. The checksum is found by its mark, before
any offset is followed; only bytes that pass reach a parser. It finds damage and foreign files; it is no signature.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

from edgernn.errors import EdgernnError
from edgernn.exports.metadata import CHECKSUM_KEY, PREFIX

IDENTIFIER = b"TFL3"
#: what the schema asks of constant data (`force_align`); int64 biases fault on a Cortex-M0 without it
ALIGNMENT = 16

_MARK = b"edgernn-crc32:"
_DIGITS = 8
#: FlatBuffers field numbers of schema.fbs
_MODEL_BUFFERS, _MODEL_METADATA, _METADATA_NAME, _METADATA_BUFFER, _BUFFER_DATA = 4, 6, 0, 1, 0


def checksum_slot() -> bytes:
    """The content of the metadata entry `edgernn.crc32` before the file is sealed."""
    return _MARK + b"0" * _DIGITS


class AlignedBuffer:
    """A model's constant, packed at a multiple of 16 bytes; the generated code packs it anywhere."""

    def __init__(self, schema: Any, data: bytes) -> None:
        self._schema = schema
        self._data = data

    def Pack(self, builder: Any) -> int:  # noqa: N802 (the generated classes call it so)
        """Write the buffer; returns its offset."""
        data = self._data
        if data:
            builder.StartVector(1, len(data), ALIGNMENT)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        self._schema.BufferStart(builder)
        if data:
            self._schema.BufferAddData(builder, vector)
        return int(self._schema.BufferEnd(builder))


def pack(model: Any) -> bytes:
    """A model of the schema's object classes -> sealed bytes; the same in every process."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    return seal(bytes(builder.Output()))


def seal(data: bytes) -> bytes:
    """The file with the checksum of its present content in its slot."""
    begin = _slot(data)
    return data[:begin] + _checksum(data, begin) + data[begin + _DIGITS :]


def verify(data: bytes) -> None:
    """Refuse every file whose bytes are not those that edgernn wrote."""
    begin = _slot(data)
    if data[begin : begin + _DIGITS] != _checksum(data, begin):
        raise EdgernnError("the TFLite model is damaged (checksum differs); export it again")


def read_metadata(data: bytes) -> dict[str, str]:
    """Verify a file, then read its entries named `edgernn.*`, without the checksum."""
    verify(data)
    try:
        entries = dict(_entries(data))
    except (struct.error, IndexError, UnicodeDecodeError):
        raise EdgernnError("the TFLite model's metadata cannot be read; export it again") from None
    return {name: text for name, text in entries.items() if name.startswith(PREFIX) and name != CHECKSUM_KEY}


def _slot(data: bytes) -> int:
    """Offset of the checksum's digits."""
    if data[4:8] != IDENTIFIER:
        raise EdgernnError("not a TFLite model (no TFL3 identifier); run `edgernn export --format tflite` to make one")
    at = data.find(_MARK)
    begin = at + len(_MARK)
    if at < 0 or data.find(_MARK, begin) >= 0 or begin + _DIGITS > len(data):
        raise EdgernnError("a TFLite model that edgernn did not write, or damaged; run `edgernn export --format tflite`")
    return begin


def _checksum(data: bytes, begin: int) -> bytes:
    crc = zlib.crc32(data[begin + _DIGITS :], zlib.crc32(data[:begin]))
    return f"{crc:0{_DIGITS}x}".encode()


def _entries(data: bytes) -> list[tuple[str, str]]:
    """(name, text) of each metadata entry. Needs no FlatBuffers library: tflite-runtime comes without one."""
    root = _at("<I", data, 0)
    buffers = _vector(data, _field(data, root, _MODEL_BUFFERS))
    found = []
    for table in _vector(data, _field(data, root, _MODEL_METADATA)):
        name = _bytes(data, _field(data, table, _METADATA_NAME)).decode()
        buffer = buffers[_at("<I", data, _field(data, table, _METADATA_BUFFER))]
        found.append((name, _bytes(data, _field(data, buffer, _BUFFER_DATA)).decode()))
    return found


def _at(kind: str, data: bytes, offset: int) -> int:
    return int(struct.unpack_from(kind, data, offset)[0])


def _field(data: bytes, table: int, number: int) -> int:
    """Where a table's field lies."""
    vtable = table - _at("<i", data, table)
    return table + _at("<H", data, vtable + 4 + 2 * number)


def _vector(data: bytes, field: int) -> list[int]:
    """The tables a vector points to."""
    begin = field + _at("<I", data, field)
    slots = range(begin + 4, begin + 4 + 4 * _at("<I", data, begin), 4)
    return [slot + _at("<I", data, slot) for slot in slots]


def _bytes(data: bytes, field: int) -> bytes:
    begin = field + _at("<I", data, field)
    return data[begin + 4 : begin + 4 + _at("<I", data, begin)]
