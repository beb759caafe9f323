"""The graph file: safetensors with the whole description as canonical JSON in one metadata key (SPEC.md, 7 and 8).

Equal graphs give equal bytes in every process; a graph's id is the sha256 of them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.core.affine import Affine
from edgernn.core.graph_checks import need
from edgernn.core.structure import Op, Region, State, Structure, Value
from edgernn.errors import EdgernnError

FORMAT_VERSION = 1
METADATA_KEY = "edgernn"
_AFFINE_TABLES = {"offset": "int16", "gain": "int16"}


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def seal(description: Mapping[str, Any]) -> str:
    """The description's canonical text with its own checksum in the field `crc32_json`."""
    return canonical({**description, "crc32_json": zlib.crc32(canonical(description).encode())})


def typed(tensors: Mapping[str, NDArray[Any]], prefix: str, dtypes: Mapping[str, str]) -> dict[str, NDArray[Any]]:
    """The tensors of these names, without their prefix, each of its dtype."""
    for name, dtype in dtypes.items():
        found = tensors[prefix + name].dtype
        need(found == dtype, f"tensor {prefix}{name} is {found}, not {dtype}")
    return {name: tensors[prefix + name] for name in dtypes}


def describe_affine(a: Affine) -> dict[str, int]:
    """The affine's integers, as the file's JSON holds them."""
    return {"shift": a.shift, "exponent": a.exponent, "bits": a.bits}


def whole_affine(a: Affine) -> dict[str, Any]:
    """The affine with its tables, for where there are no tensors."""
    return {**describe_affine(a), "gain": a.gain.tolist(), "offset": a.offset.tolist()}


def build_affine(d: Mapping[str, int], tensors: Mapping[str, NDArray[Any]], prefix: str) -> Affine:
    """The affine of a file."""
    parts: dict[str, Any] = {**typed(tensors, prefix, _AFFINE_TABLES), **d}
    return Affine(**parts)


def file_bytes(g: Structure, task: str | None, tables: Mapping[str, NDArray[Any]], about_task: Mapping[str, Any]) -> bytes:
    """The bytes of a graph with a task's tables (their names share a prefix) and what its JSON says beyond the net."""
    from safetensors.numpy import save

    tensors = _tensors(g, tables)
    description = _description(g, task, about_task)
    description["crc32"] = {name: zlib.crc32(a.tobytes()) for name, a in tensors.items()}
    return save(tensors, {METADATA_KEY: seal(description)})


def _tensors(g: Structure, tables: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    prefix = next(iter(tables)).split(".")[0]
    tensors = {**tables, f"{prefix}.offset": g.affine.offset, f"{prefix}.gain": g.affine.gain}
    tensors |= {f"net.{name}": a for name, a in g.constants.items()}
    return {name: np.ascontiguousarray(a) for name, a in sorted(tensors.items())}


def _description(g: Structure, task: str | None, about_task: Mapping[str, Any]) -> dict[str, Any]:
    """Everything but the tensors, as JSON: integers and strings; real numbers as float hex."""
    return {
        "format": FORMAT_VERSION,
        **({"task": task} if task else {}),
        "name": g.name,
        "scheme": g.scheme,
        **about_task,
        "values": {name: [list(v.shape), v.dtype, v.scale] for name, v in g.values.items()},
        "ops": [[op.kind, op.output, list(op.inputs), dict(op.attrs)] for op in g.ops],
        "states": [[s.read, s.write] for s in g.states],
        "regions": [[r.kind, r.name, r.first, r.count] for r in g.regions],
        "source": dict(g.source),
    }


def parse(data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Description and tensors of a file whose checksums are right; anything else is an EdgernnError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as load_tensors

    try:
        tensors = load_tensors(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise EdgernnError(f"not a graph file, or damaged ({error}); export it again") from None
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    text = header.get("__metadata__", {}).get(METADATA_KEY)
    if text is None:
        raise EdgernnError("a safetensors file, but not an edgernn graph; run `edgernn quantize` to make one")
    description = json.loads(text)
    check_plain(description, "description")
    version = description["format"]
    if version != FORMAT_VERSION:
        raise EdgernnError(f"graph format {version}, this edgernn reads format {FORMAT_VERSION}; use a matching edgernn")
    checksum = description.pop("crc32_json")
    need(checksum == zlib.crc32(canonical(description).encode()), "the description is damaged (checksum differs)")
    _check_crc(description["crc32"], tensors)
    return description, tensors


def check_plain(value: Any, where: str) -> None:
    """The description holds integers and strings alone: NumPy and C would read a float or a truth value differently."""
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            check_plain(key, f"a name in {where}")
            check_plain(inner, f"{where}.{key}")
    else:
        need(type(value) in (int, str), f"{where} is {value!r}, neither an integer nor a string")
        if type(value) is str:
            need(not any("\ud800" <= c <= "\udfff" for c in value), f"{where} is no text that UTF-8 can hold")


def _check_crc(expected: Mapping[str, int], tensors: Mapping[str, NDArray[Any]]) -> None:
    if set(expected) != set(tensors):
        raise EdgernnError(f"tensors {sorted(set(expected) ^ set(tensors))[:3]} are missing or unknown; export it again")
    for name, array in tensors.items():
        if zlib.crc32(array.tobytes()) != expected[name]:
            raise EdgernnError(f"tensor {name} is damaged (checksum differs); export it again")


def structure_fields(d: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The fields of a `Structure` that every task's file holds alike."""
    return {
        "name": d["name"],
        "scheme": d["scheme"],
        "values": {name: Value((int(v[0][0]), int(v[0][1])), v[1], v[2]) for name, v in d["values"].items()},
        "ops": tuple(Op(o[0], o[1], tuple(o[2]), o[3]) for o in d["ops"]),
        "states": tuple(State(*s) for s in d["states"]),
        "regions": tuple(Region(*r) for r in d["regions"]),
        "constants": {n.removeprefix("net."): a for n, a in tensors.items() if n.startswith("net.")},
        "source": d["source"],
    }
