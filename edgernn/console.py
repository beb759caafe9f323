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

from edgernn import show
from edgernn.tasks import declared_options
from edgernn.tasks.base import Option, Task

RunDir = Annotated[Path, typer.Argument(help="Run folder.")]
Where = Annotated[Path, typer.Argument(help="Run folder or graph file (.ern).")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Scheme = Annotated[str | None, typer.Option(help="int8x16 (int16 operands) or int8; default: the recipe's.")]


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
    """The result as JSON, or as tables and lines."""
    if as_json:
        typer.echo(json.dumps(result, indent=2, sort_keys=True))
        return
    for item in shown(result):
        if isinstance(item, str):
            typer.echo(item)
        else:
            _print_table(item)


def _print_table(t: show.Table) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=t.title, title_justify="left")
    for i, column in enumerate(t.columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    for row in t.rows:
        table.add_row(*(str(x) for x in row))
    # a pipe has no width of its own: give it room, so that no figure is cut
    width = None if sys.stdout.isatty() else 160
    Console(width=width, highlight=False).print(table)


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
