"""`train_text`: one training of a language model on a text, from windows to the files it leaves."""

import math
import platform
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from deeprnn_keras import checks
from deeprnn_keras.data import windows
from deeprnn_keras.data.corpus import Split
from deeprnn_keras.training.callbacks import Checkpoint, NonFiniteGuard, Record
from deeprnn_keras.training.compressors import compressed_bits
from deeprnn_keras.training.curve import plot_curve
from deeprnn_keras.training.device import device_name
from deeprnn_keras.training.files import save_json, save_model, save_table, save_text
from deeprnn_keras.training.progress import Progress
from deeprnn_keras.training.recipe import QUICK_VALIDATION_WINDOWS, Recipe

SAMPLE_PROMPT, SAMPLE_LENGTH, SAMPLE_TEMPERATURE = 40, 400, 0.7


@dataclass
class TextRun:
    """What a training gave: the files' folder, how it ended, and the score on the validation text.

    Attributes:
        folder: holds model.keras, curve.png, history.csv, result.json and sample.txt, as far as the run got.
        ending: "finished", "interrupted" or "not finite".
        advice: what to change, after "not finite".
        score: a `Score` on the validation text, or None if the run did not finish.
        references: [(name, bits per character)] of compressors on the same text.
        prompt, sample: generated text and what it begins with, or None.
    """

    folder: Path
    ending: str
    advice: str | None = None
    score: object = None
    references: tuple = ()
    prompt: str = ""
    sample: str | None = None

    @property
    def model_path(self):
        """Where the model is."""
        return self.folder / "model.keras"


def split_text(corpus, recipe):
    """The pieces of text to train on and to validate on, as the recipe has it."""
    if recipe.train_windows is None:
        return corpus.split()
    stride = recipe.stride or recipe.bptt
    border = recipe.train_windows * stride
    train = corpus.text[: border - stride + recipe.bptt + 1]
    validation = corpus.text[border : border + (recipe.validation_windows - 1) * stride + recipe.bptt + 1]
    if len(validation) <= recipe.bptt:
        raise ValueError(
            f"{corpus.name} is too short for the recipe: {recipe.train_windows} windows to train on and one to "
            f"validate on take {border + recipe.bptt + 1} characters, it has {len(corpus)}"
        )
    return Split((train,), (validation,))


def train_text(model, corpus, recipe, folder, *, quick=False, seed=0, title=None, console=None):
    """Trains a `LanguageModel` on `corpus` with plain `model.fit`, and leaves all it made in `folder`.

    The model saved is the one of the epoch with the lowest validation loss. After Ctrl-C it is the model as it was
    then; after a loss that is not finite, the last good one.

    Args:
        model: a `LanguageModel`; it is compiled with the recipe.
        corpus: a `TextCorpus` in the model's vocabulary.
        recipe: a `Recipe`.
        folder: does not exist yet, or is empty.
        quick: a first impression in about two minutes on two cores instead of the whole recipe.
        seed: of the order of windows and of the sample.
        title: for the picture.
        console: a `rich.console.Console` to report to; None: a new one.

    Returns:
        A `TextRun`.

    Raises:
        ValueError: if the folder is in use, the text too short, or its vocabulary not the model's.
    """
    from rich.console import Console

    folder, console, began = checks.new_folder("output", folder), console or Console(), time.monotonic()
    if corpus.vocabulary != model.vocabulary:
        raise ValueError(f"{corpus.name} and model {model.name!r} have different vocabularies; use model.corpus(text)")
    split = split_text(corpus, recipe)
    plan = _plan(model, corpus, split, recipe, quick, seed)
    _make(folder)
    run, record = TextRun(folder, "finished"), Record()
    _fit(run, model, plan, record, console)
    save_model(model, run.model_path)
    save_table(record.epochs, folder / "history.csv")
    run.references = tuple(compressed_bits("".join(split.validation)))
    if run.ending == "finished":
        _judge(run, model, split, seed, console)
    bits = run.score.bits_per_character if run.score else None
    plot_curve(record, folder / "curve.png", title or model.name, run.references, bits)
    about = {"quick": quick, "seed": seed, "seconds": round(time.monotonic() - began, 1)}
    save_json(_result(run, model, corpus, plan.recipe, record, about), folder / "result.json")
    return run


