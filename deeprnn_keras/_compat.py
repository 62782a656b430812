"""Private names of Keras, TensorFlow, and keras-tuner that this package depends on.

No other module uses them. `tests/test_compat.py` has one test per name, which says what has moved; `pyproject.toml`
caps the versions at those tested. Importing this module imports none of the three frameworks.

It also wraps public entry points of the frameworks once, where they do not pass on a fact that layers and callbacks
need: that a graph is traced for export, and which method of a model is running.
"""

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

# Private members that subclasses in this package override or read through `self`.
MEMBERS = {
    "keras.optimizers:Optimizer": ("_clip_gradients",),
    "tensorflow.python.data.ops.dataset_ops:DatasetV2": ("_inputs", "_variant_tensor"),
    "keras_tuner:Tuner": ("_get_checkpoint_fname", "_get_tuner_fname", "_populate_initial_space"),
    "keras_tuner.oracles:BayesianOptimizationOracle": ("_nonfixed_space",),
    "keras_tuner.oracles:GridSearchOracle": ("_get_next_combination",),
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


def private(path: str) -> Any:
    """Return the object at `"module:name"`.

    Raises:
        ImportError: If the framework no longer has it there.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0]
        version = getattr(sys.modules.get(package), "__version__", "unknown")
        raise ImportError(
            f"{module}.{name} moved: {package} {version} does not have it; install a version that deeprnn-keras "
            "supports (its requirements name them)"
        ) from error


# === Keras ===


def no_autocast() -> AbstractContextManager[Any]:
    """Return a context in which variables are read in their own dtype, whatever the layer's dtype policy."""
    return private("keras.src.backend.common.variables:AutocastScope")(None)


def backend_rnn() -> Callable[..., tuple[Any, Any, list[Any]]]:
    """Return the loop over time of `keras.layers.RNN`, which gives (last output, outputs, final states)."""
    return private("keras.src.backend:rnn")


def dropout_rnn_cell() -> type:
    """Return the mixin that gives Keras' recurrent cells one dropout mask for all steps."""
    return private("keras.src.layers.rnn.dropout_rnn_cell:DropoutRNNCell")


def global_seed_state() -> Any:
    """Return the variable of the seed generator that layers without a seed of their own draw from."""
    return private("keras.src.random.seed_generator:global_seed_generator")().state


def flatten_layers(layer: Any, *, include_self: bool = True, recursive: bool = True) -> Iterator[Any]:
    """Yield the layers inside a layer or model. `keras.Model.layers` is public, but neither nested nor on layers."""
    return layer._flatten_layers(include_self=include_self, recursive=recursive)


def keras_mask(tensor: Any) -> Any:
    """Return the mask that a Keras layer attached to its output, or None."""
    return getattr(tensor, "_keras_mask", None)


def average_variables(optimizer: Any) -> list[Any]:
    """Return the moving averages that an optimizer with `use_ema=True` keeps, one per trainable variable."""
    return optimizer._model_variables_moving_average


# === TensorFlow ===


def tensorflow_seed() -> int | None:
    """Return the seed set by `tf.random.set_seed`, or None."""
    return private("tensorflow.python.eager.context:global_seed")()


def in_forward_mode(tensors: Sequence[Any]) -> bool:
    """Return whether a `tf.autodiff.ForwardAccumulator` watches one of the tensors."""
    return bool(private("tensorflow.python.eager.forwardprop_util:pack_tangents")(list(tensors)).tangents)


def omit_retracing_warning(function: Any) -> None:
    """Silence TensorFlow's advice on frequent retracing for a `tf.function` that is traced once per shape."""
    function._omit_frequent_tracing_warning = True


def variant_tensor(dataset: Any) -> Any:
    """Return the tensor that stands for a `tf.data.Dataset` in TensorFlow, which a subclass passes to its base."""
    return dataset._variant_tensor


# === keras-tuner ===


def tuner_trial() -> type:
    """Return keras-tuner's `Trial`, which an oracle creates and restores."""
    return private("keras_tuner.engine.trial:Trial")


# === Which method of a model is running ===


class RunningMethod(NamedTuple):
    """A call of a `keras.Model` method.

    Attributes:
        name: Name of the method.
        x: First argument of `fit`.
        shuffle: Argument of `fit`.
    """

    name: str
    x: Any = None
    shuffle: bool = False


_running: ContextVar[RunningMethod | None] = ContextVar("deeprnn_keras_running_method", default=None)


def in_single_batch() -> bool:
    """Return whether `train_on_batch` or `test_on_batch` is running, which begin neither an epoch nor an evaluation."""
    running = _running.get()
    return running is not None and running.name in ("train_on_batch", "test_on_batch")


def fit_shuffles_arrays() -> bool:
    """Return whether the running `fit` shuffles arrays, as opposed to reading a dataset or a generator."""
    running = _running.get()
    if running is None or running.x is None or not running.shuffle:
        return False
    import keras

    return all(hasattr(part, "shape") for part in keras.tree.flatten(running.x))


@functools.cache
def install_model_hooks() -> None:
    """Wrap `keras.Model.fit`, `train_on_batch`, and `test_on_batch` so that they are known to be running.

    Keras tells neither layers nor callbacks which method runs or what data it reads.
    """
    import keras

    def facts(name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> RunningMethod:
        if name != "fit":
            return RunningMethod(name)
        given = inspect.signature(method).bind_partial(*args, **kwargs)
        given.apply_defaults()
        return RunningMethod(name, given.arguments.get("x"), bool(given.arguments.get("shuffle")))

    def wrap(name: str) -> None:
        method = getattr(keras.Model, name)

        @functools.wraps(method)
        def announced(self: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                running = facts(name, method, self, *args, **kwargs)
            except TypeError:  # unknown arguments: Keras says so
                running = RunningMethod(name)
            token = _running.set(running)
            try:
                return method(self, *args, **kwargs)
            finally:
                _running.reset(token)

        setattr(keras.Model, name, announced)

    for name in ("fit", "train_on_batch", "test_on_batch"):
        wrap(name)


# === Export ===

_exporting: ContextVar[bool] = ContextVar("deeprnn_keras_exporting", default=False)
_ORIGIN = "_deeprnn_keras_function"  # of a concrete function: the `tf.function` that traced it


def is_exporting() -> bool:
    """Return whether graphs are traced to be written to a file."""
    return _exporting.get() or ("tensorflow" in sys.modules and _save_context().in_save_context())


@contextmanager
def exporting() -> Iterator[None]:
    """Trace layers of this package for export within the block.

    An exported graph has neither functions compiled by XLA nor gradients of its own, so that every runtime and
    converter reads it. Keras' `model.export`, `tf.saved_model.save`, and LiteRT's converter enter this context
    themselves; other exporters are called within it. Functions traced before the block are traced again inside it.

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


def _save_context() -> Any:
    """Return TensorFlow's record of whether it writes a SavedModel.

    It is part of the key under which a `tf.function` looks up its traces: what was traced outside is traced again.
    """
    return private("tensorflow.python.saved_model.save_context:_save_context")


@contextmanager
def _inside_save_context() -> Iterator[None]:
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
    """Leave the context for the block: `tf.saved_model.save` enters it itself and refuses to do so twice."""
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


def _traced_again(functions: Any) -> Any:
    """Return concrete functions, one or a structure of them, traced for export if their `tf.function` is known."""
    if isinstance(functions, Mapping):
        return {name: _traced_again(function) for name, function in functions.items()}
    if isinstance(functions, (list, tuple)):
        return [_traced_again(function) for function in functions]
    origin = getattr(functions, _ORIGIN, None)
    if origin is None:
        return functions
    args, kwargs = functions.structured_input_signature if origin.input_signature is None else ((), {})
    with exporting():
        return origin.get_concrete_function(*args, **kwargs)


@functools.cache
def install_export_hooks() -> None:
    """Wrap the entry points of exports so that layers are traced for export, also if they were traced before.

    These are `keras.export.ExportArchive`, `tf.saved_model.save`, and `tf.lite.TFLiteConverter`. Without effect on
    another backend than TensorFlow.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return
    _remember_origins()
    _wrap_archive()
    _wrap_saved_model()
    _wrap_litert()


def _remember_origins() -> None:
    """Let a concrete function know the `tf.function` that it comes from, which alone can trace it again."""
    import tensorflow as tf

    kind = type(tf.function(lambda: None))
    method = kind.get_concrete_function

    @functools.wraps(method)
    def get_concrete_function(self: Any, *args: Any, **kwargs: Any) -> Any:
        concrete = method(self, *args, **kwargs)
        setattr(concrete, _ORIGIN, self)
        return concrete

    kind.get_concrete_function = get_concrete_function


def _wrap_archive() -> None:
    """Wrap `keras.export.ExportArchive`: `model.export` of every format traces its endpoints through it."""
    import keras

    kind = type(keras.export.ExportArchive())
    add_endpoint, write_out = kind.add_endpoint, kind.write_out

    @functools.wraps(add_endpoint)
    def add(self: Any, name: str, fn: Any, input_signature: Any = None, **kwargs: Any) -> Any:
        traced = fn
        if input_signature is not None:  # else a `tf.function`, whose traces `write_out` makes again

            @functools.wraps(fn)
            def traced(*args: Any, **options: Any) -> Any:
                with exporting():
                    return fn(*args, **options)

        return add_endpoint(self, name, traced, input_signature, **kwargs)

    @functools.wraps(write_out)
    def write(self: Any, *args: Any, **kwargs: Any) -> Any:
        with exporting():
            return write_out(self, *args, **kwargs)

    kind.add_endpoint, kind.write_out = add, write


def _wrap_saved_model() -> None:
    """Wrap `tf.saved_model.save`, also under the name by which LiteRT's converter calls it."""
    import tensorflow as tf

    original = tf.saved_model.save

    @functools.wraps(original)
    def save(obj: Any, export_dir: str, signatures: Any = None, options: Any = None) -> None:
        signatures, token = _traced_again(signatures), _exporting.set(True)
        try:
            with _outside_save_context():
                original(obj, export_dir, signatures, options)
        finally:
            _exporting.reset(token)

    tf.saved_model.save = save
    importlib.import_module("tensorflow.python.saved_model.save").save = save


def _wrap_litert() -> None:
    """Wrap `tf.lite.TFLiteConverter`: the functions it is given, and its own tracing of a Keras model."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter
    from_concrete_functions, from_keras_model = converter.from_concrete_functions, converter.from_keras_model

    @functools.wraps(from_concrete_functions)
    def from_functions(cls: type, funcs: Sequence[Any], trackable_obj: Any = None) -> Any:
        return from_concrete_functions.__func__(cls, _traced_again(funcs), trackable_obj)

    @functools.wraps(from_keras_model)
    def from_model(cls: type, model: Any) -> Any:
        found = from_keras_model.__func__(cls, model)
        convert = found.convert

        @functools.wraps(convert)
        def converted(*args: Any, **kwargs: Any) -> Any:
            with exporting():
                return convert(*args, **kwargs)

        found.convert = converted
        return found

    converter.from_concrete_functions = classmethod(from_functions)
    converter.from_keras_model = classmethod(from_model)
