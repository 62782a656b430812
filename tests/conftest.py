"""What all tests share: a quiet TensorFlow and seeded random numbers."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest


@pytest.fixture
def rng():
    """Seeded NumPy numbers; Keras' draws are seeded too."""
    import keras

    keras.utils.set_random_seed(7)
    return np.random.default_rng(7)


# The files that take longest, the longest first: begun last, one of them would keep one worker busy and the other idle.
LONGEST = [
    "tutorials",
    "resume_killed",
    "tuning_killed",
    "tuning_search",
    "kernels_in_use",
    "written_cells",
    "resume",
    "command_tune",
    "zoo",
    "contributing",
    "fused_stack",
    "tuning_budget",
    "stateful_fit",
    "readme",
    "gradient_health_callback",
    "tuning_optuna",
    "bench_workers",
    "time_scales",
    "command_evaluate",
    "music",
    "words",
    "series_run",
]


def pytest_collection_modifyitems(items):
    """Puts the longest files first; the order within a file stays."""
    place = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))
