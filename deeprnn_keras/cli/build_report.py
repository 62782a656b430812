"""Report of `deeprnn info --build`: the native library, and the implementations that run on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


def print_build(console: Console) -> None:
    """Print the build of the native library, and for each implementation whether it runs a standard LSTM here."""
    from deeprnn_keras.cli.start_tensorflow import start_tensorflow

    print_rows(native_library_rows())
    start_tensorflow(console)
    click.echo("\nImplementations of a standard LSTM on this machine:")
    print_rows(implementation_rows())


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Print pairs of a label and a value in two columns."""
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        click.echo(f"{label:{width}}  {value}")


def native_library_rows() -> list[tuple[str, str]]:
    """Return pairs of a label and a value: the build of the native library, or the reason why it is not available."""
    from deeprnn_keras.kernels.native import library

    reason = library.unavailable_reason()
    if reason is not None:
        return [("native library", reason.removeprefix("the native library was "))]
    build = library.describe()
    return [
        ("native library", str(build["path"])),
        ("compiler", str(build["compiler"])),
        ("instruction sets", f"{', '.join(build['compiled'])}; selected: {build['instruction_set']}"),
        ("threads", str(build["threads"])),
    ]


def implementation_rows() -> list[tuple[str, str]]:
    """Return pairs of an implementation and whether it runs a standard LSTM on this machine, or the reasons against."""
    from deeprnn_keras.kernels import implementations
    from deeprnn_keras.kernels.contract import Traits
    from deeprnn_keras.kernels.machine import this_machine
    from deeprnn_keras.kernels.selection import choose, reasons_against

    traits, machine = Traits("lstm"), this_machine()
    selected = choose(traits, machine=machine).implementation
    rows = []
    concerned = {name: one for name, one in implementations().items() if one.concerns(traits)}
    for name, implementation in concerned.items():
        reasons = reasons_against(implementation, traits, machine)
        verdict = "supported, selected by 'auto'" if name == selected else "supported"
        rows.append((name, f"not supported: {'; '.join(reasons)}" if reasons else verdict))
    return rows
