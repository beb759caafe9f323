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
from edgernn.graph import FORMAT_VERSION, Graph, NetGraph, Op
from edgernn.primitives import LINEAR_CONSTANTS
from firmware_export.golden import make_golden
from firmware_export.plan import Plan, c_name, keyword_state_bytes, make_plan

API_VERSION = 1
#: bound on the stack of one step on any supported core; the emulated batteries assert it
STACK_BYTES = 512
RUNTIME_SOURCES = ("ern_net.c", "ern_frontend.c", "ern_decide.c")
_CTYPES = {name: f"{name}_t" for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")}
_C_WORDS = frozenset(keyword.kwlist) | {"auto", "case", "char", "const", "default", "do", "double", "enum", "extern", "float"}
_C_WORDS |= {"goto", "inline", "int", "long", "register", "restrict", "return", "short", "signed", "sizeof", "static"}
_C_WORDS |= {"struct", "switch", "typedef", "union", "unsigned", "void", "volatile"}


@dataclass(frozen=True)
class Array:
    """One constant array of the header; kind: "weight" of the network, "table" of the front end, or "other"."""

    name: str
    data: NDArray[Any]
    kind: str

    @property
    def ctype(self) -> str:
        """Its C type."""
        return _CTYPES[str(self.data.dtype)]

    @property
    def count(self) -> int:
        """Its entries."""
        return int(self.data.size)

    @property
    def text(self) -> str:
        """Its numbers, as an initializer's lines."""
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


def arrays(g: NetGraph) -> list[Array]:
    """The constants that the CRC covers, in the header's order: the net's, then the signal path's tables."""
    front = {name.split(".")[1]: a for name, a in g.task_tensors().items()}
    front |= {"offset": g.affine.offset, "gain": g.affine.gain}
    net = [
        Array(c_name(f"{op.output}.{key}"), g.constants[f"{op.output}.{key}"], "weight")
        for op in g.ops
        if f"{op.output}.weight" in g.constants
        for key in LINEAR_CONSTANTS
    ]
    return [*net, *(Array(k, v, "table") for k, v in front.items())]


def linears(g: NetGraph) -> list[_Linear]:
    """The matrix products in the order of the graph."""
    return [_linear(g, op) for op in g.ops if f"{op.output}.weight" in g.constants]


def _linear(g: NetGraph, op: Op) -> _Linear:
    rows, columns = g.constants[f"{op.output}.weight"].shape
    return _Linear(c_name(op.output), rows, columns, 0 if op.attrs["relu"] else -32768)


def constants_crc32(g: NetGraph) -> int:
    """CRC-32 over weights, then tables, in the header's order, as they lie in memory (little-endian)."""
    crc = 0
    for a in arrays(g):
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
    golden, plan = make_golden(g), make_plan(g)
    others = [Array("thresholds", np.array(g.decision.thresholds, np.int16), "other")]
    others.append(Array("golden", golden.posteriors, "other"))
    return render("model.h.jinja", g, prefix, plan, others, golden=golden, state_bytes=keyword_state_bytes(g, plan))


def render(name: str, g: NetGraph, prefix: str, plan: Plan, others: list[Array], **values: Any) -> str:
    """A header from its template: what every task's header holds, and the task's own values."""
    text = template(name).render(
        g=g, id=g.id, p=prefix, P=prefix.upper(), plan=plan, arrays=[*arrays(g), *others], linears=linears(g),
        crc=constants_crc32(g), stack_bytes=STACK_BYTES, api_version=API_VERSION,
        graph_format=FORMAT_VERSION, features_type=f"int{g.affine.bits}_t", **values,
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


def template(name: str) -> Any:
    """A template of this package."""
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
        write_text(written[-1], template(f"{name}.jinja").render(g=g, p=prefix, P=prefix.upper()))
    return [*written, *copy_runtime(folder)]


def copy_runtime(folder: Path) -> list[Path]:
    """The C99 runtime into `folder`; returns the files written."""
    runtime, written = Path(str(files("firmware_export") / "runtime")), []
    for source in sorted(runtime.glob("ern_*.[ch]")):
        written.append(folder / source.name)
        shutil.copyfile(source, written[-1])
    return written
