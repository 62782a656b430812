"""The XLA implementation in use: training, any lengths and batch sizes, second derivatives, files, threads, memory."""

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
from derivatives import of_products_with_the_jacobian, of_squared_gradients
from oracles import assert_close

from deeprnn_keras import GRU, LSTM, DeepRNN, SimpleRNN
from deeprnn_keras.bench.memory import resident_memory
from deeprnn_keras.kernels.xla import plan, stack
from deeprnn_keras.kernels.xla.plan import rounded_up

T, D, H = 4, 3, 3
stock = keras.layers
MORE = {"return_sequences": True}
PAIRS = {  # our layers, and the same of Keras
    "one": (lambda: [DeepRNN(H)], lambda: [stock.LSTM(H)]),
    "lean": (lambda: [DeepRNN(H, 2, remat=True)], lambda: [stock.LSTM(H, **MORE), stock.LSTM(H)]),
    "stateful": (lambda: [DeepRNN(H, stateful=True)], lambda: [stock.LSTM(H, stateful=True)]),
    "mixed": (
        lambda: [SimpleRNN(H, **MORE), DeepRNN(H, 2, ["lstm", "gru"])],
        lambda: [stock.SimpleRNN(H, **MORE), stock.LSTM(H, **MORE), stock.GRU(H)],
    ),
    "deep": (lambda: [DeepRNN(H, 3)], lambda: [stock.LSTM(H, **MORE), stock.LSTM(H, **MORE), stock.LSTM(H)]),
    "both directions": (
        lambda: [DeepRNN(H, 2, "gru", bidirectional=True)],
        lambda: [stock.Bidirectional(stock.GRU(H, return_sequences=more)) for more in (True, False)],
    ),
    "drop-ins": (
        lambda: [GRU(H, reset_after=False, **MORE), SimpleRNN(H, activation="relu", **MORE), LSTM(H)],
        lambda: [stock.GRU(H, reset_after=False, **MORE), stock.SimpleRNN(H, activation="relu", **MORE), stock.LSTM(H)],
    ),
}


def models(rng, pair="mixed", steps=None, n=None, policy="float32", **how):
    """A model with our layers and one with those of Keras, with the same random weights."""
    made = []
    keras.config.set_dtype_policy(policy)
    for layers in PAIRS[pair]:
        made.append(keras.Sequential([keras.Input(batch_shape=(n, steps, D)), *layers(), stock.Dense(1)]))
        made[-1].compile(keras.optimizers.SGD(0.1), "mse", **how)
    keras.config.set_dtype_policy("float32")
    made[0].set_weights([rng.normal(size=w.shape, scale=0.5) for w in made[0].get_weights()])
    made[1].set_weights(made[0].get_weights())
    return made


def data(rng, n, steps=T):
    return rng.normal(size=(n, steps, D)).astype("float32"), rng.normal(size=(n, 1)).astype("float32")


@pytest.fixture
def reached(monkeypatch):
    """The shapes and types that reach the kernel, a list of ((T, d, n), type); XLA compiles once for each of them."""
    found, differentiable_sequence = [], stack.differentiable_sequence

    def noting(*arguments):
        sequence = differentiable_sequence(*arguments)

        def noted(x, *rest):
            note = tf.numpy_function(lambda shape: found.append((tuple(shape), x.dtype.name)), [tf.shape(x)], [])
            with tf.control_dependencies([] if note is None else [note]):
                return sequence(tf.identity(x), *rest)

        return noted

    monkeypatch.setattr(stack, "differentiable_sequence", noting)
    return found


# === Training ===


TRAINING = [("one", {}), ("stateful", {})]
TRAINING += [pytest.param(*given, marks=pytest.mark.slow) for given in (("mixed", {}), ("one", {"run_eagerly": True}))]
TRAINING += [pytest.param(pair, {"jit_compile": True}, marks=pytest.mark.slow) for pair in ("one", "mixed")]


def begin_anew(model):
    """Keras' stateful layers begin an epoch with the states of the last one; ours with none."""
    for layer in (one for one in model.layers if isinstance(one, stock.RNN) and one.stateful):
        layer.reset_state()


@pytest.mark.parametrize(("pair", "how"), TRAINING)
def test_training_is_that_of_stock_layers(rng, pair, how):
    (x, y), results, n = data(rng, 6), [], 3 if pair == "stateful" or "jit_compile" in how else 4  # or a partial batch
    for model in models(rng, pair, n=n if pair == "stateful" else None, **how):
        anew = [keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_, model=model: begin_anew(model))]
        losses = model.fit(x, y, batch_size=n, epochs=3, shuffle=False, verbose=0, callbacks=anew).history["loss"]
        results.append([*losses, model.train_on_batch(x[:n], y[:n])])
        begin_anew(model)
        results[-1] += list(model.predict_on_batch(x[:n]).ravel())
        begin_anew(model)
        results[-1] += [model.evaluate(x, y, batch_size=n, verbose=0)]
        results[-1] += list(model.predict(x, batch_size=n, verbose=0).ravel())
    np.testing.assert_allclose(*results, rtol=1e-4)
    assert results[0][0] > results[0][2] > 0


