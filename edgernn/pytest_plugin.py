"""pytest's plugin: the gate, every runtime and every emulated board in a project's own tests.

It is loaded wherever edgernn is installed beside pytest, and imports nothing until a test asks for it. docs/ci.md shows each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edgernn.face import Model

_MARKERS = (
    "edgernn_run(path, scheme=None): the run folder, or graph file, of a test's edgernn fixtures; default: --edgernn-run",
    'edgernn_runtimes(*names): a test with edgernn_model runs once in each; "all": in all that can run here',
    "edgernn_boards(*names, kernel='auto'): a test with edgernn_board runs once on each, emulated",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The run folder of tests that name none, on the command line or in the settings."""
    about = "run folder, or graph file, of edgernn's fixtures"
    parser.getgroup("edgernn").addoption("--edgernn-run", default=None, help=about)
    parser.addini("edgernn_run", about, default="")


def pytest_configure(config: pytest.Config) -> None:
    """The markers, so that --strict-markers knows them."""
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a runtime, one a board, as its markers say."""
    if "_edgernn_runtime" in metafunc.fixturenames:
        metafunc.parametrize("_edgernn_runtime", _named(metafunc, "edgernn_runtimes") or ("auto",), indirect=True)
    if "_edgernn_board_name" in metafunc.fixturenames:
        boards = _named(metafunc, "edgernn_boards")
        if not boards:
            raise pytest.UsageError(
                f"{metafunc.function.__name__}: edgernn_board needs @pytest.mark.edgernn_boards(NAME, ..); "
                "`edgernn boards` lists them"
            )
        metafunc.parametrize("_edgernn_board_name", boards, indirect=True)


def _named(metafunc: pytest.Metafunc, marker: str) -> Sequence[str]:
    """What the nearest marker names; "all" runtimes are those that there are, whether they can run here or not."""
    found = metafunc.definition.get_closest_marker(marker)
    names = tuple(found.args) if found else ()
    if names != ("all",):
        return names
    from edgernn.runtimes import runtime_names

    return [f"all:{name}" for name in runtime_names()]


class Gate:
    """A run folder that is held to its baselines."""

    def __init__(self, run: str | Path) -> None:
        self.run = Path(run)

    def check(self, baseline: str | Path) -> dict[str, Any]:
        """What `edgernn check --json` prints; EdgernnError where it cannot tell."""
        from edgernn import gate

        return gate.check(self.run, Path(baseline))

    def assert_no_worse(self, baseline: str | Path) -> None:
        """Fail the test when a figure is worse, is missing, or cannot be compared."""
        from edgernn import gate
        from edgernn.errors import EdgernnError
        from edgernn.gate import words

        try:
            result = self.check(baseline)
        except EdgernnError as error:
            pytest.fail(str(error), pytrace=False)
        if not gate.exit_code(result):
            return
        bad = [row for row in words.ordered(result["rows"]) if not row["ok"]]
        lines = [f"{words.VERDICTS[row['verdict']]}: {words.reason(row)}" for row in bad]
        changed = [f"  {row['metric']}: {text}" for row in bad for text in words.changes(row, 20)]
        pytest.fail("\n".join([words.headline(result), *lines, *changed, *words.remedy(result)]), pytrace=False)


@pytest.fixture
def edgernn_gate() -> Callable[[str | Path], Gate]:
    """`edgernn_gate("run/").assert_no_worse("baseline.json")`."""
    return Gate


@pytest.fixture
def edgernn_run(request: pytest.FixtureRequest) -> Path:
    """The run folder, or graph file, that the test's marker or --edgernn-run names, relative to pytest's root folder."""
    marker = request.node.get_closest_marker("edgernn_run")
    given = marker.args[0] if marker and marker.args else request.config.getoption("--edgernn-run")
    given = given or request.config.getini("edgernn_run")
    if not given:
        pytest.fail(
            "no run folder is named: give --edgernn-run=FOLDER, edgernn_run in the settings, or the marker", pytrace=False
        )
    return Path(request.config.rootpath / given)


def _scheme(request: pytest.FixtureRequest) -> str | None:
    marker = request.node.get_closest_marker("edgernn_run")
    return marker.kwargs.get("scheme") if marker else None


@pytest.fixture
def _edgernn_runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def edgernn_model(request: pytest.FixtureRequest, edgernn_run: Path, _edgernn_runtime: str) -> Model:
    """The run's model in each runtime that the test's marker names (`edgernn.load`); what is named must be here."""
    from edgernn.errors import EdgernnError
    from edgernn.face import load
    from edgernn.runtimes import make_runtime

    name = _edgernn_runtime.removeprefix("all:")
    model = load(edgernn_run, _scheme(request), name)
    if name != _edgernn_runtime:
        try:
            make_runtime(name, model.graph)
        except EdgernnError as error:
            pytest.skip(f"{name}: {error}")
    return model


@pytest.fixture
def _edgernn_board_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def edgernn_board(
    request: pytest.FixtureRequest, edgernn_run: Path, _edgernn_board_name: str, tmp_path: Path
) -> SimpleNamespace:
    """What `edgernn run --board` finds on each board that the test's marker names.

    bits_differing, flash_bytes, ram_bytes, state_bytes, stack_bytes, instructions_per_step and the others that --json prints.
    """
    from edgernn.boards import run_board

    marker = request.node.get_closest_marker("edgernn_boards")
    kernel = marker.kwargs.get("kernel", "auto") if marker else "auto"
    return SimpleNamespace(**run_board(edgernn_run, _edgernn_board_name, tmp_path, scheme=_scheme(request), kernel=kernel))
