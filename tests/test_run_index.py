"""`edgernn runs`: every run is found, the index may be lost or damaged at any time, and nothing but runs is ever deleted."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from finished_runs import spotter_run
from needs import need_module
from typer.testing import CliRunner

from edgernn import cli, run_index
from edgernn.errors import EdgernnError
from edgernn.run_index import INDEX, KEEP, Wanted, list_runs, prunable, prune, read_tags, tag_runs
from edgernn.runs import locked


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_module("jinja2")
    return spotter_run(tmp_path_factory.mktemp("judged") / "run")


@pytest.fixture
def folder(judged: Path, tmp_path: Path) -> Path:
    """a and b/deep are judged, c is only prepared; beside them what is no run."""
    root = tmp_path / "runs"
    for name in ("a", "b/deep"):
        shutil.copytree(judged, root / name)
    (root / "c").mkdir()
    shutil.copy(judged / "recipe.json", root / "c")
    (root / "notes").mkdir()
    (root / "notes" / "diary.txt").write_text("mine")
    return root


def edgernn(*args: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli.app, ["runs", *map(str, args)])
    if isinstance(result.exception, EdgernnError):
        return 2, result.stdout, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which folders are read anew from now on."""
    seen: list[str] = []
    real = run_index._read
    monkeypatch.setattr(run_index, "_read", lambda path: seen.append(path.name) or real(path))
    return seen


# Listing ---------------------------------------------------------------------------


def test_every_run_is_listed_with_its_state_and_figures(folder: Path, judged: Path) -> None:
    found = {run.name: run for run in list_runs(folder)}
    assert list(found) == ["a", "b/deep", "c"]
    assert [found[x].stage for x in found] == ["judged", "judged", "prepared"]
    result = json.loads((judged / "simulate-int8x16.json").read_text())
    assert found["a"].figures["int8x16: accuracy"] == result["clips"]["integer"]["accuracy"]
    assert found["a"].figures["int8x16: weight_bytes"] == result["weight_bytes"] and found["c"].figures == {}
    assert found["a"].task == "spot" and found["a"].recipe == "gate" and not found["a"].problem
    newest = max(p.stat().st_mtime for p in (folder / "a").glob("*.json"))
    assert found["a"].made == pytest.approx(newest)


def test_the_index_is_used_until_a_result_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = reads(monkeypatch)
    first = list_runs(folder)
    assert sorted(seen) == ["a", "c", "deep"] and (folder / INDEX).is_file()
    assert list_runs(folder) == first and len(seen) == 3, "nothing is read again"
    path = folder / "a" / "simulate-int8x16.json"
    result = json.loads(path.read_text())
    result["clips"]["integer"]["accuracy"] = 0.125
    path.write_text(json.dumps(result))
    assert list_runs(folder)[0].figures["int8x16: accuracy"] == 0.125 and seen[3:] == ["a"]
    shutil.rmtree(folder / "b")
    assert [run.name for run in list_runs(folder)] == ["a", "c"]


