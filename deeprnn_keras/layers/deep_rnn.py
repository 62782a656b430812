"""`DeepRNN`: a stack of L recurrent layers as one Keras layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, cast

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat, checks, freezing, limits, stack
from deeprnn_keras._types import (
    Activation,
    CellSpec,
    Config,
    Constraint,
    Initializer,
    Nested,
    Regularizer,
    Shape,
    Tensor,
)
from deeprnn_keras.keras_objects import ChecksConfig, plain_config
from deeprnn_keras.kernels import implementations, selection
from deeprnn_keras.kernels.contract import Connections, Implementation, StackCall
from deeprnn_keras.layers import arguments, regularizers
from deeprnn_keras.layers.call_arguments import check_mask, check_real
from deeprnn_keras.layers.carried_state import CarriedState
from deeprnn_keras.layers.drop_ins import RENAMED_ARGUMENTS, UntrackedCache, UntrackedStack
from deeprnn_keras.layers.initial_state import InitialState
from deeprnn_keras.layers.recurrent_layer import (
    WEIGHT_ROLES,
    CellArguments,
    check_arguments_have_effect,
    make_recurrent_layer,
    output_size,
)
from deeprnn_keras.layers.rematerialization import check_remat, warn_if_remat_is_ignored
from deeprnn_keras.layers.segments import Segments
from deeprnn_keras.layers.sequences import Dilation, flip_time, last_valid, zero_masked
from deeprnn_keras.layers.state_structure import pack_state, unpack_state

PLAIN_ARGUMENTS = (
    "units",
    "num_layers",
    "connection",
    "bidirectional",
    "dropout",
    "use_bias",
    "reset_after",
    "recurrent_dropout",
    "variational_dropout",
    "weight_dropout",
    "zoneout",
    "learned_initial_state",
    "ar",
    "tar",
    "dilation",
    "block_size",
    "return_sequences",
    "return_state",
    "return_all_layers",
    "stateful",
    "go_backwards",
    "implementation",
    "remat",
    "seed",
)
"""Arguments that `get_config` copies from the attributes of the same name, because their values are JSON values."""


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class DeepRNN(ChecksConfig, keras.layers.Layer):
    """Stack of L recurrent layers, for example a deep LSTM.

    At each time step t, layer l reads the output of the layer below at the same step and its own state of the previous
    step. With H_t^(0) = X_t and l = 1, ..., L, a stack with `cell="rnn"` computes

        H_t^(l) = f_l(H_t^(l-1) W_xh^(l) + H_{t-1}^(l) W_hh^(l) + b^(l))

    Other cells, for example LSTM and GRU, replace this equation with their own. The layer returns H^(L). A head that
    follows the layer, for example `keras.layers.Dense`, computes the output O_t = g(H_t^(L)).

    The stack consists of L complete recurrent layers, unlike `keras.layers.RNN(keras.layers.StackedRNNCells(...))`.
    Each of them can therefore use a fast implementation: cuDNN on a GPU, native code or XLA on a CPU. The latter two
    can run the whole stack in a single call.

    Args:
        units: Number of hidden units h, or a list [h_1, ..., h_L] with one entry per layer, lowest layer first.
        num_layers: Number of layers L. Defaults to the length of `units` if it is a list, otherwise to 1.
        cell: Cell of all layers, or a list with one cell per layer. Supported cells:

            - "rnn", "gru", and "lstm".
            - Cells with several nonlinear layers within each step: "mlp_gate_rnn", "mlp_gate_gru", "mlp_gate_lstm",
              "deep_transition_rnn", "deep_transition_gru", "deep_transition_lstm", and "rhn" (recurrent highway
              network).
            - Cells with other gates, "mgu", "ugrnn", "coupled_lstm", "peephole_lstm", "multiplicative_lstm", and
              "fast_grnn"; with an output of fewer features, "projected_lstm"; with layer normalization,
              "layer_norm_lstm" and "layer_norm_gru"; with an elementwise recurrence, "indrnn"; with products of the
              inputs only, "min_gru", "min_lstm", "qrnn", "sru", "lru", and "rg_lru".
            - The name of a user-defined cell, registered with `register_cell`.
            - {"name": name, **options}: a cell with one of these names and non-default options.
            - A callable(units) that returns a Keras cell.
        activation: Activation f_l, or a list with one activation per layer. None selects the default of the cell, tanh.
            As in Keras, it applies to the candidate and, in an LSTM, to the cell state when the output is computed, but
            not to the gates.
        connection: Connection between the layers.

            - "stack": Layer l reads H^(l-1).
            - "residual": As "stack", and each layer except the first adds its input to its output (Wu et al. 2016). The
              outputs of all layers must have the same width. The stack returns H^(1) + ... + H^(L), with H^(l) taken
              before the addition.
            - "skip": Each layer also reads X, and the stack returns the concatenation [H^(1), ..., H^(L)] (Graves
              2013).
        bidirectional: If True, each layer consists of a forward and a backward recurrence over the sequence. Their
            outputs are concatenated, as by `keras.layers.Bidirectional`, and the next layer reads 2 h features.
        dropout: Dropout rate, in [0, 1), on the inputs that layers 2, ..., L receive from the layer below, with a new
            mask at each step. It does not apply to X, to the output of the stack, or to residual shortcuts. For dropout
            on X or on the output, add `keras.layers.Dropout` before or after this layer.
        recurrent_activation: Activation of the gates, or a list with one activation per layer. None selects the default
            of the cell, sigmoid.
        use_bias: If True, the layers have biases, as in Keras.
        reset_after: As in `keras.layers.GRU`, for all GRU layers. To set it for one layer, pass
            {"name": "gru", "reset_after": False} as its `cell`.
        recurrent_dropout: Dropout rate, in [0, 1), on the state that each step reads, as in Keras. It requires the loop
            implementation, whose training steps take several times as long.
        variational_dropout: Dropout rate, in [0, 1), on the input of each layer, X for layer 1, with one mask per
            sequence for all its steps (Gal & Ghahramani 2016), or a list with one rate per layer. With
            `connection="skip"`, all layers read X with the mask of layer 1. It keeps every fast implementation. For
            the output of the stack, add `keras.layers.SpatialDropout1D` after this layer.
        weight_dropout: Dropout rate, in [0, 1), of the recurrent matrices (DropConnect; Merity et al. 2017), or a list
            with one rate per layer: in training, U m / (1 - rate) replaces U, with a mask m of zeros and ones that is
            drawn once per batch. It keeps every fast implementation.
        zoneout: Rate, in [0, 1), at which a unit of a state keeps its previous value at a step, or, for cells with the
            states h and c, a pair (rate of c, rate of h) (Krueger et al. 2017). In inference, the state is the
            expectation, z s_{t-1} + (1 - z) s_t. It requires the loop implementation.
        learned_initial_state: If True, the states before the first step are weights, h_0 and for "lstm" c_0 of each
            layer and direction, instead of zeros. They are zero before training.
        kernel_initializer: Initializer of the input kernels. None selects the default described below. An initializer
            object is shared by all layers, but draws different numbers for each of them.
        recurrent_initializer: Initializer of the recurrent kernels; see `kernel_initializer`.
        bias_initializer: Initializer of the biases; see `kernel_initializer`.
        kernel_regularizer: Regularizer of the input kernels.
        recurrent_regularizer: Regularizer of the recurrent kernels.
        bias_regularizer: Regularizer of the biases.
        activity_regularizer: Regularizer of the output of the stack.
        kernel_constraint: Constraint on the input kernels.
        recurrent_constraint: Constraint on the recurrent kernels.
        bias_constraint: Constraint on the biases.
        ar: Activation regularization (Merity et al. 2017): coefficient of the loss term mean(H_t^2) in training, over
            the units and unmasked steps of the output. Requires `return_sequences=True`.
        tar: Temporal activation regularization: coefficient of the loss term mean((H_t - H_{t-1})^2) in training, over
            the units and the pairs of consecutive unmasked steps. Requires `return_sequences=True`.
        dilation: Dilation rate r, or a list with one rate per layer. H_t^(l) depends on H_{t-r}^(l) instead of
            H_{t-1}^(l) (Chang et al. 2017).
        block_size: Number of layers that a residual shortcut spans, for `connection="residual"`. The first block, which
            reads X, has no shortcut. `block_size=2` with `dilation=[1, 2, 4, 8]` is the stack of Smyl's ES-RNN.
        return_sequences: If True, return the output of all steps instead of the last step only.
        return_state: If True, return the final states after the output.
        return_all_layers: If True, return the list of the outputs of all layers, [H^(1), ..., H^(L)], instead of the
            output of the stack.
        stateful: If True, the final states of each batch are the initial states of the next batch, row by row.
            Training and evaluation use separate states. They are reset to zero, or to the learned initial states, at
            the beginning of each epoch of `fit` and of each call of `evaluate`, and by `reset_state()`. `TBPTTDataset`
            provides batches in the required order.
        go_backwards: If True, read the sequence in reverse. A returned sequence and its mask are in reverse order, too.
        implementation: "auto", "cudnn", "native", "scan", "linear_scan", "xla", or "loop", for all layers. "auto"
            selects cuDNN on a GPU for eligible layers, and the linear scan for cells that are linear in their states;
            on a CPU native code if it supports all layers, the scan for cells with an elementwise recurrence, otherwise
            XLA; and Keras' loop otherwise. `explain_kernels` shows the selection and the reasons.
        remat: Rematerialization: if True, recompute the gates in the backward pass, in chunks of time steps, instead of
            storing them. This saves memory, but training steps take about 1.3 times as long. It requires that native
            code or XLA runs the whole stack in a single call: an argument or cell that excludes this on every machine
            is an error. With `implementation="auto"` on a machine with a GPU, where cuDNN or the loop runs the layers
            one by one, the option has no effect and a warning is issued.
        seed: Random seed for dropout. None selects a seed that `keras.utils.set_random_seed` determines. Layer l uses
            `seed + l` for dropout on its inputs and for recurrent dropout. If the layers run one by one, it draws the
            same numbers as Keras layers with this seed. Variational dropout, weight dropout, and zoneout use the seeds
            that follow and draw the same numbers with every implementation.
        kwargs: Arguments of `keras.layers.Layer`: `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: Inputs x, (n, T, d). n and T may be unknown.
        initial_state: List with one entry per layer, even if L is 1. An entry is a tensor h, (n, h_l), for "rnn" and
            "gru", and a list [h, c] for "lstm"; `state_size` lists the widths for other cells. If bidirectional, it is
            a list of the forward states followed by the backward states. Defaults to zeros or the learned states, or to
            the carried states if `stateful=True`.
        mask: Boolean mask (n, T), False at steps to skip. As in Keras, the state does not change at a skipped step, and
            the output repeats that of the previous step (zero if bidirectional).
        reset_mask: Boolean mask (n, T), true at the steps before which the states are reset, for example at the first
            step of each document of a packed sequence. No state crosses such a border, in either direction: the result
            is that of each segment as a sequence of its own, also for the outputs at masked steps. Without
            `return_sequences`, each direction returns the output of the segment that it reads last. A mask (n,) instead
            selects the rows whose carried states are reset before the batch; it requires `stateful=True`.
        training: If True, apply dropout, add the activation regularization to the losses, and use the carried states of
            training instead of those of evaluation.

    Output shape:
        (n, q), or (n, T, q) with `return_sequences=True`. q is h_L, or h_1 + ... + h_L with `connection="skip"`; if
        bidirectional, it is twice as large. For a layer with "projected_lstm", its projection takes the place of h_l.
        With `return_all_layers=True`, the output is a list with one such tensor per layer, where q is h_l for layer l,
        or twice h_l if bidirectional. With `return_state=True`, the result is a tuple of the output and one entry per
        layer, in the structure of `initial_state`: `output, *state = layer(x)`.

    Weights:
        `get_weights()` lists the weights layer by layer, from the lowest to the highest layer. The weights of a layer
        are kernel, recurrent_kernel, bias, and the learned initial states h and c, if there are any; if bidirectional,
        first those of the forward recurrence, then those of the backward recurrence.

    Default initializers:
        These are the defaults for "rnn", "gru", and "lstm". For other cells, see their documentation.

        - Input kernels: `PerGate("glorot_uniform")`. The kernel of each gate is scaled as a separate map from d to h.
        - Recurrent kernels: `PerGate("orthogonal")`. The kernel of each gate preserves the norm of the state, so that
          signals and gradients initially neither vanish nor explode. For "rnn" with ReLU, `ScaledIdentity()` has this
          effect and is used instead.
        - Biases: zeros and, for "lstm", `ForgetBias(1)`, so that the layer initially retains its state.

    Raises:
        ValueError: If an argument is out of range or has no effect, a list does not have L entries, a name is unknown,
            units differ in a residual stack, `return_state`, `stateful`, or `initial_state` is used with dilation, the
            requested implementation does not support a layer, `weight_dropout` or `zoneout` is not supported by a
            cell, the inputs do not have rank 3, a state has an unexpected structure or shape, or `reset_mask` has the
            shape (n, T) in a step that is compiled as a whole.

    Sources: Graves, Mohamed & Hinton 2013 (arXiv:1303.5778); Zhang et al., Dive into Deep Learning, 10.3.

    >>> import keras
    >>> from deeprnn_keras import DeepRNN
    >>> model = keras.Sequential([keras.Input((None, 3)), DeepRNN(32, num_layers=2), keras.layers.Dense(1)])
    >>> model.output_shape
    (None, 1)

    Layers may differ, and states can be passed from one call to the next:

    >>> layer = DeepRNN([32, 16], cell=["gru", "lstm"], dropout=0.1, return_sequences=True, return_state=True)
    >>> output, *state = layer(keras.ops.ones((4, 5, 3)))
    >>> output.shape, len(state)
    (TensorShape([4, 5, 16]), 2)
    >>> output, *state = layer(keras.ops.ones((4, 5, 3)), initial_state=state)
    """

    batch_size: int | None
    input_dim: int
    carried_state: CarriedState
    ar: float
    tar: float

    def __init__(
        self,
        units: int | Sequence[int],
        num_layers: int | None = None,
        cell: CellSpec | Sequence[CellSpec] = "lstm",
        activation: Activation | Sequence[Activation] = None,
        connection: str = "stack",
        bidirectional: bool = False,
        dropout: float = 0.0,
        *,
        recurrent_activation: Activation | Sequence[Activation] = None,
        use_bias: bool = True,
        reset_after: bool = True,
        recurrent_dropout: float = 0.0,
        variational_dropout: float | Sequence[float] = 0.0,
        weight_dropout: float | Sequence[float] = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        learned_initial_state: bool = False,
        kernel_initializer: Initializer = None,
        recurrent_initializer: Initializer = None,
        bias_initializer: Initializer = None,
        kernel_regularizer: Regularizer = None,
        recurrent_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        activity_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        recurrent_constraint: Constraint = None,
        bias_constraint: Constraint = None,
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
        checks.reject_former_names(type(self).__name__, kwargs, RENAMED_ARGUMENTS)
        super().__init__(
            activity_regularizer=arguments.regularizer("activity_regularizer", activity_regularizer), **kwargs
        )
        self.units = stack.layer_units(units, num_layers)
        self.num_layers = len(self.units)
        self.cells = [arguments.cell(one) for one in checks.per_layer("cell", cell, self.num_layers)]
        self.activations = self._activations("activation", activation)
        self.recurrent_activations = self._activations("recurrent_activation", recurrent_activation)
        self.bidirectional, self.go_backwards, self.remat = checks.flags(
            bidirectional=bidirectional, go_backwards=go_backwards, remat=remat
        )
        self.dropout = checks.rate("dropout", dropout)
        self.use_bias, self.reset_after = checks.flags(use_bias=use_bias, reset_after=reset_after)
        (self.learned_initial_state,) = checks.flags(learned_initial_state=learned_initial_state)
        self.recurrent_dropout = checks.rate("recurrent_dropout", recurrent_dropout)
        self.variational_dropout = regularizers.rates("variational_dropout", variational_dropout, self.num_layers)
        self.weight_dropout = regularizers.rates("weight_dropout", weight_dropout, self.num_layers)
        self.zoneout = regularizers.zoneout(zoneout)
        self.kernel_initializer = arguments.initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = arguments.initializer("recurrent_initializer", recurrent_initializer)
        self.bias_initializer = arguments.initializer("bias_initializer", bias_initializer)
        self.kernel_regularizer = arguments.regularizer("kernel_regularizer", kernel_regularizer)
        self.recurrent_regularizer = arguments.regularizer("recurrent_regularizer", recurrent_regularizer)
        self.bias_regularizer = arguments.regularizer("bias_regularizer", bias_regularizer)
        self.kernel_constraint = arguments.constraint("kernel_constraint", kernel_constraint)
        self.recurrent_constraint = arguments.constraint("recurrent_constraint", recurrent_constraint)
        self.bias_constraint = arguments.constraint("bias_constraint", bias_constraint)
        self.return_sequences, self.return_state, self.return_all_layers, self.stateful = checks.flags(
            return_sequences=return_sequences,
            return_state=return_state,
            return_all_layers=return_all_layers,
            stateful=stateful,
        )
        self.dilation = arguments.dilation(
            dilation, self.num_layers, return_state=self.return_state, stateful=self.stateful
        )
        self.implementation = checks.one_of("implementation", implementation, selection.argument_values())
        self.set_activation_regularization(ar, tar)
        self.seed = checks.seed("seed", seed)
        self.supports_masking = True
        self.directions = ("forward", "backward") if self.bidirectional else ("forward",)
        self._cache = UntrackedCache()
        cell_arguments = [self._cell_arguments(level) for level in range(self.num_layers)]
        check_arguments_have_effect(self.cells, cell_arguments)
        # one flat list, so that Keras tracks the weights from the lowest to the highest layer, forward before backward
        self.recurrent_layers = [
            self._recurrent_layer(level, direction, cell_arguments[level])
            for level in range(self.num_layers)
            for direction in range(len(self.directions))
        ]
        self.connection = stack.check_connection(connection, self.widths)
        self.block_size = stack.check_block_size(block_size, self.connection, self.num_layers)
        stack_of_layers = UntrackedStack(self.recurrent_layers)
        for layer in self.recurrent_layers:
            layer.stack_of_layer = stack_of_layers
        self.dropouts = [
            keras.layers.Dropout(
                self.dropout, seed=self._layer_seed(level), dtype=self.dtype_policy, name=f"dropout_{level}"
            )
            for level in range(1, self.num_layers)
        ]
        self.input_dropouts = regularizers.input_dropouts(self)
        regularizers.add_to_layers(self)
        if self.learned_initial_state:
            for layer in self.recurrent_layers:
                layer.initial_state = InitialState(layer)
        if self.remat:
            check_remat(self.recurrent_layers, self.implementation, self.dilation)
        freezing.propagate_trainable(self)

    def _activations(
        self, name: str, value: Activation | Sequence[Activation]
    ) -> list[Callable[[Tensor], Tensor] | None]:
        return [arguments.activation(name, one) for one in checks.per_layer(name, value, self.num_layers)]

    def _layer_seed(self, level: int) -> int | None:
        # `level` counts from 0, layer l of `seed + l` from 1
        return None if self.seed is None else self.seed + level + 1

    def _cell_arguments(self, level: int) -> CellArguments:
        return CellArguments(
            activation=self.activations[level],
            recurrent_activation=self.recurrent_activations[level],
            use_bias=self.use_bias,
            reset_after=self.reset_after,
            recurrent_dropout=self.recurrent_dropout,
            initializers={role: getattr(self, f"{role}_initializer") for role in WEIGHT_ROLES},
            regularizers={role: getattr(self, f"{role}_regularizer") for role in WEIGHT_ROLES},
            constraints={role: getattr(self, f"{role}_constraint") for role in WEIGHT_ROLES},
            seed=self._layer_seed(level),
        )

    def _recurrent_layer(self, level: int, direction: int, cell_arguments: CellArguments) -> keras.layers.RNN:
        return make_recurrent_layer(
            self.cells[level],
            self.units[level],
            cell_arguments,
            index=level * len(self.directions) + direction,
            return_sequences=self.return_sequences or level < self.num_layers - 1 or self.dilation[level] > 1,
            return_state=True,
            go_backwards=direction == 1,
            implementation=self.implementation,
            dtype=self.dtype_policy,
            name=f"{self.directions[direction]}_{level + 1}",
        )

    def set_activation_regularization(self, ar: float, tar: float) -> None:
        """Set the coefficients of activation and temporal activation regularization.

        Args:
            ar: As in the constructor.
            tar: As in the constructor.

        Raises:
            ValueError: If a coefficient is negative, or positive without `return_sequences=True`.
        """
        self.ar, self.tar = checks.non_negative("ar", ar), checks.non_negative("tar", tar)
        if (self.ar or self.tar) and not self.return_sequences:
            raise ValueError(
                f"ar={self.ar:g} and tar={self.tar:g} require return_sequences=True, because they penalize the output "
                "of every step"
            )

    # === Levels and states ===

    @property
    def levels(self) -> list[list[keras.layers.RNN]]:
        """The Keras layers of each level, [forward] or [forward, backward]; level l is layer l of the stack."""
        count = len(self.directions)
        return [list(self.recurrent_layers[i : i + count]) for i in range(0, len(self.recurrent_layers), count)]

    @property
    def widths(self) -> list[int]:
        """For each level, the number of output features per direction."""
        return [output_size(layer.cell) for layer, *_ in self.levels]

    @property
    def connections(self) -> Connections:
        """The connections between the levels."""
        return Connections(self.connection, self.block_size, self.return_all_layers)

    @property
    def state_size(self) -> list[list[int]]:
        """For each level, a list of the widths of its states, forward before backward."""
        sizes = [[layer.state_size for layer in level] for level in self.levels]
        return [[width for size in level for width in _as_list(size)] for level in sizes]

    def get_initial_state(self, batch_size: int) -> list[Nested]:
        """Return zero states, or the learned ones of a layer that is built, in the structure of `initial_state`."""
        return pack_state(self._initial_states(batch_size))

    def _initial_states(self, batch_size: int | Tensor) -> list[list[Tensor]]:
        """Return the initial states (n, width) of each level, forward before backward."""
        return [
            [ops.cast(state, self.compute_dtype) for layer in level for state in layer.get_initial_state(batch_size)]
            for level in self.levels
        ]

    def reset_state(self) -> None:
        """Reset the states that `stateful=True` carries to zero or to the learned initial states."""
        if self.stateful and self.built:
            self.carried_state.reset()

    reset_states = reset_state  # Keras' alias

    def reset_with_metrics(self) -> None:
        """Reset the carried states when an epoch or an evaluation begins; called when a model resets its metrics.

        `train_on_batch` and `test_on_batch` reset metrics, too, but carry states from one batch to the next.
        """
        if not _compat.in_single_batch():
            self.reset_state()

    # === Build and call ===

    @override
    def build(
        self,
        sequences_shape: Shape,
        initial_state_shape: Nested = None,
        reset_mask_shape: Shape | None = None,
    ) -> None:
        self._check_sequences(sequences_shape)
        n, steps, d = sequences_shape
        d = cast("int", d)  # `_check_sequences` rejects None
        self.batch_size, self.input_dim = n, d
        self._check_memory(d)
        if self.remat:
            warn_if_remat_is_ignored(self.name, self.recurrent_layers)
        input_dims = stack.layer_input_dims(self.widths, d, self.connection, self.bidirectional)
        for level, input_dim in zip(self.levels, input_dims, strict=True):
            for layer in level:
                layer.build((n, steps, input_dim))
        if self.stateful:
            self.carried_state = CarriedState(self.name, self.state_size, self.compute_dtype, n)
            self.supports_jit = n is not None  # for Keras' default, jit_compile="auto"

    def _check_memory(self, input_dim: int) -> None:
        """Raise a ValueError if the weights take more memory than the limit."""
        num_params = stack.count_known_params(
            input_dim,
            self.units,
            cell=self.cells,
            connection=self.connection,
            bidirectional=self.bidirectional,
            use_bias=self.use_bias,
            reset_after=self.reset_after,
        )
        limits.check_memory(f"a DeepRNN with units={limits.shortened(self.units)}", num_params, self.variable_dtype)

    @override
    def call(
        self,
        sequences: Tensor,
        initial_state: Nested = None,
        mask: Tensor | None = None,
        reset_mask: Tensor | None = None,
        training: bool = False,
    ) -> Nested:
        sequences, mask = self._checked_inputs(sequences, mask, reset_mask)
        if self.go_backwards:
            sequences, mask = flip_time(sequences), flip_time(mask)
        masks = self._dropout_masks(sequences, training)
        sequences = _with_mask(sequences, masks[0])
        states = unpack_state(initial_state, self.state_size, sequences.shape[0])
        resets = reset_mask if reset_mask is not None and len(reset_mask.shape) > 1 else None
        if self.stateful and initial_state is None:
            rows = reset_mask if resets is None else resets[:, 0]
            n = ops.shape(sequences)[0]
            states = self.carried_state.read(n, rows, self._initial_states(n), training)
        segments = None if resets is None else self._segments(resets)
        run_mask = mask
        if segments is not None:
            sequences, states, run_mask, masks = self._split(segments, sequences, states, mask, masks)
        implementation = self._stack_implementation(training)
        if implementation is None:
            outputs, states = self._run_layers(sequences, states, run_mask, masks, training)
        else:
            states = self._complete_states(states, ops.shape(sequences)[0])
            outputs, states = implementation.run_stack(self._stack_call(masks, training), sequences, states, run_mask)
        return self._results(outputs, states, mask, resets, segments, training)

    def _results(
        self,
        outputs: list[Tensor],
        states: list[list[Tensor]],
        mask: Tensor | None,
        resets: Tensor | None,
        segments: Segments | None,
        training: bool,
    ) -> Nested:
        """Return what `call` returns, and store what it keeps: carried states, and the activation regularization."""
        states = [[ops.cast(state, self.compute_dtype) for state in level] for level in states]
        if segments is not None:
            outputs, states = self._join(segments, outputs, states)
        if self.stateful:
            self.carried_state.store(states, training)
        if training and (self.ar or self.tar):
            resets = _flip_resets(resets) if resets is not None and self.go_backwards else resets
            self.add_loss(_activation_penalty(outputs[-1], mask, resets, self.ar, self.tar))
        output = outputs if self.return_all_layers else outputs[0]
        return (output, *pack_state(states)) if self.return_state else output

    # === Segments between resets ===

    def _segments(self, resets: Tensor) -> Segments:
        """Return the segments that begin where `resets` (n, T) is true, in the order in which they are read.

        Raises:
            ValueError: In a step that is compiled for static shapes.
        """
        if _compat.requires_static_shapes(resets):
            raise ValueError(
                f"{self.name}: reset_mask of shape (n, T) is not supported in a compiled step, whose shapes must not "
                "depend on data; the number of segments does. Compile the model with jit_compile=False (TensorFlow, "
                "PyTorch) or run_eagerly=True (JAX)"
            )
        return Segments(_flip_resets(resets) if self.go_backwards else resets, self.bidirectional)

    def _split(
        self,
        segments: Segments,
        sequences: Tensor,
        states: list[list[Tensor]],
        mask: Tensor | None,
        dropout_masks: Sequence[Tensor | None],
    ) -> tuple[Tensor, list[list[Tensor]], Tensor, list[Tensor | None]]:
        """Return the arguments of a run with one row per segment.

        Args:
            segments: The segments.
            sequences: (n, T, d), with dropout.
            states: States before the first step for each level; empty lists for the initial ones.
            mask: (n, T), or None.
            dropout_masks: Result of `_dropout_masks`.
        """
        if any(states):
            initial = self._initial_states(segments.count)
            states = [segments.split_states(*both) for both in zip(states, initial, strict=True)]
        factors = [segments.split_rows(one) for one in dropout_masks]
        return segments.split(sequences), states, segments.split_mask(mask), factors

    def _join(
        self, segments: Segments, outputs: list[Tensor], states: list[list[Tensor]]
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Return the outputs and final states of a run with one row per segment for the original rows."""
        if self.return_sequences:
            outputs = [segments.join(output) for output in outputs]
        else:
            levels = [[h] for h in self.widths] if self.return_all_layers else [self.widths[-1:]]
            levels = [self.widths] if self.connection == "skip" and not self.return_all_layers else levels
            outputs = [segments.join_last(output, units) for output, units in zip(outputs, levels, strict=True)]
        return outputs, [segments.join_states(level) for level in states]

    def _stack_implementation(self, training: bool) -> Implementation | None:
        """Return the implementation that runs the stack in a single call, or None if the layers run one by one."""
        names = {layer.selected_implementation() for layer in self.recurrent_layers}
        has_cell_dropout = training and any(getattr(layer.cell, "dropout", 0.0) for layer in self.recurrent_layers)
        if len(names) > 1 or max(self.dilation) > 1 or has_cell_dropout:
            return None
        implementation = implementations().get(names.pop())
        return None if implementation is None or implementation.stack_runner is None else implementation

    def _dropout_masks(self, sequences: Tensor, training: bool) -> list[Tensor | None]:
        """Return the factors (n, width) of variational dropout on the input of each level; None without dropout."""
        rates = regularizers.input_rates(self) if training else [0.0] * self.num_layers
        widths = stack.layer_input_dims(self.widths, self.input_dim, "stack", self.bidirectional)
        dropouts, n = iter(self.input_dropouts), ops.shape(sequences)[0]
        return [
            next(dropouts).call(ops.ones((n, width)), training=True) if rate else None
            for rate, width in zip(rates, widths, strict=True)
        ]

    def _stack_call(self, masks: Sequence[Tensor | None], training: bool) -> StackCall:
        return StackCall(
            levels=[[layer.layer_call(training) for layer in level] for level in self.levels],
            connections=self.connections,
            # `call`, because `__call__` would cast its input to the compute dtype, possibly half precision
            dropouts=[partial(dropout.call, training=training) for dropout in self.dropouts],
            dropout_masks=masks[1:],
            return_sequences=self.return_sequences,
            training=bool(training),
            remat=self.remat,
            cache=self._cache.content,
        )

    def _complete_states(self, states: list[list[Tensor]], batch_size: Tensor) -> list[list[Tensor]]:
        """Return the states of each level; the initial states of its layers replace an empty list."""
        initial = self._initial_states(batch_size)
        return [level_states or level_initial for level_states, level_initial in zip(states, initial, strict=True)]

    # === Layer by layer ===

    def _run_layers(
        self,
        sequences: Tensor,
        states: list[list[Tensor]],
        mask: Tensor | None,
        dropout_masks: Sequence[Tensor | None],
        training: bool,
    ) -> tuple[list[Tensor], list[list[Tensor]]]:
        """Run the layers one by one; `dropout_masks` is the result of `_dropout_masks`.

        Returns:
            A list with the output of the stack, or with the output of each level if `return_all_layers`; and the final
            states of each level.
        """
        connections = self.connections
        # with these settings, the top layer itself returns the output of its last step
        top_layer_suffices = self.connection == "stack" and not self.return_all_layers and max(self.dilation) == 1
        needs_last = not self.return_sequences and not top_layer_suffices
        outputs, last_outputs, final_states = [], [], []  # one entry per level
        for level in range(self.num_layers):
            inputs = sequences
            if level:
                inputs = self.dropouts[level - 1].call(outputs[-1], training=training)
                inputs = _with_mask(inputs, dropout_masks[level])
                inputs = ops.concatenate([inputs, sequences], -1) if connections.reads_input(level) else inputs
            output, last_output, level_states = self._run_level(
                level, inputs, states[level], mask, training, needs_last
            )
            source = connections.shortcut_source(level)
            outputs.append(_add_shortcut(output, outputs, source))
            last_outputs.append(_add_shortcut(last_output, last_outputs, source))
            final_states.append(level_states)
        results = outputs if self.return_sequences else last_outputs
        if not self.return_all_layers:
            results = [_concatenated(results) if self.connection == "skip" else results[-1]]
        if self.return_sequences and self.bidirectional:
            results = [zero_masked(result, mask) for result in results]
        return results, final_states

    def _run_level(
        self,
        level: int,
        inputs: Tensor,
        states: list[Tensor],
        mask: Tensor | None,
        training: bool,
        needs_last: bool,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """Run the layers of one level.

        Returns:
            The output of all steps, the output of the last step, and the final states. The output of all steps is None
            if the layers do not return sequences. The output of the last step is None if they do and `needs_last` is
            False.
        """
        if self.dilation[level] > 1:
            return self._run_dilated(level, inputs, states, mask, training, needs_last)
        outputs, last_outputs, final_states = [], [], []
        layers = self.levels[level]
        count = len(states) // len(layers)
        for index, layer in enumerate(layers):
            initial_state = states[index * count : (index + 1) * count] or None
            output, *layer_states = layer(inputs, initial_state=initial_state, mask=mask, training=training)
            final_states += layer_states
            if not layer.return_sequences:
                last_outputs.append(output)
                continue
            if needs_last:
                last_outputs.append(last_valid(output, flip_time(mask) if layer.go_backwards else mask))
            outputs.append(flip_time(output) if layer.go_backwards else output)
        return _concatenated(outputs), _concatenated(last_outputs), final_states

    def _run_dilated(
        self,
        level: int,
        inputs: Tensor,
        states: list[Tensor],
        mask: Tensor | None,
        training: bool,
        needs_last: bool,
    ) -> tuple[Tensor | None, Tensor | None, list[Tensor]]:
        """Run the layers of a dilated level, like `_run_level`, but return no final states."""
        rate = self.dilation[level]
        if states:
            raise ValueError(
                f"initial_state is not supported with dilation={rate}: a dilated layer keeps {rate} interleaved "
                "states; omit initial_state or use dilation=1"
            )
        outputs, last_outputs = [], []
        for layer in self.levels[level]:
            dilation = Dilation(rate, pad_start=layer.go_backwards)
            output, *_ = layer(dilation.split(inputs), mask=dilation.split(mask), training=training)
            output = dilation.join(flip_time(output) if layer.go_backwards else output, like=inputs)
            outputs.append(output)
            if needs_last:
                as_read = (flip_time(output), flip_time(mask)) if layer.go_backwards else (output, mask)
                last_outputs.append(last_valid(*as_read))
        return _concatenated(outputs), _concatenated(last_outputs), []

    # === Shapes, masks, checks ===

    @override
    def compute_mask(self, inputs: Nested, previous_mask: Nested = None) -> Nested:
        mask = previous_mask[0] if isinstance(previous_mask, (list, tuple)) else previous_mask
        mask = flip_time(mask) if self.go_backwards else mask
        mask = mask if self.return_sequences else None
        mask = [mask] * self.num_layers if self.return_all_layers else mask
        if not self.return_state:
            return mask
        return (mask, *pack_state([[None] * len(sizes) for sizes in self.state_size]))

    @override
    def compute_output_spec(
        self,
        sequences: Tensor,
        initial_state: Nested = None,
        mask: Tensor | None = None,
        reset_mask: Tensor | None = None,
        training: bool = False,
    ) -> Nested:
        """Check symbolic inputs and return symbolic outputs; Keras does not run `call` on symbolic inputs."""
        self._check_inputs(sequences, mask, reset_mask)
        if reset_mask is not None and len(reset_mask.shape) > 1:
            self.supports_jit = False  # for Keras' default, jit_compile="auto"
        unpack_state(initial_state, self.state_size, sequences.shape[0])
        return super().compute_output_spec(sequences, initial_state=initial_state, mask=mask, training=training)

    @override
    def compute_output_shape(
        self,
        sequences_shape: Shape,
        initial_state_shape: Nested = None,
        reset_mask_shape: Shape | None = None,
    ) -> Nested:
        n, steps = sequences_shape[:2]
        leading = (n, steps) if self.return_sequences else (n,)
        if self.return_all_layers:
            shape = [(*leading, stack.output_width([width], "stack", self.bidirectional)) for width in self.widths]
        else:
            shape = (*leading, stack.output_width(self.widths, self.connection, self.bidirectional))
        if not self.return_state:
            return shape
        return (shape, *pack_state([[(n, size) for size in sizes] for sizes in self.state_size]))

    def _checked_inputs(
        self, sequences: Tensor, mask: Tensor | None, reset_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return the inputs in the compute dtype, and the mask that was passed or is attached to them."""
        attached = _compat.keras_mask(sequences)
        self._check_inputs(sequences, None if mask is attached else mask, reset_mask)
        # Keras passes an attached mask to `call` only if x is the only tensor argument
        return ops.cast(sequences, self.compute_dtype), attached if mask is None else mask

    def _check_inputs(self, sequences: Tensor, mask: Tensor | None, reset_mask: Tensor | None) -> None:
        """Raise a ValueError if the arguments of the call are not supported."""
        self._check_sequences(sequences.shape)
        check_real(self.name, sequences)
        if mask is not None:
            check_mask(self.name, "mask", mask, sequences)
        self._check_reset_mask(reset_mask, sequences)

    def _check_sequences(self, shape: Shape) -> None:
        """Raise a ValueError if inputs of this shape are not supported."""
        received = f"got shape {tuple(shape)}"
        if len(shape) != 3:
            hint = "; token ids (n, T) need an Embedding or OneHot layer first" if len(shape) == 2 else ""
            raise ValueError(f"{self.name}: x must have rank 3, (n, T, d), {received}{hint}")
        if shape[2] is None or shape[1] == 0:
            required = "a known number of features d" if shape[2] is None else "at least one time step"
            raise ValueError(f"{self.name}: x must have {required}, {received}")
        if self.built and shape[2] != self.input_dim:
            raise ValueError(f"{self.name}: x must have d = {self.input_dim} features, {received}")
        # the batch size of carried states may vary on TensorFlow only
        backend = keras.backend.backend()
        if self.stateful and backend != "tensorflow" and (shape[0] is None or self._has_other_batch_size(shape[0])):
            required = (
                f"batch size {self.batch_size}, with which the layer was built" if self.built else "a known batch size"
            )
            raise ValueError(
                f"{self.name}: with stateful=True on the {backend} backend, x must have {required}, {received}; start "
                f"the model with keras.Input(batch_shape=(n, {shape[1]}, {shape[2]}))"
            )

    def _has_other_batch_size(self, batch_size: int) -> bool:
        return self.built and batch_size != self.batch_size

    def _check_reset_mask(self, reset_mask: Tensor | None, sequences: Tensor) -> None:
        """Raise a ValueError if `reset_mask` is not supported."""
        if reset_mask is None:
            return
        dtype, axes = keras.backend.standardize_dtype(reset_mask.dtype), len(reset_mask.shape)
        if axes not in (1, 2) or dtype != "bool":
            raise ValueError(
                f"{self.name}: reset_mask must be bool of shape (n, T) or (n,), got {dtype} of shape "
                f"{tuple(reset_mask.shape)}"
            )
        if axes == 1 and not self.stateful:
            raise ValueError(
                f"{self.name}: reset_mask of shape (n,) requires stateful=True, because it selects the batch rows "
                "whose carried states are reset; pass stateful=True, omit reset_mask, or pass a mask (n, T) of the "
                "steps before which the states are reset"
            )
        check_mask(self.name, "reset_mask", reset_mask, sequences, axes=axes)

    @override
    def get_config(self) -> Config:
        serializers = {
            "initializer": keras.initializers.serialize,
            "regularizer": keras.regularizers.serialize,
            "constraint": keras.constraints.serialize,
        }
        objects = {f"{role}_{kind}": serialize for kind, serialize in serializers.items() for role in WEIGHT_ROLES}
        config = {
            **super().get_config(),
            **freezing.trainable_config(self),
            **{name: getattr(self, name) for name in PLAIN_ARGUMENTS},
            "cell": [arguments.cell_config(one) for one in self.cells],
            "activation": _serialized_activations(self.activations),
            "recurrent_activation": _serialized_activations(self.recurrent_activations),
            **{name: _serialized(serialize, getattr(self, name)) for name, serialize in objects.items()},
        }
        return plain_config(config)

    @classmethod
    @override
    def from_config(cls, config: Config) -> Self:
        return freezing.create_from_config(super().from_config, config)


def _with_mask(sequences: Tensor, mask: Tensor | None) -> Tensor:
    """Return sequences (n, T, d) times a mask (n, d), the same for all steps; `sequences` itself if it is None."""
    return sequences if mask is None else sequences * ops.cast(mask, sequences.dtype)[:, None]


def _add_shortcut(output: Tensor | None, outputs: Sequence[Tensor | None], source: int | None) -> Tensor | None:
    """Return `output` plus the shortcut from `outputs[source]`, or `output` itself if it or `source` is None."""
    return output if source is None or output is None else output + outputs[source]


def _flip_resets(resets: Tensor) -> Tensor:
    """Return the mask (n, T) of the first steps of segments that are read in reverse; no row begins with a reset."""
    return flip_time(ops.concatenate([resets[:, 1:], ops.zeros_like(resets[:, :1])], axis=1))


def _activation_penalty(outputs: Tensor, mask: Tensor | None, resets: Tensor | None, ar: float, tar: float) -> Tensor:
    """Return ar mean(H_t^2) + tar mean((H_t - H_{t-1})^2) over the units and unmasked steps of outputs (n, T, q).

    A step before which `resets` (n, T) is true is not compared with the step before.
    """
    outputs = ops.cast(outputs, "float32")
    valid = ops.ones(ops.shape(outputs)[:2]) if mask is None else ops.cast(mask, "float32")
    penalty = ar * _masked_mean(ops.mean(ops.square(outputs), -1), valid)
    if tar:
        squared_changes = ops.square(outputs[:, 1:] - outputs[:, :-1])
        pairs = valid[:, 1:] * valid[:, :-1]
        if resets is not None:
            pairs = pairs * ops.cast(ops.logical_not(resets[:, 1:]), "float32")
        penalty = penalty + tar * _masked_mean(ops.mean(squared_changes, -1), pairs)
    return penalty


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    return ops.sum(values * valid) / ops.maximum(ops.sum(valid), 1.0)


def _concatenated(tensors: Sequence[Tensor]) -> Tensor | None:
    if len(tensors) < 2:
        return tensors[0] if tensors else None
    return ops.concatenate(tensors, axis=-1)


def _as_list(size: int | Sequence[int]) -> list[int]:
    return [size] if isinstance(size, int) else list(size)


def _serialized(serialize: Callable[[Any], object], value: object) -> object:
    return None if value is None else serialize(value)


def _serialized_activations(functions: Iterable[Callable[[Tensor], Tensor] | None]) -> list[object]:
    return [_serialized(keras.activations.serialize, function) for function in functions]
