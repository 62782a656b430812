"""Native code and XLA in use: training, changing sizes, second derivatives, files, threads, memory."""

import functools
import gc
import json
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from derivatives import jacobian_products, squared_gradient_norm
from fast_implementations import FASTEST
from oracles import assert_close

from deeprnn_keras import GRU, LSTM, DeepRNN, SimpleRNN
from deeprnn_keras.bench.memory import resident_memory
from deeprnn_keras.kernels.xla import plan, stack
from deeprnn_keras.kernels.xla.plan import round_up

T, D, H = 4, 3, 3
stock = keras.layers
SEQUENCES = {"return_sequences": True}
PAIRS = {  # layers of this package and the equal stock layers
    "one": (lambda: [DeepRNN(H)], lambda: [stock.LSTM(H)]),
    "remat": (lambda: [DeepRNN(H, 2, remat=True)], lambda: [stock.LSTM(H, **SEQUENCES), stock.LSTM(H)]),
    "stateful": (lambda: [DeepRNN(H, stateful=True)], lambda: [stock.LSTM(H, stateful=True)]),
    "mixed": (
        lambda: [SimpleRNN(H, **SEQUENCES), DeepRNN(H, 2, ["lstm", "gru"])],
        lambda: [stock.SimpleRNN(H, **SEQUENCES), stock.LSTM(H, **SEQUENCES), stock.GRU(H)],
    ),
    "deep": (lambda: [DeepRNN(H, 3)], lambda: [stock.LSTM(H, **SEQUENCES), stock.LSTM(H, **SEQUENCES), stock.LSTM(H)]),
    "both directions": (
        lambda: [DeepRNN(H, 2, "gru", bidirectional=True)],
        lambda: [stock.Bidirectional(stock.GRU(H, return_sequences=sequences)) for sequences in (True, False)],
    ),
    "drop-ins": (
        lambda: [GRU(H, reset_after=False, **SEQUENCES), SimpleRNN(H, activation="relu", **SEQUENCES), LSTM(H)],
        lambda: [
            stock.GRU(H, reset_after=False, **SEQUENCES),
            stock.SimpleRNN(H, activation="relu", **SEQUENCES),
            stock.LSTM(H),
        ],
    ),
}


def build_models(rng, pair="mixed", steps=None, n=None, policy="float32", implementation="auto", **compile_options):
    """Build a model with layers of this package and one with stock layers, with the same random weights."""
    models = []
    keras.config.set_dtype_policy(policy)
    make_layers, make_stock_layers = PAIRS[pair]
    configs = [(type(layer), {**layer.get_config(), "implementation": implementation}) for layer in make_layers()]
    for layers in ([cls.from_config(config) for cls, config in configs], make_stock_layers()):
        models.append(keras.Sequential([keras.Input(batch_shape=(n, steps, D)), *layers, stock.Dense(1)]))
        models[-1].compile(keras.optimizers.SGD(0.1), "mse", **compile_options)
    keras.config.set_dtype_policy("float32")
    models[0].set_weights([rng.normal(size=w.shape, scale=0.5) for w in models[0].get_weights()])
    models[1].set_weights(models[0].get_weights())
    return models


def random_data(rng, n, steps=T):
    return rng.normal(size=(n, steps, D)).astype("float32"), rng.normal(size=(n, 1)).astype("float32")


@pytest.fixture
def compiled_shapes(monkeypatch):
    """List of ((T, d, n), dtype) of the sequences that reach XLA, which compiles once for each of them."""
    shapes, differentiable_sequence = [], stack.differentiable_sequence

    def recording(*arguments):
        sequence = differentiable_sequence(*arguments)

        def recorded(x, *others):
            record = tf.numpy_function(lambda shape: shapes.append((tuple(shape), x.dtype.name)), [tf.shape(x)], [])
            with tf.control_dependencies([] if record is None else [record]):
                return sequence(tf.identity(x), *others)

        return recorded

    monkeypatch.setattr(stack, "differentiable_sequence", recording)
    return shapes


# === Training ===


