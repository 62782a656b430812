"""`Registry`: things by name, where a wrong name is answered with the nearest ones."""

import fnmatch

from deeprnn_keras.checks import one_of


class Registry:
    """A collection of named things.

    Args:
        kind: what they are, for messages: "model", "cell".
        entries: a dictionary to begin with.

    >>> from deeprnn_keras.registry import Registry
    >>> colours = Registry("colour", {"red": 1, "green": 2})
    >>> colours["green"], colours.names("*e*")
    (2, ['green', 'red'])
    """

    def __init__(self, kind, entries=()):
        self.kind = kind
        self._entries = dict(entries)

    def add(self, name, entry):
        """Adds `entry`; a ValueError if the name is taken, since replacing silently loses the first."""
        if name in self._entries:
            raise ValueError(f"there is a {self.kind} named {name!r} already; choose another name")
        self._entries[name] = entry

    def __getitem__(self, name):
        return self._entries[one_of(self.kind, name, self._entries)]

    def __contains__(self, name):
        return name in self._entries

    def __iter__(self):
        return iter(self._entries.values())

    def __len__(self):
        return len(self._entries)

    def names(self, pattern="*"):
        """The names that match a pattern with * and ?, sorted."""
        return sorted(name for name in self._entries if fnmatch.fnmatchcase(name, pattern))
