"""The recipes for other people's CI: what their schemas say, and their own steps, run here to a green and to a red end."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fixture_runs import ROOT, fixture_run
from needs import need_module, need_program

from edgernn import gate, pipeline
from edgernn.tasks.base import Question

ACTION, GITLAB, HOOKS = ROOT / "action.yml", ROOT / "ci" / "edgernn-check.gitlab-ci.yml", ROOT / ".pre-commit-hooks.yaml"
SECONDS = 10


def parsed(path: Path) -> Any:
    need_module("yaml")
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a committed model and its baseline."""
    project = tmp_path_factory.mktemp("project")
    run = fixture_run(project / "my run")
    pipeline.quantize_model(run)
    pipeline.simulate_model(run, lambda *_: None, question=Question(seconds=SECONDS))
    gate.write_baseline(run, project / "baseline.json", level=1)
    shutil.copy(run / "simulate-int8x16.json", project / "figures.json")
    for path in run.glob("*int8*"):
        path.unlink()
    return project


@pytest.fixture
def project(measured: Path, tmp_path: Path) -> Path:
    """A checkout of it."""
    return Path(shutil.copytree(measured, tmp_path / "checkout"))


def make_worse(project: Path) -> None:
    """Its baseline says that it was better once."""
    path = project / "baseline.json"
    base = json.loads(path.read_text())
    base["metrics"]["int8x16.weight_bytes"] -= 100
    path.write_text(json.dumps(base))


def environment(tmp_path: Path) -> dict[str, str]:
    """Where `edgernn` and `python` are those of this test."""
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    for name, words in (("edgernn", f"{sys.executable} -m edgernn"), ("python", sys.executable)):
        (programs / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (programs / name).chmod(0o755)
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


# GitHub ---------------------------------------------------------------------------


def run_action(project: Path, tmp_path: Path, measured: bool = False, **inputs: str) -> tuple[int, str, Path]:
    """The steps as GitHub's runner takes them: exit code of the first that fails, what was printed, the folder of its files.

    measured: the figures are there already.
    """
    action, files = parsed(ACTION), tmp_path / "runner"
    files.mkdir(exist_ok=True)
    given = {name: str(x["default"]) for name, x in action["inputs"].items() if "default" in x} | inputs
    assert set(inputs) <= set(action["inputs"]) and all(x in given for x, y in action["inputs"].items() if y.get("required"))
    known = {f"inputs.{name}": value for name, value in given.items()} | {"github.action_path": str(ROOT)}
    said = ""
    for step in action["runs"]["steps"]:
        if measured and step["name"] == "Measure":
            continue
        assert step["shell"] == "bash" and "${{" not in step["run"], "what users give is quoted by the shell alone"
        env = {name: re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text) for name, text in step["env"].items()}
        env |= {"GITHUB_STEP_SUMMARY": str(files / "summary"), "GITHUB_OUTPUT": str(files / "output"), "GITHUB_ACTIONS": "true"}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]], cwd=project, capture_output=True,
            text=True, env={**environment(tmp_path), **env}, timeout=600,
        )  # fmt: skip
        said += done.stdout + done.stderr
        if done.returncode:
            return done.returncode, said, files
    return 0, said, files


def test_the_action_ends_green_and_red_and_says_when_it_cannot_tell(project: Path, tmp_path: Path) -> None:
    for program in ("arm-none-eabi-gcc", "qemu-system-arm"):
        need_program(program)
    asked = {"run": "my run", "install": "false", "seconds": str(SECONDS), "scheme": "int8x16", "boards": "microbit"}
    code, said, files = run_action(project, tmp_path, **asked)
    assert code == 0, said
    assert "edgernn 0." in said and "none of" in (files / "summary").read_text()
    assert (files / "output").read_text() == "exit-code=0\n"
    assert (project / "my run" / "run-microbit.json").is_file()
    assert (project / "edgernn-check" / "check.xml").is_file() and "figures" in (project / "edgernn-check/check.md").read_text()
    assert json.loads((project / "edgernn-check" / "check.json").read_text())["rows"]
    make_worse(project)
    code, said, files = run_action(project, tmp_path, measured=True, **asked, results="elsewhere")
    assert code == 1, said
    assert "::error file=baseline.json,title=int8x16.weight_bytes is worse::" in said
    assert "1 of " in (files / "summary").read_text() and (files / "output").read_text().endswith("exit-code=1\n")
    assert b"<failure" in (project / "elsewhere" / "check.xml").read_bytes()
    path = project / "baseline.json"
    base = json.loads(path.read_text())
    path.write_text(json.dumps({**base, "context": {**base["context"], "int8x16.test_set": "another"}}))
    code, said, files = run_action(project, tmp_path, measured=True, **asked)
    assert code == 2, said
    assert "::error file=baseline.json,title=edgernn check cannot tell::cannot tell: int8x16.test_set was 'another" in said
    assert "cannot tell" in (files / "summary").read_text() and (files / "output").read_text().endswith("exit-code=2\n")