@pytest.mark.parametrize("damage", ["lost", "text", "cut", "row", "keys", "version", "folder"])
def test_an_index_that_is_lost_or_damaged_is_made_anew(
    damage: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, index = list_runs(folder), folder / INDEX
    if damage in ("lost", "folder"):
        index.unlink()
        if damage == "folder":
            index.mkdir()
    elif damage == "text":
        index.write_text("no database at all" * 200)
    elif damage == "cut":
        index.write_bytes(index.read_bytes()[: index.stat().st_size // 2 + 7])
    else:
        with sqlite3.connect(index) as connection:
            change = {"row": "UPDATE runs SET run = '{'", "keys": "UPDATE runs SET run = '{\"stage\": 1}'"}
            connection.execute(change.get(damage, "PRAGMA user_version = 99"))
        connection.close()
    seen = reads(monkeypatch)
    assert list_runs(folder) == first and len(seen) == 3
    assert ("damaged" in caplog.text) == (damage in ("text", "cut", "row", "keys"))
    seen.clear()
    assert list_runs(folder) == first and bool(seen) == (damage == "folder"), "a place that takes no index is done without"


def _listing(folder: Path, times: int, into: Any) -> None:
    for _ in range(times):
        into.put([run.name for run in list_runs(folder)])


def test_two_processes_do_not_disturb_each_other(folder: Path) -> None:
    """Four list, while the index is lost and damaged under them; all of them see all runs."""
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    processes = [context.Process(target=_listing, args=(folder, 6, told)) for _ in range(4)]
    for process in processes:
        process.start()
    found = []
    while len(found) < 24:
        found.append(told.get(timeout=120))
        if len(found) in (5, 12):
            (folder / INDEX).unlink(missing_ok=True)
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    assert all(names == ["a", "b/deep", "c"] for names in found)


def test_a_damaged_run_spoils_no_other(folder: Path) -> None:
    (folder / "a" / "simulate-int8x16.json").write_text("{")
    (folder / "b" / "deep" / "quantize-int8x16.json").write_text("{}")
    (folder / "c" / "recipe.json").write_text('{"task": "cooking"}')
    found = {run.name: run.problem for run in list_runs(folder)}
    assert "not valid JSON" in found["a"] and "lack figures" in found["b/deep"] and "cooking" in found["c"]
    code, said, _ = edgernn(folder)
    assert code == 0 and "not valid JSON" in said


def test_runs_are_chosen_by_name_tag_and_age(folder: Path) -> None:
    def chosen(**wanted: Any) -> list[str]:
        return [run.name for run in list_runs(folder, Wanted(**wanted))]

    old = time.time() - 10 * 86400
    for path in (folder / "c").iterdir():
        os.utime(path, (old, old))
    tag_runs(folder, Wanted(only=("a",)), ["good"])
    assert chosen() == ["a", "b/deep", "c"] and chosen(only=("b*", "c")) == ["b/deep", "c"]
    assert chosen(tagged="good") == ["a"] and chosen(older=9.0) == ["c"] and chosen(older=11.0) == []
    assert chosen(only=("a",), older=9.0) == []


def test_links_and_hidden_folders_are_not_followed(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "a")
    shutil.copytree(folder / "c", folder / ".hidden")
    shutil.copytree(folder / "c", folder / "a" / "inner")
    assert [run.name for run in list_runs(folder)] == ["a", "b/deep", "c"]


# Tags ---------------------------------------------------------------------------


def test_tags_lie_in_the_runs_and_outlive_the_index(folder: Path) -> None:
    found = tag_runs(folder, Wanted(only=("a", "c")), ["x", "y"])
    assert [run.tags for run in found] == [("x", "y"), ("x", "y")]
    made = {run.name: run.made for run in list_runs(folder)}
    (folder / INDEX).unlink()
    tag_runs(folder, Wanted(tagged="x", only=("a",)), ["z"], ["x"])
    assert {run.name: run.tags for run in list_runs(folder)} == {"a": ("y", "z"), "b/deep": (), "c": ("x", "y")}
    assert {run.name: run.made for run in list_runs(folder)} == made, "a tag is no result"
    assert read_tags(folder / "a") == ["y", "z"]


@pytest.mark.parametrize("tag", ["", " x", "a,b", "x" * 41, "a\nb"])
def test_bad_tags_are_refused(tag: str, folder: Path) -> None:
    with pytest.raises(EdgernnError, match="must be 1 to 40"):
        tag_runs(folder, Wanted(only=("a",)), [tag])
    (folder / "a" / "tags.json").write_text('{"a": 1}')
    assert "no list of texts" in list_runs(folder)[0].problem


# Deleting ---------------------------------------------------------------------------


def test_a_run_is_deleted_whole_and_alone(folder: Path) -> None:
    before = {p for p in folder.rglob("*") if "deep" not in p.parts and p.name != INDEX}
    assert prune(prunable(folder, Wanted(only=("b/deep",)))) == ["b/deep"]
    after = {p for p in folder.rglob("*") if p.name != INDEX}
    assert after == before and not (folder / "b" / "deep").exists() and (folder / "notes" / "diary.txt").read_text() == "mine"


@pytest.mark.parametrize("foreign", ["thesis.txt", "recordings/a.wav", "data.bak/x", "report.html.old"])
def test_a_run_with_files_of_the_users_own_is_left_alone(foreign: str, folder: Path) -> None:
    path = folder / "a" / foreign
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(EdgernnError, match="was not written by edgernn"):
        prunable(folder, Wanted(only=("*",)))
    assert path.read_text() == "mine" and (folder / "c").is_dir()


def test_a_link_in_a_run_is_not_ours(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "a" / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EdgernnError, match="was not written by edgernn"):
        prunable(folder, Wanted(only=("a",)))


def test_what_is_kept_worked_in_or_no_run_is_not_deleted(folder: Path) -> None:
    tag_runs(folder, Wanted(only=("a",)), [KEEP])
    assert [run.name for run in prunable(folder, Wanted(only=("a", "c")))] == ["c"]
    with pytest.raises(EdgernnError, match="has the tag keep"):
        prunable(folder, Wanted(only=("a",)))
    with pytest.raises(EdgernnError, match="is itself a run"):
        prunable(folder / "b" / "deep", Wanted(only=(".",)))
    for wanted, message in ((Wanted(), "say which runs"), (Wanted(only=("notes",)), "no run under")):
        with pytest.raises(EdgernnError, match=message):
            prunable(folder, wanted)
    chosen = prunable(folder, Wanted(only=("c",)))
    (folder / "c" / "recipe.json").unlink()
    with pytest.raises(EdgernnError, match="no run folder any more"):
        prune(chosen)
    assert (folder / "c").is_dir()


def _hold(folder: Path, ready: Any, done: Any) -> None:
    with locked(folder):
        ready.set()
        done.wait(60)


def test_a_run_that_another_process_works_in_is_not_deleted(folder: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(folder / "a", ready, done))
    process.start()
    assert ready.wait(60)
    with pytest.raises(EdgernnError, match="another edgernn is working"):
        prune(prunable(folder, Wanted(only=("a",))))
    done.set()
    process.join(60)
    assert (folder / "a" / "recipe.json").is_file() and prune(prunable(folder, Wanted(only=("a",)))) == ["a"]


def test_everything_that_the_verbs_write_may_go(folder: Path) -> None:
    from edgernn import pipeline

    pipeline.export_graph(folder / "a", folder / "a" / "c")
    (folder / "a" / "microbit" / "test" / "src").mkdir(parents=True)
    (folder / "a" / "pico").mkdir()
    for name in ("build-pico.json", "run-microbit.json", "compare-int8.json", "report.html", "report.md", "progress.pt"):
        (folder / "a" / name).write_text("{}")
    assert [run.name for run in prunable(folder, Wanted(only=("a",)))] == ["a"]


# The verb ---------------------------------------------------------------------------


def test_the_verb_lists_compares_tags_and_prunes(folder: Path) -> None:
    code, said, _ = edgernn(folder)
    assert code == 0 and "3 runs" in said and "b/deep" in said and "prepared" in said
    code, said, _ = edgernn(folder, "--compare", "--only", "a", "--only", "b/*")
    assert code == 0 and "int8x16: accuracy" in said and "2 runs" in said
    code, said, _ = edgernn(folder, "--only", "a", "--tag", "best", "--json")
    assert code == 0 and json.loads(said)[0]["tags"] == ["best"]
    code, said, _ = edgernn(folder, "--tagged", "best", "--untag", "best", "--json")
    assert code == 0 and json.loads(said)[0]["tags"] == []
    code, _, error = edgernn(folder, "--only", "a", "--prune")
    assert code == 2 and "say --yes" in error and (folder / "a").is_dir()
    code, said, _ = edgernn(folder, "--only", "a", "--prune", "--yes")
    assert (code, said) == (0, "deleted a\n") and not (folder / "a").exists()


def test_wrong_use_is_one_sentence(folder: Path) -> None:
    for arguments, message in (
        ((folder / "gone",), "is no folder"),
        ((folder, "--prune", "--yes"), "say which runs"),
        ((folder, "--tag", "x"), "say which runs"),
        ((folder, "--yes"), "goes with --prune"),
        ((folder, "--compare", "--prune"), "exclude one another"),
        ((folder, "--only", "nothing", "--prune", "--yes"), "no run under"),
    ):
        code, _, error = edgernn(*arguments)
        assert code == 2 and message in error, error
    assert "no runs here" in edgernn(folder / "notes")[1]
