"""`eagerly`: run what is otherwise traced and compiled."""

import contextlib


@contextlib.contextmanager
def eagerly():
    """Run every `tf.function` eagerly.

    Tracing and compiling a training step takes seconds, running it takes milliseconds. For tests of callbacks, data,
    files, and searches that train for a few steps; not for tests of what is traced or compiled.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)
