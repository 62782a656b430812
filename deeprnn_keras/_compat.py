"""Access to the private names of Keras, TensorFlow, and keras-tuner that this package depends on.

No other module uses private names. `tests/test_compat.py` has one test per name, which fails if a framework moves
that name; `pyproject.toml` limits the versions to those tested. Importing this module imports none of the frameworks.

The module also installs hooks: it wraps public entry points of the frameworks to record whether a graph is traced for
export and which method of a model is running. Layers and callbacks cannot obtain this information otherwise.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from deeprnn_keras._types import Layer, PathLike, Tensor

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FrameworkObject: TypeAlias = Any
"""An object of Keras, TensorFlow, or keras-tuner whose type is private."""

# Private members that subclasses in this package override or access through `self`.
MEMBERS = {
    "keras.optimizers:Optimizer": ("_clip_gradients",),
    "tensorflow.python.data.ops.dataset_ops:DatasetV2": ("_inputs", "_variant_tensor"),
    "keras_tuner:Tuner": ("_get_checkpoint_fname", "_get_tuner_fname", "_populate_initial_space"),
    "keras_tuner.oracles:BayesianOptimizationOracle": ("_nonfixed_space",),
    "keras_tuner.oracles:GridSearchOracle": ("_get_next_combination",),
    "keras_tuner.oracles:HyperbandOracle": ("_get_num_brackets",),
    "keras_tuner:Oracle": (
        "_duplicate",
        "_get_trial_dir",
        "_id_to_hash",
        "_max_collisions",
        "_project_dir",
        "_random_values",
        "_retry_queue",
        "_save_trial",
        "_tried_so_far",
    ),
}


def private(path: str) -> FrameworkObject:
    """Return the object at `path`, "module:name".

    Raises:
        ImportError: If the installed version of the framework does not have it.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0]
        version = getattr(sys.modules.get(package), "__version__", "unknown")
        raise ImportError(
            f"{module}.{name} is not available in {package} {version}; install the version of {package} that "
            "deeprnn-keras requires (pip check shows conflicts)"
        ) from error


# === Keras ===


def no_autocast() -> AbstractContextManager[Any]:
    """Return a context in which variables are read in their own dtype, regardless of the layer's dtype policy."""
    return private("keras.src.backend.common.variables:AutocastScope")(None)


def backend_rnn() -> Callable[..., tuple[Tensor, Tensor, list[Tensor]]]:
    """Return the loop over time of `keras.layers.RNN`, a function that returns (last output, outputs, states)."""
    return private("keras.src.backend:rnn")


def dropout_rnn_cell() -> type:
    """Return the mixin of Keras' recurrent cells that keeps one dropout mask for all steps."""
    return private("keras.src.layers.rnn.dropout_rnn_cell:DropoutRNNCell")


def global_seed_state() -> keras.Variable:
    """Return the state of the global seed generator, which layers without a seed use."""
    return private("keras.src.random.seed_generator:global_seed_generator")().state


def reads_training(layer: Layer) -> bool:
    """Return whether the method `call` of a layer, or of a cell that is not a layer, is passed `training`."""
    return getattr(layer, "_call_has_training_arg", False)


def flatten_layers(layer: Layer, *, include_self: bool = True, recursive: bool = True) -> Iterator[Layer]:
    """Yield the layers inside a layer or model, including nested ones.

    The public `keras.Model.layers` omits nested layers and does not exist on layers.
    """
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def keras_mask(tensor: Tensor) -> Tensor | None:
    """Return the mask that a Keras layer attached to its output, or None."""
    return getattr(tensor, "_keras_mask", None)


class FunctionalNode(NamedTuple):
    """Call of a layer or of an operation in a functional model.

    Attributes:
        operation: The layer or operation.
        args: Positional arguments; tensors are symbolic.
        kwargs: Keyword arguments.
        outputs: The symbolic tensors that it returns.
    """

    operation: FrameworkObject
    args: tuple[FrameworkObject, ...]
    kwargs: dict[str, FrameworkObject]
    outputs: Sequence[FrameworkObject]


