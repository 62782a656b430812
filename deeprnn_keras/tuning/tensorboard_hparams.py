"""Export of trials to TensorBoard's HParams dashboard."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from deeprnn_keras._types import PathLike

if TYPE_CHECKING:
    from deeprnn_keras.tuning.results import SearchResults


def write_hparams(results: SearchResults, directory: PathLike) -> None:
    """Overwrite `directory` with one TensorBoard run per trial: its active hyperparameters and the objective."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    directory = Path(directory)
    shutil.rmtree(directory, ignore_errors=True)
    for row in results.rows:
        with tf.summary.create_file_writer(str(directory / f"trial_{row.trial_id}")).as_default():
            values = {"num_layers": row.layers, "units": row.mean_units, "cell": row.cell, **row.other_values()}
            api.hparams(values, trial_id=row.trial_id)
            tf.summary.scalar(results.name, row.value, step=0)
            if row.num_params is not None:
                tf.summary.scalar("parameters", row.num_params, step=0)
