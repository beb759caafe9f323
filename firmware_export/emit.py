"""Graph to a folder of C: the header of its task, the runtime it needs, and examples."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgernn.artifacts import text_bytes, write_all, write_text
from edgernn.core.graph import NetGraph
from edgernn.core.graph_file import FORMAT_VERSION
from edgernn.core.primitives import LINEAR_CONSTANTS
from edgernn.core.structure import Op
from edgernn.errors import EdgernnError
from edgernn.signal.log_mel_graph import LogMelGraph
from edgernn.tasks import Task, task_of
from edgernn.tasks.base import Member
from firmware_export.golden import golden_checksums
from firmware_export.kernels import Kernel
from firmware_export.plan import C_WORDS, Plan, c_name, ctype_bytes, make_plan, padding, state_bytes

API_VERSION = 2
#: bound on the stack of one step on any supported core; the emulated batteries assert it
STACK_BYTES = 512
#: what turns a task's harness into a program of the host, and into a test firmware
HOST_DRIVER, BOARD_DRIVER = (Path(str(files("firmware_export"))) / "harness" / x for x in ("host", "board"))
_CTYPES = {name: f"{name}_t" for name in ("int8", "int16", "int32", "uint8", "uint16", "uint32")}


@dataclass(frozen=True)
class Array:
    """One constant array of the header; kind: "weight" of the net, "table" or "affine" of the signal path, or "other"."""

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
    fast: bool
    step: int  #: from one row of the operand to the next, in entries


def wrapped(words: Iterable[str], width: int = 116) -> str:
    """Words with commas between them, in indented lines."""
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > width:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line])


def arrays(g: NetGraph, plan: Plan, kernel: Kernel | None) -> list[Array]:
    """The constants that the CRC covers, in the header's order: the net's, then the signal path's tables."""
    net = [array for op in _products(g) for array in _weights(g, op, kernel if op.output in plan.fast else None)]
    front = [Array(name.split(".")[1], a, "table") for name, a in g.task_tensors().items()]
    return [*net, *front, Array("offset", g.affine.offset, "affine"), Array("gain", g.affine.gain, "affine")]


def _products(g: NetGraph) -> list[Op]:
    """The matrix products in the order of the graph."""
    return [op for op in g.ops if f"{op.output}.weight" in g.constants]


def _weights(g: NetGraph, op: Op, kernel: Kernel | None) -> list[Array]:
    """The constants of one product, one after another or as the kernel wants them."""
    if kernel:
        return [Array(c_name(f"{op.output}.stream"), kernel.packed(g, op), "weight")]
    return [Array(c_name(f"{op.output}.{key}"), g.constants[f"{op.output}.{key}"], "weight") for key in LINEAR_CONSTANTS]


def _linear(g: NetGraph, op: Op, fast: bool) -> _Linear:
    rows, columns = g.constants[f"{op.output}.weight"].shape
    step = g.values[op.inputs[0]].shape[1]
    return _Linear(c_name(op.output), rows, columns, 0 if op.attrs["relu"] else -32768, fast, step)


def constants_crc32(constants: Iterable[Array]) -> int:
    """CRC-32 over weights, then tables, in the header's order, as they lie in memory (little-endian)."""
    crc = 0
    for a in constants:
        crc = zlib.crc32(a.data.astype(a.data.dtype.newbyteorder("<")).tobytes(), crc)
    return crc


def c_string(text: str) -> str:
    """A C string literal; non-ASCII as octal escapes, which unlike hex ones end after three digits."""
    return (
        '"'
        + "".join(c if " " <= c <= "~" and c not in '"\\?' else "".join(f"\\{b:03o}" for b in text_bytes(c)) for c in text)
        + '"'
    )


