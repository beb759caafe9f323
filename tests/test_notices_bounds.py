"""Every bound of a graph: a value just inside is taken, one just outside is refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from nets import LABELS, quantized, random_net

from edgernn.core.affine import Affine
from edgernn.core.graph_checks import check_structure
from edgernn.core.primitives import PREACT, PRIMITIVES
from edgernn.core.structure import Op, Region, State, Structure, Value
from edgernn.errors import EdgernnError
from edgernn.signal.log_mel_graph import LogMelGraph
from edgernn.tasks.spot.decision import Decision

ROWS, BANDS, UNITS, SCORES = 2, 3, 4, 5
INPUT = Value((ROWS, BANDS), "int16", 12)


def linear(output: str, rows: int, columns: int) -> dict[str, Any]:
    """The constants of a product of ones."""
    return {
        f"{output}.weight": np.ones((rows, columns), np.int8), f"{output}.bias": np.zeros(rows, np.int32),
        f"{output}.multiplier": np.full(rows, 20000, np.int16), f"{output}.shift": np.full(rows, 20, np.uint8),
    }  # fmt: skip


def recurrence() -> Structure:
    """x folded to one row, h' = tanh(W x) * h + h, an LSTM's c beside it, scores of h'."""
    row, q15 = (1, UNITS), 15
    values = {
        "features": INPUT, "x": Value((1, ROWS * BANDS), "int16", 12), "fx": Value(row, "int16", PREACT),
        "t": Value(row, "int16", q15), "h": Value(row, "int16", q15), "kept": Value(row, "int16", q15),
        "h_next": Value(row, "int16", q15), "c": Value(row, "int16", 10), "c_next": Value(row, "int16", 10),
        "cp": Value(row, "int16", PREACT), "gated": Value(row, "int16", PREACT), "h8": Value(row, "int8", 7),
        "logits": Value((1, SCORES), "int16", PREACT), "posteriors": Value((1, SCORES), "int16", 15),
    }  # fmt: skip
    ops = (
        Op("reshape", "x", ("features",), {"rows": 1}),
        Op("matvec", "fx", ("x",), {"relu": 0}),
        Op("tanh", "t", ("fx",)),
        Op("mul", "kept", ("t", "h"), {"shift": 14}),
        Op("add", "h_next", ("kept", "h")),
        Op("mul", "c_next", ("t", "c"), {"shift": 14}),
        Op("cell_to_preact", "cp", ("c_next",), {"exponent": 10}),
        Op("mul", "gated", ("t", "cp"), {"shift": 14}),
        Op("narrow", "h8", ("h_next",)),
        Op("matvec", "logits", ("h8",), {"relu": 0}),
        Op("sigmoid", "posteriors", ("logits",)),
    )
    constants = {**linear("fx", UNITS, ROWS * BANDS), **linear("logits", SCORES, UNITS)}
    affine = Affine(np.zeros(BANDS, np.int16), np.ones(BANDS, np.int16), 1, 12, 16)
    return Structure(
        name="n", scheme="int8x16", values=values, ops=ops, states=(State("h", "h_next"), State("c", "c_next")),
        regions=(Region("cell", "r", 0, len(ops)),), constants=constants, affine=affine,
    )  # fmt: skip


Change = Callable[[Structure], Structure]


def value(name: str, **changes: Any) -> Change:
    return lambda g: replace(g, values={**g.values, name: replace(g.values[name], **changes)})


def op(output: str, /, **changes: Any) -> Change:
    return lambda g: replace(g, ops=tuple(replace(o, **changes) if o.output == output else o for o in g.ops))


def constant(name: str, index: Any, number: int) -> Change:
    def change(g: Structure) -> Structure:
        a = g.constants[name].copy()
        a[index] = number
        return replace(g, constants={**g.constants, name: a})

    return change


def array(name: str, a: Any) -> Change:
    return lambda g: replace(g, constants={**g.constants, name: a})


def affine(**changes: Any) -> Change:
    return lambda g: replace(g, affine=replace(g.affine, **changes))


def field(**changes: Any) -> Change:
    return lambda g: replace(g, **changes)


def both(*changes: Change) -> Change:
    def change(g: Structure) -> Structure:
        for one in changes:
            g = one(g)
        return g

    return change


def bias_of(room: int) -> Change:
    """Weights that use all of the accumulator but `room`, and a bias."""
    weights = np.full((SCORES, UNITS), 127, np.int8)
    largest = UNITS * 127 * 128
    return both(array("logits.weight", weights), constant("logits.bias", 2, 2**31 - largest - room))


