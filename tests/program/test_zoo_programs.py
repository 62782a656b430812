"""Every model of the zoo as a program, built with 6 units."""

import keras
import numpy as np
import pytest
from program_checks import assert_lowers, random_inputs
from zoo_models import BUILDABLE, small_model

from deeprnn_keras import Program, lower
from deeprnn_keras.program.interpreter import run


@pytest.fixture(scope="module", params=BUILDABLE)
def entry(request):
    """Return (configuration, model) with 6 units, run by Keras' loop."""
    config, model = small_model(request.param)
    keras.utils.set_random_seed(11)
    return config, type(model).from_config({**model.get_config(), "implementation": "loop"})


def test_program_equals_the_model(entry):
    config, model = entry
    program = assert_lowers(model, [(3, config.length or 4), (1, config.length or 1)])
    assert (program.looking_ahead is None) == (not getattr(config, "bidirectional", False))
    assert program.name == config.name and program.attributes["kind"] == getattr(config, "kind", "language")
    variables = {weight.path: weight.shape for weight in model.weights if "normalization" not in weight.path}
    computed = ("standard/", "normalization")  # scales and offsets
    weights = {name: array.shape for name, array in program.weights.items() if not any(one in name for one in computed)}
    assert weights == variables


def test_saved_program_is_equal_to_the_bit(entry, tmp_path):
    program = lower(entry[1])
    program.save(tmp_path / "p.safetensors")
    loaded = Program.load(tmp_path / "p.safetensors")
    assert (str(loaded), loaded.attributes, loaded.inputs) == (str(program), program.attributes, program.inputs)
    assert loaded.operations == program.operations
    inputs = random_inputs(program, 2, 5)
    for one, other in zip(run(program, inputs)[0], run(loaded, inputs)[0], strict=True):
        np.testing.assert_array_equal(one, other)
