"""NetGraph to straight-line C: which buffer each value lives in, and one call a primitive."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgernn.core.graph import NetGraph
from edgernn.core.structure import Op, State
from edgernn.tasks.base import Member, StateMembers
from firmware_export.fuse import ENTRYWISE, Step, fused_steps, single_steps
from firmware_export.kernels import Kernel

#: no identifier of C or C++ may be one of these
C_WORDS = frozenset(keyword.kwlist) | {
    "auto", "case", "char", "const", "default", "do", "double", "enum", "extern", "float", "goto", "inline", "int",
    "long", "register", "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
    "union", "unsigned", "void", "volatile", "bool", "true", "false", "and", "or", "not", "xor", "new", "delete",
    "this", "class", "private", "public", "protected", "template", "typename", "namespace", "using", "virtual",
    "operator", "friend", "export", "mutable", "explicit", "throw", "try", "catch",
}  # fmt: skip
_ALIGN = 4
_WIDTH = {"int8": 1, "int16": 2}


@dataclass(frozen=True)
class StateField:
    """One carried array of the state struct, and the bytes after it that let the next begin at a multiple of four."""

    name: str
    ctype: str
    count: int
    value: str
    pad: int


@dataclass(frozen=True)
class Plan:
    """The body of `net_step`, the carried arrays as the struct holds them, and the scratch memory in bytes.

    fast: outputs of the products that the kernel computes. kept: states as such products want them, from step to step.
    """

    lines: list[str]
    states: list[StateField]
    arena_bytes: int
    fast: frozenset[str] = frozenset()
    kept: tuple[StateField, ...] = ()


def c_name(value: str) -> str:
    """A value's name as a C identifier, to stand behind a prefix or in a struct of its own."""
    plain = re.sub(r"\W", "_", value, flags=re.ASCII)
    return f"{plain}_" if plain in C_WORDS else plain


def make_plan(g: NetGraph, kernel: Kernel | None = None) -> Plan:
    """Plan buffers by liveness, then write the calls; with a kernel, loops of several operations and its own products."""
    places = _Places(g, fused_steps(g) if kernel else single_steps(g), kernel)
    lines = [line for step in places.steps for line in _lines(g, step, places, kernel)]
    lines += [_store(g, s.read, s.write, places) for s in g.states if s not in places.direct]
    return Plan(lines, state_fields(g), places.arena_bytes, places.fast, places.kept_fields())


def _lines(g: NetGraph, step: Step, at: _Places, kernel: Kernel | None) -> list[str]:
    if kernel and step.fused:
        return _loop(g, step, at)
    op = step.ops[0]
    return _fast_product(g, op, at) if op.output in at.fast else EMIT[op.kind](g, op, at)


def state_fields(g: NetGraph) -> list[StateField]:
    """The carried arrays in the graph's order; each begins at a multiple of four bytes, for kernels that read words."""
    return [_field(g, s.read, f"{g.values[s.read].dtype}_t") for s in g.states]


def _field(g: NetGraph, value: str, ctype: str) -> StateField:
    """An array of the struct for a value, whose entries are of that C type."""
    count = _count(g, value)
    return StateField(c_name(value), ctype, count, value, padding(count * ctype_bytes(ctype)))


def _count(g: NetGraph, value: str) -> int:
    rows, columns = g.values[value].shape
    return rows * columns


def _bytes(g: NetGraph, value: str) -> int:
    return _count(g, value) * _WIDTH[g.values[value].dtype]


def net_bytes(g: NetGraph) -> int:
    """Size of the state struct's member `net`: the padded carried arrays; a net without state has a placeholder."""
    return sum(_bytes(g, f.value) + f.pad for f in state_fields(g)) or _ALIGN