def negative_bias(g: Structure) -> Structure:
    return array("logits.bias", -g.constants["logits.bias"])(g)


INSIDE: Mapping[str, Change] = {
    "as it is": lambda g: g,
    "affine shift 1": affine(shift=1), "affine shift 24": affine(shift=24),
    "gain 1": affine(gain=np.array([1, 1, 32767], np.int16)),
    "weight -127": constant("fx.weight", (1, 2), -127),
    "multiplier 16384": constant("fx.multiplier", 3, 16384),
    "multiplier 32767": constant("fx.multiplier", 3, 32767),
    "shift 8": constant("fx.shift", 0, 8), "shift 46": constant("fx.shift", 0, 46),
    "the last sum that fits": bias_of(1),
    "the lowest sum that fits": both(bias_of(1), negative_bias),
    "a region of one": field(regions=(Region("cell", "r", 10, 1),)),
    "c at 2^-9": both(value("c", scale=9), value("c_next", scale=9), op("cp", attrs={"exponent": 9})),
    "c at 2^-12": both(value("c", scale=12), value("c_next", scale=12), op("cp", attrs={"exponent": 12})),
}  # fmt: skip

OUTSIDE: Mapping[str, tuple[Change, str]] = {
    "affine shift 0": (affine(shift=0), "affine shift 0"),
    "affine shift 25": (affine(shift=25), "affine shift 25"),
    "gain 0": (affine(gain=np.array([1, 0, 1], np.int16)), "gain out of range"),
    "a gain too few": (affine(gain=np.ones(BANDS - 1, np.int16)), "one offset and gain a band"),
    "an offset too many": (affine(offset=np.zeros(BANDS + 1, np.int16)), "one offset and gain a band"),
    "8 bits in int8x16": (affine(bits=8), "features of 8 bits do not fit scheme int8x16"),
    "16 bits in int8": (field(scheme="int8"), "features of 16 bits do not fit scheme int8"),
    "int32": (value("h", dtype="int32"), "h: dtype int32"),
    "no rows": (value("h", shape=(0, UNITS)), "h: shape"),
    "65536 columns": (value("h", shape=(1, 65536)), "h: shape"),
    "scale 25": (value("h", scale=25), "h: scale 25 unknown"),
    "scale -9": (value("h", scale=-9), "h: scale -9 unknown"),
    "a scale of another name": (value("h", scale="q15"), "h: scale q15 unknown"),
    "another input": (value("features", scale=11), "input features must be"),
    "an unknown primitive": (op("t", kind="erf"), "unknown primitive 'erf'"),
    "assigned twice": (op("t", output="fx"), "op fx: assigned twice"),
    "a state assigned": (op("t", output="h"), "op h: assigned twice"),
    "without a type": (op("t", output="nowhere"), "op nowhere: assigned twice or without a type"),
    "read too early": (op("t", inputs=("kept",)), "op t: reads a value before it is computed"),
    "one of two read too early": (op("h_next", inputs=("kept", "c_next")), "op h_next: reads a value before it is computed"),
    "an operand too many": (op("t", inputs=("fx", "fx")), "tanh takes 1 operands, not 2"),
    "an operand too few": (op("h_next", inputs=("kept",)), "add takes 2 operands, not 1"),
    "one row to concatenate": (op("h_next", kind="concat", inputs=("kept",)), "concat takes None operands, not 1"),
    "a missing attribute": (op("kept", attrs={}), r"mul needs attributes \['shift'\]"),
    "an attribute too many": (op("t", attrs={"relu": 1}), "tanh needs attributes"),
    "mul shift 13": (op("kept", attrs={"shift": 13}), r"shift = 13 must lie in 14\.\.20"),
    "mul shift 21": (op("kept", attrs={"shift": 21}), r"shift = 21 must lie in 14\.\.20"),
    "relu 2": (op("fx", attrs={"relu": 2}), r"relu = 2 must lie in 0\.\.1"),
    "a real attribute": (op("kept", attrs={"shift": 14.0}), "shift = 14.0 must lie in"),
    "exponent 8": (both(value("c", scale=8), value("c_next", scale=8), op("cp", attrs={"exponent": 8})), "exponent = 8"),
    "exponent 13": (both(value("c", scale=13), value("c_next", scale=13), op("cp", attrs={"exponent": 13})), "exponent = 13"),
    "another exponent": (op("cp", attrs={"exponent": 11}), r"maps 2\^-e to"),
    "weights of int16": (array("fx.weight", np.ones((UNITS, 6), np.int16)), "fx: weight is int16, not int8"),
    "a bias of int16": (array("fx.bias", np.zeros(UNITS, np.int16)), "fx: bias is int16, not int32"),
    "three dimensions": (array("fx.weight", np.ones((UNITS, 6, 1), np.int8)), "weight has 3 dimensions"),
    "a bias too few": (array("fx.bias", np.zeros(UNITS - 1, np.int32)), "one bias and scale a row"),
    "a shift too many": (array("fx.shift", np.full(UNITS + 1, 20, np.uint8)), "one bias and scale a row"),
    "weight -128": (constant("fx.weight", (1, 2), -128), "weight -128 is outside"),
    "multiplier 16383": (constant("fx.multiplier", 3, 16383), "multiplier below 16384"),
    "shift 7": (constant("fx.shift", 0, 7), r"shift outside 8\.\.46"),
    "shift 47": (constant("fx.shift", 0, 47), r"shift outside 8\.\.46"),
    "the first sum that does not fit": (bias_of(0), "logits: row 2 could overflow"),
    "a negative one": (both(bias_of(0), negative_bias), "row 2 could overflow"),
    "columns that do not fit": (array("fx.weight", np.ones((UNITS, 7), np.int8)), "weight has 7 columns, the operand 6"),
    "another shape declared": (value("fx", shape=(1, 5)), r"computes \(1, 4\), declared \(1, 5\)"),
    "a reshape of another scale": (value("x", scale=11), "reshape cannot change type or scale"),
    "a reshape of another type": (value("x", dtype="int8"), "reshape cannot change type or scale"),
    "a narrow from PREACT": (op("h8", inputs=("gated",)), "narrow needs an int16 at a power of two"),
    "a narrow by 7 bits": (value("h8", scale=8), r"narrow gives int8 at 2\^\(8-b\)"),
    "a narrow to int16": (value("h8", dtype="int16"), r"narrow gives int8 at 2\^\(8-b\)"),
    "a narrow of int8": (both(value("h_next", dtype="int8"), value("h", dtype="int8")), "int16"),
    "a tanh of int8": (value("t", dtype="int8"), "tanh gives int16"),
    "unequal scales": (op("h_next", inputs=("kept", "fx")), "add needs equal scales"),
    "a sum with int8": (both(value("h", dtype="int8"), op("kept", inputs=("t", "t"))), "add needs equal scales"),
    "a product with int8": (value("c", dtype="int8"), "mul needs int16 operands"),
    "a product at another scale": (value("c_next", scale=11), "mul shift 14 does not fit"),
    "a gate times PREACT by 15": (op("gated", attrs={"shift": 15}), "mul of 15 and preact cannot give preact"),
    "a gate times PREACT at 2^-15": (value("gated", scale=15), "mul of 15 and preact cannot give 15"),
    "two PREACT": (op("gated", inputs=("cp", "cp")), "mul of preact and preact"),
    "a tanh of Q15": (op("t", inputs=("h",)), r"tanh maps 3\*2\^-13 to Q15"),
    "a tanh to Q14": (both(value("t", scale=14)), r"tanh maps 3\*2\^-13 to Q15"),
    "a preact of another scale": (both(value("cp", scale=12)), r"maps 2\^-e to 3\*2\^-13"),
    "a state declared twice": (lambda g: replace(g, states=(*g.states, g.states[0])), "declared twice"),
    "a state from nowhere": (field(states=(State("h", "h_next"), State("c", "gone"))), "written from unknown value gone"),
    "a state from itself": (field(states=(State("h", "h_next"), State("c", "c"))), "written from state c itself"),
    "a state from another": (field(states=(State("h", "h_next"), State("c", "h"))), "written from state h itself"),
    "a state of another type": (field(states=(State("h", "h_next"), State("c", "h_next"))), "type changes from step to step"),
    "logits at Q15": (field(logits="posteriors"), r"logits must be int16 \(1, 5\) at 3"),
    "logits nowhere": (field(logits="gone"), "logits must be"),
    "posteriors at PREACT": (field(posteriors="logits"), r"must be int16 \(1, 5\) Q15"),
    "posteriors nowhere": (field(posteriors="gone"), "gone must be int16"),
    "a constant nobody reads": (array("x.weight", np.ones((1, 1), np.int8)), "constants nobody reads"),
    "a region before the first": (field(regions=(Region("cell", "r", -1, 2),)), "region r lies outside"),
    "a region of nothing": (field(regions=(Region("cell", "r", 3, 0),)), "region r lies outside"),
    "a region beyond the last": (field(regions=(Region("cell", "r", 0, 12),)), "region r lies outside"),
}  # fmt: skip


