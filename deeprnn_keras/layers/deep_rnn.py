"""`DeepRNN`: L recurrent layers on top of each other, one Keras layer."""

import keras
from keras import ops

from deeprnn_keras import checks, stack
from deeprnn_keras.initializers.seeding import derived_seed
from deeprnn_keras.kernels import dispatch
from deeprnn_keras.layers import arguments, recurrent, state
from deeprnn_keras.layers.by_layers import by_layers
from deeprnn_keras.layers.carried import BeginsAnew, Carried
from deeprnn_keras.layers.inputs import check_reset_mask, check_sequences
from deeprnn_keras.layers.level import Level
from deeprnn_keras.layers.penalties import check_penalties, penalty
from deeprnn_keras.layers.sequences import flip_time
from deeprnn_keras.layers.shapes import output_shape

ROLES = ("kernel", "recurrent", "bias")
PLAIN = ("units", "num_layers", "connection", "bidirectional", "dropout", "dilation", "block_size", "ar", "tar")
PLAIN += (
    "return_sequences",
    "return_state",
    "return_all_layers",
    "stateful",
    "go_backwards",
    "implementation",
    "remat",
)
PLAIN += ("seed",)  # arguments that go into a configuration as they are


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepRNN(keras.layers.Layer):
    """A deep recurrent network: each hidden state goes on to its layer's next step and to the next layer's same step.

    For step t and layers l = 1, ..., L, with H_t^(0) = X_t:

        H_t^(l) = f_l(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b^(l))          cell="rnn"

    or the GRU or LSTM equations with the same inputs. The layer returns H^(L); the output O_t = g(H_t^(L)) is the
    head that you put on top, such as `keras.layers.Dense`. It is a stack of whole Keras layers, never one
    `RNN(StackedRNNCells)`, so that every layer keeps its fast kernel: cuDNN on a GPU, on a CPU the fused kernel, which
    runs the whole stack at once.

    Args:
        units: h, or [h_1, ..., h_L] from the lowest layer up.
        num_layers: L. None: 1, or the length of `units`.
        cell: "rnn", "gru", "lstm"; a cell that is deep inside the step, "mlp_gate_rnn", "mlp_gate_gru",
            "mlp_gate_lstm", "deep_transition_rnn", "deep_transition_gru", "deep_transition_lstm", "rhn"; one of your
            own by `register_cell`; {"name": name, **options} for other than its default sizes; a callable(units)
            that returns a Keras cell; or a list with one per layer.
        activation: f_l, one for all or a list with one per layer; None is the cell's own, tanh. As in Keras it acts
            on the candidate and on the output of an LSTM, not on its gates.
        connection: how the layers are joined.
            "stack": layer l reads H^(l-1).
            "residual": layer l > 1 adds what it reads to its output (equal units needed; layer 1, which reads data,
            does not): Wu et al. 2016. The output is H^(1) + ... + H^(L).
            "skip": every layer reads X too, and the output is [H^(1), ..., H^(L)]: Graves 2013.
        bidirectional: two chains of states per layer, one from the left and one from the right; layer l + 1 reads
            both, concatenated: 2 h features.
        dilation: r, one for all or a list with one per layer: H_t^(l) follows H_{t-r}^(l) (Chang et al. 2017).
        block_size: layers that a residual shortcut passes over; with dilation [1, 2, 4, 8] and 2 this is the stack of
            Smyl's ES-RNN. The first block, which reads data, has none.
        dropout: rate in [0, 1) on what layers 2, ..., L read from below; neither on X nor on the output (dropout
            there belongs to the layers around), nor on the residual shortcut.
        kernel_initializer, recurrent_initializer, bias_initializer: Keras initializers, those of
            `deeprnn_keras.initializers` included; an object is used in all layers and draws different numbers in each.
            The defaults, None:
            kernel - `PerGate("glorot_uniform")`: each gate is a map of its own, from d to h, and is scaled as one;
            recurrent - `PerGate("orthogonal")`: each gate's matrix keeps the length of the state, so that nothing
            vanishes or explodes at the start; for cell="rnn" with ReLU `ScaledIdentity()`, which does so there;
            bias - 0, and `ForgetBias(1)` for an LSTM: it starts out remembering.
            Cells that are deep inside the step have their own, see there.
        return_sequences: return H_t^(L) for all t, not for the last one only.
        return_state: return the final states after the output.
        return_all_layers: return [H^(1), ..., H^(L)], what leaves each layer, in place of the output.
        stateful: begin each batch with the final states of the last one, row by row. States begin at 0 with each
            epoch of `fit` and each `evaluate`, and those of training and of evaluation do not mix. See `TBPTTDataset`.
        go_backwards: read the sequence from its end; a returned sequence, and its mask, are in the order read.
        implementation: "auto": cuDNN on a GPU for eligible layers, XLA on a CPU, else Keras' loop; or "cudnn", "xla",
            "loop" for all layers. `explain_kernels` tells which runs and why.
        remat: recompute the gates in the backward pass, in chunks of time, instead of storing them (XLA only): less
            memory, about 1.3 times the time.
        ar, tar: in training ar mean(h^2) + tar mean((h_t - h_{t-1})^2) over the steps of the output is added to the
            loss (activation regularization and its temporal form, Merity et al. 2017); needs `return_sequences`.
        seed: for dropout, a whole number, or None for one that `keras.utils.set_random_seed` fixes.

    Call:
        layer(x, initial_state=None, mask=None, reset_mask=None, training=False)

        x: (n, T, d), n and T may be unknown. mask: (n, T) of bool, False at steps to skip: the state stays, and the
            output repeats (bidirectional: is 0), as in Keras.
        initial_state: a list with one entry per layer, for L = 1 too: h (n, h_l) for "rnn" and "gru", [h, c] for
            "lstm"; bidirectional: [forward..., backward...].
        reset_mask: (n,) of bool, with `stateful`: rows that begin anew, with states of 0.
        Returns (n, q), or (n, T, q) with `return_sequences`; q = h_L, the sum of all h with "skip", twice that if
        bidirectional. With `return_state`: that and one entry per layer, `output, *state = layer(x)`, where `state`
        is what `initial_state` takes.

    `get_weights()` runs from the lowest layer up, in each layer kernel, recurrent_kernel, bias (bidirectional:
    forward, then backward).

    Raises:
        ValueError: for arguments out of range, lists of another length than L, unknown names, residual connections
            over unequal widths, states with dilation, x not of rank 3, or a state of another structure or size.

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
        dilation=1,
        block_size=1,
        kernel_initializer=None,
        recurrent_initializer=None,
        bias_initializer=None,
        return_sequences=False,
        return_state=False,
        return_all_layers=False,
        stateful=False,
        go_backwards=False,
        implementation="auto",
        remat=False,
        ar=0.0,
        tar=0.0,
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
        self.return_all_layers = bool(return_all_layers)
        self.stateful = bool(stateful)
        self.dilation = arguments.dilation(dilation, self)
        self.block_size = stack.check_block_size(block_size, self.connection, self.num_layers)
        self.go_backwards = bool(go_backwards)
        self.implementation = checks.one_of("implementation", implementation, dispatch.CHOICES)
        self.remat = bool(remat)
        self.ar, self.tar = check_penalties(ar, tar, self.return_sequences)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.directions = ("forward", "backward") if self.bidirectional else ("forward",)
        recurrent.refuse_what_custom_cells_ignore(self)
        # === Layers === tracked in a flat list, so that weights run from the lowest layer up, forward before backward
        self.recurrent_layers = [
            self._recurrent_layer(level, direction)
            for level in range(self.num_layers)
            for direction in range(len(self.directions))
        ]
        count = len(self.directions)
        self.levels = [
            Level(list(self.recurrent_layers[level * count : (level + 1) * count]), self.dilation[level])
            for level in range(self.num_layers)
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

    def _recurrent_layer(self, level, direction):
        cell, units = self.cells[level], self.units[level]
        kwargs = {
            "return_sequences": self.return_sequences or level < self.num_layers - 1 or self.dilation[level] > 1,
            "return_state": True,
            "go_backwards": direction == 1,
            "implementation": self.implementation,
            "dtype": self.dtype_policy,
            "name": f"{self.directions[direction]}_{level + 1}",
        }
        if callable(cell):
            return recurrent.custom_layer(cell, units, **kwargs)
        given = {role: getattr(self, f"{role}_initializer") for role in ROLES}
        place = level * len(self.directions) + direction
        return recurrent.named_layer(cell, units, self.activations[level], given, place, **kwargs)

    def build(self, sequences_shape, initial_state_shape=None, reset_mask_shape=None):
        check_sequences(self, sequences_shape)
        n, steps, d = sequences_shape
        self.batch, self.inputs = n, d
        reads = stack.layer_inputs(self.units, d, self.connection, self.bidirectional)
        for level, width in zip(self.levels, reads, strict=True):
            level.build((n, steps, width))
        if self.stateful:
            self.carried = Carried(self.name, self.state_size, self.compute_dtype, n)
            self._begins_anew = BeginsAnew(self.carried)

    def call(self, sequences, initial_state=None, mask=None, reset_mask=None, training=False):
        if mask is None:  # Keras hands an attached mask over only where x is the one tensor argument
            mask = getattr(sequences, "_keras_mask", None)
        check_sequences(self, sequences.shape)
        sequences = ops.cast(sequences, self.compute_dtype)
        if self.go_backwards:
            sequences, mask = flip_time(sequences), flip_time(mask)
        given = state.split(initial_state, self.state_size, sequences.shape[0])
        check_reset_mask(self, reset_mask)
        if self.stateful and initial_state is None:
            given = self.carried.read(ops.shape(sequences)[0], reset_mask, training)
        if self._on_fused_kernel():
            results, states = self._fused(sequences, given, mask, training)
        else:
            results, states = by_layers(self, sequences, given, mask, training)
        if self.stateful:
            self.carried.keep(states, training)
        if training and (self.ar or self.tar):
            self.add_loss(penalty(results[-1], mask, self.ar, self.tar))
        result = results if self.return_all_layers else results[0]
        return (result, *state.join(states)) if self.return_state else result

    def _on_fused_kernel(self):
        return max(self.dilation) == 1 and all(layer.chosen_kernel() == "xla" for layer in self.recurrent_layers)

    def _fused(self, sequences, given, mask, training):
        from deeprnn_keras.layers.fused_stack import fused_stack

        given = [
            states or level.initial_state(ops.shape(sequences)[0])
            for level, states in zip(self.levels, given, strict=True)
        ]
        results, states = fused_stack(self, sequences, given, mask, training)
        states = [[ops.cast(part, self.compute_dtype) for part in level] for level in states]
        return [ops.cast(result, self.compute_dtype) for result in results], states

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
        if self.stateful and self.built:
            self.carried.reset()

    reset_states = reset_state  # Keras' alias

    def compute_mask(self, _, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = flip_time(mask) if self.go_backwards else mask
        mask = mask if self.return_sequences else None
        mask = [mask] * self.num_layers if self.return_all_layers else mask
        if not self.return_state:
            return mask
        return (mask, *state.join([[None] * len(sizes) for sizes in self.state_size]))

    def compute_output_spec(self, sequences, initial_state=None, mask=None, reset_mask=None, training=False):
        # with symbolic inputs Keras asks for this and never runs call()
        check_sequences(self, sequences.shape)
        state.split(initial_state, self.state_size, sequences.shape[0])
        check_reset_mask(self, reset_mask)
        return super().compute_output_spec(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None, reset_mask_shape=None):
        return output_shape(self, *sequences_shape[:2])

    def get_config(self):
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in PLAIN},
            "cell": [arguments.cell_config(c) for c in self.cells],
            "activation": [None if f is None else keras.activations.serialize(f) for f in self.activations],
            **{
                f"{role}_initializer": keras.initializers.serialize(getattr(self, f"{role}_initializer"))
                for role in ROLES
            },
        }
