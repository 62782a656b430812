"""Windows of a text that a recipe trains and validates on."""

import pytest

from deeprnn_keras import Recipe, TextCorpus, token_windows
from deeprnn_keras.tasks.text_batches import split_text


@pytest.mark.parametrize(
    ("stride", "train", "validation"),
    [(None, (0, 13), (12, 21)), (1, (0, 7), (3, 9)), (6, (0, 17), (18, 29)), (2, (0, 9), (6, 13))],
)
def test_first_windows_train_and_next_windows_validate(stride, train, validation):
    """3 and 2 windows of T = 4 steps, with 5 symbols each and `stride` symbols between their starts."""
    corpus = TextCorpus("".join(chr(256 + i) for i in range(60)))
    recipe = Recipe(bptt=4, stride=stride, train_windows=3, validation_windows=2)
    split = split_text(corpus, recipe)
    assert split.train == (corpus.text[slice(*train)],) and split.validation == (corpus.text[slice(*validation)],)
    for pieces, count in ((split.train, 3), (split.validation, 2)):
        assert len(token_windows(corpus.encode(pieces), 4, 1, stride=stride)) == count


def test_text_too_short_for_the_windows_is_an_error():
    recipe = Recipe(bptt=4, train_windows=3, validation_windows=2)
    with pytest.raises(ValueError, match=r"poem is too short .* 3 training windows .* require 17 characters, got 16"):
        split_text(TextCorpus("abcd" * 4, "poem"), recipe)
    assert split_text(TextCorpus("abcd" * 4 + "a"), recipe).validation == ("abcda",)
