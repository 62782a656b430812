"""Search for the depth and width of a zoo model that workers on several machines share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, cast

import msgspec
import optuna
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras._types import Config, PathLike
from deeprnn_keras.tuning.progress import SearchProgress
from deeprnn_keras.tuning.search import EPOCHS_PER_TRIAL, OBJECTIVE, SEARCH_END, Search
from deeprnn_keras.tuning.storages import shown
from deeprnn_keras.tuning.study_samplers import SAMPLERS
from deeprnn_keras.tuning.study_tuner import StudyTuner, read_options

if TYPE_CHECKING:
    from rich.console import Console

    from deeprnn_keras.tuning.results import SearchResults
    from deeprnn_keras.tuning.trial_records import TrialRecord


class SharedSettings(TypedDict):
    """Settings that a study stores for the workers that join it.

    Attributes:
        settings: Settings of the search, as in tune.json.
        updates: Number of updates per trial.
    """

    settings: dict[str, Any]
    updates: int


@dataclass(kw_only=True)
class SharedSearch(Search):
    """Search whose trials are in the study of an Optuna storage.

    Attributes:
        storage: URL of a database, or path of a journal file; see `StudyTuner`.
        study: Name of the study.
        study_settings: Settings that a new study stores for the workers that join it.
        checkpoints: Directory of checkpoints; None for `directory`.
    """

    storage: PathLike
    study: str
    study_settings: Config
    checkpoints: Path | None = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("algorithm with a storage", self.algorithm, SAMPLERS)

    @override
    def plan(self) -> None:
        if self.updates is None:
            stored = read_settings(self.storage, self.study)
            self.updates = stored and stored["updates"]
        super().plan()

    @override
    def tuner(self) -> StudyTuner:
        return self._tuner

    @cached_property
    def _tuner(self) -> StudyTuner:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # the progress display shows the trials
        return StudyTuner(
            self.hyper,
            OBJECTIVE,
            cast(int, self.trials),
            storage=self.storage,
            study=self.study,
            algorithm=self.algorithm,
            seed=self.seed,
            prune=self.prune,
            directory=self.checkpoints or self.directory,
            minutes=None if self.minutes is None else max(self.time_budget.remaining(SEARCH_END) / 60, 1e-3),
            about={**self.family.search_record(self.data), "updates": self.updates, "epochs": EPOCHS_PER_TRIAL},
            options={"settings": self.study_settings, "updates": self.updates},
        )

    @override
    def records(self) -> list[TrialRecord]:
        return self.tuner().records()

    def run_worker(self, console: Console) -> SearchResults:
        """Run trials of a planned search until all have ended, and return the results.

        Args:
            console: Console for the progress.
        """
        with SearchProgress(console, self.records, self.results_of, self.trials, deadline=self.tuner().deadline):
            self._run_trials(self.tuner())
        return self.results()


def read_settings(storage: PathLike, study: str) -> SharedSettings | None:
    """Return what the creator of a study has stored for workers, or None if there is no such study.

    Args:
        storage: As in `StudyTuner`.
        study: Name of the study.

    Raises:
        ImportError: If Optuna or the driver of the database is missing; the message names the extra.
        ValueError: If the study was not created by `deeprnn tune`, or by another version of this package.
        OSError: If the storage does not open.
    """
    options = read_options(storage, study)
    try:
        return None if options is None else msgspec.convert(options, SharedSettings)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"study {study!r} of storage {shown(storage)!r} was not created by deeprnn tune; pass another name"
        ) from error
