"""Options of the subcommands of `deeprnn bench`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _split_commas(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Convert ('a,b', 'c') to ('a', 'b', 'c')."""
    return tuple(part for value in values for part in value.split(","))


def list_option(flag: str, target: str, metavar: str, description: str) -> Callable[[Command], Command]:
    """Return an option that accepts comma-separated values and may be repeated."""
    return click.option(flag, target, multiple=True, callback=_split_commas, metavar=metavar, help=description)
