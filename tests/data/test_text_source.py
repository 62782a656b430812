"""Texts that are read in chunks: equal to texts that are read at once, whatever the borders of the chunks."""

import numpy as np
import pytest

from deeprnn_keras.data import ByteVocabulary, Vocabulary, WordVocabulary, letters_only, text_file
from deeprnn_keras.data.text_source import TextSource, encoded_chunks, letter_chunks
from deeprnn_keras.generation import score, scoring
from deeprnn_keras.reading import DamagedFileError
from deeprnn_keras.training.compressors import CompressedText, compressed_bits

TEXT = "Time, 1895!\r\n\r\n-- é: \rThe  words 🙂 of one\n\n... line--And another.\r"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_are_the_text(tmp_path, monkeypatch, size):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", size)
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbf" * (size >= 3) + TEXT.encode())
    (chunks,) = TextSource(path).texts()
    chunks, expected = list(chunks), TEXT.replace("\r\n", "\n")
    assert "".join(chunks) == expected == text_file.read_text(path)
    assert "".join(letter_chunks(chunks)) == letters_only(expected)
    words = WordVocabulary.from_text(expected, 8, end_of_line=True)
    for vocabulary in (words, ByteVocabulary(), Vocabulary.from_text(expected)):
        ids = np.concatenate(list(encoded_chunks(chunks, vocabulary, "error")))
        np.testing.assert_array_equal(ids, vocabulary.encode(expected))
    compressed = CompressedText("character")
    assert list(compressed.keep(chunks)) == chunks and compressed.bits() == compressed_bits(expected)


@pytest.mark.parametrize("data", [b"ab\xff", b"\xef\xbb\xbf", b"caf\xc3"], ids=["byte", "empty", "end"])
@pytest.mark.parametrize("size", [3, 100])
def test_damaged_text_is_an_error_that_names_the_position(tmp_path, monkeypatch, data, size):
    monkeypatch.setattr(text_file, "CHUNK_BYTES", size)
    (tmp_path / "a.txt").write_bytes(data)
    (chunks,) = TextSource(tmp_path / "a.txt").texts()
    position = "is empty" if data.startswith(b"\xef") else f"at position {len(data) - 1};"
    with pytest.raises(DamagedFileError, match=position):
        list(chunks)


def test_unknown_symbols_are_located(tmp_path):
    with pytest.raises(ValueError, match=r"notes, characters 3 to 6: text must contain .*'c' \(1 times\)"):
        list(encoded_chunks(["aba", "bcb"], Vocabulary("ab"), "error", "notes"))


def test_directory_of_texts_and_parquet_files(tmp_path):
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "b.txt").write_text("b")
    (tmp_path / ".hidden.txt").write_text("x")
    with pytest.raises(FileNotFoundError, match=r"none.txt' does not exist"):
        TextSource(tmp_path / "none.txt")
    expected = ["b"]
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    assert arrow
    pandas.DataFrame({"id": range(600), "text": ["a", None, "aa"] * 200}).to_parquet(tmp_path / "a.parquet")
    expected = ["a", "", "aa"] * 200 + expected
    assert ["".join(chunks) for chunks in TextSource(tmp_path).texts()] == expected
    pandas.DataFrame({"text": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DamagedFileError, match="column 'text' must hold texts, got 1 in row 0"):
        list(TextSource(tmp_path).texts())
    pandas.DataFrame({"body": ["a"]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DamagedFileError, match="has no column 'text'; its columns are body"):
        list(TextSource(tmp_path).texts())
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DamagedFileError, match="not a Parquet file, or damaged"):
        list(TextSource(tmp_path).texts())


def test_directory_without_texts_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"contains no file with the suffix .txt, .parquet, .pq"):
        TextSource(tmp_path)


class Counting:
    """Model that records how many ids had been read from the source when each batch was predicted."""

    output_shape = (None, None, 2)

    def __init__(self):
        self.read, self.seen = 0, []

    def predict_on_batch(self, x):
        self.seen.append(self.read)
        return np.zeros((*x.shape, 2), "float32")


def test_score_reads_chunks_batch_by_batch(monkeypatch):
    monkeypatch.setattr(scoring, "LOGITS_PER_BATCH", 512 * 2 * 2)  # 2 windows
    model = Counting()

    def chunks():
        for size in [100] * 50:
            model.read += size
            yield np.zeros(size, "int32")

    result = score(model, iter([chunks()]))
    assert result.count == 4999 and result.nats == pytest.approx(4999 * np.log(2))
    assert model.seen[0] == 800 and np.diff(model.seen).max() <= 800
