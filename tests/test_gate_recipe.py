"""Tolerances in a recipe: checked when it is read, stronger than the baseline, and no part of what a model follows from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fixture_runs import gate_fixture
from test_gate_paired import run_of, wrong
from typer.testing import CliRunner

from edgernn import cli, gate
from edgernn.errors import EdgernnError
from edgernn.recipe import GateParams
from edgernn.runs import find_recipe, keep_recipe, run_recipe
from edgernn.tasks import make_recipe

PLAIN = gate_fixture.recipe().to_dict()


def recipe(**own: Any) -> Any:
    return make_recipe({**PLAIN, "gate": own})


def folder(where: Path, failed: dict[str, str], **own: Any) -> Path:
    """A run that is wrong on these clips, of a recipe that says this of the gate."""
    run_of(where, failed)
    keep_recipe(recipe(**own), where)
    return where


def row_of(result: dict[str, Any]) -> dict[str, Any]:
    return next(row for row in result["rows"] if row["metric"] == "int8.int8_accuracy")


# Read ---------------------------------------------------------------------------


def test_a_recipe_file_says_how_its_runs_are_judged(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text(
        '[[layers]]\ncell = "gru"\nunits = 4\n'
        '[gate]\nlevel = 0.05\n[gate.tolerances]\nint8_accuracy = 1e-2\n"int8_accuracy[]" = 0.05\nflash_bytes = 0\n'
    )
    own = find_recipe(str(path)).gate
    assert own == GateParams(0.05, {"int8_accuracy": 0.01, "int8_accuracy[]": 0.05, "flash_bytes": 0.0})
    assert find_recipe("demo").gate == GateParams()


@pytest.mark.parametrize(
    ("own", "said"),
    [
        ({"tolerances": {"int8_acuracy": 0.1}}, "unknown figure 'int8_acuracy', did you mean int8_accuracy"),
        ({"tolerances": {"int8_pesq": 0.1}}, "unknown figure 'int8_pesq', "),
        ({"tolerances": {"agreement[]": 0.1}}, "unknown figure 'agreement[]', did you mean agreement"),
        ({"tolerances": {"agreement": -0.1}}, r"gate.tolerances.agreement = -0.1 must lie in 0..1e\+09"),
        ({"tolerances": {"agreement": float("nan")}}, "gate.tolerances = .* must be a table of finite numbers"),
        ({"tolerances": {"agreement": True}}, "must be a table of finite numbers"),
        ({"tolerances": 0.1}, "must be a table of finite numbers"),
        ({"level": 1.5}, "gate.level = 1.5 must lie in 0..1"),
        ({"level": -0.1}, "gate.level = -0.1 must lie in 0..1"),
        ({"tolerance": {}}, "unknown key gate.tolerance, did you mean tolerances"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_the_recipe_is_read(own: dict[str, Any], said: str) -> None:
    with pytest.raises(EdgernnError, match=said.replace("[]", r"\[\]")) as error:
        recipe(**own)
    assert str(error.value).startswith("recipe: ") and "\n" not in str(error.value)


def test_each_task_knows_its_own_figures() -> None:
    own = {"task": "denoise", "layers": [{"cell": "gru", "units": 4}], "gate": {"tolerances": {"int8_pesq": 0.1}}}
    assert make_recipe(own).gate.tolerances == {"int8_pesq": 0.1}
    with pytest.raises(EdgernnError, match="unknown figure 'int8_accuracy'"):
        make_recipe({**own, "gate": {"tolerances": {"int8_accuracy": 0.1}}})


# Kept ---------------------------------------------------------------------------


def test_a_model_does_not_follow_from_it(tmp_path: Path) -> None:
    """So a run folder takes another one, and a training that was interrupted goes on."""
    assert recipe(level=0.5) == recipe() and recipe(level=0.5).to_dict() == PLAIN
    keep_recipe(recipe(), tmp_path)
    before = (tmp_path / "recipe.json").read_bytes()
    assert "gate" not in json.loads(before), "recipes that say nothing of it are kept as ever"
    keep_recipe(recipe(level=0.5), tmp_path)
    assert run_recipe(tmp_path).gate == GateParams(0.5)
    keep_recipe(recipe(), tmp_path)
    assert (tmp_path / "recipe.json").read_bytes() == before
    with pytest.raises(EdgernnError, match="a run of another recipe"):
        keep_recipe(make_recipe({**PLAIN, "seed": 7}), tmp_path)


# Judged ---------------------------------------------------------------------------


def test_the_recipe_goes_before_the_baseline_which_goes_before_the_usual(tmp_path: Path) -> None:
    base = gate.write_baseline(folder(tmp_path / "old", wrong(*range(40))), tmp_path / "b.json")
    lost = wrong(*range(5, 40), *range(100, 112))  # 12 lost, 5 won: worse by what is usual
    plain = gate.check(folder(tmp_path / "plain", lost), base)
    assert (row_of(plain)["verdict"], row_of(plain)["tolerance"], gate.exit_code(plain)) == ("worse", "0.5 points", 1)
    assert plain["notes"] == []
    loose = gate.check(folder(tmp_path / "loose", lost, tolerances={"int8_accuracy": 0.007}), base)
    assert (row_of(loose)["verdict"], row_of(loose)["tolerance"], gate.exit_code(loose)) == ("ok", "0.7 points", 0)
    assert loose["notes"] == ["judged as the recipe says, whatever the baseline says: int8_accuracy 0.007"]
    edge = gate.check(folder(tmp_path / "edge", lost, tolerances={"int8_accuracy": 0.0066}), base)
    assert row_of(edge)["verdict"] == "worse", "7 of 1046 are 0.0067"
    sure = gate.check(folder(tmp_path / "sure", lost, level=0.05), base)
    assert (row_of(sure)["verdict"], sure["level"]) == ("unclear", 0.05), "a chance of 0.072"
    assert sure["notes"] == ["judged as the recipe says, whatever the baseline says: level 0.05"]
    base.write_text(json.dumps({**json.loads(base.read_text()), "level": 0.01}))
    assert row_of(gate.check(tmp_path / "plain", base))["verdict"] == "unclear", "the baseline's, where the recipe says none"
    strict = gate.check(folder(tmp_path / "strict", lost, level=0.1), base)
    assert row_of(strict)["verdict"] == "worse"


def test_a_baseline_is_written_with_the_recipes_tolerances(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", {}, level=0.3, tolerances={"agreement": 0.25})
    base = gate.write_baseline(run, tmp_path / "b.json", tolerances={"int8_accuracy": 0.02})
    found = json.loads(base.read_text())
    assert (found["level"], found["tolerances"]["agreement"], found["tolerances"]["int8_accuracy"]) == (0.3, 0.25, 0.02)
    for asked, said in (({"level": 0.2}, "level"), ({"tolerances": {"agreement": 0.5}}, "tolerances.agreement")):
        with pytest.raises(EdgernnError, match=rf"no baseline was written: the recipe of .* says gate.{said}; change it in"):
            gate.write_baseline(run, base, "again", **asked)  # type: ignore[arg-type]
    assert json.loads(base.read_text()) == found
    keep_recipe(recipe(), run)
    again = json.loads(gate.write_baseline(run, base, "again").read_text())
    assert (again["level"], again["tolerances"]) == (0.3, found["tolerances"]), "what stood in the file stays"


def test_check_says_on_the_terminal_what_the_recipe_decides(tmp_path: Path) -> None:
    run = folder(tmp_path / "run", {}, tolerances={"agreement": 0.25})
    base = gate.write_baseline(run, tmp_path / "b.json")
    done = CliRunner().invoke(cli.app, ["check", str(run), "--baseline", str(base)], env={"GITHUB_ACTIONS": ""})
    assert done.exit_code == 0
    assert "note: judged as the recipe says, whatever the baseline says: agreement 0.25" in done.stdout
    (run / "recipe.json").write_text(json.dumps({**PLAIN, "later": {"x": 1}, "gate": {"tolerances": {"agreement": 0.25}}}))
    assert gate.check(run, base)["notes"] != [], "what else stands in a recipe of another version is no matter here"
    (run / "recipe.json").write_text("[1]")
    with pytest.raises(EdgernnError, match=r"cannot tell: .*recipe.json is no recipe"):
        gate.check(run, base)
    (run / "recipe.json").write_text(json.dumps({**PLAIN, "gate": {"tolerances": {"nonsense": 1}}}))
    done = CliRunner().invoke(cli.app, ["check", str(run), "--baseline", str(base)])
    assert isinstance(done.exception, EdgernnError) and "has the unknown figure 'nonsense'" in str(done.exception)
