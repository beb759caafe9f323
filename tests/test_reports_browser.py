"""Pages in headless Chromium: nothing breaks, everything is there, and the model in the page computes the simulator's bits."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished_runs import denoiser_run, detector_run, spotter_run
from needs import need_chromium, need_module
from numpy.typing import NDArray

from edgernn.errors import EdgernnError
from edgernn.reports import browser
from edgernn.reports.facts import read_facts
from edgernn.reports.page import make_page, write_html
from edgernn.runs import load_data
from edgernn.runtimes import make_runtime
from edgernn.signal.audio import Int16, read_audio, to_int16, write_wav
from edgernn.tasks import load_graph
from targets import web

MAKERS: dict[str, Callable[[Path], Path]] = {"spot": spotter_run, "denoise": denoiser_run, "vad": detector_run}
TAKEN = """(key) => {
  const a = edgernn.sessions[0].heard.result[key], b = new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
  let text = "";
  for (let i = 0; i < b.length; i += 32768) text += String.fromCharCode(...b.subarray(i, i + 32768));
  return btoa(text);
}"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's fake microphone plays, again and again."""
    path = tmp_path_factory.mktemp("sound") / "microphone.wav"
    rng = np.random.default_rng(0)
    t = np.arange(16000 * 4) / 16000
    tones = 6000 * np.sin(2 * np.pi * 700 * t) * (np.sin(2 * np.pi * 1.5 * t) > 0)
    write_wav(path, (tones + rng.normal(size=len(t)) * 800).astype(np.int16))
    return path


@pytest.fixture(scope="module")
def chromium(microphone: Path) -> Iterator[Any]:
    executable = need_chromium()
    from playwright.sync_api import sync_playwright

    fake = [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
    ]
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=executable, args=["--no-sandbox", *fake])
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """(run folder, page) of a task."""
    found: dict[str, tuple[Path, Path]] = {}

    def made(task: str) -> tuple[Path, Path]:
        for module in ("matplotlib", "ziglang", *(["pesq"] if task == "denoise" else [])):
            need_module(module)
        if task not in found:
            run = MAKERS[task](tmp_path_factory.mktemp(task) / "run")
            path = run / "report.html"
            assert write_html(make_page([run]), path) < (1_500_000 if task == "spot" else 3_000_000)
            found[task] = run, path
        return found[task]

    return made


class Opened:
    """A page, and everything that it complained of."""

    def __init__(self, chromium: Any, path: Path, width: int = 1280, scheme: str = "light", **more: Any) -> None:
        self.page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on(
            "request", lambda r: self.complaints.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None
        )
        self.page.goto(path.as_uri())

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *error: object) -> None:
        self.page.close()
        if error[0] is None:
            assert not self.complaints, self.complaints

    def ready(self) -> None:
        self.page.wait_for_selector('.live[data-self-test="0"]', timeout=60_000)

    def open_sound(self, path: Path) -> None:
        self.page.set_input_files(".live input", str(path))
        self.page.wait_for_selector(".live[data-done]", timeout=120_000)

    def taken(self, key: str, dtype: str, width: int) -> NDArray[Any]:
        return np.frombuffer(base64.b64decode(self.page.evaluate(TAKEN, key)), dtype).reshape(-1, width)


def sound_of(run: Path, seconds: float) -> Int16:
    """Some of a run's recordings."""
    dataset = load_data(run)
    return np.concatenate([dataset.pcm(row) for row in dataset.rows])[-round(16000 * seconds) :].copy()


# The page ---------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (1920, "dark")])
def test_the_page_fits_and_is_read_in_light_and_dark(
    width: int, scheme: str, chromium: Any, pages: Callable[[str], tuple[Path, Path]]
) -> None:
    with Opened(chromium, pages("spot")[1], width, scheme) as opened:
        opened.ready()
        inner, whole = opened.page.evaluate("[innerWidth, document.documentElement.scrollWidth]")
        assert whole <= inner, "nothing but tables is scrolled sideways"
        boxes = opened.page.evaluate(
            "[...document.querySelectorAll('.picture svg')].map(s => [s.getBoundingClientRect().width, s.getBBox().height])"
        )
        assert len(boxes) >= 6 and all(150 < w <= width and h > 50 for w, h in boxes)
        ink, paper, drawn = opened.page.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor,"
            " getComputedStyle(document.querySelector('.picture svg text')).fill]"
        )
        light = [sum(map(int, colour[4:-1].split(","))) for colour in (ink, paper)]
        assert drawn == ink and (light[1] - light[0] > 400) == (scheme == "light") and abs(light[1] - light[0]) > 400