def functional_nodes(model: keras.Model) -> Iterator[FunctionalNode]:
    """Yield the calls in a functional model, each after those whose outputs it reads."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if not node.is_input:
                yield FunctionalNode(node.operation, node.arguments.args, node.arguments.kwargs, node.outputs)


def adam_moments(optimizer: keras.optimizers.Adam, variable: Tensor) -> tuple[Tensor, Tensor]:
    """Return the variables of the backend that hold the first and the second moment of the gradient of a weight."""
    index = optimizer._get_variable_index(variable)
    return optimizer._momentums[index].value, optimizer._velocities[index].value


def average_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Return the moving averages of an optimizer with `use_ema=True`, one per trainable variable."""
    return optimizer._model_variables_moving_average


@contextmanager
def variables_without_values() -> Iterator[list[keras.Variable]]:
    """Yield the list of the variables of layers that are built in the block, which get shapes but no values.

    `give_values` runs their initializers.
    """
    import keras

    state, name = private("keras.src.backend.common:global_state"), "uninitialized_variables"
    created: list[keras.Variable] = []
    before = state.get_global_attribute(name)
    state.set_global_attribute(name, created)
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield created
    finally:
        state.set_global_attribute(name, before)


def give_values(variables: Sequence[keras.Variable], zeros: Sequence[keras.Variable] = ()) -> None:
    """Run the initializers of variables that were created without values.

    Args:
        variables: The variables.
        zeros: Those of them that get zeros instead: they are assigned next, and not every initializer supports half
            precision.
    """
    import keras

    for variable in zeros:
        variable._initializer = keras.initializers.Zeros()
    for variable in variables:
        variable._deferred_initialize()


def functional_class() -> type:
    """Return the class of functional models."""
    return private("keras.src.models.functional:Functional")


def weights_by_path(layer: Layer, path: str = "", visited: set[int] | None = None) -> dict[str, keras.Variable]:
    """Return the variables of a layer or model by their paths in the weights of a `.keras` file.

    Args:
        layer: The layer.
        path: Its own path.
        visited: Identities of layers that are left out; those of this call are added.
    """
    library = "keras.src.saving.saving_lib"
    found: dict[str, keras.Variable] = {}

    class Recorder(private(f"{library}:H5IOStore")):
        """Store that records what would be written to it."""

        def __init__(self) -> None:
            self.group = ""

        def __bool__(self) -> bool:
            return True

        def make(self, path: str, metadata: object = None) -> Recorder:
            self.group = f"{path}/vars" if path else "vars"
            return self

        def __setitem__(self, key: str, value: keras.Variable) -> None:
            found[f"{self.group}/{key}"] = value

    visited = set() if visited is None else visited
    private(f"{library}:_save_state")(layer, Recorder(), None, inner_path=path, visited_saveables=visited)
    return found


def class_path(layer: Layer) -> str:
    """Return the name of the class of a layer in the paths of a `.keras` file: "lstm_cell" for an `LSTMCell`."""
    return private("keras.src.utils.naming:to_snake_case")(type(layer).__name__)


def reserve_names(names: Iterable[str]) -> None:
    """Keep Keras from giving one of these names to an operation without a name, such as the mask of a `Concatenate`.

    All operations of a functional model must have different names. Keras counts those that it gives, but not those that
    layers in a file have.
    """
    state = private("keras.src.backend.common:global_state")
    counts = state.get_global_attribute("object_name_uids", defaultdict(int), set_to_default=True)
    for name in names:
        base, _, number = name.rpartition("_")
        if not (base and number.isdecimal() and len(number) < 10):
            base, number = name, "0"
        counts[base] = max(counts[base], int(number) + 1)


def is_unsafe_mode() -> bool:
    """Return True if the user has disabled Keras' safe mode, in which files cannot contain code."""
    return private("keras.src.saving.serialization_lib:in_safe_mode")() is False


@functools.cache
def classes_named_by_private_modules() -> frozenset[tuple[str | None, str]]:
    """Return (module, name) of classes that Keras' own configurations name by their private modules.

    They are the class of functional models, and the operations by which such models record calls of `keras.ops`.
    """
    operation = private("keras.src.ops.operation:Operation")
    modules = [name for name in sys.modules if name.startswith("keras.src.ops.")]
    names = {
        (module, name)
        for module in modules
        for name, found in vars(sys.modules[module]).items()
        if isinstance(found, type) and issubclass(found, operation) and found.__module__ == module
    }
    return frozenset(names | {("keras.src.models.functional", "Functional")})


# === TensorFlow ===


def tensorflow_seed() -> int | None:
    """Return the seed set by `tf.random.set_seed`, or None."""
    return private("tensorflow.python.eager.context:global_seed")()


