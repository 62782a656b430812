"""Consistency of model, corpus, and recipe of a run."""

import io

import numpy as np
import pytest
from rich.console import Console

from deeprnn_keras import LanguageModel, Recipe, TextCorpus
from deeprnn_keras.data import Vocabulary
from deeprnn_keras.tasks import families

pytestmark = pytest.mark.usefixtures("eager")

TEXT = "".join(np.random.default_rng(1).choice(list("abc "), size=4000))


def run(model, recipe, directory, **options):
    corpus = TextCorpus(TEXT, vocabulary=Vocabulary(" abc"))
    return families()["language"].train(
        model, corpus, recipe, directory, console=Console(file=io.StringIO()), **options
    )


def test_corpus_with_a_different_vocabulary_is_an_error(tmp_path):
    """The ids would stand for other characters, which the loss curve would not reveal."""
    with pytest.raises(ValueError, match="different vocabularies"):
        run(LanguageModel("cba ", units=2, implementation="loop"), Recipe(bptt=8), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_quick_run_clips_for_its_own_windows(tmp_path, monkeypatch):
    """Clipping stated for a loss summed over T is divided by the T of the quick run, not that of the recipe."""
    monkeypatch.setattr(LanguageModel, "generate", lambda *args, **options: "")  # no sample at the end of the run
    model = LanguageModel(" abc", units=2, cell="rnn", implementation="loop")
    recipe = Recipe("rmsprop", clipvalue=5.0, sum_over_time=True, batch_size=32, bptt=50)
    run(recipe.compile(model, model.loss_function()), recipe, tmp_path / "run", quick=True, deadline=0.0)
    assert model.optimizer.clipvalue == pytest.approx(5.0 / 32)