def test_tables_are_sorted_by_their_heads(chromium: Any, pages: Callable[[str], tuple[Path, Path]]) -> None:
    column = "[...document.querySelectorAll('#shared-2 tbody tr')].map(r => parseFloat(r.cells[4].textContent))"
    with Opened(chromium, pages("spot")[1]) as opened:
        before = opened.page.evaluate(column)
        button = opened.page.locator("#shared-2 thead button", has_text="SNR")
        for order in ("ascending", "descending"):
            button.click()
            found = opened.page.evaluate(column)
            assert found == sorted(before, reverse=order == "descending") and found != before
            assert opened.page.locator(f'#shared-2 th[aria-sort="{order}"]').count() == 1


def test_players_play(chromium: Any, pages: Callable[[str], tuple[Path, Path]]) -> None:
    with Opened(chromium, pages("denoise")[1]) as opened:
        seconds = opened.page.evaluate(
            "Promise.all([...document.querySelectorAll('audio')].map(a => new Promise((done, failed) => {"
            " a.onloadedmetadata = () => done(a.duration); a.onerror = failed; a.preload = 'metadata'; a.load(); })))"
        )
        assert len(seconds) == 6 and all(2 < s < 9 for s in seconds)


# The very bits ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", MAKERS)
def test_a_dropped_file_gives_the_simulators_bits(
    task: str, chromium: Any, pages: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    run, path = pages(task)
    g = load_graph(next(run.glob("graph-*.ern")))
    pcm = sound_of(run, 12.345)
    if task == "vad":  # speech that lasts when the sound ends, ends there
        active = np.flatnonzero(make_runtime("numpy", g).process(pcm)[:, 0])
        pcm = pcm[: (int(active[-1]) + 1) * g.step_samples + 7]
    write_wav(tmp_path / "sound.wav", pcm)
    with Opened(chromium, path) as opened:
        opened.ready()
        assert g.id[:12] in opened.page.inner_text(".live")
        opened.open_sound(tmp_path / "sound.wav")
        fed = opened.taken("pcm", "<i2", 1).ravel()
        shown = opened.taken("posteriors", "<i2", g.scores)
        given = opened.taken("outputs", f"<{np.dtype(g.output.dtype).str[1:]}", g.output.width)
        told = opened.page.locator(".told li").all_inner_texts()
        players = opened.page.locator(".live audio").count()
    whole = len(pcm) // g.step_samples * g.step_samples
    assert np.array_equal(fed[:whole], pcm[:whole])
    trace = make_runtime("numpy", g).run(fed)
    assert trace.output is not None and len(shown) == len(trace.posteriors) >= len(pcm) // g.step_samples
    assert np.array_equal(shown, trace.posteriors) and np.array_equal(given, trace.output)
    assert len(np.unique(shown)) > 20, "the stream is alive"
    if task == "denoise":
        assert players == 2
    else:
        assert told == expected(task, g, fed, trace.output, trace.posteriors)


def test_an_event_that_lasts_when_the_sound_ends_is_told(
    chromium: Any, pages: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    run, path = pages("spot")
    g: Any = load_graph(next(run.glob("graph-*.ern")))
    pcm = sound_of(run, 12.345)
    output = make_runtime("numpy", g).process(pcm)
    fired = next(i for i, (label, _, age, over) in enumerate(output.tolist()) if label >= 0 and age == 0 and not over)
    pcm = pcm[: (fired + 2) * g.step_samples]
    write_wav(tmp_path / "sound.wav", pcm)
    with Opened(chromium, path) as opened:
        opened.ready()
        opened.open_sound(tmp_path / "sound.wav")
        told = opened.page.locator(".told li").all_inner_texts()
    posteriors = make_runtime("numpy", g).run(pcm).posteriors
    assert told == expected("spot", g, pcm, output[: fired + 2], posteriors) and len(told) >= 1


def expected(task: str, g: Any, fed: Int16, output: NDArray[Any], posteriors: Int16) -> list[str]:
    """The lines that Python would tell."""
    if task == "spot":
        from edgernn.tasks.spot.listening import detections_in, last_detections

        runtime = make_runtime("numpy", g)
        runtime.run(fed)
        found = detections_in(g, output, 0) + last_detections(g, runtime.process, len(output))
        assert found
        return [f"{d.time_s:.2f} s: {d.label}, score {d.score:.2f}" for d in found]
    active, lines, begin = output[:, 0] != 0, [], -1
    assert active.any() and not active.all()
    for i in range(len(active) + 1):
        on = i < len(active) and active[i]
        if begin >= 0 and not on:
            a, b = ((x + 1) / g.steps_per_second for x in (begin, i))
            confidence = posteriors[begin:i, 0].mean() / 32768
            lines.append(f"{a:.2f} to {b:.2f} s: speech, confidence {confidence:.2f}")
            begin = -1
        elif begin < 0 and on:
            begin = i
    return lines


@pytest.mark.parametrize("task", ["spot", "denoise"])
def test_a_microphone_gives_the_simulators_bits(
    task: str, chromium: Any, pages: Callable[[str], tuple[Path, Path]], microphone: Path
) -> None:
    run, path = pages(task)
    g = load_graph(next(run.glob("graph-*.ern")))
    with Opened(chromium, path) as opened:
        opened.ready()
        opened.page.click(".live button")
        opened.page.wait_for_function("edgernn.sessions[0].heard?.samples > 48000", timeout=60_000)
        assert opened.page.inner_text(".live button") == "Stop"
        opened.page.click(".live button")
        opened.page.wait_for_selector(".live[data-done]", timeout=20_000)
        fed, shown = opened.taken("pcm", "<i2", 1).ravel(), opened.taken("posteriors", "<i2", g.scores)
        assert opened.page.inner_text(".live button") == "Microphone"
    assert np.array_equal(shown, make_runtime("numpy", g).run(fed).posteriors)
    level = [np.sqrt(np.mean(np.square(x.astype(np.float64)))) for x in (fed[16000:], read_audio(microphone))]
    assert 0.5 < level[0] / level[1] < 2, "what was played was heard, as loud as it was"


def test_a_sound_at_another_rate_is_resampled_and_what_is_no_sound_is_told(
    chromium: Any, pages: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    t = np.arange(44100 * 2) / 44100
    write_wav(tmp_path / "other.wav", (9000 * np.sin(2 * np.pi * 440 * t)).astype(np.int16), 44100)
    (tmp_path / "no.wav").write_bytes(b"RIFF no sound")
    with Opened(chromium, pages("spot")[1]) as opened:
        opened.ready()
        opened.open_sound(tmp_path / "other.wav")
        fed = opened.taken("pcm", "<i2", 1).ravel().astype(np.float64)
        opened.open_sound(tmp_path / "no.wav")
        assert "no sound that this browser reads" in opened.page.inner_text(".live")
        assert opened.page.get_attribute(".live", "data-done") == "failed"
    assert 31000 < len(fed) <= 32000
    x = np.exp(-2j * np.pi * 440 * np.arange(8000) / 16000)
    power = 2 * abs(np.mean(fed[8000:16000] * x)) ** 2 / np.mean(fed[8000:16000] ** 2)
    assert power > 0.999


def test_rounding_and_waves_are_those_of_python(
    chromium: Any, pages: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    values = [(k + 0.5) / 32768 for k in range(-6, 6)] + [1.0, -1.0, 1.5, -1.5, 0.25, 1e-9, 32767.5 / 32768]
    wave = np.random.default_rng(0).integers(-32768, 32768, (500, 2)).astype("<i2")
    head = b"RIFF" + (36 + 2004 + 12).to_bytes(4, "little") + b"WAVE"
    head += b"LIST" + (3).to_bytes(4, "little") + b"abc\0"
    head += b"fmt " + (16).to_bytes(4, "little") + np.array([1, 2], "<u2").tobytes() + np.array([16000, 64000], "<u4").tobytes()
    head += np.array([4, 16], "<u2").tobytes() + b"data" + (2000).to_bytes(4, "little")
    (tmp_path / "stereo.wav").write_bytes(head + wave.tobytes())
    data = base64.b64encode(head + wave.tobytes()).decode()
    read = "Array.from(edgernn.exactWave(Uint8Array.from(atob(%r), c => c.charCodeAt(0)).buffer, %d) ?? [])"
    with Opened(chromium, pages("spot")[1]) as opened:
        rounded = opened.page.evaluate("(x) => Array.from(edgernn.toInt16(Float32Array.from(x)))", values)
        stereo, other = opened.page.evaluate(read % (data, 16000)), opened.page.evaluate(read % (data, 8000))
    assert rounded == to_int16(np.array(values, np.float32)).tolist()
    assert np.array_equal(np.array(stereo, np.int16), read_audio(tmp_path / "stereo.wav")) and other == []


def test_the_resampler_keeps_a_tone_and_drops_what_would_fold(chromium: Any, pages: Callable[[str], tuple[Path, Path]]) -> None:
    code = """(hz) => {
      const r = new edgernn.Resampler(48000, 16000), out = [];
      const tone = (at) => Float32Array.from({ length: 128 }, (_, i) => Math.sin(2 * Math.PI * hz * (at + i) / 48000));
      for (let at = 0; at < 48000; at += 128) out.push(...r.push(tone(at)));
      return out;
    }"""
    with Opened(chromium, pages("spot")[1]) as opened:
        tone, folded = (np.array(opened.page.evaluate(code, hz)) for hz in (1000, 11000))
    assert abs(len(tone) - 16000) < 40
    x = np.exp(-2j * np.pi * 1000 * np.arange(8000) / 16000)
    kept = tone[4000:12000]
    assert 2 * abs(np.mean(kept * x)) ** 2 > 0.9999 * np.mean(kept**2) and abs(np.mean(kept**2) - 0.5) < 0.01
    assert np.mean(folded[4000:12000] ** 2) < 1e-5


def test_a_spoilt_model_fails_its_self_test_in_the_page(
    chromium: Any, pages: Callable[[str], tuple[Path, Path]], tmp_path: Path
) -> None:
    """One byte of a weight is turned: the page says so and takes no sound."""
    run, path = pages("spot")
    g, text = load_graph(next(run.glob("graph-*.ern"))), path.read_text()
    begin = text.index('<script id="models"')
    begin = text.index(">", begin) + 1
    models = json.loads(text[begin : text.index("</script>", begin)])
    wasm = bytearray(base64.b64decode(models[0]["wasm"]))
    name = max((k for k in g.constants if k.endswith(".weight")), key=lambda k: g.constants[k].size)
    at = wasm.find(g.constants[name].tobytes()[:64])
    assert at > 0
    wasm[at] ^= 1
    spoilt = text.replace(models[0]["wasm"], base64.b64encode(wasm).decode())
    assert spoilt != text
    (tmp_path / "spoilt.html").write_text(spoilt)
    with Opened(chromium, tmp_path / "spoilt.html") as opened:
        opened.page.wait_for_selector('.live[data-self-test="-1"]', timeout=60_000)
        assert "self-test failed with -1" in opened.page.inner_text(".live") and opened.page.is_disabled(".live input")


def test_without_a_compiler_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch, pages: Callable[[str], tuple[Path, Path]]
) -> None:
    monkeypatch.setattr(web, "find_spec", lambda name: None)
    run = read_facts(pages("spot")[0], None, "x")
    assert browser.live_model(run).wasm == "" and "needs zig" in run.missing[-1]


def test_c_that_does_not_compile_is_one_sentence(tmp_path: Path) -> None:
    need_module("ziglang")
    (tmp_path / "bad.c").write_text("int f(void) { return g; }\n")
    with pytest.raises(EdgernnError, match="compiling failed"):
        web.build_wasm([tmp_path / "bad.c"], [], ["f"])
