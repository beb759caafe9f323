"""Graph to a folder of C: `model.h`, the runtime it needs, and examples."""

from __future__ import annotations

import keyword
import re
import shutil
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import write_text
from edgernn.errors import EdgernnError
from edgernn.graph import FORMAT_VERSION, Graph, Op
from edgernn.primitives import LINEAR_CONSTANTS
from firmware_export.golden import make_golden
from firmware_export.plan import c_name, make_plan

API_VERSION = 1
#: bound on the stack of one step on any supported core; the emulated batteries assert it
STACK_BYTES = 512
RUNTIME_SOURCES = ("ern_net.c", "ern_frontend.c", "ern_decide.c")
_CTYPES = {"int8": "int8_t", "int16": "int16_t", "int32": "int32_t", "uint8": "uint8_t", "uint16": "uint16_t"}
_C_WORDS = frozenset(keyword.kwlist) | {"auto", "case", "char", "const", "default", "do", "double", "enum", "extern", "float"}
_C_WORDS |= {"goto", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static"}
_C_WORDS |= {"struct", "switch", "typedef", "union", "unsigned", "void", "volatile"}


@dataclass(frozen=True)
class _Array:
    """One constant array of the header; kind: "weight" of the network, "table" of the front end, or "other"."""

    name: str
    data: NDArray[Any]
    kind: str

    @property
    def ctype(self) -> str:
        return _CTYPES[str(self.data.dtype)]

    @property
    def count(self) -> int:
        return int(self.data.size)

    @property
    def text(self) -> str:
        return wrapped(str(int(v)) for v in self.data.ravel())


@dataclass(frozen=True)
class _Linear:
    name: str
    rows: int
    columns: int
    floor: int


def wrapped(words: Iterable[str], width: int = 116) -> str:
    """Words with commas between them, in indented lines."""
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > width:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line])


def _arrays(g: Graph) -> list[_Array]:
    t, a = g.tables, g.affine
    front = {"window": t.window, "cosine": t.cosine, "mel_start": t.mel_start, "mel_rise": t.mel_rise}
    front |= {"offset": a.offset, "gain": a.gain}
    net = [
        _Array(c_name(f"{op.output}.{key}"), g.constants[f"{op.output}.{key}"], "weight")
        for op in g.ops
        if f"{op.output}.weight" in g.constants
        for key in LINEAR_CONSTANTS
    ]
    return [*net, *(_Array(k, v, "table") for k, v in front.items())]


def _linears(g: Graph) -> list[_Linear]:
    return [_linear(g, op) for op in g.ops if f"{op.output}.weight" in g.constants]


def _linear(g: Graph, op: Op) -> _Linear:
    rows, columns = g.constants[f"{op.output}.weight"].shape
    return _Linear(c_name(op.output), rows, columns, 0 if op.attrs["relu"] else -32768)


def constants_crc32(g: Graph) -> int:
    """CRC-32 over weights, then tables, in the header's order, as they lie in memory (little-endian)."""
    crc = 0
    for a in _arrays(g):
        crc = zlib.crc32(a.data.astype(a.data.dtype.newbyteorder("<")).tobytes(), crc)
    return crc


def c_string(text: str) -> str:
    """A C string literal; non-ASCII as octal escapes, which unlike hex ones end after three digits."""
    return (
        '"'
        + "".join(c if " " <= c <= "~" and c not in '"\\?' else "".join(f"\\{b:03o}" for b in c.encode()) for c in text)
        + '"'
    )


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that C names cannot start with."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", prefix) or prefix in _C_WORDS or prefix == "ern":
        raise EdgernnError(f"prefix {prefix!r} must be a lower-case C identifier that is not a keyword or `ern`, like `kws`")


def render_model(g: Graph, prefix: str = "kws") -> str:
    """The text of `model.h` with every public name starting with `prefix`."""
    check_prefix(prefix)
    _check_label_macros(g)
    golden, arrays = make_golden(g), _arrays(g)
    arrays.append(_Array("thresholds", np.array(g.decision.thresholds, np.int16), "other"))
    arrays.append(_Array("golden", golden.posteriors, "other"))
    text = _template("model.h.jinja").render(
        g=g, id=g.id, p=prefix, P=prefix.upper(), plan=make_plan(g), arrays=arrays, linears=_linears(g),
        golden=golden, crc=constants_crc32(g), stack_bytes=STACK_BYTES, api_version=API_VERSION,
        graph_format=FORMAT_VERSION, features_type=f"int{g.affine.bits}_t",
    )  # fmt: skip
    return str(text).replace("&@_", f"&{prefix}_")


def _macro(label: str) -> str:
    return re.sub(r"\W", "_", label, flags=re.ASCII).upper()


def _check_label_macros(g: Graph) -> None:
    seen: dict[str, str] = {}
    for label in g.labels:
        other = seen.setdefault(_macro(label), label)
        if other != label:
            raise EdgernnError(f"labels {other!r} and {label!r} give the same C name {_macro(label)}; rename one of them")


def _template(name: str) -> Any:
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["macro"] = _macro
    environment.filters["cstring"] = c_string
    return environment.from_string((files("firmware_export") / "templates" / name).read_text())


def export_c(g: Graph, folder: Path, prefix: str = "kws") -> list[Path]:
    """Write `model.h`, the runtime and the examples into `folder`; returns the files written."""
    written = [folder / "model.h"]
    write_text(written[0], render_model(g, prefix))
    for name in ("main.c", "main_interrupt.c"):
        written.append(folder / "examples" / name)
        write_text(written[-1], _template(f"{name}.jinja").render(g=g, p=prefix, P=prefix.upper()))
    runtime = Path(str(files("firmware_export") / "runtime"))
    for source in sorted(runtime.glob("ern_*.[ch]")):
        written.append(folder / source.name)
        shutil.copyfile(source, written[-1])
    return written
