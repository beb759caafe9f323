"""The architecture is one-way: these tests read every import, and the words of every source file."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
from fixture_runs import ROOT

from edgernn.tasks import all_tasks

PACKAGES = ("edgernn", "firmware_export", "targets")
HEAVY = {"torch", "tensorflow", "soundfile", "soxr", "unicorn", "ziglang", "sounddevice", "jinja2", "espeakng_loader",
         "onnx", "onnxruntime", "ai_edge_litert", "flatbuffers", "tflite_micro", "h5py", "matplotlib", "pesq",
         "pystoi", "speechmos", "py_nanotts"}  # fmt: skip
#: the only files that may know torch; a cell imports it inside `module()`
TORCH = re.compile(
    r"edgernn/core/(net|(fresh_)?training)\.py|edgernn/cells/.*|edgernn/tasks/(_mixture_trainer|\w+/(train(_\w+)?|losses))\.py"
)

#: from left to right; a file imports only what stands in its own row or above. The last row that matches counts.
LAYERS: tuple[tuple[str, str], ...] = (
    ("ground", r"edgernn(\.(errors|ranges|artifacts|notes|outcomes|output|hostcc|extensions|show))?"),
    ("core", r"edgernn\.core(\..*)?"),
    ("signal", r"edgernn\.signal(\..*)?"),
    ("cells", r"edgernn\.cells(\..*)?"),
    ("data", r"edgernn\.data(\..*)?"),
    ("recipe", r"edgernn\.(recipe|imports(\..*)?)"),
    ("door", r"edgernn\.tasks(\.base)?|edgernn\.reports(\.parts)?"),
    ("runs", r"edgernn\.(runs|console|zoo)"),
    ("backends", r"edgernn\.(runtimes|exports)(\..*)?|edgernn\.inspect|firmware_export(\..*)?"),
    ("targets", r"targets(\..*)?"),
    ("judging", r"edgernn\.(drift|compare|firmware|application|program|gate(\..*)?|run_index)|edgernn\.reports\.(?!parts$)\w+"),
    ("tasks", r"edgernn\.tasks\.\w+\..*|edgernn\.tasks\._\w+|edgernn\.tasks\.(?!base$)\w+"),
    ("pipeline", r"edgernn\.(pipeline|boards|deploy)"),
    ("command line", r"edgernn\.(cli|cli_boards|cli_check|cli_reports|__main__|face|pytest_plugin)"),
)


@functools.cache
def modules() -> dict[str, Path]:
    """Every module by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    assert len(found) > 100
    return found


@functools.cache
def imports(name: str, top_level_only: bool = False, for_types: bool = True) -> frozenset[str]:
    """Modules that a module imports, those in functions and for type checkers included; `from a import b` may give a.b."""
    tree = ast.parse(modules()[name].read_text())
    skip = {id(n) for x in ast.walk(tree) if isinstance(x, ast.If) and "TYPE_CHECKING" in ast.dump(x.test) for n in ast.walk(x)}
    names: set[str] = set()
    for node in tree.body if top_level_only else list(ast.walk(tree)):
        if (top_level_only or not for_types) and id(node) in skip:
            continue
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import"
            full = {f"{node.module}.{a.name}" for a in node.names}
            names |= {f if f in modules() else str(node.module) for f in full}
    return frozenset(names - {name})


def layer(name: str) -> int:
    """The row of LAYERS that a module stands in."""
    rows = [i for i, (_, pattern) in enumerate(LAYERS) if re.fullmatch(pattern, name)]
    assert rows, f"{name} stands in no layer: give it one"
    return rows[-1] if LAYERS[rows[-1]][0] != "tasks" or name not in ("edgernn.tasks", "edgernn.tasks.base") else rows[0]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", modules())
def test_imports_go_one_way(name: str) -> None:
    own = layer(name)
    for other in imports(name):
        if other in modules():
            assert layer(other) <= own, f"{LAYERS[own][0]} imports {other}, which stands right of it"


def test_the_layers_are_those_of_the_design() -> None:
    """Rules with two ends, said again one by one."""
    for name in modules():
        where, tops = imports(name), {x.split(".")[0] for x in imports(name)}
        if name.startswith("targets"):
            ours = {x for x in where if x.split(".")[0] in ("edgernn", "firmware_export")}
            assert ours <= {"edgernn.errors", "edgernn.ranges", "edgernn.hostcc", "edgernn.artifacts", "edgernn.extensions"}, (
                name
            )
        if name.startswith("firmware_export"):
            assert "targets" not in tops, "firmware_export knows no board"
        if layer(name) < layer("edgernn.runtimes"):
            assert not tops & {"firmware_export", "targets"}, f"{name} stands left of the backends"


def test_no_circle_of_imports() -> None:
    """Tarjan's strongly connected components over every import, those inside functions and for type checkers included."""
    graph = {name: [x for x in imports(name) if x in modules()] for name in modules()}
    assert components(graph) == []
    assert components({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]}) == [["a", "b", "c"]], "the search itself must find one"


