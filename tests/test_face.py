"""The Python face: docs/python.md's examples run; streams give the same in any blocks; nothing is loaded before its time."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from denoisers import noisy_sound, quantized_denoiser, random_denoiser
from fixture_runs import ROOT, fixture_run, gate_fixture
from nets import quantized, random_net
from test_vad import random_graph

import edgernn
from edgernn import pipeline
from edgernn.data.corpus import NOISE
from edgernn.signal.audio import write_wav
from edgernn.tasks.spot.graph import SpotGraph

PAGE = (ROOT / "docs" / "python.md").read_text()


def firing(g: SpotGraph) -> SpotGraph:
    """The same net with thresholds so low that it fires often: what never fires would be equal to anything."""
    return replace(g, decision=replace(g.decision, thresholds=(1,) * len(g.decision.thresholds)))


GRAPHS = {
    "spot": lambda: firing(quantized(random_net("gru", 16), "int8x16")),
    "denoise": lambda: quantized_denoiser(random_denoiser(), "int8x16"),
    "vad": random_graph,
}


def examples() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def own_recipe(folder: Path) -> Path:
    """A recipe of a minute's work: whistled words from a manifest, one epoch."""
    rows = []
    for clip in gate_fixture.corpus():
        path = folder / "sounds" / f"{clip.item.source}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_wav(path, clip.pcm, 16000)
        kind = "noise" if clip.item.label == NOISE else "word"
        rows.append((f"sounds/{path.name}", clip.item.label, clip.item.speaker, clip.item.split, kind))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "speaker", "split", "kind"), *rows])
    sources = "".join(
        f'[[data.sources]]\nkind = "manifest"\npath = "{folder}/manifest.csv"\nfilter = {{ kind = "{kind}" }}\n{more}\n'
        for kind, more in (("word", ""), ("noise", "noise = true"))
    )
    words = ", ".join(f'"{w}"' for w in gate_fixture.MELODIES)
    recipe = folder / "mine.toml"
    recipe.write_text(
        f'name = "mine"\n[data]\nkeywords = [{words}]\n{sources}[[layers]]\ncell = "gru"\nunits = 8\n[train]\nepochs = 1\n'
    )
    return recipe


def test_the_examples_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.quantize_model(fixture_run(tmp_path / "run" / "demo"), "int8x16")
    recipe = own_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    pcm = np.concatenate([gate_fixture.whistle(m, 5) for m in gate_fixture.MELODIES.values()])
    space: dict[str, Any] = {"pcm": pcm, "recipe": recipe}
    blocks = examples()
    assert len(blocks) == 5, "every example of the page is run"
    for block in blocks:
        exec(compile(block, "docs/python.md", "exec"), space)
    printed = capsys.readouterr().out
    assert "<edgernn.Model " in printed and "spot" in printed
    assert "nowhere" in printed, "the mistake is named"
    assert space["judged"]["clips"]["integer"]["clips"] > 0
    assert {"kws.h"} <= {f.name for f in space["files"]} and all(f.is_file() for f in space["files"])


@pytest.mark.parametrize("task", GRAPHS)
@pytest.mark.parametrize("runtime", ["c", "numpy"])
def test_a_stream_gives_the_same_in_blocks_of_any_length(task: str, runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "g.ern"
    GRAPHS[task]().save(path)
    model = edgernn.load(path, runtime=runtime)
    assert model.task == task and model.id == edgernn.load(path).id
    pcm = noisy_sound(60 * model.step_samples + 17, 3)
    whole, stream, rng = model(pcm), model.stream(), np.random.default_rng(1)
    for _ in range(2):  # again after a reset
        parts, at = [], 0
        while at < len(pcm):
            n = int(rng.integers(0, 3 * model.step_samples))
            parts.append(stream.push(pcm[at : at + n]))
            at += n
        if task == "spot":
            assert [e for part in parts for e in part] + stream.finish() == whole
            assert len(whole) > 1, "nothing fired: nothing was compared"
        else:
            assert np.array_equal(np.concatenate(parts), whole)
            assert len(whole) == 60 * (model.step_samples if task == "denoise" else 1)
        stream.reset()
    other = model.stream()
    other.push(noisy_sound(5 * model.step_samples, 9))
    if task == "denoise":
        assert not np.array_equal(other.push(pcm), whole), "a stream that has heard something else must not give the same"


def test_floats_are_the_same_sound_and_other_arrays_are_refused(tmp_path: Path) -> None:
    GRAPHS["denoise"]().save(tmp_path / "g.ern")
    model = edgernn.load(tmp_path / "g.ern")
    pcm = noisy_sound(8 * model.step_samples)
    assert np.array_equal(model(pcm), model(pcm.astype(np.float32) / 32768))
    for wrong, said in ((pcm[None], "shape"), (pcm.astype(np.int32), "dtype"), (pcm.astype(float), "full scale is 1")):
        with pytest.raises(ValueError, match=said):
            model(wrong)


def test_importing_loads_nothing_and_the_stub_names_what_there_is() -> None:
    code = "import sys, edgernn; print(sorted({'numpy', 'torch', 'typer'} & set(sys.modules)), sorted(edgernn.__all__))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith("[] ")
    stub = (ROOT / "edgernn" / "__init__.pyi").read_text()
    assert set(re.findall(r"as (\w+)|^(__version__)", stub, re.MULTILINE)) == {
        ("", n) if n == "__version__" else (n, "") for n in edgernn.__all__
    }
    for name in edgernn.__all__:
        assert getattr(edgernn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = edgernn.nothing  # type: ignore[attr-defined]
