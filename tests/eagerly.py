"""`eagerly`: run functions eagerly that are otherwise traced and compiled."""

import contextlib


@contextlib.contextmanager
def eagerly():
    """Run every `tf.function` eagerly within the block.

    Tracing and compiling a training step takes seconds, running it milliseconds. Use this in tests that train for a few
    steps to test callbacks, data, files, or searches, but not in tests of traced or compiled functions.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
