"""Pages of runs: every figure where it belongs, every mistake found, every gap told; and what each picture is drawn from."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import denoiser_run, detector_run, spotter_run
from needs import need_module, need_program
from typer.testing import CliRunner

from edgernn import boards, cli
from edgernn.errors import EdgernnError
from edgernn.reports import charts, page, sections
from edgernn.reports.charts import Axis, Line
from edgernn.reports.facts import Facts, read_facts, readable
from edgernn.reports.page import make_page, markdown, numeric, write_html
from edgernn.reports.parts import Picture, Section, Sound
from edgernn.runtimes import make_runtime
from edgernn.show import Table
from edgernn.tasks import load_graph
from edgernn.tasks.denoise.pages import in_pauses
from edgernn.tasks.spot import pages as spot_pages
from edgernn.tasks.spot.clips import clip_pcm, label_indices
from edgernn.tasks.spot.decision import clip_label
from edgernn.tasks.vad.pages import trade_off
from targets.elf import Symbol

MAKERS: dict[str, Callable[[Path], Path]] = {"spot": spotter_run, "denoise": denoiser_run, "vad": detector_run}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A finished run of a task; do not write into it."""
    found: dict[str, Path] = {}

    def run(task: str) -> Path:
        need_module("matplotlib")
        if task == "denoise":
            need_module("pesq")
        if task not in found:
            found[task] = MAKERS[task](tmp_path_factory.mktemp(task) / "run")
        return found[task]

    return run


