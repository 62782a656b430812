"""Learned initial states, and resets inside sequences, against the stack run on each segment alone."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from eagerly import eagerly
from fast_implementations import FASTEST

from deeprnn_keras import DeepRNN, LanguageModel
from deeprnn_keras.kernels import machine

N, T, D = 3, 5, 2
UNITS = [3, 2]
X = np.random.default_rng(0).normal(size=(N, T, D)).astype("float32")
RESETS = np.array([[0, 0, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
MASK = np.array([[1, 1, 0, 1, 1], [1, 0, 1, 1, 1], [0, 1, 1, 0, 0]], bool)


def stack(**options):
    layer = DeepRNN(UNITS, return_state=True, learned_initial_state=True, **options)
    layer.build(X.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape, scale=0.7) for weight in layer.get_weights()])
    return layer


def flat(structure):
    return keras.tree.flatten(structure)


def packed(leaves, like):
    return keras.tree.pack_sequence_as(like, leaves)


def by_segment(layer, x, states, mask):
    """Return the output and the final states of a stack that runs each segment of each row as a batch of its own."""
    outputs, finals = [], []
    for row in range(N):
        borders = [0, *(t for t in range(1, T) if RESETS[row, t]), T]
        results = []
        for number, (start, stop) in enumerate(itertools.pairwise(borders)):
            before = packed([one[row : row + 1] for one in flat(states)], states)
            initial = layer.get_initial_state(1)
            first, last = number == 0 and not RESETS[row, 0], number == len(borders) - 2
            before = [
                packed(
                    [
                        old if (first if k < len(flat(new)) // (1 + layer.bidirectional) else last) else one
                        for k, (old, one) in enumerate(zip(flat(old_level), flat(new), strict=True))
                    ],
                    new,
                )
                for old_level, new in zip(before, initial, strict=True)
            ]
            part = None if mask is None else tf.constant(mask[row : row + 1, start:stop])
            results.append(layer(x[row : row + 1, start:stop], initial_state=before, mask=part))
        outputs.append(_row_output(layer, [y for y, *_ in results]))
        levels = zip(*(after for _, *after in results), strict=True)
        finals.append([_last_read(layer, [flat(one) for one in level]) for level in levels])
    states_after = [tf.concat(rows, 0) for rows in zip(*map(flat, finals), strict=True)]
    return tf.concat(outputs, 0), states_after


def _last_read(layer, segments):
    count = len(segments[0]) // (1 + layer.bidirectional)
    return [*segments[-1][:count], *segments[0][count:]]


def _row_output(layer, outputs):
    if layer.return_sequences:
        return tf.concat(outputs, 1)
    width = UNITS[-1]
    return tf.concat([outputs[-1][:, :width], outputs[0][:, width:]], -1) if layer.bidirectional else outputs[-1]


def results(run, layer, states):
    x, given = tf.constant(X), flat(states)
    with tf.GradientTape() as tape:
        tape.watch([x, *given])
        y, after = run(layer, x, packed(given, states))
        loss = sum(tf.reduce_sum(tf.sin((k + 1) * one)) for k, one in enumerate([y, *after]))
    gradients = tape.gradient(loss, [x, *given, *layer.trainable_weights], unconnected_gradients="zero")
    return [tf.convert_to_tensor(one).numpy() for one in (y, *after, *gradients)]


def with_resets(mask):
    def run(layer, x, states):
        y, *after = layer(x, initial_state=states, mask=mask, reset_mask=tf.constant(RESETS))
        return y, flat(after)

    return run


@pytest.mark.parametrize(
    ("options", "mask"),
    [
        ({"cell": "lstm", "return_sequences": True}, MASK),
        ({"cell": "gru", "bidirectional": True}, None),
        pytest.param(
            {"cell": ["lstm", "mgu"], "bidirectional": True, "return_sequences": True}, MASK, marks=pytest.mark.slow
        ),
    ],
    ids=["lstm", "bidirectional gru", "bidirectional mgu"],
)
def test_segments_are_independent_sequences(options, mask):
    reference = stack(implementation="loop", **options)
    rng = np.random.default_rng(2)
    states = reference.get_initial_state(N)
    states = packed([tf.constant(rng.normal(size=one.shape), "float32") for one in flat(states)], states)
    expected = results(lambda *args: by_segment(*args, mask), reference, states)
    for implementation in ["loop", "xla"] if "mgu" in options["cell"] else ["auto", "xla"]:
        found = results(with_resets(mask), stack(implementation=implementation, **options), states)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=3e-5)


def test_reversed_stack_reads_the_same_segments():
    layer, backwards = stack(return_sequences=True), stack(return_sequences=True, go_backwards=True)
    begins = np.concatenate([np.zeros((N, 1), bool), RESETS[:, :0:-1]], 1)  # in reverse, a segment begins at its end
    y, *_ = layer(X[:, ::-1], reset_mask=begins)
    np.testing.assert_allclose(backwards(X, reset_mask=RESETS)[0], y, atol=1e-6)


def test_dilated_and_residual_stacks_are_reset():
    layer = DeepRNN(3, 3, connection="residual", dilation=[1, 2, 1], return_sequences=True, return_all_layers=True)
    outputs = layer(X, reset_mask=RESETS)
    for level, alone in zip(outputs, layer(X[:1, 2:4]), strict=True):
        np.testing.assert_allclose(level[:1, 2:4], alone, atol=1e-6)


def test_carried_states_start_from_the_learned_ones():
    """In a graph of unknown n and T, for rows that are reset and after a reset of all rows."""
    layer = stack(return_sequences=True, stateful=True)
    plain = stack(return_sequences=True)
    call = tf.function(
        lambda x, resets: layer(x, reset_mask=resets),
        input_signature=[tf.TensorSpec((None, None, D)), tf.TensorSpec((None, None), "bool")],
        autograph=False,
    )
    y, *after = call(X, tf.constant(RESETS))
    expected, *states = plain(X, reset_mask=RESETS)
    np.testing.assert_allclose(y, expected, atol=1e-6)
    np.testing.assert_allclose(call(X, RESETS)[0], plain(X, initial_state=states, reset_mask=RESETS)[0], atol=1e-6)
    rows = tf.constant([True, False, True])
    states = packed(
        [tf.where(rows[:, None], a, b) for a, b in zip(flat(layer.get_initial_state(N)), flat(after), strict=True)],
        after,
    )
    layer.carried_state.from_arrays([*(one.numpy() for one in flat(after)), *layer.carried_state.to_arrays()[4:]])
    np.testing.assert_allclose(layer(X, reset_mask=rows)[0], plain(X, initial_state=states)[0], atol=1e-6)
    layer.reset_state()
    arrays = layer.carried_state.to_arrays()
    assert all(len(one) == 0 for one in arrays)
    layer.carried_state.from_arrays(arrays)
    np.testing.assert_allclose(layer(X)[0], plain(X)[0], atol=1e-6)


def test_language_model_learns_its_initial_states(tmp_path):
    model = LanguageModel("abcd", 4, 2, cell="gru", learned_initial_state=True, stateful=True)
    model.compile("adam", model.loss_function())
    ids = np.random.default_rng(0).integers(4, size=(6, 7))
    with eagerly():
        model.fit((ids[:, :-1], np.ones(6, bool)), ids[:, 1:], batch_size=3, verbose=0)
    learned = [weight for weight in model.weights if "initial_state" in weight.path]
    assert [weight.path.split("deep_rnn/")[1] for weight in learned] == [
        "forward_1/initial_state/h",
        "forward_2/initial_state/h",
    ]
    assert all(np.any(weight) for weight in learned)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(ids), model(ids))


def test_temporal_penalty_does_not_compare_across_a_reset():
    layer = DeepRNN(3, return_sequences=True, tar=1.0)
    y = layer(X, reset_mask=RESETS, training=True).numpy()
    changes = np.mean(np.square(y[:, 1:] - y[:, :-1]), -1)[~RESETS[:, 1:]]
    np.testing.assert_allclose(layer.losses[0], changes.mean(), rtol=1e-5)


def test_compiled_step_is_refused():
    layer = DeepRNN(3, implementation="loop")
    with pytest.raises(ValueError, match=r"reset_mask of shape \(n, T\) is not supported in a compiled step"):
        tf.function(lambda: layer(X, reset_mask=RESETS), jit_compile=True, autograph=False)()


def test_resets_run_on_the_right_padded_path_of_cudnn(monkeypatch):
    """Keras runs its own loop where no GPU exists; the masks and the order of the steps are those of cuDNN."""
    expected = stack(return_sequences=True)(X, mask=MASK, reset_mask=RESETS)
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    layer = stack(return_sequences=True)
    assert {one.selected_implementation() for one in layer.recurrent_layers} == {"cudnn"} and FASTEST != "cudnn"
    for one, other in zip(flat(layer(X, mask=MASK, reset_mask=RESETS)), flat(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
