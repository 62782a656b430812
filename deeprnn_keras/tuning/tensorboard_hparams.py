"""Trials for TensorBoard's HParams page."""

import shutil
from pathlib import Path


def write_hparams(results, directory):
    """Writes one run per trial into `directory`, anew: its active hyper-parameters and the objective."""
    import tensorflow as tf
    from tensorboard.plugins.hparams import api

    directory = Path(directory)
    shutil.rmtree(directory, ignore_errors=True)
    for row in results.rows:
        with tf.summary.create_file_writer(str(directory / f"trial_{row.trial_id}")).as_default():
            values = {"num_layers": row.layers, "units": row.width, "cell": row.cell, **dict(row._others())}
            api.hparams(values, trial_id=row.trial_id)
            tf.summary.scalar(results.name, row.value, step=0)
            if row.weights is not None:
                tf.summary.scalar("weights", row.weights, step=0)