@pytest.fixture
def spotter(made: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy of the finished spotter to spoil."""
    return Path(shutil.copytree(made("spot"), tmp_path / "spotter"))


def edgernn(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, [str(a) for a in args])
    error = result.exception
    if isinstance(error, EdgernnError):
        return 2, result.stdout, str(error)
    assert error is None or isinstance(error, SystemExit), error
    return result.exit_code, result.stdout, result.stderr


class Outline(HTMLParser):
    """What a page is made of: elements with their attributes, and whether they nest."""

    VOID = ("meta", "link", "br", "input", "img", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, (tag, self.getpos())

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


# The page ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", MAKERS)
def test_a_page_is_whole_and_stands_alone(task: str, made: Callable[[str], Path], tmp_path: Path) -> None:
    begin = time.process_time()
    found = make_page([made(task)], live=False)
    size = write_html(found, tmp_path / "page.html")
    assert time.process_time() - begin < 15 and size < 3_000_000
    text = (tmp_path / "page.html").read_text()
    outline = Outline(text)
    for _, attributes in outline.elements:
        for key in ("src", "href", "xlink:href"):
            assert (attributes.get(key) or "#").startswith(("#", "data:")), "nothing is loaded"
    assert not re.search(r"url\((?!#)", text)
    ids = [a["id"] for _, a in outline.elements if a.get("id")]
    assert len(set(ids)) == len(ids), "an id stands once"
    used = re.findall(r"url\(#([^)]+)\)", text) + [a["xlink:href"][1:] for a in outline.named("use") if a.get("xlink:href")]
    used += [str(a["href"])[1:] for a in outline.named("a")]
    assert used and set(used) <= set(ids)
    pictures = [a for a in outline.named("div") if a.get("role") == "img"]
    assert len(pictures) == len(outline.named("svg")) >= 4 and all(len(a["aria-label"] or "") > 20 for a in pictures)
    assert "#0102" not in text, "every colour is the page's"
    assert "currentColor" in text and "var(--c0)" in text


@pytest.mark.parametrize("task", MAKERS)
def test_the_headline_and_markdown_hold_the_figures(task: str, made: Callable[[str], Path]) -> None:
    found = make_page([made(task)], live=False)
    result, graph = found.runs[0].simulated, found.runs[0].graph
    assert result is not None
    text = markdown(found)
    for _, value in zip(range(3), found.runs[0].task.figures(result)[1].values(), strict=False):
        assert re.search(rf"{value:.3f}|{100 * value:.2f} %|{value:g}", text), value
    assert graph.id[:12] in text and str(graph.weight_bytes) in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_two_runs_stand_side_by_side(made: Callable[[str], Path], spotter: Path) -> None:
    path = spotter / "simulate-int8x16.json"
    result = json.loads(path.read_text())
    result["clips"]["integer"]["accuracy"] -= 0.25
    path.write_text(json.dumps(result))
    found = make_page([made("spot"), spotter], live=False)
    (table,) = [x for x in found.shared[0].parts if isinstance(x, Table)]
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["int8 accuracy"][2] == "-0.25" and rows["agreement"][2] == "+0"
    assert [len(x) for x in (found.headlines, found.own)] == [2, 2]
    assert "does not compare" not in markdown(found)
    curves = [p for s in found.shared if s.title == "Learning curves" for p in s.parts if isinstance(p, Picture)]
    assert [p.title for p in curves] == ["loss", "accuracy"]
    assert all(run.name in p.about for p in curves for run in found.runs)
    assert "from 2.5 to 1" in curves[0].about


def test_runs_judged_on_other_sounds_do_not_compare(made: Callable[[str], Path]) -> None:
    found = make_page([made("spot"), made("vad")], live=False)
    assert "does not compare" in str(found.shared[0].parts[0])
    curves = [p.title for s in found.shared if s.title == "Learning curves" for p in s.parts if isinstance(p, Picture)]
    assert len(curves) == 4 and len(set(curves)) == 4, "a task's losses are not drawn over another's"


def test_folders_are_told_apart_by_as_much_of_their_names_as_it_takes(tmp_path: Path) -> None:
    assert page.names([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert page.names([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    with pytest.raises(EdgernnError, match="named twice"):
        page.names([tmp_path / "a", tmp_path / "b" / ".." / "a"])


def test_columns_of_figures_are_set_to_the_right() -> None:
    rows = [["a", "12.5 %", "cortex-m4", "", "1"], ["b", "-3", "x", "", "1 of a very great many of them all"]]
    assert numeric(Table("", ["", "a", "b", "c", "d"], rows)) == [False, True, False, False, False]
    assert numeric(Table("", ["a", "b"], [])) == [False, False]


def test_markdown_keeps_cells_in_their_rows_and_html_out() -> None:
    text = page._markdown_part(Table("t|", ["a", "b"], [["x|y", "<b>\nz"]]))
    assert text == "**t\\|**\n\n| a | b |\n| --- | ---: |\n| x\\|y | &lt;b><br>z |"


def test_names_of_the_users_own_do_not_become_html(spotter: Path, tmp_path: Path) -> None:
    bad = tmp_path / "<img src=x onerror=alert(1)>"
    spotter.rename(bad)
    write_html(make_page([bad], live=False), tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<img" not in text and "&lt;img src=x" in text


def test_a_sound_is_a_wave_file() -> None:
    pcm = np.array([0, 1, -32768, 32767], np.int16)
    url = Sound("x", pcm, 16000).data_url()
    with wave.open(io.BytesIO(base64.b64decode(url.split(",")[1]))) as file:
        assert (file.getnchannels(), file.getframerate(), file.getsampwidth()) == (1, 16000, 2)
        assert np.array_equal(np.frombuffer(file.readframes(9), "<i2"), pcm)


# What is drawn ---------------------------------------------------------------------------


def test_pictures_keep_their_text_and_take_no_size() -> None:
    need_module("matplotlib")
    line = Line([1, 2, 3], [3, 1, 2], (2, 1), "chosen here")
    found = charts.lines("t", "about", {"one": line, "two": Line([1], [2], colour=1)}, Axis("x", log=True), Axis("y <&>"))
    assert found.svg.startswith("<svg") and " width=" not in found.svg.split(">")[0] and "viewBox" in found.svg
    for text in ("one", "two", "chosen here", "y &lt;&amp;&gt;"):
        assert f">{text}</text>" in found.svg, text
    again = charts.lines("t", "about", {"one": line, "two": Line([1], [2], colour=1)}, Axis("x", log=True), Axis("y <&>"))
    assert again == found, "the same figures give the same bytes"


def test_a_spectrogram_is_small_and_keeps_its_colours() -> None:
    from PIL import Image

    need_module("matplotlib")
    levels = np.add.outer(np.linspace(-60, 0, 300), np.random.default_rng(0).normal(0, 2, 257))
    found = charts.spectrogram("t", "about", levels, 4.0, 8.0, (-70, 0))
    data = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", found.svg)
    assert data and len(found.svg) < 120_000
    largest = Image.open(io.BytesIO(base64.b64decode(max(data, key=len)))).convert("L")
    columns = np.asarray(largest, float).mean(0)
    assert columns[-1] > 200 and columns[0] < 60 and np.all(np.diff(columns[::20]) > 0), (
        "time goes to the right, loud is bright"
    )


def test_tiles_fill_the_map_and_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    for count in (1, 2, 7, 60):
        sizes = np.sort(rng.exponential(100, count))[::-1].tolist()
        found = charts.squarified(sizes, 9.0, 3.0)
        areas = [w * h for _, _, w, h in found]
        assert np.allclose(areas, np.array(sizes) * 27 / sum(sizes))
        assert all(x >= -1e-9 and y >= -1e-9 and x + w <= 9 + 1e-6 and y + h <= 3 + 1e-6 for x, y, w, h in found)
        for i, (x, y, w, h) in enumerate(found):
            for a, b, c, d in found[:i]:
                assert min(x + w, a + c) - max(x, a) < 1e-6 or min(y + h, b + d) - max(y, b) < 1e-6
    squares = charts.squarified([1.0] * 16, 4.0, 4.0)
    assert all(max(w / h, h / w) < 1.01 for _, _, w, h in squares)


def test_flash_is_mapped_symbol_by_symbol(made: Callable[[str], Path], tmp_path: Path) -> None:
    run = read_facts(made("spot"), None, "x")
    (tmp_path / "a.c").write_text(
        "static int fft(int *x);\nstatic const int model_window[4] = { 0 };\nint32_t *ern_step(void);\n"
    )
    symbols = [
        Symbol("model_gru1_fx_weight", 0, 100, False), Symbol("model_gru1_fx_bias", 0, 10, False),
        Symbol("model_gru1_fh_weight", 0, 46, False), Symbol("model_gru1_fh", 0, 4, False),
        Symbol("model_window", 0, 8, False), Symbol("fft", 0, 30, True),
        Symbol("ern_step", 0, 5, True), Symbol("main", 0, 7, True), Symbol("line.1", 0, 3, False),
    ]  # fmt: skip
    tiles = {(t.name, t.colour): t.size for t in sections.flash_tiles(run, symbols, tmp_path)}
    assert tiles == {
        ("gru1_fx", 0): 110, ("gru1_fh", 0): 50, ("window", 1): 8, ("fft", 2): 30, ("ern_step", 2): 5, ("main", 3): 7,
        ("line.1", 3): 3,
    }  # fmt: skip


def test_a_board_has_its_row_and_its_map(spotter: Path) -> None:
    need_program("arm-none-eabi-gcc")
    need_program("qemu-system-arm")
    result = boards.run_board(spotter, "mps2-an386", spotter, kernel="plain")
    found = make_page([spotter], live=False)
    cost = next(s for s in found.shared if s.title == "What it costs")
    row = next(p for p in cost.parts if isinstance(p, Table) and p.title == "On emulated cores").rows[0]
    assert row[1:7] == [
        "mps2-an386",
        "cortex-m4",
        *(result[k] for k in ("flash_bytes", "ram_bytes", "state_bytes", "stack_bytes")),
    ]
    parts = next(p for p in cost.parts if isinstance(p, Table) and p.title == "Instructions of a step, part by part")
    assert parts.columns == ["run", "board", "in all", "signal path", "products", "gates, states", "decision"]
    assert sum(result["instructions_by_part"].values()) == pytest.approx(result["instructions_per_step"])
    share = 100 * result["instructions_by_part"]["products"] / result["instructions_per_step"]
    assert parts.rows[0][4] == f"{result['instructions_by_part']['products']:,.0f} ({share:.0f} %)"
    from targets.elf import read_elf

    elf = spotter / "mps2-an386" / "test" / "mps2-an386.elf"
    tiles = sections.flash_tiles(found.runs[0], read_elf(elf).stored(), elf.parent / "src")
    assert sum(t.size for t in tiles if t.colour == 0) >= result["weight_bytes"]
    assert 0.97 * result["flash_bytes"] < sum(t.size for t in tiles) <= result["flash_bytes"]
    assert "0 bits differ on mps2-an386" in markdown(found)
    spoilt = json.loads((spotter / "run-mps2-an386.json").read_text())
    (spotter / "run-mps2-an386.json").write_text(json.dumps({**spoilt, "bits_differing": 3}))
    assert "mps2-an386 computed other bits" in markdown(make_page([spotter], live=False))


def test_the_tensor_with_the_least_snr_is_named(made: Callable[[str], Path]) -> None:
    run = read_facts(made("spot"), None, "x")
    assert run.quantized is not None
    worst = min(run.quantized["tensors"], key=lambda t: t["snr_db"])
    picture = next(p for p in sections.tensors([run]).parts if isinstance(p, Picture))
    assert f"the least is {worst['snr_db']} dB, of {worst['name']}" in picture.about


# Tasks ---------------------------------------------------------------------------


def test_the_worst_mistakes_are_the_ones_that_are_most_wrong(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint hears its corpus well: labels are turned, so that every clip of one word is a mistake."""
    run = read_facts(made("spot"), None, "x")
    dataset = run.dataset()
    assert dataset is not None
    section = spot_pages.mistakes(run)
    assert run.simulated is not None
    wrong = run.simulated["clips"]["integer"]["clips"] - run.simulated["clips"]["integer"]["correct"]
    tables = [p for p in section.parts if isinstance(p, Table)]
    assert (len(tables[0].rows) if tables else 0) == min(wrong, spot_pages.SHOWN)
    monkeypatch.setattr(spot_pages, "label_indices", lambda d, rows: (label_indices(d, rows) + 1) % 3)
    (table,) = (p for p in spot_pages.mistakes(run).parts if isinstance(p, Table))
    margins = [float(row[3]) for row in table.rows]
    assert len(margins) == spot_pages.SHOWN and margins == sorted(margins, reverse=True) and margins[-1] > 0
    g: Any = run.graph
    rows = dataset.clips("test")
    logits = np.stack([make_runtime("c", g).run(x).logits for x in clip_pcm(dataset, rows, g.sample_rate)]).astype(np.int64)
    heard = {row.source: g.labels[i] for row, i in zip(rows, clip_label(logits, g.decision.clip_steps), strict=True)}
    for said, _, told, *_, sound in table.rows:
        assert isinstance(sound, Sound) and heard[sound.label] == told != said
    sound = table.rows[0][-1]
    row = next(r for r in rows if r.source == sound.label)
    assert np.array_equal(sound.pcm[: row.length], dataset.pcm(row)[: len(sound.pcm)])


def test_mistakes_of_a_net_trained_on_streams_are_weighed_by_its_thresholds(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rule that heard them: every mistake has a margin above 0, also where a word was missed altogether."""
    run = read_facts(made("spot"), None, "x")
    net: Any = run.checkpoint()
    graph: Any = run.graph
    graph = replace(graph, decision=replace(graph.decision, smoothing=3, thresholds=(9000, 32700, 20000)))
    recipe = replace(net.recipe, train=replace(net.recipe.train, kind="streams"))
    monkeypatch.setattr(Facts, "checkpoint", lambda self: replace(net, recipe=recipe))
    (table,) = (p for p in spot_pages.mistakes(replace(run, graph=graph)).parts if isinstance(p, Table))
    margins = [float(row[3]) for row in table.rows]
    assert margins == sorted(margins, reverse=True) and margins[-1] >= 0 and margins[0] > 0
    assert graph.labels[1] in {row[0] for row in table.rows}, "with such a threshold it is missed"


def test_curves_carry_the_chosen_threshold() -> None:
    figures = {"curve": [0.5, 0.25], "misses": 0.3, "misses_at_target": 0.4, "per_hour": 0.0}
    other = {**figures, "misses": 0.1, "per_hour": 8.0}
    s = {"rates": [0.1, 1.0], "target_per_hour": 0.5, "keywords": {"w": {"threshold": 0.7, "float": figures, "integer": other}}}
    (picture,) = spot_pages.curves(s)
    assert "misses 10.0 % at 8 false accepts an hour; at 0.5 an hour it would miss 40.0 %" in picture.about
    assert "int8, its threshold" in picture.svg
    assert spot_pages._chosen(figures) == (spot_pages.LEAST_RATE, 30.0), "none is drawn at the left end"
    assert spot_pages._chosen({**figures, "per_hour": None}) is None


def test_confusion_names_the_commonest_mistake() -> None:
    clips = {"labels": ["a", "b"], "integer": {"confusion": [[3, 2], [0, 5]]}}
    assert (
        "8 of 10 clips" in spot_pages.confusion(clips).about
        and "a is taken for b, 2 times" in spot_pages.confusion(clips).about
    )
    clips["integer"] = {"confusion": [[5, 0], [0, 5]]}
    assert "taken for" not in spot_pages.confusion(clips).about


def test_the_trade_off_is_counted_at_every_threshold() -> None:
    scores, said = np.array([5.0, 4.0, 3.0, 2.0, 1.0, 0.0]), np.array([1, 1, 0, 1, 0, 0], bool)
    alarms, misses = trade_off(scores, said)
    assert (alarms[0], misses[0]) == (0.0, pytest.approx(100 / 3)), "at the highest noise one word of three is missed"
    assert misses[-1] == 0.0 and alarms[-1] == pytest.approx(200 / 3)
    assert alarms == sorted(alarms) and misses == sorted(misses, reverse=True)
    upside_down = trade_off(-scores, said)
    assert upside_down[1][0] == 100.0


def test_what_is_left_in_pauses_is_measured_where_the_clean_sound_is_silent() -> None:
    noise = np.random.default_rng(0).normal(scale=3000, size=32000)
    clean = noise * (np.arange(32000) < 16000)
    noisy, denoised = clean + 0.1 * noise * (clean == 0), clean + 0.01 * noise * (clean == 0)
    left = in_pauses({name: x.astype(np.int16) for name, x in (("noisy", noisy), ("denoised", denoised), ("clean", clean))})
    for name, db in (("noisy", 20), ("denoised", 40)):
        assert abs(float(left[name].removesuffix(" dB below the speech")) + db) < 1.0
    assert in_pauses({"clean": noise.astype(np.int16)}) == {"clean": "no pauses"}


def test_a_denoisers_sounds_are_before_after_and_clean(made: Callable[[str], Path]) -> None:
    from edgernn.data.mixing import make_mixtures
    from edgernn.tasks.denoise.stream import denoised

    run = read_facts(made("denoise"), None, "x")
    found = list(run.task.sections(run))
    tables = [p for s in found if s.title == "Before and after" for p in s.parts if isinstance(p, Table)]
    dataset = run.dataset()
    assert dataset is not None and len(tables) == 2
    mixtures = {m.name: m for m in make_mixtures(dataset, "test", 2, 0)}
    for table in tables:
        m = mixtures[table.title.split(":")[0]]
        noisy, after, clean = (row[-1].pcm for row in table.rows)
        assert np.array_equal(noisy, m.pair.noisy[: len(noisy)]) and np.array_equal(clean, m.pair.clean[: len(clean)])
        assert np.array_equal(after, denoised(make_runtime("numpy", run.graph), m.pair.noisy)[: len(after)])


def test_verdicts_say_what_is_wrong() -> None:
    from edgernn.tasks.denoise.show import verdict as denoised
    from edgernn.tasks.vad.show import verdict as detected

    figures = {"auc": 0.9, "auc_by_snr": {"0": 0.7, "10": 0.95}, "misses": 0.1, "triggers_a_minute": 2}
    assert "as well as" in detected({"float": figures, "integer": figures})[0]
    worse = detected({"float": figures, "integer": {**figures, "auc": 0.89}})
    assert "loses 0.0100 of AUC" in worse[0] and "worst at 0 dB" in worse[1] and "10.00 %" in worse[2]
    scores = {"si_sdr": 5.0, "pesq": 1.5}
    files = [{"name": "a", "scores": {"integer": scores, "noisy": {**scores, "si_sdr": 6.0}}}]
    s = {"mean": {"noisy": {"si_sdr": 1.0, "pesq": 1.2}, "float": scores, "integer": scores}, "files": files, "mixtures": 1,
         "integer_minus_float": {m: {"mean": x} for m, x in (("si_sdr", -0.5), ("pesq", 0.0))},
         "stream": {"silence": 9, "growth_db": 0.0}}  # fmt: skip
    said = denoised(s)
    assert said[0] == "SI-SDR rises by 4.0 dB, PESQ from 1.20 to 1.50" and "SI-SDR dB, -0.5000" in said[1]
    assert "1 of 1 mixtures" in said[2] and "drifts" in said[3]
    calm = {**s, "stream": {"silence": 0, "growth_db": 0.0}, "files": []}
    assert len(denoised(calm)) == 2


# What is missing, and what is wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize("gone", ["data", "data/index.json"])
def test_sounds_that_are_gone_are_one_sentence_and_the_rest_is_shown_when_asked_for(
    gone: str, spotter: Path, tmp_path: Path
) -> None:
    path, page = spotter / gone, tmp_path / "page.html"
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    code, _, said = edgernn("report", spotter, "--no-live", "--out", page)
    assert code == 2 and not page.exists()
    assert "the recordings that" in said and "--no-recordings makes a page" in said and said.count("\n") <= 1
    code, said, _ = edgernn("report", spotter, "--no-live", "--no-recordings", "--out", page)
    assert code == 0 and "missing: spotter: no recordings" in said
    assert "there is nothing to listen to" in page.read_text() and "<svg" in page.read_text()
    assert edgernn("report", spotter, "--markdown", "--out", tmp_path / "page.md")[0] == 0, "texts do without sounds"


def test_other_recordings_than_those_judged_on_are_not_played(spotter: Path) -> None:
    path = spotter / "simulate-int8x16.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "dataset": "f" * 64}))
    run = read_facts(spotter, None, "x")
    assert run.dataset() is None and "other recordings" in run.missing[-1]


def test_a_run_that_was_never_judged_shows_what_it_has(spotter: Path, tmp_path: Path) -> None:
    (spotter / "simulate-int8x16.json").unlink()
    code, said, _ = edgernn("report", spotter, "--no-live", "--json")
    result = json.loads(said)
    assert code == 0 and result["path"] == str(spotter / "report.html") and "edgernn simulate" in result["missing"][0]
    assert "was never judged" in (spotter / "report.html").read_text()


def test_results_of_another_graph_are_left_out_and_told(spotter: Path) -> None:
    for name in ("simulate", "quantize"):
        path = spotter / f"{name}-int8x16.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "graph": "0" * 64}))
    run = read_facts(spotter, None, "x")
    assert run.simulated is run.quantized is None and sum("another graph" in line for line in run.missing) == 2


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("simulate-int8x16.json", "{", "not valid JSON"),
        ("simulate-int8x16.json", "[]", "damaged"),
        ("simulate-int8x16.json", None, "lack figures"),
        ("quantize-int8x16.json", None, "lack figures"),
        ("metrics.csv", "epoch,loss\n1,x\n", "damaged"),
        ("metrics.csv", "epoch,loss\n1\n", "damaged"),
        ("graph-int8x16.ern", "x", "graph-int8x16.ern"),
        ("recipe.json", "{}{", "not valid JSON"),
    ],
)
def test_a_damaged_file_is_one_sentence(file: str, text: str | None, message: str, spotter: Path) -> None:
    path = spotter / file
    path.write_text(text if text is not None else json.dumps({"graph": json.loads(path.read_text())["graph"]}))
    code, _, said = edgernn("report", spotter, "--no-live")
    assert code == 2 and message in said and "\n" not in said.strip()
    assert not (spotter / "report.html").exists()


def test_what_is_no_run_is_refused(tmp_path: Path, spotter: Path) -> None:
    for arguments, message in (
        ((tmp_path / "gone",), "does not exist"),
        ((tmp_path,), "not a run folder"),
        ((spotter / "recipe.json",), "is a file"),
        ((spotter, spotter), "named twice"),
        ((spotter, "--out", tmp_path), "is a folder"),
        ((spotter, "--scheme", "int8"), "no graph at"),
    ):
        code, _, said = edgernn("report", *arguments)
        assert code == 2 and message in said, said


def test_a_model_that_comes_along_has_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgernn.zoo import all_cards

    monkeypatch.chdir(tmp_path)
    card = next(iter(all_cards()))
    code, said, _ = edgernn("report", card.name, "--no-live", "--json")
    assert code == 0 and json.loads(said)["graphs"] == {card.name: card.graph["id"]}
    assert (
        json.loads(said)["path"] == f"models/{card.name}/report.html"
        and card.graph["id"][:12] in (tmp_path / json.loads(said)["path"]).read_text()
    )


def test_own_faults_of_a_section_are_not_swallowed() -> None:
    facts: Any = Facts("x", Path("x"), None, None, None, [], {})  # type: ignore[arg-type]
    other: Any = replace(facts, folder=Path("y"))
    with pytest.raises(EdgernnError, match="in x or y lack figures") as caught, readable(facts, other):
        raise KeyError("misses")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(ZeroDivisionError), readable(facts):
        1 / 0  # noqa: B018


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(EdgernnError, match=r"edgernn\[report\]"):
        charts.plots()


def test_markdown_goes_to_its_own_file(spotter: Path) -> None:
    code, said, _ = edgernn("report", spotter, "--markdown")
    assert code == 0 and "report.md" in said
    text = (spotter / "report.md").read_text()
    assert text.startswith("# spotter\n") and "## Learning curves" in text and "<svg" not in text


def test_a_task_without_pages_of_its_own_is_shown_by_its_tables(made: Callable[[str], Path]) -> None:
    from edgernn.tasks.base import Task

    run = read_facts(made("vad"), None, "x")
    (section,) = Task.sections(run.task, run)
    assert isinstance(section, Section) and len([p for p in section.parts if isinstance(p, Table)]) == 2
    assert Task.verdict(run.task, {}) == [] and Task.live_marks(run.task, load_graph(made("vad") / "graph-int8x16.ern")) == []
