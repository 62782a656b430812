"""`train_text`: one training of a language model on a text, from windows to the files it leaves."""

import math
import platform
import shutil
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from deeprnn_keras.training.callbacks import Checkpoint, Deadline, Record
from deeprnn_keras.training.compressors import compressed_bits
from deeprnn_keras.training.curve import plot_curve
from deeprnn_keras.training.device import device_name
from deeprnn_keras.training.files import save_json, save_model, save_table, save_text
from deeprnn_keras.training.non_finite import NonFiniteGuard
from deeprnn_keras.training.progress import Progress
from deeprnn_keras.training.resume import Resume
from deeprnn_keras.training.run_folder import CHECKPOINTS, open_folder, run_folder
from deeprnn_keras.training.text_plan import plan_of, split_text

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
        resumed_at: updates that were done before this run took the training up.
        prompt, sample: generated text and what it begins with, or None.
    """

    folder: Path
    ending: str
    advice: str | None = None
    score: object = None
    references: tuple = ()
    prompt: str = ""
    sample: str | None = None
    resumed_at: int = 0

    @property
    def model_path(self):
        """Where the model is."""
        return self.folder / "model.keras"


def train_text(
    model,
    corpus,
    recipe,
    folder,
    *,
    quick=False,
    updates=None,
    deadline=None,
    seed=0,
    title=None,
    console=None,
    resume=False,
    settings=None,
):
    """Trains a `LanguageModel` on `corpus` with plain `model.fit`, and leaves all it made in `folder`.

    The model saved is the one of the epoch with the lowest validation loss. After Ctrl-C it is the model as it was
    then; after a loss that is not finite, the last good one. A training that was broken off, by Ctrl-C or a kill, goes
    on with `resume=True` and ends as if it had not been: see `Resume`.

    Args:
        model: a `LanguageModel`; it is compiled with the recipe.
        corpus: a `TextCorpus` in the model's vocabulary.
        recipe: a `Recipe`.
        folder: does not exist yet, or is empty; with `resume` that of the training.
        quick: a first impression in about two minutes on two cores instead of the whole recipe.
        updates: so many instead of the recipe's, at most; in four epochs.
        deadline: the time, as of `time.time`, at which the training ends wherever it is; None: no limit.
        seed: of the order of windows, of what is drawn in training, and of the sample.
        title: for the picture.
        console: a `rich.console.Console` to report to; None: a new one.
        resume: go on with the training in the folder; model, corpus, recipe and seed must be what they were.
        settings: plain values, kept in run.json for whoever resumes.

    Returns:
        A `TextRun`.

    Raises:
        ValueError: if the folder is in use or, with `resume`, holds no training or another one; if the text is too
            short, or its vocabulary not the model's.
    """
    import keras
    from rich.console import Console

    folder, console, began = run_folder(folder, resume), console or Console(), time.monotonic()
    if corpus.vocabulary != model.vocabulary:
        raise ValueError(f"{corpus.name} and model {model.name!r} have different vocabularies; use model.corpus(text)")
    split = split_text(corpus, recipe)
    keras.utils.set_random_seed(seed)
    plan = plan_of(model, corpus, split, recipe, quick, seed, updates)
    open_folder(folder, settings)
    run, record = TextRun(folder, "finished"), Record()
    run.resumed_at = _fit(run, model, plan, record, console, deadline)
    save_model(model, run.model_path)
    save_table(record.epochs, folder / "history.csv")
    run.references = tuple(compressed_bits("".join(split.validation), corpus.vocabulary.unit))
    if run.ending == "finished":
        _judge(run, model, corpus, split, seed, console)
    bits = run.score.bits_per_character if run.score else None
    plot_curve(record, folder / "curve.png", title or model.name, run.references, bits, corpus.vocabulary.unit)
    seconds = round(time.monotonic() - began, 1)
    about = {"quick": quick, "seed": seed, "seconds": seconds, "resumed_at_update": run.resumed_at or None}
    save_json(_result(run, model, corpus, plan.recipe, record, about), folder / "result.json")
    if run.ending == "finished":
        shutil.rmtree(folder / CHECKPOINTS)
    return run


def _fit(run, model, plan, record, console, deadline):
    """Trains, and leaves `model` with the weights to keep; how it ended stands in `run`. -> updates done before."""
    recipe = plan.recipe
    recipe.compile(model, model.loss_function())
    guard, checkpoint = NonFiniteGuard(recipe=recipe), Checkpoint(run.model_path)
    progress = Progress(console, model.vocabulary.unit)
    inner = [*recipe.callbacks(plan.train), guard, record, checkpoint, progress]
    about = {f"recipe, {name}": str(value) for name, value in asdict(recipe).items()}
    resume = Resume(run.folder / CHECKPOINTS, plan.train, inner, about=about)
    limit = [] if deadline is None else [Deadline(deadline)]
    try:
        model.fit(
            plan.train,
            epochs=plan.epochs,
            validation_data=plan.validation,
            callbacks=[*limit, resume],
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
    return resume.resumed_at


def _judge(run, model, corpus, split, seed, console):
    with console.status("scoring the validation text") as status:
        run.score = model.score(
            split.validation,
            on_batch=lambda done, of: status.update(f"scoring the validation text: {done} of {of} batches"),
        )
        status.update("writing a sample")
        run.prompt = corpus.beginning(split.validation[0], SAMPLE_PROMPT)
        run.sample = model.generate(run.prompt, SAMPLE_LENGTH, temperature=SAMPLE_TEMPERATURE, seed=seed)
    save_text(run.sample + "\n", run.folder / "sample.txt")


def _result(run, model, corpus, recipe, record, about):
    unit = corpus.vocabulary.unit
    return {
        "model": model.name,
        "weights": model.count_params(),
        "text": corpus.name,
        "characters": len(corpus),
        "ending": run.ending,
        "validation": None
        if run.score is None
        else {
            f"{unit}s": run.score.count,
            "cross_entropy": run.score.cross_entropy,
            "perplexity": run.score.perplexity if math.isfinite(run.score.perplexity) else None,
            f"bits_per_{unit}": run.score.bits_per_character,
        },
        f"compressors_bits_per_{unit}": dict(run.references),
        "recipe": {**asdict(recipe), "schedule": recipe.schedule and str(recipe.schedule)},
        "updates": record.update,
        **about,
        "versions": {name: version(name) for name in ("deeprnn-keras", "keras", "tensorflow")},
        "python": platform.python_version(),
        "device": device_name(),
    }