XLA = {"implementation": "xla"}
TRAINING = [("one", {}), ("stateful", {}), ("mixed", {}), ("one", XLA)]
TRAINING += [
    pytest.param(*case, marks=pytest.mark.slow)
    for case in (("stateful", XLA), ("one", {"run_eagerly": True}), ("one", {"jit_compile": True}))
]
TRAINING += [pytest.param("mixed", options, marks=pytest.mark.long) for options in (XLA, {"jit_compile": True})]


def reset_states(model):
    """Reset stateful layers: stock layers carry states from epoch to epoch, those of this package do not."""
    for layer in (each for each in model.layers if isinstance(each, stock.RNN) and each.stateful):
        layer.reset_state()


def training_results(model, x, y, n):
    """Return the losses of three epochs and of a batch, predictions, and the loss and predictions of an evaluation."""
    reset = [keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: reset_states(model))]
    losses = model.fit(x, y, batch_size=n, epochs=3, shuffle=False, verbose=0, callbacks=reset).history["loss"]
    results = [*losses, model.train_on_batch(x[:n], y[:n])]
    reset_states(model)
    results += list(model.predict_on_batch(x[:n]).ravel())
    reset_states(model)
    results += [model.evaluate(x, y, batch_size=n, verbose=0)]
    return results + list(model.predict(x, batch_size=n, verbose=0).ravel())


@functools.cache
def stock_results(pair, n):
    """Return the results of the stock layers, which do not depend on the options of ours."""
    rng = np.random.default_rng(7)
    x, y = random_data(rng, 6)
    return training_results(build_models(rng, pair, n=n if pair == "stateful" else None)[1], x, y, n)


@pytest.mark.slow
@pytest.mark.parametrize(("pair", "options"), TRAINING)
def test_training_equals_stock_layers(rng, pair, options):
    (x, y), n = random_data(rng, 6), 3 if pair == "stateful" or "jit_compile" in options else 4  # 4: a partial batch
    model, _ = build_models(rng, pair, n=n if pair == "stateful" else None, **options)
    results = training_results(model, x, y, n)
    np.testing.assert_allclose(results, stock_results(pair, n), rtol=1e-4)
    assert results[0] > results[2] > 0


def half_precision_models(policy, implementation):
    """Return a model and one with stock layers in half precision, and a batch, the same for each implementation."""
    rng = np.random.default_rng(7)
    return *build_models(rng, "mixed", T, policy=policy, implementation=implementation), random_data(rng, 4)[0]


def losses_of(model, x):
    return [model.train_on_batch(x, x[:, 0, :1]) for _ in range(6)]


@functools.cache
def stock_losses(policy):
    _, stock_model, x = half_precision_models(policy, "loop")
    return losses_of(stock_model, x)


@pytest.mark.parametrize(
    ("policy", "implementation"),
    [
        ("mixed_float16", FASTEST),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("mixed_float16", "xla"), ("mixed_bfloat16", FASTEST), ("mixed_bfloat16", "xla"))
        ),
    ],
)
def test_half_precision_computes_in_float32(compiled_shapes, policy, implementation):
    model, _, x = half_precision_models(policy, implementation)
    losses = [losses_of(model, x), stock_losses(policy)]
    assert np.all(np.diff(losses[0]) < 0) and np.all(np.isfinite(losses))
    np.testing.assert_allclose(*losses, rtol=2e-2)
    assert {w.dtype for w in model.trainable_weights} == {"float32"}
    assert {dtype for _, dtype in compiled_shapes} == ({"float32"} if implementation == "xla" else set())
    assert model.layers[0](x).dtype == policy.removeprefix("mixed_")


def print_runs_on_one_and_two_devices():
    """Print the losses and weights of the same run on one device and on two, as JSON."""
    results = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        rng = np.random.default_rng(7)
        with strategy.scope():
            model = build_models(rng, "mixed", T)[0]
        losses = model.fit(*random_data(rng, 8), batch_size=4, epochs=3, shuffle=False, verbose=0).history["loss"]
        results.append([*losses, *np.concatenate([w.ravel() for w in model.get_weights()]).tolist()])
    print(json.dumps([strategy.num_replicas_in_sync, results]))


TWO_DEVICES = """
import sys, tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
sys.path += ["tests", "tests/kernels"]
from test_xla_in_use import print_runs_on_one_and_two_devices as run; run()
"""


