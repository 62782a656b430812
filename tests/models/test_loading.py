"""Loading of `.keras` files that are damaged or crafted."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from click.testing import CliRunner

from deeprnn_keras import DeepRNN, LanguageModel
from deeprnn_keras.cli import main
from deeprnn_keras.models import load_language_model, load_model
from deeprnn_keras.reading import DamagedFileError

CRAFTED = {"class_name": "function", "module": "keras.utils", "config": "set_random_seed", "registered_name": "x"}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Bytes of a small language model."""
    path = tmp_path_factory.mktemp("model") / "model.keras"
    LanguageModel("abc ", units=4, num_layers=1).save(path)
    return path.read_bytes()


def with_members(content, changed):
    """Return the archive with other members: {name: bytes, or None to remove it}."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(result, "w") as archive:
        members = {name: source.read(name) for name in source.namelist()} | changed
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)
    return result.getvalue()


def with_config(content, change):
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        config = json.loads(source.read("config.json"))
    change(config)
    return with_members(content, {"config.json": json.dumps(config)})


def with_weights(content, change):
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        weights = io.BytesIO(source.read("model.weights.h5"))
    with h5py.File(weights, "r+") as file:
        change(file)
    return with_members(content, {"model.weights.h5": weights.getvalue()})


def flipped(content, position):
    changed = bytearray(content)
    changed[position] ^= 4
    return bytes(changed)


def sparse_array(file):
    file.create_dataset("sparse", (10**6, 10**6), "float32", chunks=(100, 100))


def external_array(file):
    file.create_dataset("outside", (3,), "uint8", external=[("/etc/hostname", 0, 3)])


def external_link(file):
    file["outside"] = h5py.ExternalLink("/etc/other.h5", "/")


DAMAGES = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[:-30],
    "bit in a member": lambda content: flipped(content, len(content) // 2),
    "bit in the directory": lambda content: flipped(content, content.rfind(b"PK\x01\x02") + 2),
    "encrypted": lambda content: content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"),
    "no configuration": lambda content: with_members(content, {"config.json": None}),
    "null": lambda content: with_members(content, {"config.json": b"null"}),
    "nested": lambda content: with_members(content, {"config.json": b"[" * 10**5}),
    "no weights": lambda content: with_members(content, {"model.weights.h5": None}),
    "other weights": lambda content: with_members(content, {"model.weights.h5": b"x" * 1000}),
    "bomb": lambda content: bomb(content),
    "path outside": lambda content: with_members(content, {"../outside": b"x"}),
    "sparse array": lambda content: with_weights(content, sparse_array),
    "external array": lambda content: with_weights(content, external_array),
    "external link": lambda content: with_weights(content, external_link),
    "crafted name": lambda content: with_config(content, lambda c: c["config"].update(cell=[CRAFTED])),
    "crafted optimizer": lambda content: with_config(content, lambda c: c.update(compile_config={"loss": CRAFTED})),
    "many units": lambda content: with_config(content, lambda c: c["config"].update(units=[10_000])),
    "many layers": lambda content: with_config(content, lambda c: c["config"].update(units=4, num_layers=10**6)),
    "unknown argument": lambda content: with_config(content, lambda c: c["config"].update(unit=3)),
    "wrong type": lambda content: with_config(content, lambda c: c["config"].update(input_dropout={})),
    "other weights of the same size": lambda content: with_config(content, lambda c: c["config"].update(units=[5])),
}


def bomb(content):
    """Return an archive with a member that expands to 200 MB."""
    result = io.BytesIO(content)
    with zipfile.ZipFile(result, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros", bytes(200 * 2**20))
    return result.getvalue()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_file_is_named(damage, content, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(DAMAGES[damage](content))
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - set_random_seed would change it
    with pytest.raises(DamagedFileError, match=f"^{path}: "):
        load_model(path)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]


@pytest.mark.parametrize(
    "command", [["generate", "MODEL", "--prompt", "ab"], ["evaluate", "MODEL"], ["info", "MODEL", "--kernels"]]
)
@pytest.mark.parametrize("damage", ["cut short", "other weights", "crafted name"])
def test_commands_name_a_damaged_file(damage, command, content, tmp_path):
    path = tmp_path / "model.keras"
    path.write_bytes(DAMAGES[damage](content))
    arguments = [str(path) if argument == "MODEL" else argument for argument in command]
    result = CliRunner().invoke(main, arguments, env={"COLUMNS": "250"})
    assert result.exit_code == 1 and f"Error: {path}: " in result.stderr, result.output


def test_whole_files_load(content, tmp_path):
    (tmp_path / "model.keras").write_bytes(content)
    model = load_language_model(tmp_path)
    assert model.generate("a", length=5).startswith("a")
    x = keras.Input((None, 2))
    stock = keras.Model(x, keras.layers.Dense(1, dtype="float16")(keras.ops.tanh(DeepRNN(3, 2, dtype="float16")(x))))
    stock.save(tmp_path / "stock.keras")
    for loaded, saved in zip(load_model(tmp_path / "stock.keras").weights, stock.weights, strict=True):
        np.testing.assert_array_equal(loaded, saved)


def test_file_with_an_unknown_loss_loads_without_compiling(tmp_path):
    def unknown_loss(y, predictions):
        return keras.ops.mean(predictions)

    model = keras.Sequential([keras.Input((None, 2)), DeepRNN(1)])
    model.compile("adam", unknown_loss)
    model.save(tmp_path / "model.keras")
    with pytest.raises(DamagedFileError, match=r"names '.*unknown_loss', which is not supported"):
        load_model(tmp_path / "model.keras")
    assert load_model(tmp_path / "model.keras", compile=False).count_params() == model.count_params()
