"""`DeepRNN`: L recurrent layers on top of each other, one Keras layer."""

import keras
from keras import ops

from deeprnn_keras import checks, stack
from deeprnn_keras.initializers.seeding import derived_seed
from deeprnn_keras.layers import arguments, recurrent, state
from deeprnn_keras.layers.level import Level
from deeprnn_keras.layers.sequences import flip_time, zero_masked

ROLES = ("kernel", "recurrent", "bias")


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepRNN(keras.layers.Layer):
    """A deep recurrent network: each hidden state goes on to its layer's next step and to the next layer's same step.

    For step t and layers l = 1, ..., L, with H_t^(0) = X_t:

        H_t^(l) = f_l(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b^(l))          cell="rnn"

    or the GRU or LSTM equations with the same inputs. The layer returns H^(L); the output O_t = g(H_t^(L)) is the
    head that you put on top, such as `keras.layers.Dense`. It is a stack of whole Keras layers, never one
    `RNN(StackedRNNCells)`, so that every layer keeps its fast kernel.

    Args:
        units: h, or [h_1, ..., h_L] from the lowest layer up.
        num_layers: L. None: 1, or the length of `units`.
        cell: "rnn", "gru", "lstm", or a callable(units) that returns a Keras cell, or a list with one per layer.
        activation: f_l, one for all or a list with one per layer; None is the cell's own, tanh. As in Keras it acts
            on the candidate and on the output of an LSTM, not on its gates.
        connection: how the layers are joined.
            "stack": layer l reads H^(l-1).
            "residual": layer l > 1 adds what it reads to its output (equal units needed; layer 1, which reads data,
            does not): Wu et al. 2016. The output is H^(1) + ... + H^(L).
            "skip": every layer reads X too, and the output is [H^(1), ..., H^(L)]: Graves 2013.
        bidirectional: two chains of states per layer, one from the left and one from the right; layer l + 1 reads
            both, concatenated: 2 h features.
        dropout: rate in [0, 1) on what layers 2, ..., L read from below; neither on X nor on the output (dropout
            there belongs to the layers around), nor on the residual shortcut.
        kernel_initializer, recurrent_initializer, bias_initializer: Keras initializers, those of
            `deeprnn_keras.initializers` included; an object is used in all layers and draws different numbers in each.
            The defaults, None:
            kernel - `PerGate("glorot_uniform")`: each gate is a map of its own, from d to h, and is scaled as one;
            recurrent - `PerGate("orthogonal")`: each gate's matrix keeps the length of the state, so that nothing
            vanishes or explodes at the start; for cell="rnn" with ReLU `ScaledIdentity()`, which does so there;
            bias - 0, and `ForgetBias(1)` for an LSTM: it starts out remembering.
        return_sequences: return H_t^(L) for all t, not for the last one only.
        return_state: return the final states after the output.
        stateful: begin each batch with the final states of the last one; the batch size must be known.
        go_backwards: read the sequence from its end; a returned sequence, and its mask, are in the order read.
        seed: for dropout, a whole number, or None for one that `keras.utils.set_random_seed` fixes.

    Call:
        layer(x, initial_state=None, mask=None, training=False)

        x: (n, T, d), n and T may be unknown. mask: (n, T) of bool, False at steps to skip: the state stays, and the
            output repeats (bidirectional: is 0), as in Keras.
        initial_state: a list with one entry per layer, for L = 1 too: h (n, h_l) for "rnn" and "gru", [h, c] for
            "lstm"; bidirectional: [forward..., backward...].
        Returns (n, q), or (n, T, q) with `return_sequences`; q = h_L, the sum of all h with "skip", twice that if
        bidirectional. With `return_state`: that and one entry per layer, `output, *state = layer(x)`, where `state`
        is what `initial_state` takes.

    `get_weights()` runs from the lowest layer up, in each layer kernel, recurrent_kernel, bias (bidirectional:
    forward, then backward).

    Raises:
        ValueError: for arguments out of range, lists of another length than L, unknown names, residual connections
            over unequal widths, x not of rank 3, or a state of another structure or size.

    Sources: Graves, Mohamed & Hinton 2013 (arXiv:1303.5778); Zhang et al., Dive into Deep Learning, 10.3.

    >>> import keras
    >>> from deeprnn_keras import DeepRNN
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(32, num_layers=2), keras.layers.Dense(1)])
    >>> model.output_shape
    (None, 1)
    """

    def __init__(
        self,
        units,
        num_layers=None,
        cell="lstm",
        activation=None,
        connection="stack",
        bidirectional=False,
        dropout=0.0,
        *,
        kernel_initializer=None,
        recurrent_initializer=None,
        bias_initializer=None,
        return_sequences=False,
        return_state=False,
        stateful=False,
        go_backwards=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = stack.layer_units(units, num_layers)
        self.num_layers = len(self.units)
        self.cells = [arguments.cell(c) for c in checks.per_layer("cell", cell, self.num_layers)]
        self.activations = [
            arguments.activation(f) for f in checks.per_layer("activation", activation, self.num_layers)
        ]
        self.connection = stack.check_connection(connection, self.units)
        self.bidirectional = bool(bidirectional)
        self.dropout = checks.rate("dropout", dropout)
        self.kernel_initializer = arguments.initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = arguments.initializer("recurrent_initializer", recurrent_initializer)
        self.bias_initializer = arguments.initializer("bias_initializer", bias_initializer)
        self.return_sequences = bool(return_sequences)
        self.return_state = bool(return_state)
        self.stateful = bool(stateful)
        self.go_backwards = bool(go_backwards)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.directions = ("forward", "backward") if self.bidirectional else ("forward",)
        self._refuse_what_custom_cells_ignore()
        # === Layers === tracked in a flat list, so that weights run from the lowest layer up, forward before backward
        self.recurrent_layers = [
            self._recurrent_layer(level, direction)
            for level in range(self.num_layers)
            for direction in range(len(self.directions))
        ]
        count = len(self.directions)
        self.levels = [
            Level(list(self.recurrent_layers[i : i + count])) for i in range(0, len(self.recurrent_layers), count)
        ]
        self.dropouts = [
            keras.layers.Dropout(
                self.dropout,
                seed=None if seed is None else derived_seed(seed, level),
                dtype=self.dtype_policy,
                name=f"dropout_{level}",
            )
            for level in range(1, self.num_layers)
        ]

    def _refuse_what_custom_cells_ignore(self):
        for level, (cell, activation) in enumerate(zip(self.cells, self.activations, strict=True), start=1):
            if callable(cell) and activation is not None:
                raise ValueError(
                    f"activation: layer {level} uses the cell made by {cell!r}, which brings its own activation; "
                    "give None for this layer"
                )
        if all(callable(cell) for cell in self.cells):
            for name in ("kernel_initializer", "recurrent_initializer", "bias_initializer"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} has no effect on cells made by a callable; set it in the callable")

    def _recurrent_layer(self, level, direction):
        cell, units = self.cells[level], self.units[level]
        kwargs = {
            "return_sequences": self.return_sequences or level < self.num_layers - 1,
            "return_state": True,
            "stateful": self.stateful,
            "go_backwards": direction == 1,
            "dtype": self.dtype_policy,
            "name": f"{self.directions[direction]}_{level + 1}",
        }
        if callable(cell):
            return recurrent.custom_layer(cell, units, **kwargs)
        given = {role: getattr(self, f"{role}_initializer") for role in ROLES}
        place = level * len(self.directions) + direction
        return recurrent.named_layer(cell, units, self.activations[level], given, place, **kwargs)

    def build(self, sequences_shape, initial_state_shape=None):
        self._check_sequences(sequences_shape)
        n, steps, d = sequences_shape
        if self.stateful and n is None:
            raise ValueError(
                f"stateful=True needs a known batch size, got an input of shape {tuple(sequences_shape)}; "
                f"begin the model with keras.Input(batch_shape=(n, {steps}, {d}))"
            )
        self._inputs = d
        reads = stack.layer_inputs(self.units, d, self.connection, self.bidirectional)
        for level, width in zip(self.levels, reads, strict=True):
            level.build((n, steps, width))

    def _check_sequences(self, shape):
        if len(shape) != 3:
            hint = "; token ids (n, T) need an Embedding or OneHot layer first" if len(shape) == 2 else ""
            raise ValueError(f"{self.name}: x must have rank 3, (n, T, d), got shape {tuple(shape)}{hint}")
        if shape[2] is None or shape[1] == 0:
            what = "a known number of features d" if shape[2] is None else "at least one time step"
            raise ValueError(f"{self.name}: x must have {what}, got shape {tuple(shape)}")
        if self.built and shape[2] != self._inputs:
            raise ValueError(f"{self.name}: x must have d = {self._inputs} features, got shape {tuple(shape)}")

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if mask is None:  # Keras hands an attached mask over only where x is the one tensor argument
            mask = getattr(sequences, "_keras_mask", None)
        self._check_sequences(sequences.shape)
        sequences = ops.cast(sequences, self.compute_dtype)
        if self.go_backwards:
            sequences, mask = flip_time(sequences), flip_time(mask)
        given = state.split(initial_state, self.state_size, sequences.shape[0])
        want_last = not self.return_sequences and self.connection != "stack"
        outputs, lasts, states = [], [], []  # of all steps, of the last step, at the end; per layer
        for index, level in enumerate(self.levels):
            read = self._read(index, outputs, sequences, training)
            output, last, final = level.run(read, given[index], mask, training, want_last)
            outputs.append(self._with_shortcut(output, outputs))
            lasts.append(self._with_shortcut(last, lasts))
            states.append(final)
        result = self._joined(outputs if self.return_sequences else lasts)
        if self.return_sequences and self.bidirectional:
            result = zero_masked(result, mask)
        return (result, *state.join(states)) if self.return_state else result

    def _read(self, index, below, sequences, training):
        """What layer `index` reads, (n, T, d_l), given what leaves the layers below."""
        if index == 0:
            return sequences
        read = self.dropouts[index - 1](below[-1], training=training)
        return ops.concatenate([read, sequences], axis=-1) if self.connection == "skip" else read

    def _with_shortcut(self, output, below):
        """What leaves a layer: with residual connections its output and what leaves the layer below."""
        if self.connection != "residual" or output is None or not below:
            return output
        return output + below[-1]

    def _joined(self, outputs):
        return ops.concatenate(outputs, axis=-1) if self.connection == "skip" else outputs[-1]

    @property
    def state_size(self):
        """One list of state widths per layer, forward then backward."""
        return [level.state_sizes for level in self.levels]

    def get_initial_state(self, batch_size):
        """Zero states in the structure that `initial_state` takes and `return_state` gives."""
        zeros = [[ops.zeros((batch_size, s), self.compute_dtype) for s in sizes] for sizes in self.state_size]
        return state.join(zeros)

    def reset_state(self):
        """Sets the states that `stateful=True` keeps back to zero."""
        for layer in self.recurrent_layers:
            layer.reset_state()

    reset_states = reset_state  # Keras' alias

    def compute_mask(self, _, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = flip_time(mask) if self.go_backwards else mask
        mask = mask if self.return_sequences else None
        if not self.return_state:
            return mask
        return (mask, *state.join([[None] * len(sizes) for sizes in self.state_size]))

    def compute_output_spec(self, sequences, initial_state=None, mask=None, training=False):
        # with symbolic inputs Keras asks for this and never runs call()
        self._check_sequences(sequences.shape)
        state.split(initial_state, self.state_size, sequences.shape[0])
        return super().compute_output_spec(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        n, steps = sequences_shape[:2]
        width = stack.output_width(self.units, self.connection, self.bidirectional)
        shape = (n, steps, width) if self.return_sequences else (n, width)
        if not self.return_state:
            return shape
        return (shape, *state.join([[(n, size) for size in sizes] for sizes in self.state_size]))

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_layers": self.num_layers,
            "cell": [arguments.cell_config(c) for c in self.cells],
            "activation": [None if f is None else keras.activations.serialize(f) for f in self.activations],
            "connection": self.connection,
            "bidirectional": self.bidirectional,
            "dropout": self.dropout,
            **{
                f"{role}_initializer": keras.initializers.serialize(getattr(self, f"{role}_initializer"))
                for role in ROLES
            },
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "stateful": self.stateful,
            "go_backwards": self.go_backwards,
            "seed": self.seed,
        }
