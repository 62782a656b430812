"""Equations as instructions: equal to the equations on NumPy; what is not a primitive is named."""

from dataclasses import dataclass
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import AffineMap, DiagonalMap, Equations, RecurrentCell, register_cell
from deeprnn_keras.equations import Linear, primitives
from deeprnn_keras.equations.activations import ACTIVATIONS
from deeprnn_keras.equations.trace import PRIMITIVES, trace, trace_function
from deeprnn_keras.program.interpreter import evaluate
from deeprnn_keras.specs import CELLS

WITH_EQUATIONS = [name for name in CELLS.names() if CELLS[name].equations is not None]


def assert_equal_to_numpy(equations, activations=None, input_dim=3, seed=0):
    """Compare the instructions with the equations on arrays."""
    rng = np.random.default_rng(seed)
    maps = equations.maps(input_dim)
    weights = {one.name: rng.normal(size=one.shape) for one in maps}
    weights |= {one.bias: rng.normal(size=one.width * len(one.blocks)) for one in maps if one.bias}
    x = rng.normal(size=(2, input_dim))
    states = [rng.normal(size=(2, width)) for width in equations.state_widths().values()]
    functions = {**equations.activations, **(activations or {})}

    def product(named_map, blocks, a):
        columns = np.concatenate([np.arange(10**4)[named_map.columns(block)] for block in blocks])
        result = named_map.product(np, a, weights[named_map.name][..., columns])
        return result if named_map.bias is None else result + weights[named_map.bias][columns]

    f = SimpleNamespace(**{name: ACTIVATIONS[one] for name, one in functions.items()})
    linear = Linear(maps, product)
    expected = equations.step(equations.project_inputs(x, linear, f), list(states), linear, f)
    traced = trace(equations, input_dim, activations)
    values = evaluate(traced, [x, *states], weights)
    for index, array in zip(traced.outputs, expected, strict=True):
        np.testing.assert_allclose(values[index], array, atol=1e-12)
    return traced


@pytest.mark.parametrize("name", WITH_EQUATIONS)
def test_instructions_equal_the_equations(name):
    equations = CELLS[name].equations(4)
    traced = assert_equal_to_numpy(equations)
    assert {one.primitive for one in traced.instructions} <= set(PRIMITIVES)
    assert 0 < traced.projected < len(traced.instructions) and len(str(traced).splitlines()) > len(traced.instructions)
    assert_equal_to_numpy(equations, dict.fromkeys(equations.activations, "hard_tanh"))
    if "use_bias" in vars(equations):
        assert_equal_to_numpy(type(equations)(4, use_bias=False))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_equal_those_of_keras(name):
    x = np.concatenate([np.linspace(-9, 9, 61), [-1e4, 1e4, 0.0] if name != "exponential" else [0.0]])
    x = x.astype("float32")[:, None]
    traced = trace_function(name, 1)
    actual = evaluate(traced, [x], {})[traced.outputs[0]]
    np.testing.assert_allclose(actual, keras.activations.get(name)(x), rtol=2e-6, atol=2e-6)


def equations_with(function, maps=None):
    """Return equations whose step is `function(z, h)`, with z = x W + b."""

    @dataclass(frozen=True)
    class Own(Equations):
        def maps(self, input_dim):
            return (maps or (lambda d, h: [AffineMap("kernel", d, h, ("candidate",), bias="bias")]))(
                input_dim, self.units
            )

        def step(self, x, states, linear, f):
            return [function(x["candidate"], states[0])]

    return Own


def normalized(z, h):
    centered = z - primitives.mean(z)
    return centered * primitives.rsqrt(primitives.mean(centered * centered) + 1e-3) + np.float32(0.5) * h


ALLOWED = {
    "layer normalization": normalized,
    "numbers of NumPy": lambda z, h: np.float64(0.9) * h + np.float32(0.1) * z / np.int64(3) - 1,
    "slices": lambda z, h: primitives.concatenate([z[..., 2:], h[..., :2]]),
    "comparison": lambda z, h: primitives.where(z > h, primitives.sqrt(z * z + 1.0), 2 - h),
    "number below": lambda z, h: (h < z) * primitives.exp(-z * z) + primitives.log(h * h + 1.0),
    "sum": lambda z, h: sum([z, h, z]),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_supported_operations(name):
    assert_equal_to_numpy(equations_with(ALLOWED[name])(4))


def test_diagonal_maps_and_blocks():
    def maps(d, h):
        return [AffineMap("kernel", d, h, ("candidate",)), DiagonalMap("diagonal", h, ("one", "two"), bias="bias")]

    class TwoBlocks(equations_with(None, maps)):
        def step(self, x, states, linear, f):
            both = linear("diagonal", states[0])
            return [
                f.activation(x["candidate"] + both["one"] * both["two"] + linear("diagonal", states[0], "two")["two"])
            ]

    assert_equal_to_numpy(TwoBlocks(4))


def branching(z, h):
    if z > 0:
        return h
    return z


REFUSED = {
    "keras.ops": (lambda z, h: keras.ops.tanh(z + h), r"keras.ops.tanh, in `.*keras.ops.tanh\(z \+ h\)"),
    "TensorFlow": (lambda z, h: tf.tanh(z), r"in `.*tf.tanh\(z\)"),
    "numpy function": (lambda z, h: np.exp(z), r"numpy.exp, in `.*np.exp\(z\)"),
    "numpy array function": (lambda z, h: np.concatenate([z, h]), "numpy.concatenate"),
    "array": (lambda z, h: z + np.ones(4), "add with ndarray; only numbers and results|conversion"),
    "if": (branching, "control flow that depends on values.*in `if z > 0:`"),
    "index": (lambda z, h: z[0], "indexing with 0; only slices of the features"),
    "step of a slice": (lambda z, h: z[..., ::2], "indexing"),
    "iteration": (lambda z, h: max(*z), "control flow"),
    "power": (lambda z, h: z**2, "unsupported operand"),
    "method": (lambda z, h: z.sum(), "attribute 'sum'"),
    "dtype": (lambda z, h: z.astype("float64"), "attribute 'astype'"),
    "width": (lambda z, h: z[..., :2] + h, "add of widths 2 and 4"),
    "width of a state": (lambda z, h: z[..., :2], "state 'h' has width 4, got 2$"),
    "no symbol": (lambda z, h: 1.0, r"a step returns 1 states, got \[1.0\]$"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_register_cell_names_what_it_refuses(name):
    function, message = REFUSED[name]

    class Cell(RecurrentCell):
        equations_class = equations_with(function)

    with pytest.raises(ValueError, match=rf"cell 'refused_for_tests': its equations must use only .*{message}"):
        register_cell("refused_for_tests", Cell)
    assert "refused_for_tests" not in CELLS.names()


def test_fields_without_defaults_are_refused():
    @dataclass(frozen=True)
    class Sized(equations_with(normalized)):
        depth: int

    class Cell(RecurrentCell):
        equations_class = Sized

    with pytest.raises(ValueError, match=r"must have defaults for all fields but units: .*'depth'"):
        register_cell("sized_for_tests", Cell)
