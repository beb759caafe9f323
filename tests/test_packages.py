"""`edgernn export --package`: what every library holds, what is refused, and CMake's, for real."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from fixture_runs import ROOT
from packages import (
    EXAMPLES,
    FRAMEWORKS,
    SEMVER,
    TASKS,
    call,
    cmake,
    graph,
    packed,
    stream,
    told,
)
from test_vad import sound
from typer.testing import CliRunner

from edgernn import cli, face
from edgernn.errors import EdgernnError
from edgernn.signal.audio import write_wav
from edgernn.tasks import all_tasks, task_of
from firmware_export.package import (
    export_package,
    framework_names,
    load_framework,
    package_name,
    package_version,
    release,
)

# What every package is ---------------------------------------------------------------------------


def test_frameworks_are_the_folders_and_help_names_them() -> None:
    assert framework_names() == FRAMEWORKS == sorted(EXAMPLES)
    assert sorted(all_tasks()) == TASKS, "give the new task a graph above"
    said = re.sub(r"\s+", "", CliRunner().invoke(cli.app, ["export", "--help"]).stdout)
    page = (ROOT / "docs" / "packages.md").read_text()
    for name in FRAMEWORKS:
        assert name in said.split("--package")[-1], name
        assert f"--package {name}" in page, name


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_package_has_metadata_code_example_and_self_test(framework: str, task: str, tmp_path: Path) -> None:
    home = packed(task, framework, tmp_path, "own")
    assert [x.name for x in tmp_path.iterdir()] == [home.name]
    code, example = home / load_framework(framework).code, (home / EXAMPLES[framework][0]).read_text()
    assert '#define OWN_IMPLEMENTATION\n#include "' in (code / "own.c").read_text()
    assert {p.name for p in code.glob("ern_*.c")} >= set(task_of(graph(task)).c.sources)
    assert "own_self_test(&state, pcm)" in example and "own_process(&state, pcm" in example
    assert re.search(r'#include ["<]own\.h[">]', example) and (code / "own.h").is_file()
    for path in home.rglob("*"):
        text = path.read_text() if path.is_file() else ""
        assert not re.search(r"\{\{|\{%|\bNone\b|Undefined", text), path
    assert "Apache-2.0" in (home / "README.md").read_text()


@pytest.mark.parametrize(
    ("model", "prefix", "name"),
    [
        ("demo", "kws", "kws_demo"),
        ("Küche & Bad", "kws", "kws_kuche_bad"),
        ("говори", "kws", "kws"),
        ("kws", "kws", "kws"),
        ("x" * 90, "kws", "kws_" + "x" * 44),
        ("a" * 43 + "_b", "kws", "kws_" + "a" * 43),
        ('2"; rm */ -', "k_", "k_2_rm"),
    ],
)
def test_names_come_from_prefix_and_model(model: str, prefix: str, name: str) -> None:
    g = replace(graph("vad"), name=model)
    assert package_name(g, prefix) == name
    for framework in FRAMEWORKS:
        assert re.fullmatch(load_framework(framework).name, name)


def test_versions_are_semantic_and_tell_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    g = graph("vad")
    assert package_version(g) == f"{release()}+{g.id[:12]}"
    for version, expected in (("0.1.0", "0.1.0"), ("1.2.dev3+x5", "1.2.3"), ("2", "2.0.0"), ("1.2.3.4", "1.2.3")):
        monkeypatch.setattr("firmware_export.package.__version__", version)
        assert release() == expected
        assert SEMVER.fullmatch(package_version(g))


def test_a_model_of_any_name_is_packed(tmp_path: Path) -> None:
    """What would end a comment, a string or a line in one of the files does not."""
    g = replace(graph("vad"), name='*/ "x" \\ ${y} $(z)\n# <ü>', labels=())
    for framework in FRAMEWORKS:
        export_package(g, framework, tmp_path / framework)
    home = tmp_path / "platformio" / package_name(g, "vad")
    assert json.loads((home / "library.json").read_text())["license"] == "Apache-2.0"
    properties = (tmp_path / "arduino" / home.name / "library.properties").read_text()
    assert all(re.match(r"[a-z_]+=", line) for line in properties.splitlines())


# The command line ---------------------------------------------------------------------------


def edgernn(*words: object) -> tuple[int, str]:
    """Exit code and output, or the error, of a command."""
    done = CliRunner().invoke(cli.app, [str(x) for x in words])
    if isinstance(done.exception, EdgernnError):
        return 2, str(done.exception)
    return done.exit_code, done.stdout


def test_the_verb_writes_beside_the_graph_or_where_it_is_told(tmp_path: Path) -> None:
    graph("vad").save(tmp_path / "x.ern")
    code, said = edgernn("export", tmp_path / "x.ern", "--package", "zephyr")
    assert code == 0
    usual = tmp_path / "packages" / "zephyr" / "vad_random" / "zephyr" / "module.yml"
    assert usual.is_file() and str(usual) in said
    code, said = edgernn(
        "export", tmp_path / "x.ern", "--package", "arduino", "--prefix", "ear", "--out", tmp_path / "libraries", "--json"
    )
    assert code == 0
    assert (tmp_path / "libraries" / "ear_random" / "library.properties").is_file()
    files = json.loads(said)["files"]
    assert len(files) > 15
    again = face.export(tmp_path / "x.ern", tmp_path / "libraries", prefix="ear", package="arduino")
    assert [str(path) for path in again] == files


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--package", "mbed"], f"unknown package 'mbed'; known: {', '.join(FRAMEWORKS)}"),
        (["--package", "cmake", "--format", "tflite"], "--package belongs to --format c, not to tflite"),
        (["--package", "cmake", "--format", "onnx"], "--package belongs to --format c, not to onnx"),
        (["--package", "arduino", "--prefix", "arduino_ear"], "'arduino_ear_random' cannot name a library for Arduino; give"),
        (["--package", "cmake", "--prefix", "Kws"], "prefix 'Kws' must be a lower-case C identifier"),
        (["--package", ".."], "unknown package '..'"),
    ],
)
def test_what_cannot_be_packed_is_refused_before_anything_is_written(words: list[str], why: str, tmp_path: Path) -> None:
    graph("vad").save(tmp_path / "x.ern")
    code, said = edgernn("export", tmp_path / "x.ern", *words, "--out", tmp_path / "out")
    assert code == 2
    assert said.startswith(why)
    assert not (tmp_path / "out").exists()


def test_a_new_framework_is_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "extension" / "packages" / "meson"
    home.mkdir(parents=True)
    about = 'title = "Meson"\ncode = "lib"\nname = "[a-z0-9_]+"\n'
    (home / "package.toml").write_text(about)
    (home / "meson.build.jinja").write_text("project('{{ name }}', 'c')\n")
    (home / "as-it-is").write_text("{{ name }}")
    monkeypatch.setenv("EDGERNN_EXTENSIONS", str(home.parent.parent))
    assert framework_names() == sorted([*FRAMEWORKS, "meson"])
    written = export_package(graph("vad"), "meson", tmp_path / "out")
    assert (tmp_path / "out/vad_random/meson.build").read_text() == "project('vad_random', 'c')\n"
    assert (tmp_path / "out/vad_random/as-it-is").read_text() == "{{ name }}"
    assert tmp_path / "out/vad_random/lib/vad.c" in written
    for wrong in (about + 'colour = "red"\n', about.replace('code = "lib"\n', ""), "title = "):
        (home / "package.toml").write_text(wrong)
        with pytest.raises(EdgernnError, match=r"package\.toml does not describe a framework"):
            export_package(graph("vad"), "meson", tmp_path / "again")


# CMake, for real ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", TASKS)
def test_cmake_configures_builds_and_ctest_passes(task: str, tmp_path: Path) -> None:
    home, g = packed(task, "cmake", tmp_path), graph(task)
    build = cmake(home, tmp_path / "build")
    assert b"100% tests passed, 0 tests failed out of 1" in call(["ctest", "--test-dir", build])
    listen, pcm = build / f"{home.name}_listen", stream(g)
    words, made = told(task)
    assert call([listen], stdin=pcm.tobytes()) == words.encode() + made
    write_wav(tmp_path / "sound.wav", pcm, g.sample_rate)
    assert call([listen, tmp_path / "sound.wav"]) == words.encode() + made
    assert made or len(words.splitlines()) >= 4, "the stream must say something"


def test_ctest_notices_a_weight_that_differs(tmp_path: Path) -> None:
    home = packed("vad", "cmake", tmp_path)
    header = next(p for p in (home / "src").glob("*.h") if "_weight[" in p.read_text())
    text = header.read_text()
    first = re.search(r"_weight\[\d+\] = \{\n\s+(-?\d+),", text)
    assert first
    header.write_text(text[: first.start(1)] + str(int(first[1]) ^ 1) + text[first.end(1) :])
    build = cmake(home, tmp_path / "build")
    done = subprocess.run(["ctest", "--test-dir", build, "--output-on-failure"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "self-test failed: -1" in done.stdout


@pytest.mark.parametrize("fault", ["rate", "stereo", "float", "cut", "text", "absent", "empty"])
def test_the_example_refuses_sound_of_another_kind(fault: str, tmp_path: Path, listener: Path) -> None:
    path, pcm = tmp_path / "sound.wav", sound(1)
    write_wav(path, pcm, 8000 if fault == "rate" else 16000)
    data = bytearray(path.read_bytes())
    data[20:24] = {"stereo": b"\1\0\2\0", "float": b"\3\0\1\0"}.get(fault, bytes(data[20:24]))
    content = {"cut": bytes(data[:40]), "text": b"no sound at all", "empty": b""}.get(fault, bytes(data))
    path.unlink()
    if fault != "absent":
        path.write_bytes(content)
    done = subprocess.run([listener, path], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{path} is no WAV file of 16 bits, one channel, 16000 Hz\n"


def test_the_example_passes_over_other_chunks(tmp_path: Path, listener: Path) -> None:
    """Chunks of odd length before the samples, and what lies behind them, are no sound."""
    write_wav(tmp_path / "a.wav", stream(graph("vad")), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "b.wav").write_bytes(data[:12] + b"LIST\3\0\0\0abc\0" + data[12:] + b"LIST" + data[44:])
    assert call([listener, tmp_path / "b.wav"]).decode() == told("vad")[0]


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listener")
    home = packed("vad", "cmake", folder)
    return cmake(home, folder / "build") / f"{home.name}_listen"


def test_several_models_live_in_one_cmake_project(tmp_path: Path) -> None:
    names = [
        packed(task, "cmake", tmp_path, prefix).name for task, prefix in (("spot", ""), ("spot", "other"), ("denoise", ""))
    ]
    project = ["cmake_minimum_required(VERSION 3.16)", "project(all C)", "enable_testing()"]
    (tmp_path / "CMakeLists.txt").write_text("\n".join([*project, *(f"add_subdirectory({name})" for name in names)]))
    plain = cmake(tmp_path, tmp_path / "plain")
    assert b"tests passed" not in call(["ctest", "--test-dir", plain])
    build = cmake(tmp_path, tmp_path / "build", *(f"-D{name.upper()}_EXTRAS=ON" for name in names))
    assert b"out of 3" in call(["ctest", "--test-dir", build])
    second = tmp_path / names[1] / "CMakeLists.txt"
    second.write_text(second.read_text().replace(f'STREQUAL "{release()}"', 'STREQUAL "9.9.9"'))
    done = subprocess.run(["cmake", "-S", tmp_path, "-B", tmp_path / "two"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "export all by one" in re.sub(r"\s+", " ", done.stderr)