@pytest.mark.long
def test_mirrored_strategy_equals_one_device():
    command = [sys.executable, "-c", TWO_DEVICES]
    process = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert process.returncode == 0, process.stderr[-2000:]
    replicas, results = json.loads(process.stdout)
    assert replicas == 2
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6)


# === Changing lengths and batch sizes ===


def rounded_sizes(*bounds):
    return {round_up(size) for size in range(*bounds)}


def test_eager_calls_of_many_lengths_compile_few_shapes(rng, compiled_shapes):
    (model, stock_model), (x, _) = build_models(rng, "one", **XLA), random_data(rng, 2, 26)
    for steps in range(2, 26):
        assert_close(model(x[:, :steps]), stock_model(x[:, :steps]).numpy(), 1e-6)
    lengths = {shape[0] for shape, _ in compiled_shapes}
    assert len(lengths - rounded_sizes(2, 26)) <= plan.MAX_LENGTHS and len(lengths) < 20
    assert len(set(compiled_shapes)) == len(lengths)


@pytest.mark.slow
def test_fit_of_many_lengths_compiles_few_shapes(rng, compiled_shapes):
    batches = [random_data(rng, 2, steps) for steps in range(9, 17)]
    signature = (tf.TensorSpec((None, None, D)), tf.TensorSpec((None, 1)))
    stream = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature).repeat()
    options = {"steps_per_epoch": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    np.testing.assert_allclose(
        *[m.fit(stream, **options).history["loss"] for m in build_models(rng, "one", **XLA)], rtol=1e-4
    )
    assert {shape for shape, _ in compiled_shapes} == {(steps, D, 1) for steps in (10, 12, 14, 16)}


@pytest.mark.slow
def test_many_batch_sizes_compile_few_shapes(rng, compiled_shapes):
    (model, stock_model), (x, _) = build_models(rng, "one", T, **XLA), random_data(rng, 40)
    run = tf.function(model, input_signature=[tf.TensorSpec((None, T, D))])
    for n in range(1, 41):
        assert_close(run(x[:n]), stock_model(x[:n]).numpy(), 1e-6)
    assert {shape for shape, _ in compiled_shapes} <= {
        (T, D, n) for n in {0} | rounded_sizes(1, 41)
    }  # 0: the second half of one example


# === Second derivatives ===


@pytest.mark.parametrize(
    ("pair", "policy"),
    [
        ("mixed", "float32"),
        pytest.param("one", "float32", marks=pytest.mark.slow),
        pytest.param("remat", "float32", marks=pytest.mark.slow),
        pytest.param("mixed", "float64", marks=pytest.mark.slow),
        pytest.param("one", "float64", marks=pytest.mark.slow),
    ],
)
def test_second_derivatives_equal_stock_layers(rng, pair, policy):
    """Compare in a graph for the pair "one", and in eager mode with a mask for the others; float64 runs on XLA.

    The next test covers squared gradients in a graph.
    """
    graph, functions = (
        pair == "one",
        [jacobian_products, *([squared_gradient_norm] if pair != "one" or policy == "float32" else [])],
    )
    for derivatives in functions:
        layers = [model.layers[:-1] for model in build_models(rng, pair, policy=policy)]
        x, mask = (
            tf.constant(rng.normal(size=(2, 3, D)), policy),
            tf.constant([[True, False, True], [False, True, True]]),
        )
        run = tf.function(derivatives, autograph=False) if graph else derivatives
        actual, expected = (tf.nest.flatten(run(each, x, None if graph else mask)) for each in layers)
        for one, other in zip(actual, expected, strict=True):
            assert_close(one, other.numpy(), 1e-10 if policy == "float64" else 1e-5)


@pytest.mark.long
@pytest.mark.parametrize("remat", [False, True])
def test_second_derivatives_of_unknown_lengths(rng, remat):
    """A length below the number of remat chunks leaves some chunks empty."""
    layer, loop = DeepRNN(3, remat=remat, dtype="float64"), DeepRNN(3, implementation="loop", dtype="float64")
    x = rng.normal(size=(2, 20, D))
    layer(x), loop(x)
    loop.set_weights(layer.get_weights())
    spec = [tf.TensorSpec((None, None, D), "float64")]
    run, run_loop = (
        tf.function(lambda x, layer=each: squared_gradient_norm([layer], x, None), spec, autograph=False)
        for each in (layer, loop)
    )
    for steps in (1, 3, 20):
        for one, other in zip(tf.nest.flatten(run(x[:, :steps])), tf.nest.flatten(run_loop(x[:, :steps])), strict=True):
            assert_close(one, other.numpy(), 1e-10)


# === Files ===


@pytest.mark.parametrize(
    "pair", ["mixed", *(pytest.param(p, marks=pytest.mark.slow) for p in ("both directions", "drop-ins"))]
)
def test_loaded_model_continues_training(rng, tmp_path, pair):
    model, (x, y) = build_models(rng, pair, T)[0], random_data(rng, 4)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(2):
        assert_close(loaded.train_on_batch(x, y), model.train_on_batch(x, y))


@pytest.mark.parametrize(
    "pair", ["both directions", *(pytest.param(p, marks=pytest.mark.slow) for p in ("deep", "remat", "drop-ins"))]
)
def test_saved_model_export_runs_without_xla(rng, tmp_path, pair):
    steps = T if pair == "both directions" else None
    model = build_models(rng, pair, steps)[0]
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    for n, length in ((1, T), (3, steps or 7)):
        x, _ = random_data(rng, n, length)
        assert_close(loaded.serve(x), model(x).numpy(), 1e-6)
    functions = loaded.signatures["serving_default"].graph.as_graph_def().library.function
    assert not any(function.attr["_XlaMustCompile"].b for function in functions)


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["both directions", "deep", "drop-ins"])
def test_litert_export_equals_model(rng, tmp_path, pair):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    model, path, x = build_models(rng, pair, T, 1)[0], tmp_path / "model.tflite", random_data(rng, 1)[0]
    model.export(path, format="litert", verbose=False, input_signature=[tf.TensorSpec((1, T, D))])
    lite = interpreter.Interpreter(str(path))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], x)
    lite.invoke()
    assert_close(lite.get_tensor(lite.get_output_details()[0]["index"]), model(x).numpy(), 1e-6)


