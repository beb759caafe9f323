"""What firmware of one's own needs of the generated C: several models together, thresholds, aligned and small state."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nets import LABELS, quantized, random_net
from test_vad import random_graph

from edgernn.cells import make_layers
from edgernn.core.graph import NetGraph
from edgernn.hostcc import host_compiler
from edgernn.runs import find_recipe
from edgernn.runtimes import make_runtime
from edgernn.signal.log_mel import make_tables
from edgernn.tasks import task_of
from edgernn.tasks.spot.graph import SpotGraph
from edgernn.tasks.spot.recipe import SpotNet
from firmware_export.emit import export_c
from firmware_export.plan import make_plan, state_bytes

STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1", "-g",
          "-fsanitize=address,undefined", "-fno-sanitize-recover=all")  # fmt: skip
RUNTIME = ("ern_net.c", "ern_frontend.c", "ern_decide.c")


def built(folder: Path, source: str) -> subprocess.CompletedProcess[str]:
    (folder / "t.c").write_text(source)
    sources = [str(folder / name) for name in ("t.c", *RUNTIME)]
    command = [*host_compiler(), *STRICT, f"-I{folder}", *sources, "-o", str(folder / "t")]
    return subprocess.run(command, capture_output=True, text=True)


def answer(folder: Path, source: str, sound: Any = None) -> bytes:
    done = built(folder, source)
    assert done.returncode == 0, done.stderr[:3000]
    given = b"" if sound is None else sound.tobytes()
    return subprocess.run([str(folder / "t")], input=given, capture_output=True, check=True).stdout


def noise(steps: int, samples: int) -> Any:
    rng = np.random.default_rng(4)
    return np.repeat(rng.integers(10, 6000, steps), samples) * rng.normal(size=steps * samples)


TOGETHER = """
#define KWS_IMPLEMENTATION
#include "kws.h"
#define OTHER_IMPLEMENTATION
#define OTHER_SHARED_FRONTEND KWS_FRONTEND_ID
#include "other.h"
#include <stdio.h>

static kws_state first;
static other_state second;
static int16_t pcm[KWS_HOP];

int main(void)
{
    int16_t log_mel[KWS_FRAMES * KWS_BANDS];
    kws_event event;
    other_event its;
    int32_t row[4];
    uint32_t i;
    if (kws_self_test(&first, pcm) != 0) {
        return 1;
    }
    for (i = 0; i < KWS_HOP; i++) {
        pcm[i] = (int16_t)(i % 3u * 9000u);
    }
    kws_log_mel(&first, pcm, log_mel); /* what was heard before a self-test must not be heard in it */
    if (other_self_test(&second, pcm, KWS_EARS_OF(&first)) != 0) {
        return 1;
    }
    kws_reset(&first);
    while (fread(pcm, sizeof pcm, 1, stdin) == 1) {
        kws_log_mel(&first, pcm, log_mel);
        row[0] = kws_process_log_mel(&first, log_mel, &event);
        row[1] = event.score;
        row[2] = other_process_log_mel(&second, log_mel, &its);
        row[3] = its.score;
        fwrite(row, sizeof row, 1, stdout);
        fwrite(first.posteriors, sizeof first.posteriors, 1, stdout);
        fwrite(second.posteriors, sizeof second.posteriors, 1, stdout);
    }
    return 0;
}
"""


@pytest.mark.parametrize("schemes", [("int8", "int8x16"), ("int8x16", "int8")])
def test_two_models_hear_through_one_front_end(schemes: tuple[str, str], tmp_path: Path) -> None:
    """Posteriors, events and self-tests of both are those of each alone; the second has no front end in flash or RAM."""
    nets = [random_net("gru", 12, seed=0), random_net("lstm", 12, seed=1)]
    graphs = [quantized(net, scheme) for net, scheme in zip(nets, schemes, strict=True)]
    graphs = [replace(g, decision=replace(g.decision, thresholds=(9000, 12000, 15000), refractory=6)) for g in graphs]
    for g, prefix in zip(graphs, ("kws", "other"), strict=True):
        export_c(g, tmp_path, prefix)
    sound = noise(400, graphs[0].step_samples).clip(-32768, 32767).astype(np.int16)
    row = np.dtype([("told", "<i4", 4), ("first", "<i2", len(LABELS)), ("second", "<i2", len(LABELS))])
    found = np.frombuffer(answer(tmp_path, TOGETHER, sound), row)
    alone = [make_runtime("numpy", g).run(sound) for g in graphs]
    for name, trace, at in zip(("first", "second"), alone, (0, 2), strict=True):
        assert trace.output is not None
        assert np.array_equal(found[name], trace.posteriors)
        label, score, age, over = trace.output.T
        told = (label >= 0) * ((age == 0) + 2 * over)
        assert np.array_equal(found["told"][:, at], told) and np.array_equal(found["told"][:, at + 1], score)
        assert 2 in told, "an event or nothing was compared"
    sizes = """int main(void)
{
    printf("%u %u %d %d", (unsigned)sizeof first, (unsigned)sizeof second, OTHER_STATE_BYTES, (int)sizeof pcm);
    return 0;
}
"""
    head = TOGETHER[: TOGETHER.index("int main")]
    whole, shared, unshared, _ = map(int, answer(tmp_path, head + sizes).split())
    assert shared < unshared - 2048 and whole > shared
    symbols = subprocess.run(["nm", str(tmp_path / "t")], capture_output=True, text=True, check=True).stdout
    assert "kws_cosine" in symbols and "other_cosine" not in symbols


@pytest.mark.parametrize("change", ["bands", "window", "floor_log2", "f_min"])
def test_models_that_hear_otherwise_are_refused_by_the_compiler(change: str, tmp_path: Path) -> None:
    g = quantized(random_net("gru", 8), "int8")
    export_c(g, tmp_path)
    net = random_net("gru", 8, bands=39 if change == "bands" else 40)
    changed = {"bands": net.recipe.frontend.bands, "window": 400, "floor_log2": 20, "f_min": 300.0}[change]
    recipe = replace(net.recipe, frontend=replace(net.recipe.frontend, **{change: changed}))
    export_c(quantized(replace(net, recipe=recipe, tables=make_tables(recipe.frontend)), "int8"), tmp_path, "other")
    done = built(tmp_path, TOGETHER)
    assert done.returncode != 0 and "OTHER_SHARED_FRONTEND: that model hears in another way" in done.stderr


def test_a_shared_front_end_that_is_not_the_models_own_fails_the_self_test(tmp_path: Path) -> None:
    for i, prefix in enumerate(("kws", "other")):
        export_c(quantized(random_net("gru", 8, seed=i), "int8"), tmp_path, prefix)
    head = TOGETHER[: TOGETHER.index("int main")]
    for change, lowest, highest in (("", 0, 0), ("ears.floor_log2 = 40;", 1, 16), ("ears.mel_rise = other;", -1, -1)):
        main = f"""extern uint16_t other[256];
