"""Cases of `test_other_backends.py` for a process with another Keras backend; prints {case: error or ""} as JSON."""

import contextlib
import json
import sys
import tempfile
import traceback
from pathlib import Path

import keras
import numpy as np
from keras import ops

from deeprnn_keras import GRU, LSTM, RNN, DeepRNN, SimpleRNN, explain_kernels
from deeprnn_keras.kernels.linear_scan.recurrence import solve
from deeprnn_keras.optimizers import GuardedAdam

BACKEND = keras.backend.backend()
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
n, T, d, h = 5, 7, 3, 6


# === Derivatives and data ===


def values_and_gradients(layer, x, mask=None, states=None):
    """Return the results of a layer and the gradients of a function of them, as arrays."""
    arguments = {} if states is None else {"initial_state": states}
    weights = [weight.value for weight in layer.trainable_variables]

    def loss_of(results):
        flat = [result for result in keras.tree.flatten(results) if result is not None]
        return sum(ops.sum(ops.sin(result) * (index + 1)) for index, result in enumerate(flat)), results

    if BACKEND == "jax":
        import jax

        def loss(weights, x):
            pairs = zip(layer.trainable_variables, weights, strict=True)
            with keras.StatelessScope(state_mapping=list(pairs)):
                return loss_of(layer(x, mask=mask, training=True, **arguments))

        (_, results), (d_weights, d_x) = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(weights, x)
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            loss, results = loss_of(layer(x, mask=mask, training=True, **arguments))
        d_weights, d_x = tape.gradient(loss, (weights, x))
    else:
        import torch

        x = torch.tensor(np.asarray(x), requires_grad=True)
        loss, results = loss_of(layer(x, mask=mask, training=True, **arguments))
        *d_weights, d_x = torch.autograd.grad(loss, [*weights, x])
    return [ops.convert_to_numpy(each) for each in keras.tree.flatten([results, d_weights, d_x])]


def random_x(rng, shape=(n, T, d)):
    return ops.convert_to_tensor(rng.normal(size=shape).astype("float32"))


def masks(rng):
    lengths = np.array([7, 0, 3, 5, 1])
    padded = np.arange(T) < lengths[:, None]
    return {"none": None, "right": padded, "any": rng.random((n, T)) > 0.4}


def copy_weights(source, target):
    rng = np.random.default_rng(3)
    weights = [weight + 0.1 * rng.normal(size=weight.shape) for weight in source.get_weights()]
    source.set_weights(weights)
    target.set_weights(weights)


def assert_equal(ours, expected, what):
    for a, b in zip(ours, expected, strict=True):
        scale = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a / scale, b / scale, **TOLERANCE, err_msg=what)


def assert_message(function, *parts):
    try:
        function()
    except Exception as error:
        assert all(part in str(error) for part in parts), f"{type(error).__name__}: {error}"
    else:
        raise AssertionError(f"no error with {parts}")


# === Values and gradients ===


def layers_equal_those_of_keras():
    rng = np.random.default_rng(0)
    settings = [
        (LSTM, keras.layers.LSTM, {}),
        (LSTM, keras.layers.LSTM, {"recurrent_activation": "hard_sigmoid", "use_bias": False, "go_backwards": True}),
        (GRU, keras.layers.GRU, {}),
        (GRU, keras.layers.GRU, {"reset_after": False, "return_sequences": False}),
        (SimpleRNN, keras.layers.SimpleRNN, {"activation": "relu", "zero_output_for_mask": True}),
    ]
    x = random_x(rng)
    for ours_class, keras_class, options in settings:
        options = {"return_sequences": True, "return_state": True, **options}
        ours, theirs = ours_class(h, implementation="native", **options), keras_class(h, **options)
        ours.build(x.shape), theirs.build(x.shape)
        copy_weights(theirs, ours)
        states = [random_x(rng, (n, h)) for _ in range(2 if ours_class is LSTM else 1)]
        for name, mask in masks(rng).items():
            mask = None if mask is None else ops.convert_to_tensor(mask)
            results = [values_and_gradients(layer, x, mask, states) for layer in (ours, theirs)]
            assert_equal(*results, f"{ours_class.__name__} {options} {name}")


