"""What every verb of the command line shares: progress, results as JSON or tables, common options."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from edgernn import show
from edgernn.errors import EdgernnError
from edgernn.output import close_output
from edgernn.tasks import all_tasks, declared_options
from edgernn.tasks.base import Option, Task
from edgernn.zoo import OUT, model_at

RunDir = Annotated[Path, typer.Argument(help="Run folder.")]
Where = Annotated[Path, typer.Argument(help="Run folder, graph file (.ern), or model (`edgernn models`).")]
GraphOption = Annotated[
    Path | None,
    typer.Option(
        "--graph",
        help="Graph file, run folder or model; default: the newest of ./run, else the one marked * by `edgernn models`.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Scheme = Annotated[str | None, typer.Option(help="int8x16 (int16 operands) or int8; default: the recipe's.")]


class Verbs(TyperGroup):
    """The verbs together: whatever the machine refuses is a sentence too, and a closed pipe is no failure.

    A full disk, a folder without rights, too little memory: an EdgernnError. A reader that closes the pipe (`| head -1`) has
    what it wanted: the verb ends quietly.
    """

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Options are read here, and help is printed."""
        try:
            with quiet_pipe():
                return super().make_context(*args, **kwargs)
        except OSError as error:
            raise EdgernnError(f"cannot print: {error.strerror or error}") from error

    def invoke(self, ctx: Any) -> Any:
        """The verb itself."""
        try:
            with quiet_pipe():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            resumes = "; a training goes on where it was when the same command is run again"
            typer.echo(f"interrupted{resumes if ctx.invoked_subcommand in trainers() else ''}", err=True)
            raise typer.Exit(130) from None
        except OSError as error:
            about = f"{error.filename}: " if error.filename else ""
            raise EdgernnError(f"{about}{error.strerror or error}") from error
        except (MemoryError, RecursionError) as error:
            raise EdgernnError(f"this needs more memory than there is ({type(error).__name__} {error})".rstrip()) from error
        except UnicodeError as error:
            raise EdgernnError(f"a text or a file's name is not UTF-8 ({error})") from error


def trainers() -> set[str]:
    """The verbs that train."""
    return {"train", *(task.whole.verb for task in all_tasks().values())}


def beside(where: Path) -> Path:
    """The folder that results lie in: the run folder, that of the graph file, or ./models/NAME of a model."""
    if card := model_at(where):
        return OUT / card.name
    return where if where.is_dir() else where.parent


@contextmanager
def quiet_pipe() -> Iterator[None]:
    """Output that nobody reads any more ends the command with exit code 0."""
    try:
        yield
    except BrokenPipeError:
        close_output()
        raise typer.Exit(0) from None


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Progress bars on standard error, one a stage; plain lines where that is no terminal."""
    if not sys.stderr.isatty():
        yield _plain_progress()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("ETA"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bars:
        stages: dict[str, Any] = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in stages:
                stages[stage] = bars.add_task(stage, total=total or None)
            bars.update(stages[stage], completed=done, total=total or None)

        yield report


def _plain_progress() -> Callable[[str, int, int], None]:
    """One line a stage and a tenth of it, for logs."""
    said: set[tuple[str, int]] = set()

    def report(stage: str, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if (stage, tenth) not in said:
            said.add((stage, tenth))
            typer.echo(f"{stage} {10 * tenth} %" if total else stage, err=True)

    return report


def printed(result: Any, as_json: bool, shown: Callable[[Any], show.Shown]) -> None:
    """The result as JSON, or as tables and lines. That nobody reads it changes nothing of what the command has found."""
    try:
        if as_json:
            typer.echo(json.dumps(result, indent=2, sort_keys=True))
            return
        for item in shown(result):
            typer.echo(item if isinstance(item, str) else _table_text(item))
    except BrokenPipeError:
        close_output()


def _table_text(t: show.Table) -> str:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # a pipe has no width of its own: give it room, so that no figure is cut
    width = None if sys.stdout.isatty() else 160
    console = Console(width=width, highlight=False, emoji=False)
    cells = [t.columns, *([str(x) for x in row] for row in t.rows)]
    longest = [max(cell_len(word) for text in column for word in (text.split() or [""])) for column in zip(*cells, strict=True)]
    if sum(longest) + 3 * len(longest) + 1 > console.width:
        return _records(t.title, cells)
    table = Table(title=escape(t.title), title_justify="left")
    for i, (column, least) in enumerate(zip(t.columns, longest, strict=True)):
        table.add_column(escape(column), justify="left" if i == 0 else "right", overflow="fold", min_width=least)
    for row in cells[1:]:
        table.add_row(*map(escape, row))
    with console.capture() as captured:
        console.print(table)
    return captured.get().removesuffix("\n")


def _records(title: str, cells: list[list[str]]) -> str:
    """A table that is too wide for the terminal, cell by cell: a name that is broken over two lines could not be copied."""
    wide = max(map(len, cells[0]))
    rows = ["\n".join(f"  {name:{wide}}  {cell}" for name, cell in zip(cells[0], row, strict=True)) for row in cells[1:]]
    return "\n\n".join([title, *rows])


@contextmanager
def finished(live: bool) -> Iterator[None]:
    """Ctrl-C ends live sound well: a microphone has no other end."""
    try:
        yield
    except KeyboardInterrupt:
        if not live:
            raise


def with_task_options(verb: str, task: Task | None = None) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add every option that some task (or this one) declares for a verb to a command, which gets them as its `options`.

    The command line then shows them in its help; whether the run's task has them is checked where the task is known.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        found = declared_options(verb)
        if task is not None:
            found = {o.name: [(task, o)] for o in task.options_of(verb)}
        declared = {name: owners[0][1] for name, owners in found.items()}
        owners = {name: ", ".join(t.name for t, _ in pairs) for name, pairs in found.items()}
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "options"]
        added = [_parameter(option, owners[name]) for name, option in declared.items()]

        def call(**values: Any) -> None:
            options = {name: values.pop(name) for name in declared}
            command(**values, options={k: v for k, v in options.items() if v not in (None, False, [], ())})

        call.__doc__, call.__name__ = command.__doc__, command.__name__
        call.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        call.__annotations__ = {p.name: p.annotation for p in (*own, *added)}
        return call

    return decorate


def _parameter(option: Option, owners: str) -> inspect.Parameter:
    """A task's option as typer takes it."""
    plain: Any = option.kind
    kind: Any = bool if plain is bool else (list[plain] if option.many else plain) | None
    about = typer.Option(option.flag, help=f"[{owners}] {option.help}")
    default: Any = False if option.kind is bool else None
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, about])