@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)])
def test_half_precision_learns_and_computes_in_single(rng, reached, policy):
    ours, wanted = models(rng, "mixed", T, policy=policy)
    x, _ = data(rng, 4)
    losses = [[model.train_on_batch(x, x[:, 0, :1]) for _ in range(6)] for model in (ours, wanted)]
    assert np.all(np.diff(losses[0]) < 0) and np.all(np.isfinite(losses))
    np.testing.assert_allclose(*losses, rtol=2e-2)
    assert {kind for _, kind in reached} == {w.dtype for w in ours.trainable_weights} == {"float32"}
    assert ours.layers[0](x).dtype == policy.removeprefix("mixed_")


def trained_on_one_and_two_devices():
    """Losses and weights of the same training, on one device and on two, as JSON."""
    results = []
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        rng = np.random.default_rng(7)
        with strategy.scope():
            model = models(rng, "mixed", T)[0]
        losses = model.fit(*data(rng, 8), batch_size=4, epochs=3, shuffle=False, verbose=0).history["loss"]
        results.append([*losses, *np.concatenate([w.ravel() for w in model.get_weights()]).tolist()])
    print(json.dumps([strategy.num_replicas_in_sync, results]))


TWO_DEVICES = """
import sys, tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
sys.path += ["tests", "tests/kernels"]
from test_xla_in_use import trained_on_one_and_two_devices as run; run()
"""


@pytest.mark.slow
def test_a_mirrored_strategy_trains_as_one_device():
    command = [sys.executable, "-c", TWO_DEVICES]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-2000:]
    replicas, results = json.loads(done.stdout)
    assert replicas == 2
    np.testing.assert_allclose(*results, rtol=1e-4, atol=1e-6)


# === Any length, any batch size ===


def sizes(*numbers):
    return {rounded_up(number) for number in range(*numbers)}


def test_lengths_in_eager_calls(rng, reached):
    (ours, wanted), (x, _) = models(rng, "one"), data(rng, 2, 26)
    for steps in range(2, 26):
        assert_close(ours(x[:, :steps]), wanted(x[:, :steps]).numpy(), 1e-6)
    lengths = {shape[0] for shape, _ in reached}
    assert len(lengths - sizes(2, 26)) <= plan.MAX_LENGTHS and len(lengths) < 20
    assert len(set(reached)) == len(lengths)