uint16_t other[256] = {{ 1 }};
int main(void)
{{
    static ern_frontend ears;
    ears = kws_frontend;
    {change}
    printf("%ld", (long)other_self_test(&second, pcm, &ears, first.history, first.scratch.task.work));
    return 0;
}}
"""
        assert lowest <= int(answer(tmp_path, head + main)) <= highest, change


def test_a_self_test_does_not_hear_what_the_other_model_heard(tmp_path: Path) -> None:
    """TOGETHER leaves sound in the shared history; this model's features are not at their ends in the loud first step."""
    net = random_net("gru", 12)
    loud = replace(net, mean=np.full(40, 21000.0), deviation=np.full(40, 6000.0))
    for g, prefix in ((quantized(net, "int8"), "kws"), (quantized(loud, "int8x16"), "other")):
        export_c(g, tmp_path, prefix)
    assert answer(tmp_path, TOGETHER, np.zeros(0, np.int16)) == b""


def test_thresholds_are_named_and_can_be_set(tmp_path: Path) -> None:
    """Each keyword's own; wrong ones are refused; a reset puts the recipe's back."""
    g = quantized(random_net("gru", 16, seed=1), "int8x16")
    g = replace(g, decision=replace(g.decision, thresholds=(32767, 20000, 30000)))
    files = export_c(g, tmp_path)
    header = files[0].read_text()
    for name, value in (("A", 32767), ("B", 20000), ("C", 30000)):
        assert f"#define KWS_THRESHOLD_{name} {value} " in header
    lower = replace(g, decision=replace(g.decision, thresholds=(6000, 20000, 5000)))
    sound = noise(300, g.step_samples).clip(-32768, 32767).astype(np.int16)
    main = """
#define KWS_IMPLEMENTATION
#include "kws.h"
#include <stdio.h>
static kws_state s;
static int16_t pcm[KWS_HOP];
int main(void)
{
    kws_event event;
    kws_reset(&s);
    if (kws_set_threshold(&s, 3, 5) != -1 || kws_set_threshold(&s, 0, 0) != -1 || kws_set_threshold(&s, 0, -1) != -1
        || s.thresholds[0] != KWS_THRESHOLD_A || s.held[0] != 0) {
        return 1;
    }
    if (kws_set_threshold(&s, KWS_LABEL_A, 6000) != 0 || kws_set_threshold(&s, KWS_LABEL_C, 5000) != 0) {
        return 1;
    }
    while (fread(pcm, sizeof pcm, 1, stdin) == 1) {
        const int told = kws_process(&s, pcm, &event);
        if (told & ERN_OVER) {
            printf("%ld %ld %ld\\n", (long)event.step, (long)event.label, (long)event.score);
        }
    }
    kws_reset(&s);
    return s.thresholds[0] != KWS_THRESHOLD_A || s.thresholds[1] != KWS_THRESHOLD_B || s.thresholds[2] != KWS_THRESHOLD_C;
}
"""
    found = [tuple(map(int, line.split())) for line in answer(tmp_path, main, sound).decode().splitlines()]
    rows = enumerate(make_runtime("numpy", lower).run(sound).output.tolist())  # type: ignore[union-attr]
    wanted = [(i - age, label, score) for i, (label, score, age, over) in rows if over]
    assert found == wanted and len({label for _, label, _ in wanted}) > 1