@pytest.mark.parametrize("what", INSIDE)
def test_just_inside_is_taken(what: str) -> None:
    g = INSIDE[what](recurrence())
    check_structure(g, INPUT, (1, SCORES))


@pytest.mark.parametrize("what", OUTSIDE)
def test_just_outside_is_refused_by_name(what: str) -> None:
    change, said = OUTSIDE[what]
    with pytest.raises(EdgernnError, match=said):
        check_structure(change(recurrence()), INPUT, (1, SCORES))


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(EdgernnError, match="logits must be"):
        check_structure(recurrence(), INPUT, (1, SCORES + 1))


def sliced(columns: int) -> Structure:
    """Scores that are a part of a wider product: views of its memory, with no place of their own."""
    g = recurrence()
    wide = {"wide": Value((1, columns), "int16", PREACT), "logits": Value((1, SCORES), "int16", PREACT)}
    ops = [*g.ops[:-2], Op("matvec", "wide", ("h8",), {"relu": 0}),
           Op("slice_columns", "logits", ("wide",), {"begin": 1, "size": SCORES}), g.ops[-1]]  # fmt: skip
    constants = {k: v for k, v in g.constants.items() if not k.startswith("logits.")} | linear("wide", columns, UNITS)
    return replace(g, values={**g.values, **wide}, ops=tuple(ops), constants=constants)


