"""Registry of named entries that suggests similar names if a name is unknown."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from deeprnn_keras.checks import one_of

Entry = TypeVar("Entry")


class Registry(Generic[Entry]):
    """Collection of entries by name.

    Args:
        kind: Kind of the entries, for error messages, such as "model" or "cell".
        entries: Initial entries.

    >>> from deeprnn_keras.registry import Registry
    >>> colors = Registry("color", {"red": 1, "green": 2})
    >>> colors["green"], colors.names("*e*")
    (2, ['green', 'red'])
    """

    def __init__(self, kind: str, entries: Mapping[str, Entry] | Iterable[tuple[str, Entry]] = ()) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = dict(entries)

    def add(self, name: str, entry: Entry) -> None:
        """Add an entry.

        Raises:
            ValueError: If the name is taken: replacing an entry would lose it without notice.
        """
        if name in self._entries:
            raise ValueError(f"a {self.kind} named {name!r} exists already; choose another name")
        self._entries[name] = entry

    def __getitem__(self, name: str) -> Entry:
        return self._entries[one_of(self.kind, name, self._entries)]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def names(self, pattern: str = "*") -> list[str]:
        """Return the names that match `pattern` (`*` and `?` are wildcards), sorted."""
        return sorted(name for name in self._entries if fnmatch.fnmatchcase(name, pattern))