@dataclass(frozen=True)
class _Plan:
    """What `model.fit` is given."""

    recipe: Recipe
    train: object
    validation: object
    epochs: int
    updates_per_epoch: int


def _plan(model, corpus, split, recipe, quick, seed):
    whole = recipe
    if quick:
        recipe, updates = recipe.quick(model.count_params(), model.get_layer("deep_rnn").num_layers)
    pieces, held_out = corpus.encode(split.train), corpus.encode(split.validation)
    train = windows(pieces, recipe.bptt, recipe.batch_size, stride=recipe.stride, seed=seed)
    stride = recipe.stride or recipe.bptt
    if quick:  # fewer windows to validate on, evenly spread
        stride = max(stride, sum(map(len, held_out)) // QUICK_VALIDATION_WINDOWS)
    validation = windows(held_out, recipe.bptt, max(recipe.batch_size, 128), stride=stride, shuffle=False)
    if not quick:
        return _Plan(recipe, train, validation, recipe.epochs_for(len(train)), len(train))
    updates = min(updates, whole.epochs_for(len(train)) * len(train))  # never more than the whole recipe
    return _Plan(recipe, train.repeat(), validation, recipe.epochs, max(updates // recipe.epochs, 1))


def _fit(run, model, plan, record, console):
    """Trains, and leaves `model` with the weights to keep; how it ended stands in `run`."""
    plan.recipe.compile(model, model.loss_function())
    guard, progress, checkpoint = NonFiniteGuard(recipe=plan.recipe), Progress(console), Checkpoint(run.model_path)
    try:
        model.fit(
            plan.train,
            epochs=plan.epochs,
            steps_per_epoch=plan.updates_per_epoch,
            validation_data=plan.validation,
            callbacks=[*plan.recipe.callbacks(), guard, record, checkpoint, progress],
            verbose=0,
            shuffle=False,
        )
    except KeyboardInterrupt:
        run.ending = "interrupted"
    finally:
        progress.close()
    if guard.advice:
        run.ending, run.advice = "not finite", guard.advice
    elif run.ending == "finished" and checkpoint.weights is not None:
        model.set_weights(checkpoint.weights)


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output {str(folder)!r} cannot be created: {error.strerror}; give another folder") from error


def _judge(run, model, split, seed, console):
    with console.status("scoring the validation text") as status:
        run.score = model.score(
            split.validation,
            on_batch=lambda done, of: status.update(f"scoring the validation text: {done} of {of} batches"),
        )
        status.update("writing a sample")
        run.prompt = split.validation[0][:SAMPLE_PROMPT]
        run.sample = model.generate(run.prompt, SAMPLE_LENGTH, temperature=SAMPLE_TEMPERATURE, seed=seed)
    save_text(run.sample + "\n", run.folder / "sample.txt")


def _result(run, model, corpus, recipe, record, about):
    return {
        "model": model.name,
        "weights": model.count_params(),
        "text": corpus.name,
        "characters": len(corpus),
        "ending": run.ending,
        "validation": None
        if run.score is None
        else {
            "characters": run.score.count,
            "cross_entropy": run.score.cross_entropy,
            "perplexity": run.score.perplexity if math.isfinite(run.score.perplexity) else None,
            "bits_per_character": run.score.bits_per_character,
        },
        "compressors_bits_per_character": dict(run.references),
        "recipe": {**asdict(recipe), "schedule": recipe.schedule and str(recipe.schedule)},
        "updates": record.update,
        **about,
        "versions": {name: version(name) for name in ("deeprnn-keras", "keras", "tensorflow")},
        "python": platform.python_version(),
        "device": device_name(),
    }