def test_scores_that_are_slices_are_refused() -> None:
    with pytest.raises(EdgernnError, match="logits and posteriors cannot be slices"):
        check_structure(sliced(SCORES + 1), INPUT, (1, SCORES))
    with pytest.raises(EdgernnError, match=r"channels 1\+5 lie outside"):
        check_structure(sliced(SCORES), INPUT, (1, SCORES))


def test_a_state_that_is_written_from_a_view_of_itself_is_refused() -> None:
    g = recurrence()
    ops = (*g.ops, Op("slice_rows", "c_view", ("c",), {"begin": 0, "size": 1}))
    changed = replace(g, ops=ops, values={**g.values, "c_view": g.values["c"]}, states=(g.states[0], State("c", "c_view")))
    with pytest.raises(EdgernnError, match="written from state c itself"):
        check_structure(changed, INPUT, (1, SCORES))


# Shapes of the primitives ---------------------------------------------------------------------------

#: kind, operands, attributes, weight's shape, result (None: refused)
SHAPES = [
    ("add", [(2, 3), (2, 3)], {}, None, (2, 3)), ("add", [(2, 3), (3, 2)], {}, None, None),
    ("matvec", [(2, 3)], {}, (5, 3), (2, 5)), ("matvec", [(2, 3)], {}, (5, 6), None),
    ("matvec", [(2, 3)], {}, (5, 2), None),
    ("conv", [(2, 3)], {}, (5, 6), (1, 5)), ("conv", [(2, 3)], {}, (5, 3), None), ("conv", [(2, 3)], {}, (5, 7), None),
    ("depthwise", [(2, 3)], {}, (6, 2), (1, 6)), ("depthwise", [(2, 3)], {}, (6, 3), None),
    ("depthwise", [(2, 3)], {}, (5, 2), None),
    ("row_conv", [(7, 3)], {}, (5, 9), (7, 5)), ("row_conv", [(7, 3)], {}, (5, 3), (7, 5)),
    ("row_conv", [(7, 3)], {}, (5, 6), None), ("row_conv", [(7, 3)], {}, (5, 10), None),
    ("concat", [(2, 3), (4, 3)], {}, None, (6, 3)), ("concat", [(2, 3), (2, 4)], {}, None, None),
    ("concat_columns", [(2, 3), (2, 4)], {}, None, (2, 7)), ("concat_columns", [(2, 3), (3, 3)], {}, None, None),
    ("reshape", [(2, 6)], {"rows": 3}, None, (3, 4)), ("reshape", [(2, 6)], {"rows": 5}, None, None),
    ("slice_rows", [(5, 3)], {"begin": 2, "size": 3}, None, (3, 3)),
    ("slice_rows", [(5, 3)], {"begin": 3, "size": 3}, None, None),
    ("slice_columns", [(3, 5)], {"begin": 2, "size": 3}, None, (3, 3)),
    ("slice_columns", [(3, 5)], {"begin": 3, "size": 3}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "shapes", "attrs", "weight", "result"), SHAPES)
