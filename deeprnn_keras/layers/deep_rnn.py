"""`DeepRNN`: L recurrent layers on top of each other, one Keras layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
from keras import ops

from deeprnn_keras import _compat, checks, stack
from deeprnn_keras.kernels import implementations, selection
from deeprnn_keras.kernels.contract import Connections, Implementation, StackCall
from deeprnn_keras.layers import arguments
from deeprnn_keras.layers.carried_state import CarriedState, ResetStatesWithMetrics
from deeprnn_keras.layers.drop_ins import OLD_NAMES, Memory
from deeprnn_keras.layers.recurrent_layer import ROLES, CellArguments, check_effect, make_recurrent_layer
from deeprnn_keras.layers.sequences import Dilation, flip_time, last_valid, zero_masked
from deeprnn_keras.layers.state_structure import join_state, split_state

Tensor = Any
# arguments that go into a configuration as they are
PLAIN = (
    "units",
    "num_layers",
    "connection",
    "bidirectional",
    "dropout",
    "use_bias",
    "reset_after",
    "recurrent_dropout",
)
PLAIN += ("ar", "tar", "dilation", "block_size", "return_sequences", "return_state", "return_all_layers", "stateful")
PLAIN += ("go_backwards", "implementation", "remat", "seed")


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepRNN(keras.layers.Layer):
    """A stack of L recurrent layers: each state passes to the next step of its layer and to the next layer.

    For step t and layers l = 1, ..., L, with H_t^(0) = X_t:

        H_t^(l) = f_l(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b^(l))          cell="rnn"

    or the GRU or LSTM equations with the same inputs. The layer returns H^(L); the output O_t = g(H_t^(L)) is the
    head that you put on top, such as `keras.layers.Dense`. It is a stack of whole Keras layers, never one
    `RNN(StackedRNNCells)`, so that every layer keeps its fast implementation: cuDNN on a GPU, on a CPU XLA, which runs
    the whole stack at once.

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
        recurrent_activation: of the gates, one for all or a list with one per layer; None is the cell's own, sigmoid.
        use_bias: as in Keras, for all layers.
        reset_after: as in Keras, for GRU layers; {"name": "gru", "reset_after": False} sets it for one layer.
        recurrent_dropout: rate in [0, 1) on the state that each step reads, as in Keras. It needs the loop, several
            times slower in training.
        kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint: as in Keras, for every layer.
        activity_regularizer: as in Keras, on the output.
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
        seed: for dropout, a whole number, or None for one that `keras.utils.set_random_seed` fixes. Layer l draws its
            recurrent dropout, and the dropout on what it reads from below, as Keras' layers do with seed + l.

    Call:
        layer(x, initial_state=None, mask=None, reset_mask=None, training=False)

        x: (n, T, d), n and T may be unknown. mask: (n, T) of bool, False at steps to skip: the state stays, and the
            output repeats (bidirectional: is 0), as in Keras.
        initial_state: a list with one entry per layer, for L = 1 too: h (n, h_l) for "rnn" and "gru", [h, c] for
            "lstm"; bidirectional: [forward..., backward...].
        reset_mask: (n,) of bool, with `stateful`: rows whose states are reset to 0.
        Returns (n, q), or (n, T, q) with `return_sequences`; q = h_L, the sum of all h with "skip", twice that if
        bidirectional. With `return_state`: that and one entry per layer, `output, *state = layer(x)`, where `state`
        is what `initial_state` takes.

    `get_weights()` runs from the lowest layer up, in each layer kernel, recurrent_kernel, bias (bidirectional:
    forward, then backward).

    Raises:
        ValueError: For arguments out of range or without effect, lists of another length than L, unknown names,
            residual connections over unequal widths, states with dilation, an implementation that does not support the
            layer, x not of rank 3, or a state of another structure or size.

    Sources: Graves, Mohamed & Hinton 2013 (arXiv:1303.5778); Zhang et al., Dive into Deep Learning, 10.3.

    >>> import keras
    >>> from deeprnn_keras import DeepRNN
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(32, num_layers=2), keras.layers.Dense(1)])
    >>> model.output_shape
    (None, 1)
    """

    def __init__(
        self,
        units: int | Sequence[int],
        num_layers: int | None = None,
        cell: Any = "lstm",
        activation: Any = None,
        connection: str = "stack",
        bidirectional: bool = False,
        dropout: float = 0.0,
        *,
        recurrent_activation: Any = None,
        use_bias: bool = True,
        reset_after: bool = True,
        recurrent_dropout: float = 0.0,
        kernel_initializer: Any = None,
        recurrent_initializer: Any = None,
        bias_initializer: Any = None,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        ar: float = 0.0,
        tar: float = 0.0,
        dilation: int | Sequence[int] = 1,
        block_size: int = 1,
        return_sequences: bool = False,
        return_state: bool = False,
        return_all_layers: bool = False,
        stateful: bool = False,
        go_backwards: bool = False,
        implementation: str = "auto",
        remat: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        checks.no_old_names(type(self).__name__, kwargs, OLD_NAMES)
        super().__init__(
            activity_regularizer=arguments.regularizer("activity_regularizer", activity_regularizer), **kwargs
        )
        self.units = stack.layer_units(units, num_layers)
        self.num_layers = len(self.units)
        self.cells = [arguments.cell(one) for one in checks.per_layer("cell", cell, self.num_layers)]
        self.activations = self._activations("activation", activation)
        self.recurrent_activations = self._activations("recurrent_activation", recurrent_activation)
        self.connection = stack.check_connection(connection, self.units)
        self.bidirectional = bool(bidirectional)
        self.dropout = checks.rate("dropout", dropout)
        self.use_bias, self.reset_after = bool(use_bias), bool(reset_after)
        self.recurrent_dropout = checks.rate("recurrent_dropout", recurrent_dropout)
        self.kernel_initializer = arguments.initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = arguments.initializer("recurrent_initializer", recurrent_initializer)
        self.bias_initializer = arguments.initializer("bias_initializer", bias_initializer)
        self.kernel_regularizer = arguments.regularizer("kernel_regularizer", kernel_regularizer)
        self.recurrent_regularizer = arguments.regularizer("recurrent_regularizer", recurrent_regularizer)
        self.bias_regularizer = arguments.regularizer("bias_regularizer", bias_regularizer)
        self.kernel_constraint = arguments.constraint("kernel_constraint", kernel_constraint)
        self.recurrent_constraint = arguments.constraint("recurrent_constraint", recurrent_constraint)
        self.bias_constraint = arguments.constraint("bias_constraint", bias_constraint)
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.return_all_layers, self.stateful = bool(return_all_layers), bool(stateful)
        self.dilation = arguments.dilation(
            dilation, self.num_layers, return_state=self.return_state, stateful=self.stateful
        )
        self.block_size = stack.check_block_size(block_size, self.connection, self.num_layers)
        self.go_backwards = bool(go_backwards)
        self.implementation = checks.one_of("implementation", implementation, selection.choices())
        self.remat = bool(remat)
        self.set_activation_regularization(ar, tar)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.directions = ("forward", "backward") if self.bidirectional else ("forward",)
        self._memory = Memory()
        cell_arguments = [self._cell_arguments(level) for level in range(self.num_layers)]
        check_effect(self.cells, cell_arguments)
        # === Layers === tracked in a flat list, so that weights run from the lowest layer up, forward before backward
        self.recurrent_layers = [
            self._recurrent_layer(level, direction, cell_arguments[level])
            for level in range(self.num_layers)
            for direction in range(len(self.directions))
        ]
        self.dropouts = [
            keras.layers.Dropout(
                self.dropout, seed=self._layer_seed(level), dtype=self.dtype_policy, name=f"dropout_{level}"
            )
            for level in range(1, self.num_layers)
        ]

    def _activations(self, name: str, value: Any) -> list[Any]:
        return [arguments.activation(one, name) for one in checks.per_layer(name, value, self.num_layers)]

    def _layer_seed(self, level: int) -> int | None:
        return None if self.seed is None else self.seed + level + 1  # levels count from 0, layers from 1

    def _cell_arguments(self, level: int) -> CellArguments:
        return CellArguments(
            activation=self.activations[level],
            recurrent_activation=self.recurrent_activations[level],
            use_bias=self.use_bias,
            reset_after=self.reset_after,
            recurrent_dropout=self.recurrent_dropout,
            initializers={role: getattr(self, f"{role}_initializer") for role in ROLES},
            regularizers={role: getattr(self, f"{role}_regularizer") for role in ROLES},
            constraints={role: getattr(self, f"{role}_constraint") for role in ROLES},
            seed=self._layer_seed(level),
        )

    def _recurrent_layer(self, level: int, direction: int, cell_arguments: CellArguments) -> keras.layers.RNN:
        return make_recurrent_layer(
            self.cells[level],
            self.units[level],
            cell_arguments,
            place=level * len(self.directions) + direction,
            return_sequences=self.return_sequences or level < self.num_layers - 1 or self.dilation[level] > 1,
            return_state=True,
            go_backwards=direction == 1,
            implementation=self.implementation,
            dtype=self.dtype_policy,
            name=f"{self.directions[direction]}_{level + 1}",
        )

    def set_activation_regularization(self, ar: float, tar: float) -> None:
        """Set the penalties on the activations of the output, see `ar` and `tar`."""
        self.ar, self.tar = (checks.non_negative(name, value) for name, value in (("ar", ar), ("tar", tar)))
        if (self.ar or self.tar) and not self.return_sequences:
            raise ValueError(
                f"ar={self.ar:g} and tar={self.tar:g} regularize every step of the output; they need "
                "return_sequences=True"
            )

    # === Levels and states ===

    @property
    def levels(self) -> list[list[keras.layers.RNN]]:
        """The recurrent layers of each level, [forward] or [forward, backward]."""
        count = len(self.directions)
        return [list(self.recurrent_layers[i : i + count]) for i in range(0, len(self.recurrent_layers), count)]

    @property
    def connections(self) -> Connections:
        """Connections between the levels."""
        return Connections(self.connection, self.block_size, self.return_all_layers)

    @property
    def state_size(self) -> list[list[int]]:
        """One list of state widths per layer, forward then backward."""
        sizes = [[layer.state_size for layer in level] for level in self.levels]
        return [[width for size in level for width in _as_list(size)] for level in sizes]

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Return zero states in the structure that `initial_state` takes and `return_state` gives."""
        zeros = [[ops.zeros((batch_size, s), self.compute_dtype) for s in sizes] for sizes in self.state_size]
        return join_state(zeros)

    def reset_state(self) -> None:
        """Reset the states that `stateful=True` carries to zero."""
        if self.stateful and self.built:
            self.carried_state.reset()

    reset_states = reset_state  # Keras' alias

    # === Building and running ===

    def build(self, sequences_shape: Any, initial_state_shape: Any = None, reset_mask_shape: Any = None) -> None:
        """Create the weights of all layers."""
        self._check_sequences(sequences_shape)
        n, steps, d = sequences_shape
        self.batch_size, self.input_dim = n, d
        widths = stack.layer_input_dims(self.units, d, self.connection, self.bidirectional)
        for level, width in zip(self.levels, widths, strict=True):
            for layer in level:
                layer.build((n, steps, width))
        if self.stateful:
            self.carried_state = CarriedState(self.name, self.state_size, self.compute_dtype, n)
            self._reset_with_metrics = ResetStatesWithMetrics(self.carried_state)

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        reset_mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        """Run the stack, see the class."""
        if mask is None:  # Keras hands an attached mask over only where x is the one tensor argument
            mask = _compat.keras_mask(sequences)
        self._check_sequences(sequences.shape)
        sequences = ops.cast(sequences, self.compute_dtype)
        if self.go_backwards:
            sequences, mask = flip_time(sequences), flip_time(mask)
        states = split_state(initial_state, self.state_size, sequences.shape[0])
        self._check_reset_mask(reset_mask)
        if self.stateful and initial_state is None:
            states = self.carried_state.read(ops.shape(sequences)[0], reset_mask, training)
        implementation = self._stack_implementation(training)
        if implementation is None:
            outputs, states = self._run_layers(sequences, states, mask, training)
        else:
            states = self._with_zeros(states, ops.shape(sequences)[0])
            outputs, states = implementation.run_stack(self._stack_call(training), sequences, states, mask)
            states = [[ops.cast(part, self.compute_dtype) for part in level] for level in states]
        if self.stateful:
            self.carried_state.store(states, training)
        if training and (self.ar or self.tar):
            self.add_loss(_activation_penalty(outputs[-1], mask, self.ar, self.tar))
        output = outputs if self.return_all_layers else outputs[0]
        return (output, *join_state(states)) if self.return_state else output

    def _stack_implementation(self, training: bool) -> Implementation | None:
        """Return the implementation that runs the whole stack at once, or None if its layers run one by one."""
        names = {layer.selected_implementation() for layer in self.recurrent_layers}
        drops = training and any(getattr(layer.cell, "dropout", 0.0) for layer in self.recurrent_layers)
        if len(names) > 1 or max(self.dilation) > 1 or drops:
            return None
        implementation = implementations().get(names.pop())
        return None if implementation is None or implementation.stack_runner is None else implementation

    def _stack_call(self, training: bool) -> StackCall:
        return StackCall(
            levels=[[layer.layer_call(training) for layer in level] for level in self.levels],
            connections=self.connections,
            # not dropout(...): under a half-precision policy that rounds
            dropouts=[partial(dropout.call, training=training) for dropout in self.dropouts],
            return_sequences=self.return_sequences,
            training=bool(training),
            remat=self.remat,
            cache=self._memory.content,
        )

    def _with_zeros(self, states: list[list[Tensor]], batch_size: Tensor) -> list[list[Tensor]]:
        """Return the states, and those that a layer begins with where none are given."""
        return [
            given or [state for layer in level for state in layer.get_initial_state(batch_size)]
            for given, level in zip(states, self.levels, strict=True)
        ]

    # === Layer by layer ===

    def _run_layers(
        self, sequences: Tensor, states: list[list[Tensor]], mask: Tensor | None, training: bool
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Return what leaves the stack, one tensor or one per level, and the final states of each level."""
        connections = self.connections
        simple = self.connection == "stack" and not self.return_all_layers and max(self.dilation) == 1
        want_last = not self.return_sequences and not simple  # else the top layer gives it by itself
        outputs, lasts, finals = [], [], []  # of all steps, of the last step, at the end; per level
        for number in range(self.num_layers):
            read = sequences
            if number:
                read = self.dropouts[number - 1].call(outputs[-1], training=training)
                read = ops.concatenate([read, sequences], -1) if connections.reads_input(number) else read
            output, last, final = self._run_level(number, read, states[number], mask, training, want_last)
            source = connections.shortcut_source(number)
            for found, value in ((outputs, output), (lasts, last)):
                found.append(value if source is None or value is None else value + found[source])
            finals.append(final)
        leaving = outputs if self.return_sequences else lasts
        if not self.return_all_layers:
            leaving = [_concatenated(leaving) if self.connection == "skip" else leaving[-1]]
        if self.return_sequences and self.bidirectional:
            leaving = [zero_masked(output, mask) for output in leaving]
        return leaving, finals

    def _run_level(
        self,
        number: int,
        read: Tensor,
        states: list[Tensor],
        mask: Tensor | None,
        training: bool,
        want_last: bool,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """Return H of all steps or None, H at the last step read or None, and the final states of a level.

        The first is there if the layers return sequences, the second if they do not, or if `want_last`.
        """
        if self.dilation[number] > 1:
            return self._run_dilated(number, read, states, mask, training, want_last)
        outputs, lasts, finals = [], [], []
        layers = self.levels[number]
        count = len(states) // len(layers)
        for place, layer in enumerate(layers):
            initial = states[place * count : (place + 1) * count] or None
            output, *final = layer(read, initial_state=initial, mask=mask, training=training)
            finals += final
            if not layer.return_sequences:
                lasts.append(output)
                continue
            if want_last:
                lasts.append(last_valid(output, flip_time(mask) if layer.go_backwards else mask))
            outputs.append(flip_time(output) if layer.go_backwards else output)
        return _concatenated(outputs), _concatenated(lasts), finals

    def _run_dilated(
        self,
        number: int,
        read: Tensor,
        states: list[Tensor],
        mask: Tensor | None,
        training: bool,
        want_last: bool,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """Return the same for a level whose layers run in chains."""
        rate = self.dilation[number]
        if states:
            raise ValueError(
                f"initial_state is not supported with dilation={rate}: a dilated layer keeps {rate} interleaved states"
            )
        outputs, lasts = [], []
        for layer in self.levels[number]:
            chains = Dilation(rate, layer.go_backwards)
            output, *_ = layer(chains.split(read), mask=chains.split(mask), training=training)
            output = chains.join(flip_time(output) if layer.go_backwards else output, read)
            outputs.append(output)
            if want_last:
                ends = (flip_time(output), flip_time(mask)) if layer.go_backwards else (output, mask)
                lasts.append(last_valid(*ends))
        return _concatenated(outputs), _concatenated(lasts), []

    # === Shapes, masks, checks ===

    def compute_mask(self, _: Any, mask: Any = None) -> Any:
        """Return the masks of the outputs."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = flip_time(mask) if self.go_backwards else mask
        mask = mask if self.return_sequences else None
        mask = [mask] * self.num_layers if self.return_all_layers else mask
        if not self.return_state:
            return mask
        return (mask, *join_state([[None] * len(sizes) for sizes in self.state_size]))

    def compute_output_spec(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Tensor | None = None,
        reset_mask: Tensor | None = None,
        training: bool = False,
    ) -> Any:
        """Return symbolic outputs; with symbolic inputs Keras asks for them and never runs `call`."""
        self._check_sequences(sequences.shape)
        split_state(initial_state, self.state_size, sequences.shape[0])
        self._check_reset_mask(reset_mask)
        return super().compute_output_spec(sequences, initial_state=initial_state, mask=mask, training=training)

    def compute_output_shape(
        self, sequences_shape: Any, initial_state_shape: Any = None, reset_mask_shape: Any = None
    ) -> Any:
        """Return the shape of the output, with those of the states behind it if the layer returns them."""
        n, steps = sequences_shape[:2]
        lead = (n, steps) if self.return_sequences else (n,)
        if self.return_all_layers:
            shape = [(*lead, stack.output_width([h], "stack", self.bidirectional)) for h in self.units]
        else:
            shape = (*lead, stack.output_width(self.units, self.connection, self.bidirectional))
        if not self.return_state:
            return shape
        return (shape, *join_state([[(n, size) for size in sizes] for sizes in self.state_size]))

    def _check_sequences(self, shape: Any) -> None:
        """Raise a ValueError if the stack cannot read x of this shape."""
        got = f"got shape {tuple(shape)}"
        if len(shape) != 3:
            hint = "; token ids (n, T) need an Embedding or OneHot layer first" if len(shape) == 2 else ""
            raise ValueError(f"{self.name}: x must have rank 3, (n, T, d), {got}{hint}")
        if shape[2] is None or shape[1] == 0:
            what = "a known number of features d" if shape[2] is None else "at least one time step"
            raise ValueError(f"{self.name}: x must have {what}, {got}")
        if self.built and shape[2] != self.input_dim:
            raise ValueError(f"{self.name}: x must have d = {self.input_dim} features, {got}")
        # only on TensorFlow may the number of rows of carried states vary
        backend = keras.backend.backend()
        if self.stateful and backend != "tensorflow" and (shape[0] is None or self._has_other_batch_size(shape[0])):
            wanted = f"the batch size {self.batch_size} it was built with" if self.built else "a known batch size"
            raise ValueError(
                f"{self.name}: with stateful=True on the {backend} backend x must have {wanted}, {got}; begin the "
                f"model with keras.Input(batch_shape=(n, {shape[1]}, {shape[2]}))"
            )

    def _has_other_batch_size(self, batch_size: int) -> bool:
        return self.built and batch_size != self.batch_size

    def _check_reset_mask(self, reset_mask: Tensor | None) -> None:
        """Raise a ValueError for a `reset_mask` that the stack cannot use."""
        if reset_mask is None:
            return
        if not self.stateful:
            raise ValueError(
                f"{self.name}: reset_mask selects the rows of a batch whose carried states are reset, and only "
                "stateful=True carries states; use stateful=True, or leave reset_mask out"
            )
        kind = keras.backend.standardize_dtype(reset_mask.dtype)
        if len(reset_mask.shape) != 1 or kind != "bool":
            shape = tuple(reset_mask.shape)
            raise ValueError(f"{self.name}: reset_mask must be bool of shape (n,), got {kind} of shape {shape}")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, as plain values."""
        serialize = {
            "initializer": keras.initializers.serialize,
            "regularizer": keras.regularizers.serialize,
            "constraint": keras.constraints.serialize,
        }
        objects = {f"{role}_{kind}": to_config for kind, to_config in serialize.items() for role in ROLES}
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in PLAIN},
            "cell": [arguments.cell_config(one) for one in self.cells],
            "activation": _serialized_activations(self.activations),
            "recurrent_activation": _serialized_activations(self.recurrent_activations),
            **{name: _or_none(to_config, getattr(self, name)) for name, to_config in objects.items()},
        }


def _activation_penalty(outputs: Tensor, mask: Tensor | None, ar: float, tar: float) -> Tensor:
    """Return ar mean(H_t^2) + tar mean((H_t - H_{t-1})^2) over the units and valid steps of outputs (n, T, q)."""
    outputs = ops.cast(outputs, "float32")
    valid = ops.ones(ops.shape(outputs)[:2]) if mask is None else ops.cast(mask, "float32")
    total = ar * _mean(ops.mean(ops.square(outputs), -1), valid)
    if tar:
        steps = ops.square(outputs[:, 1:] - outputs[:, :-1])
        total = total + tar * _mean(ops.mean(steps, -1), valid[:, 1:] * valid[:, :-1])
    return total


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return ops.sum(values * valid) / ops.maximum(ops.sum(valid), 1.0)


def _concatenated(parts: Sequence[Tensor]) -> Tensor | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return ops.concatenate(parts, axis=-1)


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _or_none(function: Any, value: Any) -> Any:
    return None if value is None else function(value)


def _serialized_activations(functions: Sequence[Any]) -> list[Any]:
    return [_or_none(keras.activations.serialize, function) for function in functions]
