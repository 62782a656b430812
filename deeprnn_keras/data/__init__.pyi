from .arrays import ArrayDataset
from .buckets import BucketedDataset
from .corpus import TextCorpus
from .king_james_bible import king_james
from .market import MarketSeries, market_series
from .midi import write_midi
from .mnist import sequential_mnist
from .music import bach_chorales, piano_rolls
from .series import LabeledSeries, SeriesSplit, adding_problem, adding_split, digits, japanese_vowels
from .series_dataset import SeriesDataset
from .tbptt import TBPTTDataset
from .vocabulary import LETTERS, Vocabulary, letters_only
from .windows import series_windows, token_windows
from .words import ByteVocabulary, WordVocabulary, plain_words

__all__ = [
    "LETTERS",
    "ArrayDataset",
    "BucketedDataset",
    "ByteVocabulary",
    "LabeledSeries",
    "MarketSeries",
    "SeriesDataset",
    "SeriesSplit",
    "TBPTTDataset",
    "TextCorpus",
    "Vocabulary",
    "WordVocabulary",
    "adding_problem",
    "adding_split",
    "bach_chorales",
    "digits",
    "japanese_vowels",
    "king_james",
    "letters_only",
    "market_series",
    "piano_rolls",
    "plain_words",
    "sequential_mnist",
    "series_windows",
    "token_windows",
    "write_midi",
]
