"""Training runs: the directory, resuming, and the endings that all task families share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras import checks
from deeprnn_keras.training.files import save_json

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.training.recipe import Recipe

CHECKPOINTS, SETTINGS, MODEL, HISTORY, RESULT = (
    "checkpoints",
    "run.json",
    "model.keras",
    "history.csv",
    "result.json",
)


@dataclass(frozen=True)
class Split:
    """The parts of a data set.

    Attributes:
        train: Training part, by default arrays `(x, y)`.
        test: Test part, which the final score is computed on. It never influences training.
        validation: Validation part, which selects the best epoch; None keeps the last epoch.
        name: Name of the data set in reports.

    >>> import numpy as np
    >>> from deeprnn_keras.tasks import Split
    >>> x, y = np.zeros((3, 5, 2)), np.zeros(3)
    >>> Split(train=(x, y), test=(x, y), name="zeros").validation is None
    True
    """

    train: Any
    test: Any
    validation: Any = None
    name: str = "data"


@dataclass(frozen=True)
class Plan:
    """Arguments of one `model.fit`.

    Attributes:
        recipe: The recipe to follow, shortened for a quick run.
        train: Training batches with a settable position.
        validation: Validation batches, or None.
        epochs: Number of epochs of `len(train)` updates each.
    """

    recipe: Recipe
    train: Batches
    validation: Batches | None
    epochs: int


@dataclass
class Run:
    """The outcome of a training run.

    Attributes:
        directory: Output directory.
        ending: "finished", "interrupted", or "not finite".
        advice: Suggested changes after "not finite".
        score: What the family's `score` returned, or None if the run did not finish.
        resumed_at: Number of updates restored from a checkpoint; 0 for a new run.
    """

    directory: Path
    ending: str = "finished"
    advice: str | None = None
    score: Any = None
    resumed_at: int = 0

    @property
    def model_path(self) -> Path:
        """Path of the saved model."""
        return self.directory / MODEL


def run_directory(path: str | Path, resume: bool) -> Path:
    """Return the output directory of a run.

    Args:
        path: A directory that does not exist or is empty; with `resume` that of an unfinished run.
        resume: Whether the run continues.

    Raises:
        ValueError: If the directory is in use or, with `resume`, holds no unfinished run.
    """
    if not resume:
        return checks.new_directory("output", path)
    path = Path(path).expanduser()
    check_resumable(path, "output")
    return path


def check_resumable(directory: Path, argument: str) -> None:
    """Raise a ValueError unless `directory` holds an unfinished run; `argument` is its name in the message."""
    if (directory / CHECKPOINTS).is_dir():
        return
    reason = "its run has finished" if (directory / RESULT).is_file() else "it holds no run"
    raise ValueError(f"{argument} {str(directory)!r} cannot be resumed: {reason}")


def create_run_directory(directory: Path, settings: dict[str, Any] | None) -> None:
    """Create the output directory and store `settings`, the options that a resumed run needs."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"output {str(directory)!r} cannot be created: {error.strerror}; pass another directory"
        ) from error
    if settings is not None:
        save_json(settings, directory / SETTINGS)


def fit(
    run: Run,
    model: keras.Model,
    plan: Plan,
    history: keras.callbacks.Callback,
    displays: Sequence[keras.callbacks.Callback] = (),
    deadline: float | None = None,
) -> None:
    """Fit a compiled model and set `run.ending`.

    Afterwards the model has the weights of the epoch with the lowest validation loss, or of the last epoch without
    validation data. After Ctrl-C it has the current weights, after a non-finite loss the last good ones.

    Args:
        run: The run to update.
        model: A compiled model.
        plan: What to fit.
        history: Callback whose `epochs` become history.csv.
        displays: Callbacks that report progress. Those with a method `close` are closed in any case.
        deadline: Time, as of `time.time`, at which training ends; None for no limit.
    """
    from deeprnn_keras.training.callbacks import BestCheckpoint, Deadline
    from deeprnn_keras.training.non_finite import NonFiniteGuard
    from deeprnn_keras.training.resume import Resume

    recipe = plan.recipe
    guard, best = NonFiniteGuard(recipe=recipe), BestCheckpoint(run.model_path)
    selection = [] if plan.validation is None else [best]
    inner = [*recipe.callbacks(plan.train), guard, history, *selection, *displays]
    about = {f"recipe, {name}": str(value) for name, value in asdict(recipe).items()}
    resume = Resume(run.directory / CHECKPOINTS, plan.train, inner, about=about)
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
        for callback in (history, *displays):
            getattr(callback, "close", lambda: None)()
    run.resumed_at = resume.resumed_at
    if guard.advice:
        run.ending, run.advice = "not finite", guard.advice
    elif run.ending == "finished" and best.weights is not None:
        model.set_weights(best.weights)


def recipe_record(recipe: Recipe) -> dict[str, Any]:
    """Return the fields of a recipe as plain values for JSON."""
    return {**asdict(recipe), "schedule": recipe.schedule and str(recipe.schedule)}
