"""One initializer used in several places.

A Keras initializer object draws the same numbers on every call, seeded or not. Two layers, two directions or two
gates that share an object would start out as copies of each other; they take a `reseeded` copy each instead.
"""

import keras
import numpy as np
from keras import ops


def derived_seed(seed, key):
    """A seed that depends on `seed` and `key`, both whole numbers."""
    return int(np.random.SeedSequence([seed % 2**63, key]).generate_state(1)[0] >> 1)


def reseeded(initializer, key):
    """`initializer` for place number `key`: itself at 0, else a copy that draws other numbers."""
    if key == 0:
        return initializer
    if hasattr(initializer, "reseeded"):
        return initializer.reseeded(key)
    seed = getattr(initializer, "seed", None)
    if not isinstance(seed, int):  # not random, or a SeedGenerator, which moves on by itself
        return initializer
    return type(initializer).from_config({**initializer.get_config(), "seed": derived_seed(seed, key)})


def check_same_cell(initializer, cell):
    """An error if `initializer` was told another cell than the one of the layer it is used in."""
    if initializer.cell not in (None, cell):
        raise ValueError(
            f"{type(initializer).__name__}(cell={initializer.cell!r}) does not fit a layer of cell {cell!r}; "
            f"leave cell out, or make it {cell!r}"
        )


def draw(initializer, shape, dtype=None):
    """`initializer(shape)` drawn in float32 and cast: QR and other steps have no half-precision kernel."""
    return ops.cast(initializer(shape, dtype="float32"), dtype or keras.config.floatx())