def in_forward_mode(tensors: Sequence[Tensor]) -> bool:
    """Return True if a `tf.autodiff.ForwardAccumulator` watches one of the tensors or variables."""
    values = _without_variables(tensors)
    return bool(private("tensorflow.python.eager.forwardprop_util:pack_tangents")(values).tangents)


def executes_eagerly() -> bool:
    """Return whether TensorFlow executes operations eagerly."""
    import tensorflow as tf

    return tf.executing_eagerly()


def without_autograph(function: Callable[..., FrameworkObject]) -> Callable[..., FrameworkObject]:
    """Return a function that TensorFlow's AutoGraph does not convert; on other backends, the function itself."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)


def is_recorded(tensor: Tensor) -> bool:
    """Return True if a `tf.GradientTape` of the current context watches the tensor or variable."""
    values = _without_variables([tensor])
    return private("tensorflow.python.pywrap_tfe:TFE_Py_TapeSetPossibleGradientTypes")(values) != 0


def _without_variables(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return tensors, with the values of those that are variables, which TensorFlow's C functions do not accept."""
    import tensorflow as tf

    return [one.value() if isinstance(one, tf.Variable) else one for one in tensors]


def jax_platform() -> str:
    """Return the platform of JAX's default device, for example "cpu"."""
    import jax

    device = jax.config.jax_default_device
    return jax.default_backend() if device is None else getattr(device, "platform", device)


def share_random_seed() -> None:
    """Set the same random seed in all processes of JAX, unless `keras.utils.set_random_seed` has set one."""
    private("keras.src.backend.jax.distribution_lib:initialize_rng")()


def torch_device() -> str:
    """Return the type of the device on which Keras creates tensors on the PyTorch backend, for example "cpu"."""
    return private("keras.src.backend.torch.core:get_device")().partition(":")[0]


def is_compiled_by_torch() -> bool:
    """Return True while `torch.compile` or `torch.export` traces a call."""
    import torch

    return torch.compiler.is_compiling()


def is_compiled_by_xla() -> bool:
    """Return True while a graph is traced for `tf.function(jit_compile=True)`."""
    import tensorflow as tf

    if tf.executing_eagerly():
        return False
    in_xla_context = private("tensorflow.python.ops.control_flow_util:GraphOrParentsInXlaContext")
    return in_xla_context(tf.compat.v1.get_default_graph())


def requires_static_shapes(tensor: Tensor) -> bool:
    """Return True while a step is compiled in which the shapes of tensors must not depend on their values."""
    import keras

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return isinstance(tensor, jax.core.Tracer)
    return is_compiled_by_torch() if backend == "torch" else is_compiled_by_xla()


def require(condition: Tensor, message: str) -> None:
    """Raise an error with this message unless a condition holds, on TensorFlow.

    Args:
        condition: Scalar bool tensor.
        message: Error message.

    Raises:
        ValueError: If it does not hold, in eager execution.
        tf.errors.InvalidArgumentError: If it does not hold when a graph runs. Graphs that are exported are not checked,
            because converters do not support assertions, and XLA ignores them.
    """
    import keras

    if keras.backend.backend() != "tensorflow" or is_exporting():
        return
    import tensorflow as tf

    if not tf.executing_eagerly():
        tf.debugging.Assert(condition, [message])
    elif not condition:
        raise ValueError(message)


def omit_retracing_warning(function: FrameworkObject) -> None:
    """Disable TensorFlow's warning about frequent retracing for a `tf.function` that is traced once per shape."""
    function._omit_frequent_tracing_warning = True


def variant_tensor(dataset: tf.data.Dataset) -> Tensor:
    """Return the variant tensor of a dataset, which a subclass of `tf.data.Dataset` passes to its base class."""
    return dataset._variant_tensor


def assign_on_replicas(variables: Sequence[FrameworkObject], values: Sequence[Tensor]) -> None:
    """Assign to the copies of variables on the replicas of `tf.distribute` the values that each replica passes."""
    import keras
    import tensorflow as tf

    targets = [variable.value if isinstance(variable, keras.Variable) else variable for variable in variables]

    def assign(strategy: tf.distribute.Strategy, values: Sequence[Tensor]) -> None:
        for target, value in zip(targets, values, strict=True):
            strategy.extended.update(target, lambda copy, new: copy.assign(new), args=(value,), group=False)

    merge_call = private("tensorflow.python.distribute.merge_call_interim:maybe_merge_call")
    merge_call(assign, tf.distribute.get_strategy(), values)


