"""Training runs: output directory, resuming, and the possible outcomes, shared by all task families."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras import checks
from deeprnn_keras._types import DataPart, PathLike
from deeprnn_keras.locking import DirectoryLock
from deeprnn_keras.processes import is_first
from deeprnn_keras.program import lower
from deeprnn_keras.writing import save_json

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.training.recipe import Recipe

# files in the output directory
CHECKPOINTS = "checkpoints"
SETTINGS = "run.json"
MODEL = "model.keras"
PROGRAM = "model.program.safetensors"
HISTORY = "history.csv"
RESULT = "result.json"


@dataclass(frozen=True)
class Split:
    """Training, test, and validation parts of a data set.

    Attributes:
        train: Training part, by default arrays `(x, y)`.
        test: Test part, on which the final score is computed. It does not influence training.
        validation: Validation part, on which the best epoch is selected. If None, the last epoch is used.
        name: Name of the data set in reports.

    >>> import numpy as np
    >>> from deeprnn_keras.tasks import Split
    >>> x, y = np.zeros((3, 5, 2)), np.zeros(3)
    >>> Split(train=(x, y), test=(x, y), name="zeros").validation is None
    True
    """

    train: DataPart
    test: DataPart
    validation: DataPart = None
    name: str = "data"


@dataclass(frozen=True)
class Plan:
    """Arguments of one call of `model.fit`.

    Attributes:
        recipe: The training recipe, shortened for a quick run.
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
        advice: Suggested changes if the run ended as "not finite".
        score: Score computed by the family, or None if the run has not finished.
        resumed_at: Number of updates that the checkpoint had completed when the run was resumed; 0 for a new run.
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

    @property
    def program_path(self) -> Path:
        """Path of the program of the model."""
        return self.directory / PROGRAM


def save_program(model: keras.Model, path: Path) -> str | None:
    """Write the program of a model; return None, or the reason why `lower` refuses the model."""
    try:
        lower(model).save(path)
    except ValueError as error:
        path.unlink(missing_ok=True)  # that of an interrupted run
        return str(error)
    return None


def run_directory(path: PathLike, resume: bool) -> Path:
    """Return the output directory of a run, which only the first of several processes uses.

    Args:
        path: A directory that is empty or does not exist; with `resume`, that of an unfinished run.
        resume: True if the run is resumed.

    Raises:
        ValueError: If the directory is in use or, with `resume`, holds no unfinished run.
    """
    if not is_first():
        return Path(path)
    if not resume:
        return checks.new_directory("output", path)
    path = Path(path).expanduser()
    check_resumable(path, "output")
    return path


def check_resumable(directory: Path, argument: str) -> None:
    """Raise a ValueError unless `directory` holds an unfinished run.

    Args:
        directory: Output directory of a run.
        argument: Name of the argument, for the error message.
    """
    if (directory / CHECKPOINTS).is_dir():
        return
    reason = "its run has finished" if (directory / RESULT).is_file() else "it has no checkpoints"
    raise ValueError(f"{argument} {str(directory)!r} holds no run to resume: {reason}")


@contextmanager
def locked_run_directory(directory: Path, resume: bool, settings: dict[str, Any] | None) -> Iterator[Path]:
    """Create and lock the output directory, and save `settings`, from which a resumed run is set up, in run.json.

    The context is the directory. Of several processes, all but the first get a temporary directory instead.

    Args:
        directory: Result of `run_directory`.
        resume: True if the run is resumed.
        settings: JSON values, or None.

    Raises:
        ValueError: If the directory could not be created, another process uses it, or has used it in the meantime.
    """
    if not is_first():
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"output directory {str(directory)!r} could not be created: {error.strerror}; pass another directory"
        ) from error
    with DirectoryLock(directory):
        run_directory(directory, resume)
        if settings is not None:
            save_json(settings, directory / SETTINGS)
        yield directory


def fit(
    run: Run,
    model: keras.Model,
    plan: Plan,
    history: keras.callbacks.Callback,
    displays: Sequence[keras.callbacks.Callback] = (),
    deadline: float | None = None,
) -> None:
    """Fit a compiled model and store the outcome in `run`.

    Afterwards the model has the weights of the epoch with the lowest validation loss, or of the last epoch if there are
    no validation data. After Ctrl-C it has the current weights; after a non-finite loss, the last finite ones.

    Args:
        run: The run; its `ending`, `advice`, and `resumed_at` are set.
        model: A compiled model.
        plan: Batches, epochs, and recipe.
        history: Callback that records the epochs.
        displays: Callbacks that display progress. Their method `close`, if defined, is called even if training fails.
        deadline: Unix time (`time.time()`) at which training ends; None for no limit.
    """
    from deeprnn_keras.training.callbacks import BestCheckpoint, Deadline
    from deeprnn_keras.training.non_finite import NonFiniteGuard
    from deeprnn_keras.training.resume import Resume

    recipe = plan.recipe
    guard, best = NonFiniteGuard(recipe=recipe), BestCheckpoint(run.model_path)
    selection = [] if plan.validation is None else [best]
    stateful_callbacks = [*recipe.callbacks(plan.train), guard, history, *selection, *displays]
    about = {f"recipe, {name}": str(value) for name, value in asdict(recipe).items()}
    resume = Resume(run.directory / CHECKPOINTS, plan.train, stateful_callbacks, about=about)
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
    """Return the fields of a recipe as JSON values."""
    return {**asdict(recipe), "schedule": recipe.schedule and str(recipe.schedule)}