def test_shapes_follow_and_what_does_not_fit_is_refused(
    kind: str, shapes: list[Any], attrs: dict[str, int], weight: Any, result: Any
) -> None:
    spec, constants = PRIMITIVES[kind], {"weight": weight} if weight else {}
    if result:
        assert spec.out_shape(shapes, attrs, constants) == result
    else:
        with pytest.raises(EdgernnError):
            spec.out_shape(shapes, attrs, constants)


# Front end and decision ---------------------------------------------------------------------------


def tables(**changes: Any) -> Any:
    """A front end as `check_task` sees it, with some fields of it or of its tables changed."""
    g = random_net("gru", 4)
    names = {k: v for k, v in changes.items() if k in vars(g.tables)}
    return SimpleNamespace(
        frames_per_step=changes.get("frames_per_step", 1), frontend=g.recipe.frontend, tables=replace(g.tables, **names)
    )


def moved(a: Any, at: int, by: int) -> Any:
    out = a.copy()
    out[at] += by
    return out


TABLES = random_net("gru", 4).tables
FRONT_ENDS: list[tuple[dict[str, Any], str]] = [
    ({}, ""), ({"frames_per_step": 1}, ""), ({"frames_per_step": 16}, ""),
    ({"frames_per_step": 0}, "frames_per_step 0"), ({"frames_per_step": 17}, "frames_per_step 17"),
    ({"window": TABLES.window[:-1]}, "wrong length"), ({"cosine": TABLES.cosine[:-1]}, "wrong length"),
    ({"cosine": moved(TABLES.cosine, 1, -1)}, ""), ({"cosine": moved(TABLES.cosine, 1, -3)}, "cosine table"),
    ({"cosine": moved(TABLES.cosine, 256, 9)}, "cosine table"),
    ({"mel_start": TABLES.mel_start[:-1]}, "mel_start must rise"),
    ({"mel_start": moved(TABLES.mel_start, 3, 100)}, "mel_start must rise"),
    ({"mel_rise": TABLES.mel_rise[:-1]}, "outside the FFT"),
    ({"mel_start": moved(TABLES.mel_start, 41, 100), "mel_rise": np.resize(TABLES.mel_rise, len(TABLES.mel_rise) + 100)},
     "outside the FFT"),
    ({"mel_rise": np.full_like(TABLES.mel_rise, 4096)}, ""),
    ({"mel_rise": np.full_like(TABLES.mel_rise, 4097)}, "exceeds 4096"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(FRONT_ENDS)))
def test_a_front_end_is_checked_at_its_bounds(case: int) -> None:
    changes, said = FRONT_ENDS[case]
    if said:
        with pytest.raises(EdgernnError, match=said):
            LogMelGraph.check_task(tables(**changes))
    else:
        LogMelGraph.check_task(tables(**changes))


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("smoothing", 1, 255), ("refractory", 0, 65535), ("clip_steps", 1, 65535), ("thresholds", 1, 32767)],
)
def test_a_decision_is_checked_at_its_bounds(name: str, low: int, high: int) -> None:
    good = Decision(3, 4, 2, (16384, 16384))

    def changed(number: int) -> Decision:
        return replace(good, **{name: (16384, number) if name == "thresholds" else number})

    for number in (low, high):
        changed(number)
    for number in (low - 1, high + 1):
        with pytest.raises(EdgernnError, match=name):
            changed(number)


def test_a_spotter_has_labels_of_its_own_and_no_more_thresholds_than_labels() -> None:
    g = quantized(random_net("gru", 4), "int8")
    for count in (1, len(LABELS)):
        replace(g, decision=replace(g.decision, thresholds=(9,) * count))
    for wrong, said in (
        ({"decision": replace(g.decision, thresholds=(9,) * (len(LABELS) + 1))}, "more thresholds than labels"),
        ({"decision": replace(g.decision, thresholds=())}, "more thresholds than labels, or none"),
        ({"labels": ("a", "b", "b", "c", "d")}, "labels repeat"),
        ({"labels": ("a", "", "b", "c", "d")}, "at least two labels"),
        ({"labels": ("a",)}, "at least two labels"),
    ):
        with pytest.raises(EdgernnError, match=said):
            replace(g, **wrong)  # type: ignore[arg-type]