def stacks_equal_the_loop():
    rng = np.random.default_rng(1)
    x = random_x(rng)
    settings = [
        {"cell": "lstm", "num_layers": 3},
        {"cell": "gru", "bidirectional": True},
        {"cell": "rnn", "connection": "skip"},
        {"cell": "lstm", "connection": "residual", "remat": True},
        {"cell": "gru", "return_sequences": False, "connection": "skip"},
        {"cell": "lstm", "return_all_layers": True, "bidirectional": True, "go_backwards": True},
    ]
    for options in settings:
        options = {"units": h, "num_layers": 2, "return_sequences": True, "return_state": True, **options}
        ours = DeepRNN(implementation="native", **options)
        theirs = DeepRNN(implementation="loop", **{**options, "remat": False})
        ours.build(x.shape), theirs.build(x.shape)
        copy_weights(theirs, ours)
        for name, mask in masks(rng).items():
            mask = None if mask is None else ops.convert_to_tensor(mask)
            zeros = ours.get_initial_state(n)
            states = None if mask is None else keras.tree.map_structure(lambda zero: random_x(rng, zero.shape), zeros)
            assert_equal(
                *[values_and_gradients(layer, x, mask, states) for layer in (ours, theirs)], f"{options} {name}"
            )


def linear_scan_equals_the_loop():
    rng = np.random.default_rng(4)
    cells = ["min_gru", "lru", {"name": "qrnn", "window": 2}]
    for cell, length, options in [
        *((cell, 1, {}) for cell in cells),
        *((cell, 7, {"go_backwards": True}) for cell in cells),
        ("lru", 40, {}),
    ]:
        ours, theirs = (
            DeepRNN(h, 1, cell, return_sequences=True, return_state=True, implementation=name, **options)
            for name in ("auto", "loop")
        )
        assert [row.kernel for row in explain_kernels(ours)] == ["linear_scan"]
        x, what = random_x(rng, (n, length, d)), f"{cell} T={length}"
        ours.build(x.shape), theirs.build(x.shape)
        copy_weights(theirs, ours)
        assert_equal(*(values_and_gradients(layer, x) for layer in (ours, theirs)), what)
        mask = ops.convert_to_tensor(rng.random((n, length)) > 0.4)
        states = keras.tree.map_structure(lambda zero: random_x(rng, zero.shape), ours.get_initial_state(n))
        if length > 2:
            assert_equal(*(values_and_gradients(layer, x, mask, states) for layer in (ours, theirs)), f"{what} masked")
    (row,) = explain_kernels(DeepRNN(h, 1, "indrnn"))
    assert row.kernel == "loop" and "of the old one, not IndependentRNN" in " ".join(row.reasons)


def associative_scan_equals_chunks():
    rng = np.random.default_rng(5)
    shape = (n, T, h)
    a = {place: 0.7 * random_x(rng, shape) for place in ((0, 0), (0, 1), (1, 0))} | {(1, 1): 0.5 * random_x(rng, (h,))}
    b, initial = [random_x(rng, shape) for _ in range(2)], [random_x(rng, (n, h)) for _ in range(2)]
    results = ([ops.convert_to_numpy(one) for one in solve(a, b, initial, parallel)] for parallel in (True, False))
    assert_equal(*results, "associative scan")


def regularizers_draw_the_same_numbers_as_in_the_loop():
    x, options = random_x(np.random.default_rng(4)), {"weight_dropout": 0.5, "variational_dropout": [0.2, 0.4]}
    options |= {"cell": ["lstm", "gru"], "learned_initial_state": True, "seed": 1}
    native, loop = (DeepRNN([h, 4], implementation=one, **options) for one in ("native", "loop"))
    native.build(x.shape), loop.build(x.shape)
    copy_weights(native, loop)
    assert_equal(*[values_and_gradients(layer, x) for layer in (native, loop)], str(options))
    assert np.abs(ops.convert_to_numpy(native(x, training=True) - native(x))).max() > 1e-3
    assert len(native.get_weights()) == 6 + 3


def zoneout_is_an_interpolation_in_inference():
    x, mask = random_x(np.random.default_rng(5)), ops.convert_to_tensor(masks(np.random.default_rng(6))["any"])
    layer, plain = DeepRNN(h, cell="gru", zoneout=0.4), DeepRNN(h, cell="gru")
    layer.build(x.shape), plain.build(x.shape)
    copy_weights(plain, layer)
    np.testing.assert_allclose(
        0.6 * ops.convert_to_numpy(plain(x[:, :1])), ops.convert_to_numpy(layer(x[:, :1])), atol=1e-6
    )
    assert all(np.any(one) for one in values_and_gradients(layer, x, mask))


def mixed_precision_computes_in_float32():
    x = random_x(np.random.default_rng(2))
    half, full = (
        DeepRNN(h, num_layers=2, return_sequences=True, implementation="native", dtype=dtype)
        for dtype in ("mixed_bfloat16", "float32")
    )
    half.build(x.shape), full.build(x.shape)
    copy_weights(full, half)
    result = half(x)
    assert keras.backend.standardize_dtype(result.dtype) == "bfloat16"
    result = ops.convert_to_numpy(ops.cast(result, "float32"))
    np.testing.assert_allclose(result, ops.convert_to_numpy(full(x)), atol=1e-2)