# === keras-tuner ===


def profile_message() -> type:
    """Return the class of the protocol buffer in which TensorFlow's profiler saves a profile."""
    return private("tensorflow.tsl.profiler.protobuf.xplane_pb2:XSpace")


def tuner_trial() -> type:
    """Return the class `Trial` of keras-tuner, whose objects an oracle creates and restores."""
    return private("keras_tuner.engine.trial:Trial")


# === Running method of a model ===

RECORDED_METHODS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch", "predict_on_batch")
RESET_METHOD = "reset_with_metrics"


class RunningMethod(NamedTuple):
    """Call of a `keras.Model` method.

    Attributes:
        name: Name of the method.
        exit_stack: Functions to call when the call ends, also by an exception.
        x: Argument `x` of `fit`.
        shuffle: Argument `shuffle` of `fit`.
        model: The model.
    """

    name: str
    exit_stack: ExitStack
    x: object = None
    shuffle: bool = False
    model: keras.Model | None = None


_running: ContextVar[RunningMethod | None] = ContextVar("deeprnn_keras_running_method", default=None)


def in_single_batch() -> bool:
    """Return True while `train_on_batch` or `test_on_batch` runs; neither starts an epoch or an evaluation."""
    running = _running.get()
    return running is not None and running.name in ("train_on_batch", "test_on_batch")


def is_step_compiled_by_xla() -> bool:
    """Return True while a method of a model runs whose steps are compiled as a whole, with `jit_compile=True`."""
    running = _running.get()
    return running is not None and running.model is not None and bool(running.model.jit_compile)


def fit_shuffles_arrays() -> bool:
    """Return True if the running `fit` shuffles arrays; False for datasets and generators."""
    running = _running.get()
    if running is None or running.x is None or not running.shuffle:
        return False
    import keras

    return all(hasattr(part, "shape") for part in keras.tree.flatten(running.x))


def data_of_fit() -> object:
    """Return the argument `x` of the running `fit`, or None."""
    running = _running.get()
    return None if running is None else running.x


def call_when_fit_ends(function: Callable[[], object]) -> None:
    """Call a function when the running `fit` ends, also by an exception; outside of `fit`, it is not called."""
    running = _running.get()
    if running is not None:
        running.exit_stack.callback(function)


@functools.cache
def install_model_hooks() -> None:
    """Wrap methods of `keras.Model` to record which of them is running, and to inform layers that metrics are reset.

    Keras informs neither layers nor callbacks of the running method and its data, nor layers that an epoch or an
    evaluation begins. It resets the metrics then.
    """
    for name in RECORDED_METHODS:
        _record_calls(name)
    _wrap_reset_metrics()
    _wrap_symbolic_build()


def _wrap_reset_metrics() -> None:
    """Wrap `keras.Model.reset_metrics` to call the method `reset_with_metrics` of all layers that have one."""
    import keras

    method = keras.Model.reset_metrics

    @functools.wraps(method)
    def reset_metrics(self: keras.Model) -> None:
        method(self)
        for layer in flatten_layers(self):
            if hasattr(layer, RESET_METHOD):
                getattr(layer, RESET_METHOD)()

    keras.Model.reset_metrics = reset_metrics


def _wrap_symbolic_build() -> None:
    """Wrap the method by which Keras builds a model under `tf.distribute` from the first batch.

    Keras passes the mean over the replicas, which converts ids to floats and fails for masks; the wrapper passes the
    part of the first replica.
    """
    import keras

    method = getattr(keras.Model, "_maybe_symbolic_build", None)
    if method is None:  # not on TensorFlow
        return

    @functools.wraps(method)
    def build(self: keras.Model, iterator: FrameworkObject = None, data_batch: FrameworkObject = None) -> None:
        strategy = self._distribute_strategy
        if strategy is not None and iterator is not None:
            _, _, batches = next(iter(iterator))
            local = strategy.experimental_local_results
            data_batch, iterator = keras.tree.map_structure(lambda part: local(part)[0], next(batches)), None
        method(self, iterator, data_batch)

    keras.Model._maybe_symbolic_build = build