def components(graph: dict[str, list[str]]) -> list[list[str]]:
    """Circles, each sorted."""
    index, low, stack, found = dict[str, int](), dict[str, int](), list[str](), list[list[str]]()

    def visit(v: str) -> None:
        index[v] = low[v] = len(index)
        stack.append(v)
        for w in graph[v]:
            if w not in index:
                visit(w)
                low[v] = min(low[v], low[w])
            elif w in stack:
                low[v] = min(low[v], index[w])
        if low[v] == index[v]:
            circle = []
            while not circle or circle[-1] != v:
                circle.append(stack.pop())
            if len(circle) > 1:
                found.append(sorted(circle))

    for v in graph:
        if v not in index:
            visit(v)
    return found


def task_words() -> re.Pattern[str]:
    """A task's name as a word of its own, or what people call its models."""
    assert len(all_tasks()) >= 3
    return re.compile(r"\b(" + "|".join([*all_tasks(), r"spott\w+", r"denois\w+", r"voice.activity"]) + r")\b", re.IGNORECASE)


def sources() -> list[Path]:
    """Source files outside the places where tasks live."""
    places = ("edgernn/tasks/", "firmware_export/templates/", "firmware_export/harness/")
    suffixes = (".py", ".c", ".h", ".jinja", ".toml", ".S", ".ld")
    found = [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*")) if p.suffix in suffixes]
    return [p for p in found if not relative(p).startswith(places) and p.name != "card.toml"]  # a card is about one model


def test_no_task_is_named_outside_its_places() -> None:
    pattern = task_words()
    assert pattern.search("a denoiser") and pattern.search("task = 'vad'") and not pattern.search("evade spots")
    found = [
        f"{relative(p)}:{i}: {line.strip()}"
        for p in sources()
        for i, line in enumerate(p.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


def test_a_task_is_a_folder_a_template_and_a_harness() -> None:
    """Files that carry a task's name, all in its places."""
    for name in all_tasks():
        own = list((ROOT / "firmware_export").rglob(f"{name}.*"))
        assert sorted(relative(p) for p in own) == [
            f"firmware_export/harness/{name}.c",
            f"firmware_export/templates/{name}.jinja",
        ]


@pytest.mark.parametrize("name", modules())
def test_heavy_modules_are_imported_late(name: str) -> None:
    if not TORCH.fullmatch(relative(modules()[name])) or "/cells/" in relative(modules()[name]):
        late = {n.split(".")[0] for n in imports(name, top_level_only=True)} & HEAVY
        assert not late or name in ("edgernn.cells._modules", "edgernn.cells._gru_training"), (
            f"imported at the top of the file: {late}"
        )


@pytest.mark.parametrize("name", modules())
def test_torch_stays_in_training(name: str) -> None:
    knows = any(n.split(".")[0] in ("torch", "tensorflow") for n in imports(name, for_types=False))
    assert not knows or TORCH.fullmatch(relative(modules()[name]))


def test_numpy_never_calls_c() -> None:
    """The definition must not ask its twin for the answer."""
    for name in ("edgernn.core.definition", "edgernn.runtimes.numpy", "edgernn.signal.log_mel", "edgernn.signal.stft"):
        reached, waiting = set[str](), [name]
        while waiting:
            at = waiting.pop()
            if at not in reached and at in modules():
                reached.add(at)
                waiting += imports(at)
        assert not reached & {"edgernn.signal.native", "edgernn.runtimes.c"}, name


def test_backends_do_not_import_one_another() -> None:
    names = [n for n in modules() if n.startswith("edgernn.runtimes.") and not n.split(".")[-1].startswith("_")]
    assert {"edgernn.runtimes.numpy", "edgernn.runtimes.c"} <= set(names)
    for name in names:
        assert not imports(name) & (set(names) - {name})


def test_functions_and_files_stay_short() -> None:
    """Nine in ten functions under 40 lines, none over 70; the command line is words, not work."""
    lengths = [
        (node.end_lineno or 0) - node.lineno + 1
        for path in modules().values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert len(lengths) > 600
    assert sorted(lengths)[int(0.9 * len(lengths))] < 40
    assert max(lengths) <= 70
    assert len((ROOT / "edgernn/cli.py").read_text().splitlines()) < 350


def test_the_project_speaks_of_itself_alone() -> None:
    """../shared is named in .ci/run and nowhere else."""
    texts = [p for p in ROOT.rglob("*") if p.suffix in (".py", ".md", ".toml", ".c", ".h", ".jinja") and ".venv" not in p.parts]
    found = [relative(p) for p in texts if "../" + "shared" in p.read_text() and p != Path(__file__)]
    assert found == []


def test_no_module_takes_the_name_of_a_function_of_the_face() -> None:
    """`import edgernn.x` sets the attribute `x`: a module of that name would hide the function from then on."""
    import edgernn

    assert not [name for name in edgernn.__all__ if f"edgernn.{name}" in modules()]