# === Threads and memory ===


@pytest.mark.slow
def test_two_threads_predict_concurrently(rng):
    (model, stock_model), inputs = build_models(rng, "mixed", T), [random_data(rng, n)[0] for n in (2, 7)]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda x: [model.predict(x, verbose=0) for _ in range(4)], inputs))
    for x, outputs in zip(inputs, results, strict=True):
        assert_close(outputs, [stock_model.predict(x, verbose=0)] * 4, 1e-5)


def is_collected(layers, **compile_options):
    """Build, fit, and delete a model; return whether it and its layers are garbage-collected."""
    model = keras.Sequential([keras.Input((T, D)), *layers, stock.Dense(1)])
    model.compile("adam", "mse", **compile_options)
    model.fit(np.ones((2, T, D)), np.ones((2, 1)), verbose=0)
    references = [weakref.ref(each) for each in (model, *layers)]
    del model, layers[:]
    keras.backend.clear_session()
    gc.collect()
    return not any(reference() for reference in references)


@pytest.mark.slow
def test_deleted_model_is_collected():
    """TensorFlow keeps graphs of functions alive, but no more of them than for stock layers."""
    gc.freeze()  # objects that exist already need not be scanned
    counts = []
    for make in reversed(PAIRS["one"]):
        for _ in range(3):
            assert is_collected(make())
            counts.append(sum(isinstance(each, tf.Graph) for each in gc.get_objects()))
    gc.unfreeze()
    assert counts[5] - counts[4] <= counts[2] - counts[1]


@pytest.mark.long
def test_memory_does_not_grow_over_many_models():
    """A model with its optimizer takes 3 MB: a leak per build would amount to 90 MB."""
    growth = []
    gc.freeze()
    for make in (lambda: [stock.LSTM(128, **SEQUENCES), stock.LSTM(128)], lambda: [DeepRNN(128, 2)]):
        rss = []
        for _ in range(51):
            assert is_collected(make(), run_eagerly=True)
            rss.append(resident_memory("VmRSS") / 1e6)
        growth.append(rss[50] - rss[20])
    gc.unfreeze()
    assert growth[1] < max(0, growth[0]) + 25