def _record_calls(name: str) -> None:
    """Wrap a method of `keras.Model` so that `_running` holds its call while it runs."""
    import keras

    method = getattr(keras.Model, name)

    @functools.wraps(method)
    def recorded(self: keras.Model, *args: Any, **kwargs: Any) -> FrameworkObject:
        with ExitStack() as stack:
            try:
                running = _running_method(name, method, stack, self, *args, **kwargs)
            except TypeError:  # unknown arguments: Keras raises the error
                running = RunningMethod(name, stack, model=self)
            stack.callback(_running.reset, _running.set(running))
            return method(self, *args, **kwargs)

    setattr(keras.Model, name, recorded)


def _running_method(
    name: str, method: Callable[..., object], stack: ExitStack, model: keras.Model, *args: Any, **kwargs: Any
) -> RunningMethod:
    """Return the description of a call; the arguments are recorded for `fit` only."""
    if name != "fit":
        return RunningMethod(name, stack, model=model)
    bound = inspect.signature(method).bind_partial(model, *args, **kwargs)
    bound.apply_defaults()
    return RunningMethod(name, stack, bound.arguments.get("x"), bool(bound.arguments.get("shuffle")), model)


# === Export ===

_exporting: ContextVar[bool] = ContextVar("deeprnn_keras_exporting", default=False)
_SOURCE_FUNCTION = "_deeprnn_keras_function"  # attribute of a concrete function: the `tf.function` that traced it


def is_exporting() -> bool:
    """Return True while graphs are traced for export to a file."""
    return _exporting.get() or ("tensorflow" in sys.modules and _save_context().in_save_context())


@contextmanager
def exporting() -> Iterator[None]:
    """Context manager in which layers of this package are traced for export.

    Exported graphs contain neither functions compiled by XLA nor custom gradients, so that every runtime and converter
    supports them. `model.export` of Keras, `tf.saved_model.save`, and the LiteRT converter enter this context
    automatically; call other exporters inside it. Functions that were traced before are retraced inside it.

    >>> import tensorflow as tf
    >>> from deeprnn_keras import DeepRNN
    >>> from deeprnn_keras.layers import exporting
    >>> layer = DeepRNN(4)
    >>> function = tf.function(layer, input_signature=[tf.TensorSpec((1, 5, 3))])
    >>> with exporting():
    ...     graph = function.get_concrete_function().graph.as_graph_def()
    >>> any(part.attr["_XlaMustCompile"].b for part in graph.library.function)
    False
    """
    token = _exporting.set(True)
    try:
        with _inside_save_context():
            yield
    finally:
        _exporting.reset(token)


def _save_context() -> FrameworkObject:
    """Return TensorFlow's save context, which is active while a SavedModel is written.

    It is part of the cache key of a `tf.function`, so that functions traced outside are retraced inside.
    """
    return private("tensorflow.python.saved_model.save_context:_save_context")


def saved_model_message() -> type:
    """Return the class of the protocol buffer in the file of a SavedModel."""
    return private("tensorflow.core.protobuf.saved_model_pb2:SavedModel")


@contextmanager
def _inside_save_context() -> Iterator[None]:
    """Enter TensorFlow's save context for the block, unless it is active."""
    context = _save_context() if "tensorflow" in sys.modules else None
    if context is None or context.in_save_context():
        yield
        return
    import tensorflow as tf

    context.enter_save_context(tf.saved_model.SaveOptions())
    try:
        yield
    finally:
        context.exit_save_context()


@contextmanager
def _outside_save_context() -> Iterator[None]:
    """Leave TensorFlow's save context for the block: `tf.saved_model.save` raises an error if it is active."""
    context = _save_context()
    if not context.in_save_context():
        yield
        return
    options = context.options()
    context.exit_save_context()
    try:
        yield
    finally:
        context.enter_save_context(options)


def _retraced(functions: FrameworkObject) -> FrameworkObject:
    """Return concrete functions, one or a structure of them, retraced for export if their `tf.function` is known."""
    if isinstance(functions, Mapping):
        return {name: _retraced(function) for name, function in functions.items()}
    if isinstance(functions, (list, tuple)):
        return [_retraced(function) for function in functions]
    source = getattr(functions, _SOURCE_FUNCTION, None)
    if source is None:
        return functions
    args, kwargs = functions.structured_input_signature if source.input_signature is None else ((), {})
    with exporting():
        return source.get_concrete_function(*args, **kwargs)


