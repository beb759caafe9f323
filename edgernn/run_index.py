"""The runs under a folder: found, listed, compared, tagged, and deleted when asked (`edgernn runs`).

What is known of a run lies in its own folder: its results, and `tags.json`. An index in SQLite beside the runs only saves
reading them again; it is made anew when it is lost, damaged or of another version, and done without where the folder takes no
files.
"""

from __future__ import annotations

import contextlib
import fnmatch
import json
import shutil
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgernn.artifacts import read_json, write_json
from edgernn.errors import EdgernnError
from edgernn.notes import note
from edgernn.runs import locked
from edgernn.tasks import find_task

INDEX = ".edgernn-runs.sqlite"
VERSION = 1
DEPTH = 3  #: folders below the one that is looked through
KEEP = "keep"  #: a run with this tag is never deleted
WAIT_S = 30.0  #: for another process that writes the index
#: everything that edgernn writes into a run folder; a folder with anything else beside them is not deleted
_OWN_FILES = (
    "recipe.json", "metrics.csv", "model.safetensors", "progress.pt", "summary.json", "tags.json", "graph-*.ern", "report.html",
    "report.md", "quantize-*.json", "simulate-*.json", "compare-*.json", "build-*.json", "run-*.json", ".*.tmp",
)  # fmt: skip
_RESULTS = ("recipe.json", "tags.json", "quantize-*.json", "simulate-*.json", "run-*.json", "model.safetensors")


