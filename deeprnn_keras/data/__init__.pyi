from .amplifier import simulated_amplifier
from .arrays import ArrayDataset
from .audio import AudioPair, audio_pair
from .audio_segments import audio_batches
from .buckets import BucketedDataset
from .corpus import TextCorpus
from .frame_labels import labeled_frames
from .generated import GeneratedDataset
from .handwriting import pen_strokes, read_strokes, synthetic_strokes
from .king_james_bible import king_james
from .market import MarketSeries, market_series
from .memory_tasks import adding_problem, adding_split, adding_stream, copy_memory, copy_stream
from .midi import write_midi
from .mnist import sequential_mnist
from .music import bach_chorales, piano_rolls
from .random_series import SyntheticSeries, synthetic_series
from .series import GeneratedSeries, LabeledSeries, SeriesSplit, digits, japanese_vowels
from .series_dataset import SeriesDataset
from .stroke_picture import draw_strokes
from .tbptt import TBPTTDataset
from .vocabulary import LETTERS, Vocabulary, letters_only
from .windows import series_windows, token_windows
from .words import ByteVocabulary, WordVocabulary, plain_words

__all__ = [
    "LETTERS",
    "ArrayDataset",
    "AudioPair",
    "BucketedDataset",
    "ByteVocabulary",
    "GeneratedDataset",
    "GeneratedSeries",
    "LabeledSeries",
    "MarketSeries",
    "SeriesDataset",
    "SeriesSplit",
    "SyntheticSeries",
    "TBPTTDataset",
    "TextCorpus",
    "Vocabulary",
    "WordVocabulary",
    "adding_problem",
    "adding_split",
    "adding_stream",
    "audio_batches",
    "audio_pair",
    "bach_chorales",
    "copy_memory",
    "copy_stream",
    "digits",
    "draw_strokes",
    "japanese_vowels",
    "king_james",
    "labeled_frames",
    "letters_only",
    "market_series",
    "pen_strokes",
    "piano_rolls",
    "plain_words",
    "read_strokes",
    "sequential_mnist",
    "series_windows",
    "simulated_amplifier",
    "synthetic_series",
    "synthetic_strokes",
    "token_windows",
    "write_midi",
]