@functools.cache
def install_export_hooks() -> None:
    """Wrap the entry points of exports so that layers are traced for export, even if they were traced before.

    The entry points are `keras.export.ExportArchive`, `tf.saved_model.save`, and `tf.lite.TFLiteConverter`. On backends
    other than TensorFlow, only `keras.Model.export` is wrapped.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        _wrap_model_export()
        return
    _record_source_functions()
    _wrap_archive()
    _wrap_saved_model()
    _wrap_litert()


def _record_source_functions() -> None:
    """Store the `tf.function` of each concrete function on it: only the `tf.function` can retrace it."""
    import tensorflow as tf

    function_class = type(tf.function(lambda: None))
    method = function_class.get_concrete_function

    @functools.wraps(method)
    def get_concrete_function(self: FrameworkObject, *args: Any, **kwargs: Any) -> FrameworkObject:
        concrete = method(self, *args, **kwargs)
        setattr(concrete, _SOURCE_FUNCTION, self)
        return concrete

    function_class.get_concrete_function = get_concrete_function


def _within_exporting(function: Callable[..., FrameworkObject]) -> Callable[..., FrameworkObject]:
    """Return `function`, wrapped to run inside `exporting()`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> FrameworkObject:
        with exporting():
            return function(*args, **kwargs)

    return wrapped


def _wrap_model_export() -> None:
    """Wrap `keras.Model.export` so that layers are traced for export on a backend other than TensorFlow."""
    import keras

    method = keras.Model.export

    @functools.wraps(method)
    def export(self: keras.Model, *args: Any, **kwargs: Any) -> FrameworkObject:
        token = _exporting.set(True)
        try:
            return method(self, *args, **kwargs)
        finally:
            _exporting.reset(token)

    keras.Model.export = export


def _wrap_archive() -> None:
    """Wrap `keras.export.ExportArchive`, through which `model.export` traces endpoints in all formats."""
    import keras

    archive_class = type(keras.export.ExportArchive())
    add_endpoint, write_out = archive_class.add_endpoint, archive_class.write_out

    @functools.wraps(add_endpoint)
    def add(
        self: FrameworkObject,
        name: str,
        fn: Callable[..., FrameworkObject],
        input_signature: FrameworkObject = None,
        **kwargs: Any,
    ) -> FrameworkObject:
        # without a signature, fn is a `tf.function`, which is retraced in `write_out`
        traced = fn if input_signature is None else _within_exporting(fn)
        return add_endpoint(self, name, traced, input_signature, **kwargs)

    archive_class.add_endpoint, archive_class.write_out = add, _within_exporting(write_out)


def _wrap_saved_model() -> None:
    """Wrap `tf.saved_model.save`, also under the name by which the LiteRT converter calls it."""
    import tensorflow as tf

    original = tf.saved_model.save

    @functools.wraps(original)
    def save(
        obj: FrameworkObject,
        export_dir: PathLike,
        signatures: FrameworkObject = None,
        options: FrameworkObject = None,
    ) -> None:
        signatures, token = _retraced(signatures), _exporting.set(True)
        try:
            with _outside_save_context():
                original(obj, export_dir, signatures, options)
        finally:
            _exporting.reset(token)

    tf.saved_model.save = save
    module: FrameworkObject = importlib.import_module("tensorflow.python.saved_model.save")
    module.save = save


def _wrap_litert() -> None:
    """Wrap `tf.lite.TFLiteConverter`: retrace its concrete functions, and trace its Keras models for export."""
    import tensorflow as tf

    converter_class = tf.lite.TFLiteConverter
    from_concrete_functions = converter_class.from_concrete_functions
    from_keras_model = converter_class.from_keras_model

    @functools.wraps(from_concrete_functions)
    def from_functions(
        cls: type, funcs: Sequence[FrameworkObject], trackable_obj: FrameworkObject = None
    ) -> FrameworkObject:
        return from_concrete_functions.__func__(cls, _retraced(funcs), trackable_obj)

    @functools.wraps(from_keras_model)
    def from_model(cls: type, model: keras.Model) -> FrameworkObject:
        converter = from_keras_model.__func__(cls, model)
        converter.convert = _within_exporting(converter.convert)
        return converter

    converter_class.from_concrete_functions = classmethod(from_functions)
    converter_class.from_keras_model = classmethod(from_model)