def split_states(g: NetGraph, net: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
    """Raw bytes [S, n] of the state struct's member `net` -> carried arrays [S, R, C], in the graph's order."""
    out, offset = {}, 0
    for f in state_fields(g):
        dtype = np.dtype(f.ctype.removesuffix("_t")).newbyteorder("<")
        size = f.count * dtype.itemsize
        raw = np.ascontiguousarray(net[:, offset : offset + size])
        out[f.value] = raw.view(dtype).reshape(len(net), *g.values[f.value].shape)
        offset += size + f.pad
    return out


#: size and alignment of what a state struct may hold, on the core that aligns most
_CTYPES = {
    "int8_t": (1, 1), "uint8_t": (1, 1), "int16_t": (2, 2), "uint16_t": (2, 2), "int32_t": (4, 4), "uint32_t": (4, 4),
    "ern_decider": (20, 4),
}  # fmt: skip


def ctype_bytes(ctype: str) -> int:
    """Size of what a state struct may hold."""
    return _CTYPES[ctype][0]


def padding(size: int) -> int:
    """Bytes that are missing to a multiple of four."""
    return -size % _ALIGN


def state_bytes(g: NetGraph, plan: Plan, members: StateMembers) -> int:
    """Size of a task's state struct as C lays it out; the C compiler checks it."""
    scratch = max(_layout(members.scratch), plan.arena_bytes, _ALIGN)
    size = _aligned(_layout(members.first), _ALIGN) + _aligned(scratch, _ALIGN) + net_bytes(g)
    size += sum(f.count * ctype_bytes(f.ctype) + f.pad for f in plan.kept)
    words = [max(1, m.count) * ctype_bytes(m.ctype) for m in members.padded] + [
        g.affine.bits // 8 * g.frames_per_step * g.bands
    ]
    size += sum(_aligned(x, _ALIGN) for x in words) + 2 * 2 * g.scores
    return _aligned(_layout(members.last, size), _ALIGN)


def _layout(members: Sequence[Member], size: int = 0) -> int:
    """Size of a struct after `size` bytes and these members, each at a multiple of its alignment."""
    for m in members:
        each, alignment = _CTYPES[m.ctype]
        size = _aligned(size, alignment) + each * max(1, m.count)
    return size


def _aligned(size: int, to: int) -> int:
    return -(-size // to) * to


class _Places:
    """C expressions for values: slices point into their parent, everything else has a place in the arena.

    direct: states that a loop writes in place. A kernel's product of int8 operands has a place for them widened, too, and one
    over neighbouring rows has one with zeros around them. narrowed: a state that was narrowed when it was written, for what
    reads it next, is not narrowed again a step later: name then -> name before, which lies in the struct's `kept`.
    """

    def __init__(self, g: NetGraph, steps: Sequence[Step], kernel: Kernel | None) -> None:
        self._g, self.steps = g, steps
        self._root: dict[str, tuple[str, int]] = {}
        self._offset: dict[str, int] = {}
        self._loops = {op.output for step in steps if kernel and step.fused for op in step.ops}
        self.arena_bytes, self.widens, self.lanes = 2, kernel is None or kernel.widens, kernel.lanes if kernel else 1
        self._steps: dict[str, int] = {}
        for op in g.ops:
            self._root[op.output] = self._alias(op)
            if op.kind == "slice_columns" and self.is_alias(op.output):
                self._steps[op.output] = g.values[op.inputs[0]].shape[1]
        self.fast = frozenset(op.output for op in g.ops if kernel and kernel.takes(g, op, self._at_word(op)))
        self.wide = frozenset(x.output for x in g.ops if x.kind == "narrow" and self.widens and self._only_fast(x.output))
        last = self._last_uses()
        self.direct = [s for s in g.states if kernel and self._can_be_written(s, last)]
        self.narrowed = dict(x for s in self.direct for x in self._narrowed_before(s, last))
        if self.narrowed:
            self.steps = [x for step in steps if (x := _without(step, self.narrowed)).ops]
            last = self._last_uses()
        self._home = {s.write: s.read for s in self.direct}
        self._allocate(last)

    def _at_word(self, op: Op) -> bool:
        """Whether the product's operand begins at a multiple of four bytes."""
        _, offset = self._root.get(op.inputs[0], (op.inputs[0], 0))
        return offset * _WIDTH[self._g.values[op.inputs[0]].dtype] % _ALIGN == 0

    def _only_fast(self, value: str) -> bool:
        """Whether all that reads a narrowed value are a kernel's products: a loop then gives it as they want it."""
        readers = [op for op in self._g.ops if value in op.inputs]
        return bool(readers) and all(op.output in self.fast for op in readers)

    def _can_be_written(self, s: State, last: Mapping[str, int]) -> bool:
        """Whether a loop may put the state's next value where it lies: nobody reads the old one after or beside the loop."""
        step = self._made_in(s.write)
        return step >= 0 and self.steps[step].fused and last.get(s.read, -1) <= step and self._root[s.write] == (s.write, 0)

    def _made_in(self, value: str) -> int:
        """Which step leaves this value to others; -1: none."""
        return next((i for i, step in enumerate(self.steps) if value in step.kept), -1)

    def _narrowed_before(self, s: State, last: Mapping[str, int]) -> Iterator[tuple[str, str]]:
        """(the state narrowed, its next value narrowed), if the first is out of use when a loop makes the second."""
        of = {op.inputs[0]: op.output for op in self._g.ops if op.kind == "narrow"}
        then, before = of.get(s.read, ""), of.get(s.write, "")
        made = self._made_in(before)
        if then and last[then] < made and self.steps[made].fused and (then in self.wide) == (before in self.wide):
            yield then, before

    def kept_fields(self) -> tuple[StateField, ...]:
        """Of the struct's `kept`, which is zero at the start like the states: 0 narrowed is 0."""
        return tuple(_field(self._g, value, self.ctype(value)) for value in self.narrowed.values())

    def _alias(self, op: Op) -> tuple[str, int]:
        """(value that owns the memory, offset in entries)."""
        source = op.inputs[0]
        root, offset = self._root.get(source, (source, 0))
        rows, columns = self._g.values[source].shape
        if op.kind == "slice_rows":
            return root, offset + op.attrs["begin"] * columns
        if op.kind == "reshape":
            return root, offset
        if op.kind == "slice_columns" and (rows == 1 or self._only_in_loops(op)):
            return root, offset + op.attrs["begin"]
        return op.output, 0

    def _only_in_loops(self, op: Op) -> bool:
        """Whether all that reads columns of many rows are loops, which can step over the others."""
        readers = {x.output for x in self._g.ops if op.output in x.inputs}
        kept = {self._g.logits, self._g.posteriors, *(s.write for s in self._g.states)}
        return op.inputs[0] not in self._steps and op.output not in kept and bool(readers) and readers <= self._loops

    def home(self, value: str) -> str:
        """The value whose memory it is written to: a state's, where a loop writes it in place."""
        return self._home.get(value, value)

    def place(self, value: str) -> tuple[str, int, int]:
        """(value that owns the memory, offset in entries, entries from row to row)."""
        root, offset = self._root.get(value, (value, 0))
        return root, offset, self._steps.get(value, self._g.values[value].shape[1])

    def is_alias(self, value: str) -> bool:
        """True when the value needs no code: it lies inside another."""
        return self._root[value][0] != value

    def _last_uses(self) -> dict[str, int]:
        """The last step that needs each value's memory."""
        last: dict[str, int] = {}
        for i, step in enumerate(self.steps):
            for op in step.ops:
                for name in (*op.inputs, op.output):
                    last[self._root.get(name, (name, 0))[0]] = i
        for s in self._g.states:
            last[self._root.get(s.write, (s.write, 0))[0]] = len(self.steps)
        return last

    def _allocate(self, last: Mapping[str, int]) -> None:
        """First fit: each value takes the lowest gap that is free while it lives."""
        live: list[tuple[int, int, int]] = []  # (begin, end, last use)
        for i, step in enumerate(self.steps):
            live = [x for x in live if x[2] >= i]
            for value, size, until in self._wanted(step, i, last):
                size = _aligned(size, _ALIGN)
                begin = _first_gap(sorted(live), size)
                live.append((begin, begin + size, until))
                self._offset[value] = begin
                self.arena_bytes = max(self.arena_bytes, begin + size)

    def _wanted(self, step: Step, i: int, last: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
        """Values that need a place from this step on: name, bytes, last step."""
        g = self._g
        for op in step.ops:
            if op.output in self.fast and (op.kind == "row_conv" or self.to_widen(op.inputs[0])):
                yield _operand(op), 2 * (2 * _margin(g, op) + _aligned(_count(g, op.inputs[0]), _ALIGN) + _ALIGN), i
            elsewhere = (g.logits, g.posteriors, *self._home, *self.narrowed.values())
            if op.output in step.kept and not self.is_alias(op.output) and op.output not in elsewhere:
                yield op.output, _bytes(g, op.output) * (2 if op.output in self.wide else 1), last[op.output]

    def __getitem__(self, value: str) -> str:
        """The C expression of a value's first entry."""
        root, offset = self._root.get(value, (value, 0))
        base = self._base(root)
        return f"{base} + {offset}" if offset else base

    def _base(self, root: str) -> str:
        g = self._g
        if root == g.input:
            return "s->features"
        if root in (g.logits, g.posteriors):
            return f"s->{root}"
        root = self.narrowed.get(root, self._home.get(root, root))
        if root in self.narrowed.values():
            return f"s->kept.{c_name(root)}"
        if root not in self._offset:
            return f"s->net.{c_name(root)}"
        place = f"s->scratch.net + {self._offset[root] // 2}"
        return f"(int8_t *)({place})" if root in g.values and self.ctype(root) == "int8_t" else place

    def to_widen(self, value: str) -> bool:
        """Whether a kernel's product must first have this operand widened."""
        return self.widens and self.ctype(value) == "int8_t"

    def ctype(self, value: str) -> str:
        """Of the entries of its place."""
        return "int16_t" if value in self.wide else f"{self._g.values[value].dtype}_t"


def _without(step: Step, values: Container[str]) -> Step:
    """The step without the operations that give these values."""
    ops = tuple(op for op in step.ops if op.output not in values)
    return replace(step, ops=ops, kept=tuple(x for x in step.kept if x not in values))


def _first_gap(live: list[tuple[int, int, int]], size: int) -> int:
    begin = 0
    for low, high, _ in live:
        if begin + size <= low:
            break
        begin = max(begin, high)
    return begin


def _store(g: NetGraph, read: str, write: str, at: _Places) -> str:
    return f"ern_copy({at[read]}, {at[write]}, {_bytes(g, write)}u);"


def _suffix(g: NetGraph, value: str) -> str:
    return "s8" if g.values[value].dtype == "int8" else "s16"


def _operand(op: Op) -> str:
    """Name of a product's operand as the kernel wants it."""
    return f"{op.output}.operand"


def _margin(g: NetGraph, op: Op) -> int:
    """Zeros before and after the operand of a product over neighbouring rows, in entries."""
    channels = g.values[op.inputs[0]].shape[1]
    return g.constants[f"{op.output}.weight"].shape[1] // channels // 2 * channels if op.kind == "row_conv" else 0


def _fast_product(g: NetGraph, op: Op, at: _Places) -> list[str]:
    x, count, margin = op.inputs[0], _count(g, op.inputs[0]), _margin(g, op)
    rows = 1 if op.kind == "conv" else g.values[x].shape[0]
    of_bytes = "8" if at.ctype(x) == "int8_t" and not at.widens else ""
    lines, operand = [], at[x]
    if at.to_widen(x) or margin:
        operand = f"(int8_t *)({at[_operand(op)]})" if of_bytes else at[_operand(op)]
        begin, size = f"{operand} + {margin}" if margin else operand, count if of_bytes else 2 * count
        widened, copied = f"ern_fast_widen({begin}, {at[x]}, {count}u);", f"ern_copy({begin}, {at[x]}, {size}u);"
        lines = [widened if at.to_widen(x) else copied]
    if margin:
        places = (operand, f"{operand} + {margin + count}")
        lines += [f"ern_fast_zero{of_bytes}({place}, {margin}u);" for place in places]
    called = f"{at[op.output]}, &@_{c_name(op.output)}, {operand}"
    if op.kind == "depthwise":
        each = g.values[op.output].shape[1] // g.values[x].shape[1]
        return [*lines, f"ern_fast_depthwise({called}, {rows}u, {each}u);"]
    if rows > 1:
        return [*lines, f"ern_fast_matvec{of_bytes}_rows({called}, {rows}u);"]
    return [*lines, f"ern_fast_matvec{of_bytes}({called});"]


def _loop(g: NetGraph, step: Step, at: _Places) -> list[str]:
    """One loop over the entries of several operations; what nobody else reads lives in its variables.

    Operands in one array share a pointer. Where only some columns of an array's rows are read, a loop over rows is around it.
    A kernel with lanes takes several entries at a time, in the end those that are left.
    """
    made, pointers, body = {op.output for op in step.ops}, dict[tuple[str, int], str](), list[str]()
    rows, columns = g.values[step.ops[0].output].shape
    entry_type = "int32_t" if at.lanes == 1 else "ern_fast_lanes"
    written = {(at.home(v), columns): f"to_{c_name(v)}" for v in step.kept}

    def entry(value: str) -> str:
        if value in made:
            return c_name(value)
        root, offset, stride = at.place(value)
        name = written.get((root, stride)) or pointers.setdefault((root, stride), f"from{len(pointers)}_{c_name(root)}")
        index = f"i + {offset}u" if offset else "i"
        return f"{name}[{index}]" if at.lanes == 1 else f"ern_fast_get({name} + {index}, left)"

    for op in step.ops:
        attribute = ENTRYWISE[op.kind]
        arguments = [*map(entry, op.inputs), *([str(op.attrs[attribute])] if attribute else [])]
        body.append(f"const {entry_type} {c_name(op.output)} = ern_fast_{op.kind}({', '.join(arguments)});")
        if op.output in step.kept:
            body.append(_kept(op.output, at))
    strides = {name: stride for (_, stride), name in pointers.items()} | {f"to_{c_name(v)}": columns for v in step.kept}
    flat = rows == 1 or set(strides.values()) == {columns}
    declared = [f"const {g.values[root].dtype}_t *{name} = {at[root]};" for (root, _), name in pointers.items()]
    declared += [f"{at.ctype(v)} *to_{c_name(v)} = {at[v]};" for v in step.kept]
    count = rows * columns if flat else columns
    if at.lanes > 1:
        body.insert(0, f"const uint32_t left = {f'{count}u - i' if count % at.lanes else f'{at.lanes}u'};")
    loop = [f"for (i = 0; i < {count}u; i += {at.lanes}u) {{", *_indented(body), "}"]
    if not flat:
        moved = [f"{name} += {stride};" for name, stride in strides.items()]
        loop = [f"for (row = 0; row < {rows}u; row++) {{", *_indented([*loop, *moved]), "}"]
    return ["{", *_indented([*declared, "uint32_t i;" if flat else "uint32_t row, i;", *loop]), "}"]


def _kept(value: str, at: _Places) -> str:
    """The statement that writes a loop's variable to its value's place."""
    name, ctype = c_name(value), at.ctype(value)
    if at.lanes > 1:
        put = "wide" if value in at.wide else ctype.removesuffix("_t")
        return f"ern_fast_put_{put}(to_{name} + i, left, {name});"
    return f"to_{name}[i] = ({ctype})({name}{' * 256' if value in at.wide else ''});"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


Emit = Callable[[NetGraph, Op, _Places], list[str]]


def _matvec(g: NetGraph, op: Op, at: _Places) -> list[str]:
    x = op.inputs[0]
    rows = 1 if op.kind == "conv" else g.values[x].shape[0]
    return [f"ern_matvec_{_suffix(g, x)}({at[op.output]}, &@_{c_name(op.output)}, {at[x]}, {rows}u);"]


def _row_conv(g: NetGraph, op: Op, at: _Places) -> list[str]:
    x = op.inputs[0]
    rows, columns = g.values[x].shape
    return [f"ern_row_conv_{_suffix(g, x)}({at[op.output]}, &@_{c_name(op.output)}, {at[x]}, {rows}u, {columns}u);"]


def _depthwise(g: NetGraph, op: Op, at: _Places) -> list[str]:
    x = op.inputs[0]
    return [f"ern_depthwise_{_suffix(g, x)}({at[op.output]}, &@_{c_name(op.output)}, {at[x]}, {g.values[x].shape[1]}u);"]


def _entrywise(function: str, attr: str = "") -> Emit:
    def emit(g: NetGraph, op: Op, at: _Places) -> list[str]:
        arguments = [at[op.output], *(at[i] for i in op.inputs)]
        arguments += [f"{op.attrs[attr]}u"] if attr else []
        return [f"{function}({', '.join(arguments)}, {_count(g, op.output)}u);"]

    return emit


def _concat(g: NetGraph, op: Op, at: _Places) -> list[str]:
    lines, entries = [], 0
    for x in op.inputs:
        to = f"{at[op.output]} + {entries}" if entries else at[op.output]
        lines.append(f"ern_copy({to}, {at[x]}, {_bytes(g, x)}u);")
        entries += _count(g, x)
    return lines


def _concat_columns(g: NetGraph, op: Op, at: _Places) -> list[str]:
    """Column block by column block into the result's rows."""
    rows, total = g.values[op.output].shape
    width, begin, lines = _WIDTH[g.values[op.output].dtype], 0, []
    for x in op.inputs:
        size = g.values[x].shape[1]
        lines.append(f"ern_put_columns({at[op.output]}, {at[x]}, {rows}u, {total}u, {begin}u, {size}u, {width}u);")
        begin += size
    return lines


def _view(g: NetGraph, op: Op, at: _Places) -> list[str]:
    return []


def _slice_columns(g: NetGraph, op: Op, at: _Places) -> list[str]:
    if at.is_alias(op.output):
        return []
    x = op.inputs[0]
    rows, columns = g.values[x].shape
    width = _WIDTH[g.values[x].dtype]
    return [
        f"ern_copy_columns({at[op.output]}, {at[x]}, {rows}u, {columns}u, {op.attrs['begin']}u, {op.attrs['size']}u, {width}u);"
    ]


#: the C backend's table: one row a primitive
EMIT: Mapping[str, Emit] = {
    "matvec": _matvec,
    "conv": _matvec,
    "depthwise": _depthwise,
    "row_conv": _row_conv,
    "add": _entrywise("ern_add"),
    "sub": _entrywise("ern_sub"),
    "add_relu": _entrywise("ern_add_relu"),
    "mul": _entrywise("ern_mul", "shift"),
    "sigmoid": _entrywise("ern_sigmoid"),
    "tanh": _entrywise("ern_tanh"),
    "narrow": _entrywise("ern_narrow16"),
    "cell_to_preact": _entrywise("ern_cell_to_preact", "exponent"),
    "concat": _concat,
    "concat_columns": _concat_columns,
    "reshape": _view,
    "slice_rows": _view,
    "slice_columns": _slice_columns,
}