@dataclass(frozen=True)
class Run:
    """A run folder as it is listed: name below the folder that was looked through, task, what was done, figures by name.

    made: seconds since 1970 of its newest result; problem: why nothing more is known of it.
    """

    name: str
    folder: Path
    task: str
    recipe: str
    stage: str
    made: float
    tags: tuple[str, ...]
    figures: dict[str, float]
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the time in UTC."""
        made = datetime.fromtimestamp(self.made, UTC).strftime("%Y-%m-%d %H:%M")
        return {**asdict(self), "folder": str(self.folder), "tags": list(self.tags), "made": made}


@dataclass(frozen=True)
class Wanted:
    """Which runs are meant: names or patterns such as `demo*`, a tag, and days since the newest result; empty: all."""

    only: Sequence[str] = ()
    tagged: str = ""
    older: float | None = None

    def takes(self, run: Run) -> bool:
        """Whether a run is meant."""
        return (
            (not self.only or any(fnmatch.fnmatchcase(run.name, pattern) for pattern in self.only))
            and (not self.tagged or self.tagged in run.tags)
            and (self.older is None or time.time() - run.made > self.older * 86400)
        )

    def __bool__(self) -> bool:
        """Whether anything was chosen at all."""
        return bool(self.only or self.tagged or self.older is not None)


# Finding ---------------------------------------------------------------------------


def list_runs(folder: Path, wanted: Wanted | None = None) -> list[Run]:
    """The runs under a folder, by name; what changed since the index was written is read anew."""
    if not folder.is_dir():
        raise EdgernnError(f"{folder} is no folder; name the one that holds your run folders")
    places = {"." if p == folder else p.relative_to(folder).as_posix(): p for p in _run_folders(folder, DEPTH)}
    try:
        found = _indexed(folder / INDEX, places)
    except sqlite3.OperationalError:
        found = _indexed(None, places)  # a folder that takes no files, or a process that holds on for long
    except sqlite3.DatabaseError:
        note(f"the index {folder / INDEX} was damaged; it was made anew from the run folders")
        for path in (folder / INDEX, folder / f"{INDEX}-journal"):
            path.unlink(missing_ok=True)
        found = _indexed(folder / INDEX, places)
    runs = [_run(name, places[name], values) for name, values in sorted(found.items())]
    return [run for run in runs if wanted is None or wanted.takes(run)]


def _run(name: str, folder: Path, values: dict[str, Any]) -> Run:
    return Run(name, folder, **{**values, "tags": tuple(values["tags"])})


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """Folders with a recipe, not those within them; links are not followed."""
    if (folder / "recipe.json").is_file():
        yield folder
        return
    with contextlib.suppress(OSError):
        for path in sorted(folder.iterdir()) if depth else ():
            if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
                yield from _run_folders(path, depth - 1)


def _results(folder: Path) -> list[Path]:
    return sorted(path for pattern in _RESULTS for path in folder.glob(pattern))


def _stamp(folder: Path) -> str:
    """Changes whenever a result does."""
    found = []
    for path in _results(folder):
        with contextlib.suppress(OSError):
            found.append((path.name, path.stat().st_mtime_ns, path.stat().st_size))
    return json.dumps(found)


def _read(folder: Path) -> dict[str, Any]:
    """What is listed of a run folder, as plain values; a damaged file is told in its row and spoils no other."""
    made = max((path.stat().st_mtime for path in _results(folder) if path.name != "tags.json"), default=0.0)
    values: dict[str, Any] = {
        "task": "",
        "recipe": "",
        "stage": "prepared",
        "made": made,
        "tags": [],
        "figures": {},
        "problem": "",
    }
    if (folder / "model.safetensors").is_file():
        values["stage"] = "trained"
    try:
        values["tags"] = read_tags(folder)
        recipe = read_json(folder / "recipe.json")
        values["task"] = find_task(recipe.get("task"), str(folder / "recipe.json")).name
        values["recipe"] = str(recipe.get("name", ""))
        for stage, figures in (("quantized", _quantized(folder)), ("judged", _judged(folder)), ("emulated", _emulated(folder))):
            if figures:
                values["stage"] = stage
                values["figures"] |= figures
    except EdgernnError as error:
        values["problem"] = str(error)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        values["problem"] = f"{folder} holds results that lack figures ({type(error).__name__}: {error})"
    return values


def _quantized(folder: Path) -> dict[str, float]:
    found = [read_json(path) for path in sorted(folder.glob("quantize-*.json"))]
    return {f"{r['scheme']}: weight_bytes": float(r["weight_bytes"]) for r in found}


def _judged(folder: Path) -> dict[str, float]:
    out: dict[str, float] = {}
    for path in sorted(folder.glob("simulate-*.json")):
        r = read_json(path)
        figures = find_task(r.get("task"), str(path)).figures(r)[1]
        out |= {f"{r['scheme']}: {name.removeprefix('int8_')}": float(value) for name, value in figures.items()}
    return out


def _emulated(folder: Path) -> dict[str, float]:
    out: dict[str, float] = {}
    for path in sorted(folder.glob("run-*.json")):
        r = read_json(path)
        keys = [key for key in ("flash_bytes", "ram_bytes", "instructions_per_second") if key in r]
        out |= {f"{r['board']}: {key}": float(r[key]) for key in keys}
    return out


# The index ---------------------------------------------------------------------------


def _indexed(path: Path | None, places: dict[str, Path]) -> dict[str, dict[str, Any]]:
    """What is listed of each run, from the index (None: one in memory) where its results are as they were, else from its files.

    One transaction that begins to write at once: of two processes the second waits, and finds what the first has read.
    """
    stamps = {name: _stamp(folder) for name, folder in places.items()}
    connection = sqlite3.connect(path or ":memory:", timeout=WAIT_S, isolation_level=None)
    with contextlib.closing(connection):
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone() != (VERSION,):
            connection.execute("DROP TABLE IF EXISTS runs")
            connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("CREATE TABLE IF NOT EXISTS runs (name TEXT PRIMARY KEY, stamp TEXT NOT NULL, run TEXT NOT NULL)")
        rows = connection.execute("SELECT name, stamp, run FROM runs").fetchall()
        kept = {name: _parsed(run) for name, stamp, run in rows if stamps.get(name) == stamp}
        found = {name: kept.get(name) or _read(folder) for name, folder in places.items()}
        connection.execute("DELETE FROM runs")
        values = [(name, stamps[name], json.dumps(run)) for name, run in found.items()]
        connection.executemany("INSERT INTO runs VALUES (?, ?, ?)", values)
        connection.execute("COMMIT")
    return found


def _parsed(text: str) -> dict[str, Any]:
    """A row of the index; one that is no table counts as damage."""
    try:
        found = json.loads(text)
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a damaged row: {error}") from None
    if not isinstance(found, dict) or set(found) != {f.name for f in fields(Run)} - {"name", "folder"}:
        raise sqlite3.DatabaseError("a damaged row")
    return found


# Tags ---------------------------------------------------------------------------


def read_tags(folder: Path) -> list[str]:
    """The tags of a run folder, in alphabetical order."""
    path = folder / "tags.json"
    if not path.is_file():
        return []
    found = read_json(path)
    if not isinstance(found, list) or not all(isinstance(tag, str) for tag in found):
        raise EdgernnError(f"{path} is damaged (it is no list of texts); correct it or delete it")
    return sorted(set(found))


def tag_runs(folder: Path, wanted: Wanted, add: Sequence[str] = (), remove: Sequence[str] = ()) -> list[Run]:
    """Put tags on the runs that are meant, or take them away; returns the runs as they are then."""
    for tag in (*add, *remove):
        if not tag.strip() or tag != tag.strip() or len(tag) > 40 or "," in tag or not tag.isprintable():
            raise EdgernnError(f"tag {tag!r} must be 1 to 40 printable characters without a comma or spaces around it")
    for run in _meant(folder, wanted, "tag"):
        with locked(run.folder):
            tags = sorted((set(read_tags(run.folder)) | set(add)) - set(remove))
            write_json(run.folder / "tags.json", tags)
    return list_runs(folder, Wanted(wanted.only, "", wanted.older))


def _meant(folder: Path, wanted: Wanted, verb: str) -> list[Run]:
    """The runs that are meant; none at all is an error."""
    if not wanted:
        raise EdgernnError(f"say which runs to {verb}: --only NAME, --tagged TAG or --older DAYS")
    found = list_runs(folder, wanted)
    if not found:
        raise EdgernnError(f"no run under {folder} is meant by that; `edgernn runs {folder}` lists them")
    return found


# Deleting ---------------------------------------------------------------------------


def prunable(folder: Path, wanted: Wanted) -> list[Run]:
    """The runs that may be deleted of those that are meant; one that holds files of the user's own is an error."""
    found = [run for run in _meant(folder, wanted, "delete") if KEEP not in run.tags]
    if not found:
        raise EdgernnError(f"every run that is meant has the tag {KEEP}; take it away with --untag {KEEP} first")
    for run in found:
        if run.folder == folder:
            raise EdgernnError(f"{folder} is itself a run; name the folder that holds it")
        _refuse_foreign(run.folder)
    return found