def check_prefix(prefix: str) -> None:
    """Refuse a prefix that C names cannot start with."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", prefix) or prefix in C_WORDS or prefix == "ern" or prefix.startswith("ern_"):
        raise EdgernnError(
            f"prefix {prefix!r} must be a lower-case C identifier that is no keyword and does not begin with `ern_`, like `kws`"
        )


def render_header(g: NetGraph, prefix: str = "", kernel: Kernel | None = None) -> str:
    """The text of the task's header with every public name starting with `prefix` (empty: the task's own)."""
    task, plan, golden = task_of(g), make_plan(g, kernel), golden_checksums(g)
    prefix = prefix or task.c.prefix
    check_prefix(prefix)
    members, constants = task.members(g), arrays(g, plan, kernel)
    others = [Array(name, array, "other") for name, array in task.arrays(g).items()]
    others.append(Array("golden", np.array(golden, np.uint32), "other"))
    text = template(task, "header.h.jinja").render(
        **common_values(task, g, prefix, kernel), id=g.id, plan=plan, arrays=[*constants, *others], members=members,
        linears=[_linear(g, op, op.output in plan.fast) for op in _products(g)], kernel=kernel,
        weight_bytes=sum(a.data.nbytes for a in constants if a.kind == "weight"),
        crc=constants_crc32(constants), state_bytes=state_bytes(g, plan, members), stack_bytes=STACK_BYTES, golden=golden,
        api_version=API_VERSION, graph_format=FORMAT_VERSION, features_type=f"int{g.affine.bits}_t",
        padded=[(m, padding(max(1, m.count) * ctype_bytes(m.ctype))) for m in members.padded],
        features_pad=padding(g.affine.bits // 8 * g.frames_per_step * g.bands),
    )  # fmt: skip
    return str(text).replace("&@_", f"&{prefix}_")


def c_sources(task: Task, kernel: Kernel | None = None) -> tuple[str, ...]:
    """The C files beside the header that a firmware compiles."""
    if kernel is None:
        return task.c.sources
    return (*(kernel.instead.get(name, name) for name in task.c.sources), *kernel.compiled)


def common_values(task: Task, g: NetGraph, prefix: str, kernel: Kernel | None = None) -> dict[str, Any]:
    """What every template of a task is given."""
    return {
        "g": g, "p": prefix, "P": prefix.upper(), "header": task.c.header(prefix), "sources": c_sources(task, kernel),
        "task_template": task.template().name, "macros": c_macros(g.labels), "gives_sound": task.c.gives_sound,
        "front_template": "log_mel.jinja" if isinstance(g, LogMelGraph) else "own_front.jinja",
    }  # fmt: skip


def c_macros(labels: Iterable[str]) -> list[str]:
    """The part of a macro's name that stands for each label: in any script, and numbered where two would be the same."""
    taken: list[str] = []
    for label in labels:
        plain = re.sub(r"\W", "_", plain_capitals(label), flags=re.ASCII)
        base = plain if plain.strip("_") else "WORD"
        names = itertools.chain([base], (f"{base}_{n}" for n in itertools.count(2)))
        taken.append(next(x for x in names if x not in taken))
    return taken


def plain_capitals(text: str) -> str:
    """Capitals, those of Latin script without their accents."""
    apart = unicodedata.normalize("NFKD", text.upper())
    return "".join(c for c in apart if not unicodedata.combining(c))


def comment(text: str) -> str:
    """Text that can neither end a comment nor reach beyond its line."""
    return re.sub(r"[^ -~]|\*/|/\*|\?\?/|\\", "_", text)


def _member(m: Member) -> str:
    return f"{m.ctype} {m.name}[{m.count}]" if m.count else f"{m.ctype} {m.name}"


def template(task: Task, name: str, *places: Path) -> Any:
    """A skeleton of this package, or of `places`, to be filled by the macros of a task's template."""
    import jinja2

    skeletons = Path(str(files("firmware_export"))) / "templates"
    loader = jinja2.FileSystemLoader([*places, skeletons, task.template().parent])
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters.update(
        cstring=c_string, comment=comment, member=_member,
        json=json.dumps, numbers=lambda array: wrapped(str(int(v)) for v in array),
    )  # fmt: skip
    return environment.get_template(name)


def export_c(g: NetGraph, folder: Path, prefix: str = "", kernel: Kernel | None = None) -> list[Path]:
    """Write the task's header, the runtime and the examples into `folder`, all or none; returns the files written.

    What is generated is named like the prefix: models of two prefixes can lie in one folder.
    """
    task = task_of(g)
    prefix = prefix or task.c.prefix
    contents = {folder / task.c.header(prefix): text_bytes(render_header(g, prefix, kernel))}
    for name in task.c.examples:
        text = template(task, f"{name}.jinja").render(common_values(task, g, prefix, kernel))
        contents[folder / "examples" / f"{prefix}_{name}"] = text_bytes(text)
    contents |= {folder / name: data for name, data in (kernel.files() if kernel else {}).items()}
    return write_all({**contents, **runtime_files(folder)})


def export_app(g: NetGraph, folder: Path, kernel: Kernel | None = None) -> Path:
    """Write the graph's C and the application around it (`targets/device/device.h`) into `folder`; returns its C file."""
    return _export_around(g, folder, "app.c", kernel)


def export_program(g: NetGraph, folder: Path, kernel: Kernel | None = None) -> Path:
    """Write the graph's C and the program around it (`targets/linux/program.h`) into `folder`; returns its C file."""
    return _export_around(g, folder, "program.c", kernel)


def _export_around(g: NetGraph, folder: Path, name: str, kernel: Kernel | None) -> Path:
    task = task_of(g)
    export_c(g, folder, kernel=kernel)
    path = folder / name
    write_text(path, template(task, f"{name}.jinja").render(common_values(task, g, task.c.prefix, kernel)))
    return path


def runtime_files(folder: Path) -> dict[Path, bytes]:
    """The C99 runtime as it is to lie in `folder`."""
    runtime = Path(str(files("firmware_export") / "runtime"))
    return {folder / source.name: source.read_bytes() for source in sorted(runtime.glob("ern_*.[ch]"))}
