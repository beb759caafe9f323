"""The pytest plugin in another project's tests, run by pytest itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from fixture_runs import ROOT, fixture_run
from needs import need_program
from test_gate_paired import run_of, wrong

from edgernn import gate, pipeline

pytest_plugins = ["pytester"]
NAME = "edgernn.pytest_plugin"


def is_installed() -> bool:
    """Whether pytest finds the plugin by itself, as after an installation."""
    return any(point.value == NAME for point in entry_points(group="pytest11"))


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project of somebody else's; where edgernn is not installed with its plugin, it is named."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = --strict-markers -p no:cacheprovider" + ("" if is_installed() else f" -p {NAME}"))
    return pytester


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed checkpoint, quantized."""
    folder = fixture_run(tmp_path_factory.mktemp("plugin") / "run")
    pipeline.quantize_model(folder, "int8x16")
    return folder


GATED = """
    def test_the_model(edgernn_gate):
        edgernn_gate("run").assert_no_worse("baseline.json")
"""


def test_a_run_that_is_no_worse_passes(project: pytest.Pytester) -> None:
    gate.write_baseline(run_of(project.path / "run", wrong(1, 2)), project.path / "baseline.json")
    project.makepyfile(GATED)
    project.runpytest_subprocess().assert_outcomes(passed=1)


def test_a_run_that_is_worse_fails_and_names_the_clips(project: pytest.Pytester) -> None:
    gate.write_baseline(run_of(project.path / "run", wrong(*range(5))), project.path / "baseline.json")
    run_of(project.path / "run", wrong(*range(100, 112)))
    project.makepyfile(GATED)
    done = project.runpytest_subprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*WORSE: int8.int8_accuracy*12 lost, 5 won of 1046*", "*lost: clip100 (another), clip101*"])
    done.stdout.no_fnmatch_line("*Traceback*")


@pytest.mark.parametrize(
    ("broken", "said"), [("baseline.json", "*cannot read baseline.json*"), ("run/simulate-int8.json", "*holds no simulate-*")]
)
def test_what_cannot_be_told_fails_in_one_sentence(broken: str, said: str, project: pytest.Pytester) -> None:
    gate.write_baseline(run_of(project.path / "run", {}), project.path / "baseline.json")
    (project.path / broken).unlink()
    project.makepyfile(GATED)
    done = project.runpytest_subprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([said])


def test_a_missing_figure_fails(project: pytest.Pytester) -> None:
    path = gate.write_baseline(run_of(project.path / "run", {}), project.path / "baseline.json")
    path.write_text(
        path.read_text().replace('"int8.agreement"', '"int8.logit_snr_db"').replace('"agreement":', '"logit_snr_db":')
    )
    project.makepyfile(GATED)
    done = project.runpytest_subprocess()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*MISSING: int8.logit_snr_db*"])


def test_a_model_in_every_runtime(project: pytest.Pytester, run: Path) -> None:
    need_program("cc")
    project.makepyfile(
        """
        import numpy as np
        import pytest

        heard = {}

        @pytest.mark.edgernn_runtimes("numpy", "c")
        def test_bits(edgernn_model):
            sound = (np.random.default_rng(0).normal(size=16000) * 3000).astype(np.int16)
            heard[edgernn_model.stream()._runtime.name] = edgernn_model(sound)

        def test_both():
            assert list(heard) == ["numpy", "c"] and heard["numpy"] == heard["c"]

        @pytest.mark.edgernn_runtimes("all")
        def test_all(edgernn_model):
            assert edgernn_model.weight_bytes == 3395

        @pytest.mark.edgernn_run("nowhere")
        def test_the_nearest_marker_counts(edgernn_run):
            assert edgernn_run.name == "nowhere"

        def test_the_usual_one(edgernn_model):
            assert edgernn_model.task == "spot"
        """
    )
    done = project.runpytest_subprocess(f"--edgernn-run={run}", "-rs")
    found = done.parseoutcomes()
    assert found["passed"] >= 7 and "failed" not in found and "errors" not in found, found


def test_a_runtime_that_is_named_must_be_there(project: pytest.Pytester, run: Path) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.mark.edgernn_runtimes("abacus")
        def test_it(edgernn_model):
            edgernn_model.stream()
        """
    )
    done = project.runpytest_subprocess(f"--edgernn-run={run}")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*unknown runtime 'abacus'*"])


def test_a_model_on_every_board(project: pytest.Pytester, run: Path) -> None:
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_program(program)
    project.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.edgernn_run({str(run)!r}, scheme="int8x16")

        @pytest.mark.edgernn_boards("microbit", "mps2-an386", kernel="plain")
        def test_it(edgernn_board):
            assert edgernn_board.kernel == "plain"
            assert edgernn_board.bits_differing == 0 and edgernn_board.entries > 1000
            assert edgernn_board.flash_bytes < 32_000
        """
    )
    done = project.runpytest_subprocess("-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*test_it[[]microbit]*", "*test_it[[]mps2-an386]*"])


def test_a_board_must_be_named(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(edgernn_board):\n    pass\n")
    done = project.runpytest_subprocess()
    assert done.ret != 0
    done.stdout.fnmatch_lines(["*edgernn_board needs @pytest.mark.edgernn_boards(NAME, ..)*"])


def test_a_run_must_be_named(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(edgernn_run):\n    pass\n")
    done = project.runpytest_subprocess()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*no run folder is named: give --edgernn-run*"])


def test_it_is_installed_for_pytest_and_loads_nothing() -> None:
    points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    assert points == {"edgernn": NAME}
    code = f"import sys, {NAME}; print([m for m in ('numpy', 'scipy', 'torch', 'typer', 'edgernn.gate') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