def empty_batch():
    for options in ({"cell": "lstm"}, {"cell": "gru", "connection": "skip", "remat": True}):
        layer = DeepRNN(h, num_layers=2, return_sequences=True, implementation="native", **options)
        x = random_x(np.random.default_rng(0), (0, T, d))
        layer.build(x.shape)
        result, *gradients = values_and_gradients(layer, x)
        assert result.shape == (0, T, h if options["cell"] == "lstm" else 2 * h)
        assert all(not gradient.any() for gradient in gradients)


# === Training ===


def trained(implementation, stateful, **options):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, T, d)).astype("float32"), rng.normal(size=(20, T, 1)).astype("float32")
    inputs = keras.Input(batch_shape=(n, T, d)) if stateful else keras.Input((None, d))
    stack = DeepRNN(h, num_layers=2, return_sequences=True, implementation=implementation, stateful=stateful, seed=1)
    model = keras.Sequential(
        [
            inputs,
            keras.layers.Masking(),
            stack,
            LSTM(4, return_sequences=True),
            RNN(keras.layers.GRUCell(3), return_sequences=True, implementation=implementation),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", **options)
    losses = model.fit(x, y, batch_size=n, epochs=3, shuffle=False, verbose=0).history["loss"]
    return [*losses, model.evaluate(x, y, batch_size=n, verbose=0), *model.predict(x, batch_size=n, verbose=0).ravel()]


def fit_equals_the_loop():
    np.testing.assert_allclose(trained("native", False), trained("loop", False), rtol=1e-3, atol=1e-4)


def guarded_optimizer_skips_updates_that_are_not_finite():
    """A batch with NaN changes no weight and no slot; the other batches are those of Keras' optimizer."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(12, T, d)).astype("float32"), rng.normal(size=(12, 1)).astype("float32")
    weights, optimizers = [], []
    for optimizer_class, batches in ((GuardedAdam, [0, 1, 2]), (keras.optimizers.Adam, [0, 2])):
        keras.utils.set_random_seed(2)
        model = keras.Sequential([keras.Input((T, d)), LSTM(h), keras.layers.Dense(1)])
        model.compile(optimizer_class(0.1), "mse")
        for batch in batches:
            rows = slice(4 * batch, 4 * batch + 4)
            model.fit(x[rows] * (np.nan if batch == 1 else 1), y[rows], batch_size=4, verbose=0)
        weights.append(model.get_weights())
        optimizers.append(model.optimizer)
    assert_equal(*weights, "weights")
    guard, _ = optimizers
    counts = [int(ops.convert_to_numpy(one)) for one in (guard.applied, guard.skipped, guard.faulty, guard.iterations)]
    assert counts == [2, 1, 0, 2], counts


def fit_with_carried_states_equals_the_loop():
    np.testing.assert_allclose(trained("native", True), trained("loop", True), rtol=1e-3, atol=1e-4)


def fit_without_compiling_equals_the_loop():
    options = {"run_eagerly": True}
    np.testing.assert_allclose(trained("native", False, **options), trained("loop", False), rtol=1e-3, atol=1e-4)


# === Selection ===


def automatic_selection_takes_native_code():
    model = keras.Sequential(
        [
            keras.Input((None, d)),
            LSTM(2, name="a"),
        ]
    )
    row = explain_kernels(model)[0]
    assert (row.kernel, row.gpu_kernel) == ("native", "loop"), row
    assert "the current backend is" in row.reasons[0], row.reasons
    unsupported = explain_kernels(keras.Sequential([keras.Input((None, d)), LSTM(2, activation="selu")]))[0]
    assert unsupported.kernel == "loop" and any("selu" in reason for reason in unsupported.reasons), unsupported
    assert explain_kernels(keras.Sequential([LSTM(2, implementation="cudnn")]))[0].kernel == "loop"


def weights_on_a_gpu_rule_out_native_code():
    from dataclasses import replace

    from deeprnn_keras.kernels.machine import this_machine

    layer = LSTM(2, implementation="native")
    assert_message(lambda: layer.implementation_on(replace(this_machine(), gpu=True)), "default device is a CPU")


def a_model_is_exported_with_the_loop():
    model = keras.Sequential([keras.Input((T, d)), DeepRNN(h), keras.layers.Dense(1)])
    x = np.random.default_rng(0).normal(size=(n, T, d)).astype("float32")
    expected = model.predict(x, verbose=0)
    with tempfile.TemporaryDirectory() as directory:
        model.export(Path(directory, "model"), format="tf_saved_model", verbose=False)
        import tensorflow as tf

        loaded = tf.saved_model.load(str(Path(directory, "model")))
        np.testing.assert_allclose(loaded.serve(x), expected, **TOLERANCE)


def torch_export_and_compile_use_the_loop():
    import torch

    model = keras.Sequential([keras.Input((T, d)), DeepRNN(h), keras.layers.Dense(1)])
    x = torch.randn(n, T, d)
    exported = torch.export.export(model, (x,))
    torch.testing.assert_close(exported.module()(x), model(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.compile(model, backend="eager")(x), model(x), atol=1e-5, rtol=1e-5)


# === What is not supported ===


def _layer():
    layer = LSTM(h, return_sequences=True, implementation="native")
    layer.build((n, T, d))
    return layer


def second_derivatives_are_an_error():
    layer, x = _layer(), random_x(np.random.default_rng(0))
    if BACKEND == "jax":
        import jax

        def norm(x):
            return ops.sum(jax.grad(lambda x: ops.sum(layer(x) ** 2))(x) ** 2)

        assert_message(lambda: jax.grad(norm)(x), "first derivatives only", "implementation='loop'")
    else:
        import torch

        x = torch.tensor(np.asarray(x), requires_grad=True)
        (d_x,) = torch.autograd.grad(torch.sum(layer(x) ** 2), x, create_graph=True)
        assert_message(lambda: torch.sum(d_x**2).backward(), "first derivatives only", "implementation='loop'")


def vmap_is_an_error():
    layer, x = _layer(), random_x(np.random.default_rng(0), (2, n, T, d))
    if BACKEND == "jax":
        import jax

        assert_message(lambda: jax.vmap(layer)(x), "jax.vmap", "implementation='loop'")
        assert_message(lambda: jax.vmap(jax.grad(lambda x: ops.sum(layer(x))))(x), "jax.vmap")
    else:
        import torch

        assert_message(lambda: torch.func.vmap(layer)(x), "torch.vmap", "implementation='loop'")


def forward_mode_is_an_error():
    layer, x = _layer(), random_x(np.random.default_rng(0))
    if BACKEND == "jax":
        import jax

        assert_message(lambda: jax.jvp(layer, (x,), (x,)), "forward-mode")
    else:
        import torch

        assert_message(lambda: torch.func.jvp(layer, (x,), (x,)), "forward-mode")


def another_device_is_an_error():
    layer, x = _layer(), random_x(np.random.default_rng(0))
    if BACKEND == "jax":
        import jax

        lowered = jax.jit(layer).trace(x)
        assert_message(lambda: lowered.lower(lowering_platforms=("cuda",)), "CPU device only", "implementation='loop'")
    else:
        assert_message(lambda: layer(x.to("meta")), "CPU tensors only", "'meta'", "implementation='loop'")


def an_error_of_the_library_is_raised():
    from deeprnn_keras.kernels.native import library

    original, library.run = library.run, _fail
    try:
        layer, x = _layer(), random_x(np.random.default_rng(0))
        assert_message(lambda: np.asarray(layer(x)), "no memory left")
    finally:
        library.run = original


def _fail(function, call):
    raise MemoryError("no memory left")


CASES = [
    layers_equal_those_of_keras,
    stacks_equal_the_loop,
    linear_scan_equals_the_loop,
    associative_scan_equals_chunks,
    regularizers_draw_the_same_numbers_as_in_the_loop,
    zoneout_is_an_interpolation_in_inference,
    mixed_precision_computes_in_float32,
    empty_batch,
    guarded_optimizer_skips_updates_that_are_not_finite,
    fit_equals_the_loop,
    fit_with_carried_states_equals_the_loop,
    fit_without_compiling_equals_the_loop,
    automatic_selection_takes_native_code,
    weights_on_a_gpu_rule_out_native_code,
    second_derivatives_are_an_error,
    vmap_is_an_error,
    forward_mode_is_an_error,
    another_device_is_an_error,
    an_error_of_the_library_is_raised,
]
EXPORT = [a_model_is_exported_with_the_loop if BACKEND == "jax" else torch_export_and_compile_use_the_loop]


def main(names):
    errors = {}
    for case in [case for case in [*CASES, *EXPORT] if not names or case.__name__ in names]:
        errors[case.__name__] = ""
        try:
            with contextlib.redirect_stdout(sys.stderr):
                case()
        except Exception:
            errors[case.__name__] = traceback.format_exc()
    print(json.dumps(errors))


if __name__ == "__main__":
    main(sys.argv[1:])
