"""Which x, and which reset_mask, a `DeepRNN` takes."""

import keras


def check_sequences(stack, shape):
    """A ValueError if the stack cannot read x of this shape."""
    name = stack.name
    if len(shape) != 3:
        hint = "; token ids (n, T) need an Embedding or OneHot layer first" if len(shape) == 2 else ""
        raise ValueError(f"{name}: x must have rank 3, (n, T, d), got shape {tuple(shape)}{hint}")
    if shape[2] is None or shape[1] == 0:
        what = "a known number of features d" if shape[2] is None else "at least one time step"
        raise ValueError(f"{name}: x must have {what}, got shape {tuple(shape)}")
    if stack.built and shape[2] != stack.inputs:
        raise ValueError(f"{name}: x must have d = {stack.inputs} features, got shape {tuple(shape)}")
    if stack.stateful and keras.backend.backend() != "tensorflow":
        _check_fixed_batch(stack, shape)


def _check_fixed_batch(stack, shape):
    """Only with TensorFlow may the rows of carried states be another number each time."""
    if shape[0] is None or (stack.built and shape[0] != stack.batch):
        wanted = f"the batch size {stack.batch} that it was built with" if stack.built else "a known batch size"
        raise ValueError(
            f"{stack.name}: with stateful=True on the {keras.backend.backend()} backend x must have {wanted}, "
            f"got shape {tuple(shape)}; begin the model with keras.Input(batch_shape=(n, {shape[1]}, {shape[2]}))"
        )


def check_reset_mask(stack, reset_mask):
    """A ValueError if these `reset_mask` tell the stack nothing."""
    if reset_mask is None:
        return
    if not stack.stateful:
        raise ValueError(
            f"{stack.name}: reset_mask says which rows of a batch begin anew, and only stateful=True carries them on; "
            "use stateful=True, or leave reset_mask out"
        )
    kind = keras.backend.standardize_dtype(reset_mask.dtype)
    if len(reset_mask.shape) != 1 or kind != "bool":
        raise ValueError(
            f"{stack.name}: reset_mask must be bool of shape (n,), got {kind} of shape {tuple(reset_mask.shape)}"
        )
