"""Loading of saved models after `import deeprnn_keras`, without importing the modules of their classes."""

import importlib
import subprocess
import sys

import keras
import pytest
from source_files import MODULES

from deeprnn_keras import LanguageModel, stand_ins
from deeprnn_keras.optimizers import GUARDED_OPTIMIZERS
from deeprnn_keras.training import Perplexity


def test_table_contains_every_registered_class():
    optional = {
        "deeprnn_keras.kernels.native.jax",
        "deeprnn_keras.kernels.native.torch",
    }  # other frameworks; no classes
    for name in MODULES.keys() - optional:
        if not name.endswith("__main__"):
            importlib.import_module(name)
    registered = {
        name.removeprefix("deeprnn_keras>"): found.__module__.removeprefix("deeprnn_keras.")
        for name, found in keras.saving.get_custom_objects().items()
        if name.startswith("deeprnn_keras>")
    }
    assert registered == stand_ins.MODULES


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("stand_ins") / "model.keras"
    model = LanguageModel("abc", 2, cell="rhn", embedding=2, bias_initializer=None)
    model.compile(GUARDED_OPTIMIZERS["adam"](), model.loss_function(), metrics=[Perplexity()])
    model.save(path)
    return path


@pytest.mark.parametrize(
    "imports",
    [
        pytest.param("deeprnn_keras, keras", marks=pytest.mark.slow),
        *(
            pytest.param(imports, marks=pytest.mark.long)
            for imports in ("keras, deeprnn_keras", "deeprnn_keras, tensorflow", "deeprnn_keras, keras.saving")
        ),
    ],
)
def test_model_is_loaded_after_imports_in_any_order(imports, path):
    code = (
        f"import sys\nimport {imports}\nimport keras\n"
        "assert 'deeprnn_keras.layers' not in sys.modules\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "from deeprnn_keras import DeepRNN, LanguageModel\n"
        "assert type(model) is LanguageModel and type(model.get_layer('deep_rnn')) is DeepRNN\n"
        "assert type(model.optimizer).__name__ == 'GuardedAdam'\n"
        "assert not any(type(finder).__module__ == 'deeprnn_keras.stand_ins' for finder in sys.meta_path)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-1000:]


def test_import_remains_without_keras():
    code = "import sys, deeprnn_keras; print(*({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    assert not subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
