"""Small programs with random weights, which need neither Keras nor lowering."""

import numpy as np

from deeprnn_keras.program import Program
from deeprnn_keras.program.operations import Dense, Input, OneHot, Recurrent, Softmax


def small_program(rng, symbols="abcde", units=4, scale=1.0, softmax=False):
    """Return a program of an LSTM; with an integer instead of symbols, without a vocabulary."""
    size = symbols if isinstance(symbols, int) else 256 if isinstance(symbols, dict) else len(symbols)
    shapes = {"W": (size, 4 * units), "U": (units, 4 * units), "b": (4 * units,), "V": (units, size), "c": (size,)}
    operations = [
        OneHot("one_hot", ("tokens",), size),
        Recurrent("lstm", ("one_hot",), units, kernel="W", recurrent_kernel="U", bias="b"),
        Dense("head", ("lstm",), size, "V", "c"),
        *([Softmax("softmax", ("head",), size)] if softmax else []),
    ]
    return Program(
        "small",
        (Input("tokens", size, ids=True),),
        tuple(operations),
        (operations[-1].name,),
        {name: rng.normal(scale=scale, size=shape).astype("float32") for name, shape in shapes.items()},
        {} if isinstance(symbols, int) else {"vocabulary": symbols},
    )


def fixed_program(logits, symbols):
    """Return a program with the same logits at every step."""
    size = len(logits)
    operations = (OneHot("one_hot", ("tokens",), size), Dense("head", ("one_hot",), size, "V", "c"))
    weights = {"V": np.zeros((size, size), "float32"), "c": np.array(logits, "float32")}
    return Program("fixed", (Input("tokens", size, ids=True),), operations, ("head",), weights, {"vocabulary": symbols})