@pytest.mark.slow
def test_lengths_through_fit(rng, reached):
    batches = [data(rng, 2, steps) for steps in range(9, 17)]
    signature = (tf.TensorSpec((None, None, D)), tf.TensorSpec((None, 1)))
    stream = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature).repeat()
    how = {"steps_per_epoch": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    np.testing.assert_allclose(*[m.fit(stream, **how).history["loss"] for m in models(rng, "one")], rtol=1e-4)
    assert {shape for shape, _ in reached} == {(steps, D, 1) for steps in (10, 12, 14, 16)}


@pytest.mark.slow
def test_batch_sizes(rng, reached):
    (ours, wanted), (x, _) = models(rng, "one", T), data(rng, 40)
    run = tf.function(ours, input_signature=[tf.TensorSpec((None, T, D))])
    for n in range(1, 41):
        assert_close(run(x[:n]), wanted(x[:n]).numpy(), 1e-6)
    assert {shape for shape, _ in reached} <= {(T, D, n) for n in {0} | sizes(1, 41)}  # of one example half is none


# === Second derivatives ===


@pytest.mark.slow
@pytest.mark.parametrize("pair", ["mixed", pytest.param("one", marks=pytest.mark.slow)])
def test_second_derivatives(rng, pair):
    """Of "one" in a graph, of "mixed" in eager mode with a mask; those of squares in a graph in the next test."""
    graph, ways = pair == "one", [of_products_with_the_jacobian, *([of_squared_gradients] if pair == "mixed" else [])]
    for derivatives in ways:
        layers = [model.layers[:-1] for model in models(rng, pair, policy="float64")]
        x, mask = tf.constant(rng.normal(size=(2, 3, D))), tf.constant([[True, False, True], [False, True, True]])
        run = tf.function(derivatives, autograph=False) if graph else derivatives
        got, wanted = (tf.nest.flatten(run(some, x, None if graph else mask)) for some in layers)
        for one, other in zip(got, wanted, strict=True):
            assert_close(one, other.numpy(), 1e-10)


@pytest.mark.long
@pytest.mark.parametrize("remat", [False, True])
def test_second_derivatives_of_any_lengths(rng, remat):
    """Also of lengths below the number of lean chunks, some of which are empty then."""
    fused, loop = DeepRNN(3, remat=remat, dtype="float64"), DeepRNN(3, implementation="loop", dtype="float64")
    x = rng.normal(size=(2, 20, D))
    fused(x), loop(x)
    loop.set_weights(fused.get_weights())
    spec = [tf.TensorSpec((None, None, D), "float64")]
    run, want = (
        tf.function(lambda x, layer=layer: of_squared_gradients([layer], x, None), spec, autograph=False)
        for layer in (fused, loop)
    )
    for steps in (1, 3, 20):
        for one, other in zip(tf.nest.flatten(run(x[:, :steps])), tf.nest.flatten(want(x[:, :steps])), strict=True):
            assert_close(one, other.numpy(), 1e-10)


# === Files ===


@pytest.mark.parametrize(
    "pair", ["mixed", *(pytest.param(p, marks=pytest.mark.slow) for p in ("both directions", "drop-ins"))]
)
def test_saved_and_loaded_models_go_on(rng, tmp_path, pair):
    model, (x, y) = models(rng, pair, T)[0], data(rng, 4)
    model.train_on_batch(x, y)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for _ in range(2):
        assert_close(loaded.train_on_batch(x, y), model.train_on_batch(x, y))


@pytest.mark.parametrize(
    "pair", ["both directions", *(pytest.param(p, marks=pytest.mark.slow) for p in ("deep", "lean", "drop-ins"))]
)
def test_saved_model(rng, tmp_path, pair):
    steps = T if pair == "both directions" else None
    model = models(rng, pair, steps)[0]
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    for n, length in ((1, T), (3, steps or 7)):
        x, _ = data(rng, n, length)
        assert_close(loaded.serve(x), model(x).numpy(), 1e-6)
    functions = loaded.signatures["serving_default"].graph.as_graph_def().library.function
    assert not any(function.attr["_XlaMustCompile"].b for function in functions)  # it runs where there is no XLA


@pytest.mark.parametrize(
    "pair", ["both directions", *(pytest.param(p, marks=pytest.mark.slow) for p in ("deep", "drop-ins"))]
)
def test_litert(rng, tmp_path, pair):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    model, path, x = models(rng, pair, T, 1)[0], tmp_path / "model.tflite", data(rng, 1)[0]
    model.export(path, format="litert", verbose=False, input_signature=[tf.TensorSpec((1, T, D))])
    lite = interpreter.Interpreter(str(path))
    lite.allocate_tensors()
    lite.set_tensor(lite.get_input_details()[0]["index"], x)
    lite.invoke()
    assert_close(lite.get_tensor(lite.get_output_details()[0]["index"]), model(x).numpy(), 1e-6)


# === Threads and memory ===


@pytest.mark.slow
def test_two_threads_predict_at_once(rng):
    (ours, wanted), inputs = models(rng, "mixed", T), [data(rng, n)[0] for n in (2, 7)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda x: [ours.predict(x, verbose=0) for _ in range(4)], inputs))
    for x, outputs in zip(inputs, found, strict=True):
        assert_close(outputs, [wanted.predict(x, verbose=0)] * 4, 1e-5)


def gone(layers, **how):
    """Builds and fits a model, takes leave of it; whether it is gone, and its layers."""
    model = keras.Sequential([keras.Input((T, D)), *layers, stock.Dense(1)])
    model.compile("adam", "mse", **how)
    model.fit(np.ones((2, T, D)), np.ones((2, 1)), verbose=0)
    references = [weakref.ref(thing) for thing in (model, *layers)]
    del model, layers[:]
    keras.backend.clear_session()
    gc.collect()
    return not any(reference() for reference in references)


@pytest.mark.slow
def test_nothing_holds_a_model_that_is_gone():
    """TensorFlow keeps the graphs of functions; with us there are no more of them than with Keras' layers."""
    gc.freeze()  # what is there already need not be looked at
    counts = []
    for make in reversed(PAIRS["one"]):
        for _ in range(3):
            assert gone(make())
            counts.append(sum(isinstance(thing, tf.Graph) for thing in gc.get_objects()))
    gc.unfreeze()
    assert counts[5] - counts[4] <= counts[2] - counts[1]


@pytest.mark.long
def test_memory_is_steady_over_many_models():
    """With its optimizer a model has 3 MB: one kept per build would be 90 MB."""
    grown = []
    gc.freeze()
    for make in (lambda: [stock.LSTM(128, **MORE), stock.LSTM(128)], lambda: [DeepRNN(128, 2)]):
        rss = []
        for _ in range(51):
            assert gone(make(), run_eagerly=True)
            rss.append(resident_memory("VmRSS") / 1e6)
        grown.append(rss[50] - rss[20])
    gc.unfreeze()
    assert grown[1] < max(0, grown[0]) + 25