def test_outputs_of_the_action_come_from_its_steps() -> None:
    action = parsed(ACTION)
    steps = {step["id"]: step for step in action["runs"]["steps"] if "id" in step}
    for output in action["outputs"].values():
        step, name = re.findall(r"steps\.(\w+)\.outputs\.([\w-]+)", output["value"])[0]
        assert f'"{name}=' in steps[step]["run"]


@pytest.mark.parametrize(("schema", "path"), [("vendor.github-actions", ACTION), ("vendor.gitlab-ci", GITLAB)])
def test_the_recipes_fit_their_schemas(schema: str, path: Path) -> None:
    need_module("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


# GitLab ---------------------------------------------------------------------------


def run_gitlab(
    project: Path, tmp_path: Path, measured: bool = False, **variables: str
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """The job as GitLab's runner takes it: one shell, ended by the first line that fails. measured: only the last line."""
    job = parsed(GITLAB)[".edgernn-check"]
    script = "\n".join(["set -eo pipefail", *job["before_script"], *job["script"][-1 if measured else 0 :]])
    env = {**environment(tmp_path), **job["variables"], **variables}
    return subprocess.run(["bash", "-c", script], cwd=project, env=env, capture_output=True, text=True, timeout=600)


def test_the_gitlab_job_ends_green_and_red(project: Path, tmp_path: Path) -> None:
    asked = {"EDGERNN_PACKAGE": "", "EDGERNN_RUN": "my run", "EDGERNN_SECONDS": str(SECONDS), "EDGERNN_BOARDS": ""}
    job = parsed(GITLAB)[".edgernn-check"]
    assert set(asked) <= set(job["variables"])
    done = run_gitlab(project, tmp_path, **asked)
    assert done.returncode == 0, done.stderr
    assert "none of" in done.stdout
    kept = [*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]]
    assert all((project / name).is_file() for name in kept)
    make_worse(project)
    done = run_gitlab(project, tmp_path, measured=True, **asked)
    assert done.returncode == 1 and "WORSE" in done.stdout
    assert all((project / name).is_file() for name in kept)


# pre-commit ---------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    names = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def test_the_hook_refuses_a_graph_without_figures(project: Path, tmp_path: Path) -> None:
    need_module("pre_commit")
    need_program("git")
    (hook,) = parsed(HOOKS)
    local = {"repo": "local", "hooks": [{**hook, "language": "system"}]}
    (project / ".pre-commit-config.yaml").write_text(json.dumps({"repos": [local]}))
    git(project, "init", "-q")
    run = project / "my run"
    pipeline.quantize_model(run)
    env = {**environment(tmp_path), "PRE_COMMIT_HOME": str(tmp_path / "cache")}

    def committed(*paths: str) -> subprocess.CompletedProcess[str]:
        git(project, "add", "-f", ".pre-commit-config.yaml", *paths)
        command = [sys.executable, "-m", "pre_commit", "run", "--color", "never"]
        return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=120)

    graph, kept = "my run/graph-int8x16.ern", (project / "baseline.json").read_text()
    done = committed(graph)
    assert done.returncode == 0, f"the baseline is of this graph: {done.stdout}"
    (project / "baseline.json").unlink()
    done = committed(graph)
    assert done.returncode == 1
    assert hook["name"] in done.stdout and "no simulate-*.json and no baseline lies beside it" in done.stdout
    shutil.copy(project / "figures.json", run / "simulate-int8x16.json")
    assert committed(graph).returncode == 0, "a simulate-*.json lies beside it"
    (run / "simulate-int8x16.json").unlink()
    (project / "baseline.json").write_text(kept.replace(json.loads(kept)["graphs"]["int8x16"], "ab" * 32))
    done = committed(graph, "baseline.json")
    assert done.returncode == 1 and "is of graph abababababab" in done.stdout


def test_the_hook_is_one_that_pre_commit_takes() -> None:
    need_module("pre_commit")
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", str(HOOKS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    (hook,) = parsed(HOOKS)
    assert re.search(hook["files"], "run/graph-int8.ern") and not re.search(hook["files"], "a.ernest")
