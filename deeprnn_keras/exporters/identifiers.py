"""Identifiers of programming languages for names of values and files."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable


def ascii_identifier(name: str) -> str | None:
    """Return a name with accents removed and other characters replaced by underscores; None if it is not ASCII then.

    >>> from deeprnn_keras.exporters.identifiers import ascii_identifier
    >>> ascii_identifier("modèle-2"), ascii_identifier("2x64"), ascii_identifier("模型")
    ('modele_2', 'model_2x64', None)
    """
    plain = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    if not plain.isascii():
        return None
    text = re.sub(r"\W+", "_", plain)
    return f"model_{text}" if not text or text[0].isdigit() else text


class Names:
    """Unique identifiers.

    Args:
        taken: Identifiers that are not available.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._known: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return the identifier of a name, the same for the same name."""
        if name not in self._known:
            self._known[name] = self.new(self.plain(name))
        return self._known[name]

    @staticmethod
    def plain(name: str) -> str:
        """Return an identifier that resembles a name and may be taken."""
        return (ascii_identifier(name) or "").strip("_") or "value"

    def new(self, text: str) -> str:
        """Return an identifier that is not taken: `text`, possibly with a number."""
        number, candidate = 1, text
        while candidate in self._taken:
            number += 1
            candidate = f"{text}_{number}"
        self._taken.add(candidate)
        return candidate
