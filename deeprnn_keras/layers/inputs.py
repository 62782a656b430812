"""Which x a `DeepRNN` takes."""


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
    if stack.built and stack.stateful and shape[0] not in (None, stack.batch):
        raise ValueError(
            f"{name}: x must have the batch size {stack.batch} that it was built with (stateful=True), "
            f"got shape {tuple(shape)}"
        )
    if not stack.built and stack.stateful and shape[0] is None:
        raise ValueError(
            f"stateful=True needs a known batch size, got an input of shape {tuple(shape)}; "
            f"begin the model with keras.Input(batch_shape=(n, {shape[1]}, {shape[2]}))"
        )