def _refuse_foreign(folder: Path) -> None:
    """A folder that holds what edgernn did not write is not ours to delete."""
    for path in sorted(folder.iterdir()):
        known = path.is_dir() and not path.is_symlink() and _is_own_folder(path)
        known = known or (
            path.is_file() and not path.is_symlink() and any(fnmatch.fnmatchcase(path.name, x) for x in _OWN_FILES)
        )
        if not known:
            raise EdgernnError(f"{path} was not written by edgernn; move it away, or delete {folder} yourself")


def _is_own_folder(path: Path) -> bool:
    """data/, cache/, exports, and folders of boards: `test/` with a firmware, or what `edgernn build` writes."""
    if path.name in ("data", "cache", "c", "tflite", "onnx", "packages"):
        return True
    return (
        any((path / inner).exists() for inner in ("test", "app", "src")) or (path.parent / f"build-{path.name}.json").is_file()
    )


def prune(runs: Sequence[Run]) -> list[str]:
    """Delete run folders, each only when no process works in it; returns their names.

    A folder is renamed before it is deleted, so that what a killed process leaves behind is no run any more.
    """
    done: list[str] = []
    for run in runs:
        if not (run.folder / "recipe.json").is_file():
            raise EdgernnError(
                f"{run.folder} is no run folder any more; nothing more was deleted after {', '.join(done) or 'none'}"
            )
        with locked(run.folder):
            leaving = run.folder.with_name(f".{run.folder.name}.deleted")
            run.folder.rename(leaving)
            shutil.rmtree(leaving)
        done.append(run.name)
    return done
