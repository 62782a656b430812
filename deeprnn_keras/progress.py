"""Progress of long computations: a bar with the remaining time, shown by a caller and fed by the computation.

A computation calls `report` or iterates over `tracked`; both do nothing unless a caller further up has entered `shown`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import ProgressColumn

Item = TypeVar("Item")
Reporter = Callable[[int, int | None], object]

_current: ContextVar[Reporter | None] = ContextVar("reporter of the bar that is shown", default=None)


def report(completed: int, total: int | None) -> None:
    """Report that `completed` of `total` parts are done; None for an unknown total."""
    reporter = _current.get()
    if reporter is not None:
        reporter(completed, total)


def tracked(items: Iterable[Item], total: int) -> Iterator[Item]:
    """Yield the items, and report before the first and after each."""
    report(0, total)
    for completed, item in enumerate(items, start=1):
        yield item
        report(completed, total)


def columns(unit: str) -> list[ProgressColumn]:
    """Return the columns of every bar: description, bar, "3/10 unit", the elapsed time, and the remaining time."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TextColumn("· remaining"),
        TimeRemainingColumn(),
    ]


@contextmanager
def shown(console: Console, description: str, unit: str) -> Iterator[None]:
    """Show a bar, which `report` updates, while the block runs. If a bar is already shown, no other one is added.

    Args:
        console: Console for the bar, which is removed at the end. Nothing is shown if it is not a terminal.
        description: Text on the left.
        unit: Name of the parts that are counted, in the plural.
    """
    from rich.progress import Progress

    if _current.get() is not None:
        yield
        return
    with Progress(*columns(unit), console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=None)
        token = _current.set(lambda completed, total: bar.update(task, completed=completed, total=total))
        try:
            yield
        finally:
            _current.reset(token)