def test_two_prefixes_write_no_file_of_the_other(tmp_path: Path) -> None:
    """Only the runtime is the same for both; a project around TensorFlow Lite Micro too."""
    from edgernn.exports.tflite import export_tflite

    g = quantized(random_net("gru", 4), "int8")
    for form in ("c", "tflite"):
        write = export_c if form == "c" else lambda *a: export_tflite(a[0], a[1], prefix=a[2])[0]
        files = [{path: path.read_bytes() for path in write(g, tmp_path / form, prefix)} for prefix in ("wake", "word")]
        both = set(files[0]) & set(files[1])
        assert both and all(path.name.startswith("ern_") for path in both)
        assert len(files[0]) > len(both) + 1 and all(path.read_bytes() == data for path, data in files[0].items())


GRAPHS = {
    "odd states": lambda: quantized(random_net("gru", 7, "separable", bands=39), "int8"),
    "bytes and shorts": lambda: quantized(random_net("lstm", 5, "conv"), "int8x16"),
    "another task": lambda: random_graph("int8"),
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_what_is_read_by_words_begins_at_words(kind: str, tmp_path: Path) -> None:
    g: NetGraph = GRAPHS[kind]()
    task = task_of(g)
    export_c(g, tmp_path, "m")
    header = (tmp_path / "m.h").read_text()
    arrays = re.findall(r"^        u?int\d+_t (\w+)\[\d+\];$", header, re.MULTILINE)
    names = [f"net.{name}" for name in arrays if "_pad" not in name and name not in ("net", "work")]
    names += ["scratch", "net", "features", *(m.name for m in task.members(g).padded)]
    assert len(names) > 4
    lines = "\n".join(f'    printf("{n} %u\\n", (unsigned)offsetof(m_state, {n}));' for n in names)
    main = '#define M_IMPLEMENTATION\n#include "m.h"\n#include <stddef.h>\n#include <stdio.h>\n' \
           f'int main(void)\n{{\n{lines}\n    printf("size %u\\n", (unsigned)sizeof(m_state)); return 0;\n}}\n'  # fmt: skip
    found = dict(line.split() for line in answer(tmp_path, main).decode().splitlines())
    assert int(found.pop("size")) == state_bytes(g, make_plan(g), task.members(g))
    assert {name: at for name, at in found.items() if int(at) % 4} == {}
    odd = [f for f in make_plan(g).states if f.pad]
    assert odd or kind != "odd states", "nothing had to be padded: nothing was tested"


def test_the_demos_spotter_takes_little_memory() -> None:
    """The demo's net with its six labels, random weights: 3.3 KB of state; the rest of its RAM is the caller's."""
    recipe: Any = find_recipe("demo")
    labels = (*recipe.keywords, "unknown", "silence")
    rng = np.random.default_rng(0)
    weights = {
        f"{layer.name}.{key}": rng.normal(0, 0.3, shape).astype(np.float32)
        for layer in make_layers(recipe.layers, recipe.frontend.bands, len(labels))
        for key, shape in layer.cell.shapes(layer.options, layer.n_in).items()
    }
    bands = recipe.frontend.bands
    net = SpotNet(recipe, labels, make_tables(recipe.frontend), np.full(bands, 9000.0), np.full(bands, 1500.0), weights)
    g: SpotGraph = quantized(net, recipe.quantize.scheme)
    assert state_bytes(g, make_plan(g), task_of(g).members(g)) <= 3300
