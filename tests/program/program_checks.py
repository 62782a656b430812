"""Comparison of a program with the model that it was lowered from."""

import numpy as np

from deeprnn_keras import lower
from deeprnn_keras.program.interpreter import run


def random_inputs(program, batch_size, steps, seed=0):
    """Return one array per input of a program."""
    rng = np.random.default_rng(seed)
    return [
        rng.integers(one.width, size=(batch_size, steps)).astype("int32")
        if one.ids
        else rng.normal(size=(batch_size, steps, one.width)).astype("float32")
        for one in program.inputs
    ]


def model_outputs(model, inputs):
    """Return the outputs of a model as a list of arrays; masks are all True."""
    given = iter(inputs)
    n, steps = inputs[0].shape[:2]
    arrays = [
        np.ones((n,) if len(one.shape) == 1 else (n, steps), bool)
        if len(one.shape) == 1 or one.dtype == "bool"
        else next(given)
        for one in model.inputs
    ]
    outputs = model(arrays[0] if len(arrays) == 1 else arrays, training=False)
    return [np.asarray(one, "float32") for one in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def assert_same(expected, actual, atol=1e-5):
    for one, other in zip(expected, actual, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(other, one, rtol=0, atol=atol * max(1.0, np.abs(one).max()))


def assert_lowers(model, sizes=((3, 5), (1, 1)), atol=1e-5):
    """Lower a model, compare it with its program for sizes (n, T), in chunks, too, and return the program."""
    program = lower(model)
    for n, steps in sizes:
        inputs = random_inputs(program, n, steps)
        assert_same(model_outputs(model, inputs), run(program, inputs)[0], atol)
    if program.looking_ahead is None:
        assert_runs_in_chunks(program, inputs=random_inputs(program, 2, 7))
    return program


def assert_runs_in_chunks(program, inputs, cut=3):
    """Assert that two runs, the second with the states of the first, equal one."""
    whole, states = run(program, inputs)
    first, between = run(program, [x[:, :cut] for x in inputs])
    second, after = run(program, [x[:, cut:] for x in inputs], between)
    joined = [b if name in program.final else np.concatenate([a, b], 1)
              for name, a, b in zip(program.outputs, first, second, strict=True)]  # fmt: skip
    assert_same(whole, joined)
    assert_same(list(states.values()), list(after.values()))
