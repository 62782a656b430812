"""Tables of series in CSV and Parquet files, and directories of them, read in pieces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.extras import import_optional
from deeprnn_keras.forecasting.frames import ID

if TYPE_CHECKING:
    import pandas as pd

PARQUET, CSV = (".parquet", ".pq"), (".csv",)
ROWS = 50_000  # of a piece


def read_tables(path: Path, columns: Mapping[str, str], rows: int = ROWS) -> Iterator[pd.DataFrame]:
    """Yield the rows of a table in pieces.

    Args:
        path: A CSV or Parquet file, or a directory of files of one of the two kinds. Parquet files may be partitioned
            by columns (`meter=a/part.parquet`). Files of a directory are read in the order of their paths; names that
            begin with "." or "_" are skipped.
        columns: `{name in the result: column of the table}`.
        rows: Maximum number of rows of a piece.

    Raises:
        ValueError: If the path does not exist or is not a table, or if a column is missing.
    """
    pandas = import_optional("pandas", "forecast", "Reading tables")
    if not path.exists():
        raise ValueError(f"{str(path)!r} does not exist; pass a CSV or Parquet file, or a directory of such files")
    pieces, is_empty = _pieces(path, columns.get(ID), rows), True
    while (table := _next(path, pieces)) is not None:
        missing = [column for column in columns.values() if column not in table.columns]
        if missing:
            names = ", ".join(map(str, table.columns))
            raise ValueError(f"{path} has no column {missing[0]!r}; its columns are {names}")
        is_empty = is_empty and not len(table)
        yield pandas.DataFrame({name: table[column] for name, column in columns.items()})
    if is_empty:
        raise ValueError(f"{str(path)!r} could not be read as a table: it has no rows")


def whole_series(tables: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Yield the rows of tables in pieces that contain complete series.

    Memory is needed for one piece and the longest series.

    Args:
        tables: Pieces of a table in which the rows of each series follow each other. Without the column unique_id, all
            rows are one series.

    Raises:
        ValueError: If the rows of a series do not follow each other.
    """
    pandas = import_optional("pandas", "forecast", "Reading tables")
    held: list[pd.DataFrame] = []  # rows of the series that may continue in the next table
    name: Any = None
    finished: set[Any] = set()
    for table in tables:
        if ID not in table.columns:
            held.append(table)
            continue
        if not len(table):
            continue
        names = table[ID]
        if held and bool((names == name).all()):
            held.append(table)
            continue
        table, name = pandas.concat([*held, table], ignore_index=True), names.iloc[-1]
        last = table[ID] == name
        complete, held = table[~last], [table[last]]
        repeated = finished.intersection([*complete[ID].unique(), name])
        if repeated:
            raise ValueError(
                f"the rows of series {min(repeated, key=str)!r} must follow each other, but other series are between "
                "them; sort the table by series"
            )
        finished.update(complete[ID].unique())
        if len(complete):
            yield complete
    if held:
        yield pandas.concat(held, ignore_index=True)


def _next(path: Path, pieces: Iterator[pd.DataFrame]) -> pd.DataFrame | None:
    try:
        return next(pieces, None)
    except (ValueError, OSError) as error:  # the errors of pandas and pyarrow are ValueErrors
        raise ValueError(f"{str(path)!r} could not be read as a table: {error}") from error


def _pieces(path: Path, series: str | None, rows: int) -> Iterator[pd.DataFrame]:
    """Yield the pieces of the files at a path; names of series are read as text from CSV files."""
    if not path.is_dir():
        return _parquet(path, rows) if path.suffix.lower() in PARQUET else _csv([path], series, rows)
    if _files(path, PARQUET):
        return _parquet(path, rows)
    files = _files(path, CSV)
    if not files:
        raise ValueError(f"directory {str(path)!r} contains no file with the suffix {', '.join((*PARQUET, *CSV))}")
    return _csv(files, series, rows)


def _files(directory: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return [
        path
        for path in sorted(directory.rglob("*"))
        if path.suffix.lower() in suffixes
        and not any(part.startswith((".", "_")) for part in path.relative_to(directory).parts)
    ]


def _csv(paths: Iterable[Path], series: str | None, rows: int) -> Iterator[pd.DataFrame]:
    pandas = import_optional("pandas", "forecast", "Reading tables")
    for path in paths:
        with pandas.read_csv(path, chunksize=rows, dtype=None if series is None else {series: str}) as reader:
            yield from reader


def _parquet(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    dataset = import_optional("pyarrow.dataset", "forecast", "Reading Parquet files")
    table = dataset.dataset(path, format="parquet", partitioning="hive")
    for batch in table.to_batches(batch_size=rows, batch_readahead=1, fragment_readahead=1):
        yield batch.to_pandas()
