"""`DeepRNN(remat=True)` where it has no effect: an error if this is so on every machine, else a warning."""

import warnings

import keras
import pytest

from deeprnn_keras import DeepRNN, explain_kernels
from deeprnn_keras.kernels import machine

WITHOUT_EFFECT = {
    "loop": ({"implementation": "loop"}, "implementation='loop' runs no stack in a single call"),
    "cudnn": ({"implementation": "cudnn"}, "implementation='cudnn' runs no stack in a single call"),
    "dilation": ({"dilation": [1, 2]}, r"dilation=\[1, 2\] interleaves the states"),
    "dilation on XLA": ({"dilation": 2, "implementation": "xla"}, r"dilation=\[2, 2\] interleaves the states"),
    "callable": ({"cell": lambda units: keras.layers.StackedRNNCells([keras.layers.GRUCell(units)])}, "XLA supports"),
    "activation": ({"activation": "silu"}, "activation='silu': XLA supports activations whose"),
    "one of the layers": ({"activation": ["silu", None]}, "activation='silu': XLA supports activations whose"),
    "recurrent dropout": ({"recurrent_dropout": 0.5}, "recurrent_dropout=0.5 rules out XLA"),
    "dropout of a cell": ({"cell": {"name": "lstm", "dropout": 0.5}}, "a cell has input dropout; use"),
}


@pytest.mark.parametrize(("options", "message"), WITHOUT_EFFECT.values(), ids=WITHOUT_EFFECT)
def test_option_without_effect_is_refused(options, message):
    DeepRNN(3, 2, **options)
    with pytest.raises(ValueError, match=f"remat=True has no effect, because the layers run one by one: .*{message}"):
        DeepRNN(3, 2, remat=True, **options)


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(machine, "has_gpu", lambda: True)


def test_machine_without_effect_is_a_warning(gpu):
    layer = DeepRNN(3, 2, remat=True, name="stack")
    with pytest.warns(UserWarning, match="stack: remat=True has no effect: cudnn runs .* pass implementation='xla'"):
        layer.build((None, None, 2))


@pytest.mark.parametrize("options", [{"implementation": "xla"}, {"remat": False}], ids=str)
def test_no_warning_on_a_gpu_otherwise(gpu, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DeepRNN(3, 2, **{"remat": True, **options}).build((None, None, 2))


def test_report_names_the_option_that_is_ignored():
    """Only on a machine with a GPU; layers of another stack are not concerned."""
    model = keras.Sequential([DeepRNN(3, 2, remat=True, return_sequences=True), DeepRNN(3)])
    rows = explain_kernels(model)
    ignored = (
        "remat=True has no effect: cudnn runs the layers of a stack one by one, native code and XLA in a single call"
    )
    assert [ignored in row.gpu_reasons for row in rows] == [True, True, False]
    assert not any(ignored in row.reasons for row in rows)
