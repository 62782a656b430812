"""Files in wheels of other packages: read, never imported. `.ci/long` installs them without their dependencies."""

from importlib.util import find_spec
from pathlib import Path

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import ops
from onnx import numpy_helper

from deeprnn_keras import convert, interop
from deeprnn_keras.interop.references.keras2 import Keras2Reference
from deeprnn_keras.reading import read_safetensors

STEPS, CHUNK, CONTEXT = 1000, 512, 64


def package_files(name):
    """Return the directory of an installed package without importing it."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {name} is not installed")
    return Path(spec.origin).parent


# === silero-vad ===


def convolution(arrays, name, x, strides, padded):
    """Return `torch.nn.Conv1d` with the weights of the file, on (n, T, features)."""
    kernel = arrays[f"{name}.weight"].transpose(2, 1, 0)
    layer = keras.layers.Conv1D(kernel.shape[2], kernel.shape[0], strides=strides, use_bias=f"{name}.bias" in arrays)
    y = layer(keras.layers.ZeroPadding1D(1)(x) if padded else x)
    layer.set_weights([kernel, *([arrays[f"{name}.bias"]] if layer.use_bias else [])])
    return y


def voice_detector(arrays):
    """Return the network of silero-vad as a Keras model from chunks (n, T, 576) to probabilities (n, T, 1).

    The convolutions act within each chunk, the LSTM across chunks.
    """
    chunks = keras.Input((STEPS, CHUNK + CONTEXT))
    x = ops.reshape(chunks, (-1, CHUNK + CONTEXT, 1))
    x = ops.concatenate([x, ops.flip(x[:, -CONTEXT - 1 : -1], axis=1)], axis=1)  # reflected at the end
    x = convolution(arrays, "stft_conv", x, 128, padded=False)
    x = ops.sqrt(x[..., :129] ** 2 + x[..., 129:] ** 2)
    for number, strides in ((1, 1), (2, 2), (3, 2), (4, 1)):
        x = ops.relu(convolution(arrays, f"conv{number}", x, strides, padded=True))
    lstm = interop.load({f"{key[10:]}_l0": array for key, array in arrays.items() if key.startswith("lstm_cell.")})
    y = lstm(ops.reshape(x, (-1, STEPS, 128)))
    head = keras.layers.Dense(1, "sigmoid")
    probability = head(ops.relu(y))
    head.set_weights([arrays["final_conv.weight"][..., 0].T, arrays["final_conv.bias"]])
    return keras.Model(chunks, probability)


def name_in_graph(name):
    """Return the initializer of the ONNX file for a name in the safetensors file."""
    module, leaf = name.split(".")
    if module == "stft_conv":
        return "model.stft.forward_basis_buffer"
    if module.startswith("conv"):
        return f"model.encoder.{int(module[4:]) - 1}.reparam_conv.{leaf}"
    return f"model.decoder.{'rnn' if module == 'lstm_cell' else 'decoder.2'}.{leaf}"


@pytest.mark.long
@pytest.mark.parametrize("weights", ["those of the ONNX file", "those of the safetensors file"])
def test_silero_vad_equals_its_onnx_file(weights):
    """The Keras model equals ONNX Runtime over 1,000 chunks to 1e-5.

    The wheel's two files hold the weights of two trainings, so that each of both is run by both: the graph of the ONNX
    file also with the weights of the safetensors file.
    """
    data = package_files("silero_vad") / "data"
    arrays, _ = read_safetensors(data / "silero_vad_16k.safetensors")
    model = onnx.load(data / "silero_vad_16k_op15.onnx")
    tensors = {one.name: one for one in model.graph.initializer}
    for name, array in arrays.items():
        tensor = tensors[name_in_graph(name)]
        if weights == "those of the ONNX file":
            arrays[name] = numpy_helper.to_array(tensor)
            assert arrays[name].shape == array.shape
        else:
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    rng = np.random.default_rng(0)
    loudness = np.repeat(rng.uniform(0, 0.5, STEPS // 20), 20 * CHUNK)
    audio = (loudness * rng.normal(size=STEPS * CHUNK)).astype("float32")
    padded = np.concatenate([np.zeros(CONTEXT, "float32"), audio])
    chunks = np.stack([padded[start : start + CHUNK + CONTEXT] for start in range(0, len(audio), CHUNK)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    state, expected = np.zeros((2, 1, 128), "float32"), []
    for chunk in chunks:
        output, state = session.run(None, {"input": chunk[None], "state": state, "sr": np.array(16000)})
        expected.append(output[0])
    actual = np.asarray(voice_detector(arrays)(chunks[None]))[0]
    assert np.ptp(expected) > 0.01
    np.testing.assert_allclose(actual, np.array(expected), rtol=0, atol=1e-5)


@pytest.mark.long
def test_silero_vad_as_a_graph_is_refused_by_its_operator():
    path = package_files("silero_vad") / "data" / "silero_vad.onnx"
    with pytest.raises(ValueError, match=r"silero_vad\.onnx: "):
        interop.load(path)


# === sleepecg ===


@pytest.mark.long
@pytest.mark.parametrize("name", ["ws-gru-mesa", "wrn-gru-mesa", "wrn-gru-mesa-weighted"])
def test_sleepecg_archives(name):
    """Keras 3 files in zip archives, after conversion: equal to Keras, and to its equations in NumPy, to 1e-5."""
    path = package_files("sleepecg") / "classifiers" / f"{name}.zip"
    stock = interop.load(path)
    certificate = interop.verify(convert(stock), path, steps=STEPS, batch_size=1)
    assert certificate.max_abs_error < 1e-5 and certificate.reference == f"keras {keras.__version__}"
    config = {"class_name": "Sequential", "config": stock.get_config()}
    equations = Keras2Reference(config, {layer.name: layer.get_weights() for layer in stock.layers})
    certificate = interop.verify(stock, equations, steps=50)
    assert certificate.max_abs_error < 1e-5 and len(certificate.errors) == len(stock.layers)
