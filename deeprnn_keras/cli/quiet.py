"""TensorFlow without its greetings."""

import os
import sys
import tempfile
from contextlib import contextmanager


def load_tensorflow(console):
    """Imports TensorFlow, which takes seconds, without the notes it writes to the terminal about missing GPUs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with console.status("starting TensorFlow"), _stderr_held_back():
        import tensorflow

        tensorflow.config.list_logical_devices()  # looks for GPUs now, while its complaints are held back
    tensorflow.get_logger().setLevel("ERROR")


@contextmanager
def _stderr_held_back():
    """Keeps what is written to file descriptor 2, by C++ too, and shows it only if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
