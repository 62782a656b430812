"""Text as training data: vocabularies, corpora with a held-out split, windows as `tf.data`."""

from deeprnn_keras.data.corpus import TextCorpus
from deeprnn_keras.data.king_james import king_james
from deeprnn_keras.data.vocabulary import LETTERS, Vocabulary, letters_only
from deeprnn_keras.data.windows import series_windows, token_windows
from deeprnn_keras.data.words import ByteVocabulary, WordVocabulary, plain_words

__all__ = [
    "LETTERS",
    "ByteVocabulary",
    "TextCorpus",
    "Vocabulary",
    "WordVocabulary",
    "king_james",
    "letters_only",
    "plain_words",
    "series_windows",
    "token_windows",
]
