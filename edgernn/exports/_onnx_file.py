"""ONNX files: how ours are sealed with a checksum, and how any is read without trusting its bytes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgernn.errors import EdgernnError, needs_extra
from edgernn.exports.metadata import CHECKSUM_KEY, FORM_KEY, PREFIX

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 21
#: the format of opset 21's time; newer ones would shut out older runtimes
IR_VERSION = 10


def onnx_package() -> Any:
    """The onnx package; absent, an EdgernnError names the extra."""
    try:
        import onnx
    except ImportError:
        raise needs_extra("the Python package onnx is missing", "onnx") from None
    return onnx


def seal(model: ModelProto, metadata: Mapping[str, str], form: str) -> bytes:
    """Check the model, attach metadata and, at the file's end, the checksum; serialize. Equal models give equal bytes."""
    onnx_package().checker.check_model(model, full_check=True)
    entries = {**dict(sorted(metadata.items())), FORM_KEY: form, CHECKSUM_KEY: "0" * 8}
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    model.metadata_props[-1].value = _checksum(model)
    return bytes(model.SerializeToString(deterministic=True))


def _checksum(model: ModelProto) -> str:
    """CRC-32 of everything before the checksum itself, which is the file's last eight characters."""
    return f"{zlib.crc32(model.SerializeToString(deterministic=True)[:-8]):08x}"


def metadata_of(model: ModelProto) -> dict[str, str]:
    """The metadata entries, without the checksum."""
    entries = {text(p.key): text(p.value) for p in model.metadata_props}
    return {key: value for key, value in entries.items() if key != CHECKSUM_KEY}


def text(value: str | bytes) -> str:
    """A string field; protobuf hands those that are not UTF-8 over as bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def read(path: Path) -> ModelProto:
    """Parse an ONNX file, load its external data, verify the checksum if it has ours.

    A file that is missing, no ONNX or damaged is an EdgernnError that names it. No C++ code but protobuf's parser sees
    the bytes.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise EdgernnError(f"cannot read ONNX file {path}: {error.strerror}") from None
    return parse(data, str(path), Path(path).parent)


def parse(data: bytes, where: str, folder: Path) -> ModelProto:
    """An ONNX file's bytes; `folder` holds its external data. See `read`."""
    onnx_package()
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise EdgernnError(f"{where} is not an ONNX file, or damaged; export it again") from None
    if not model.ir_version or not model.graph.node:
        raise EdgernnError(f"{where} holds no ONNX graph; export it again")
    _load_external(model, where, folder)
    last = model.metadata_props[-1] if model.metadata_props else None
    ours = any(key.startswith(PREFIX) for key in metadata_of(model))
    if ours and (last is None or last.key != CHECKSUM_KEY or last.value != _checksum(model)):
        raise EdgernnError(f"{where} is damaged or was changed after the export (checksum differs); export it again")
    return model


def _load_external(model: ModelProto, where: str, folder: Path) -> None:
    """Bring tensors that lie in files of their own into the model, as they were before they were moved out."""
    from onnx import TensorProto
    from onnx.external_data_helper import load_external_data_for_tensor

    for tensor in model.graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        location = next((text(e.value) for e in tensor.external_data if e.key == "location"), "")
        if not (folder / location).is_file():
            raise EdgernnError(
                f"{where} keeps tensor {text(tensor.name)} in {location!r}, which is missing; copy that file beside it"
            )
        try:
            load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:  # the helper raises errors of many kinds, its C++ part's among them
            raise EdgernnError(f"{where}: external data {location!r} cannot be read ({error}); export it again") from None
        tensor.ClearField("data_location")
        del tensor.external_data[:]
