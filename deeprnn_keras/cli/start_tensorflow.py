"""Import of TensorFlow without the log messages that it writes to the terminal."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


def start_tensorflow(console: Console) -> None:
    """Import TensorFlow, which takes seconds, and discard its log messages about missing GPUs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with console.status("starting TensorFlow"), _buffered_stderr():
        import tensorflow

        tensorflow.config.list_logical_devices()  # initializes the GPUs while their messages are buffered
    tensorflow.get_logger().setLevel("ERROR")


@contextmanager
def _buffered_stderr() -> Iterator[None]:
    """Buffer file descriptor 2, to which C++ code also writes; write the content to it only if the block fails."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except Exception:
            buffer.seek(0)
            os.write(original, buffer.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
