"""Optimizers that clip gradients by their global norm and skip updates whose gradient is not finite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
from keras import ops
from typing_extensions import override

from deeprnn_keras import _compat, checks
from deeprnn_keras._types import Tensor
from deeprnn_keras.keras_objects import ChecksConfig

if TYPE_CHECKING:  # the guard is a mixin: its subclasses have an optimizer as second base
    from keras.optimizers import Optimizer as _Optimizer
else:
    _Optimizer = object

MAX_DENSE_ELEMENTS = 2**25  # embedding gradients up to this size become dense; larger ones stay sparse


class GradientGuard(ChecksConfig, _Optimizer):
    """Mixin that clips by the global norm and skips non-finite gradients.

    Use it as `class GuardedLion(GradientGuard, keras.optimizers.Lion): ...`.

    All gradients are scaled by min(1, global_clipnorm / |g|), where |g| is their global norm. (Keras computes the norm
    of a sparse embedding gradient from its unmerged rows, which is wrong if a token occurs more than once in a batch.)
    If the gradient is not finite, the update is skipped: weights, slot variables, and `iterations` do not change.

    Under `tf.distribute`, the sum of the gradients of all replicas is clipped, as one device would clip the gradient of
    the whole batch; a non-finite gradient of one replica skips the update on all of them. In the processes of
    `keras.distribution.DataParallel`, JAX adds the gradients before the optimizer sees them.

    Args:
        *args: Passed to the optimizer.
        global_clipnorm: Global norm to clip gradients to; None for no clipping.
        **kwargs: Passed to the optimizer.

    Attributes:
        applied: Variable, number of updates applied.
        clipped: Variable, number of updates applied with a clipped gradient.
        skipped: Variable, number of updates skipped.
        last_norm: Variable, |g| of the last update applied, before clipping.
        faulty: Variable, index of the first weight with a non-finite gradient in the last update skipped; -1 if no
            update was skipped.

    Raises:
        ValueError: If `global_clipnorm` is not positive, or combined with `clipnorm` or `clipvalue`.

    >>> import keras
    >>> from deeprnn_keras.optimizers import GradientGuard
    >>> class GuardedLion(GradientGuard, keras.optimizers.Lion):
    ...     pass
    >>> GuardedLion(1e-4, global_clipnorm=1.0).global_clipnorm
    1.0
    """

    def __init__(self, *args: Any, global_clipnorm: float | None = None, **kwargs: Any) -> None:
        global_clipnorm = checks.positive_or_none("global_clipnorm", global_clipnorm)
        if args:
            args = (_learning_rate(args[0]), *args[1:])
        elif "learning_rate" in kwargs:
            kwargs["learning_rate"] = _learning_rate(kwargs["learning_rate"])
        super().__init__(*map(checks.to_python, args), global_clipnorm=global_clipnorm, **checks.to_python(kwargs))

    @override
    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self.applied, self.clipped, self.skipped = map(self._counter, ("applied", "clipped", "skipped"))
        self.faulty = self._counter("faulty", initial_value=-1)
        self.last_norm = self._counter("last_norm", "float32")

    def _counter(self, name: str, dtype: str = "int32", initial_value: int = 0) -> keras.Variable:
        # an initializer instead of an assignment, which would run in every step if `build` is traced
        initializer = keras.initializers.Constant(initial_value)
        return self.add_variable((), initializer, dtype, aggregation="only_first_replica", name=name)

    @override
    def apply(self, grads: Sequence[Tensor | None], trainable_variables: Sequence[Tensor] | None = None) -> None:
        if trainable_variables is not None and not self.built:
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
            self.built = True
        merged = {index: merge_rows(gradient) for index, gradient in enumerate(grads) if gradient is not None}
        if self._has_replicas():
            merged = _sums_of_replicas(merged)
        squares = ops.stack([sum_of_squares(gradient) for gradient in merged.values()])
        norm = ops.sqrt(ops.sum(squares))
        is_finite = ops.isfinite(norm)
        scale = self._clipping_factor(norm)
        share = scale / _num_replicas()  # Keras applies the sum over the replicas
        clipped = [scale_gradient(merged[index], share) if index in merged else None for index in range(len(grads))]

        def apply_update() -> None:
            super(GradientGuard, self).apply(clipped, trainable_variables)
            self.applied.assign_add(1)
            self.clipped.assign_add(ops.cast(ops.less(scale, 1.0), "int32"))
            self.last_norm.assign(norm)

        def count_skipped() -> None:
            self._count_skipped(is_finite, squares, list(merged))

        if self._has_replicas() or keras.backend.backend() == "jax":
            self._apply_or_restore(is_finite, trainable_variables, apply_update)
            count_skipped()
        else:
            ops.cond(is_finite, apply_update, count_skipped)

    def _count_skipped(self, is_finite: Tensor, squares: Tensor, indices: Sequence[int]) -> None:
        """Count an update as skipped, with the first weight whose gradient is not finite, unless the norm is finite."""
        self.skipped.assign_add(ops.cast(ops.logical_not(is_finite), "int32"))
        first = ops.argmax(ops.cast(ops.logical_not(ops.isfinite(squares)), "int32"))
        faulty = ops.take(ops.convert_to_tensor(indices, "int32"), first)
        self.faulty.assign(ops.where(is_finite, ops.convert_to_tensor(self.faulty), faulty))

    def _apply_or_restore(
        self, is_finite: Tensor, trainable_variables: Sequence[Tensor] | None, apply_update: Callable[[], None]
    ) -> None:
        """Apply the update, and restore all variables if the gradient was not finite.

        JAX supports no assignments to variables inside a condition, and replicas cannot meet inside one.
        """
        weights = self._trainable_variables if trainable_variables is None else trainable_variables
        variables = [*weights, *self.variables]
        before = [ops.copy(ops.convert_to_tensor(variable)) for variable in variables]
        apply_update()
        values = [
            ops.where(is_finite, ops.convert_to_tensor(variable), value)
            for variable, value in zip(variables, before, strict=True)
        ]
        if self._has_replicas():
            _compat.assign_on_replicas(variables, values)
            return
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _clipping_factor(self, norm: Tensor) -> Tensor:
        if self.global_clipnorm is None:
            return 1.0
        return ops.minimum(1.0, self.global_clipnorm / ops.maximum(norm, 1e-30))

    @staticmethod
    def _has_replicas() -> bool:
        """Return True in a strategy of `tf.distribute`, also one with a single replica."""
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        return tf.distribute.has_strategy()

    @override
    def _clip_gradients(self, grads: Sequence[Tensor]) -> Sequence[Tensor]:
        return grads if self.global_clipnorm else super()._clip_gradients(grads)  # `apply` already clips by it


def _learning_rate(value: object) -> object:
    """Return a number as a float, which Keras requires; a schedule or a function as it is."""
    return checks.non_negative("learning_rate", value) if checks.is_number(value) else value


def _num_replicas() -> int:
    """Return the number of replicas of `tf.distribute`; 1 on other backends and without a strategy."""
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _sums_of_replicas(gradients: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """Return the sums of the gradients of all replicas of `tf.distribute`, which are the gradients of the batch."""
    import tensorflow as tf

    dense = [tf.convert_to_tensor(gradient) for gradient in gradients.values()]
    sums = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, dense)
    return dict(zip(gradients, sums, strict=True))


def is_sparse(gradient: Tensor) -> bool:
    """Return whether a gradient is `tf.IndexedSlices`; tensors of PyTorch have methods `indices` and `values`."""
    return hasattr(gradient, "dense_shape")


def merge_rows(gradient: Tensor) -> Tensor:
    """Return a gradient without duplicate rows: dense, or `tf.IndexedSlices` for a large embedding."""
    if not is_sparse(gradient):
        return gradient
    import tensorflow as tf

    if gradient.dense_shape is not None:
        shape = tf.get_static_value(gradient.dense_shape)
        if shape is not None and int(shape.prod()) <= MAX_DENSE_ELEMENTS:
            return tf.convert_to_tensor(gradient)
    rows, segments = tf.unique(gradient.indices)
    return tf.IndexedSlices(
        tf.math.unsorted_segment_sum(gradient.values, segments, tf.size(rows)), rows, gradient.dense_shape
    )


def sum_of_squares(gradient: Tensor) -> Tensor:
    """Return the sum of squares of a gradient in float32."""
    return ops.sum(ops.square(ops.cast(gradient.values if is_sparse(gradient) else gradient, "float32")))


def scale_gradient(gradient: Tensor, scale: Tensor) -> Tensor:
    """Return a gradient times a scalar, in the dtype of the gradient."""
    if is_sparse(gradient):
        values = gradient.values * ops.cast(scale, gradient.values.dtype)
        return type(gradient)(values, gradient.indices, gradient.dense_shape)
    return gradient * ops.cast(scale, gradient.dtype)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GuardedAdam(GradientGuard, keras.optimizers.Adam):
    """`keras.optimizers.Adam` with a `GradientGuard`.

    On TensorFlow, weights and moments are updated in place by one operation per weight instead of about ten. It has the
    same formula; since it computes 1 - beta_2 in float32, a step differs from that of Keras by up to 5e-5 of its size.

    >>> from deeprnn_keras.optimizers import GuardedAdam
    >>> GuardedAdam(1e-3, global_clipnorm=1.0).get_config()["global_clipnorm"]
    1.0
    """

    @override
    def update_step(self, gradient: Tensor, variable: Tensor, learning_rate: Tensor) -> None:
        if not self._updates_in_place(gradient):
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        def cast(value: Tensor | float) -> Tensor:
            return tf.cast(value, variable.dtype)

        momentum, velocity = _compat.adam_moments(self, variable)
        step = cast(self.iterations + 1)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=momentum.handle,
            v=velocity.handle,
            beta1_power=tf.pow(cast(self.beta_1), step),
            beta2_power=tf.pow(cast(self.beta_2), step),
            lr=cast(learning_rate),
            beta1=cast(self.beta_1),
            beta2=cast(self.beta_2),
            epsilon=cast(self.epsilon),
            grad=cast(gradient),
        )

    def _updates_in_place(self, gradient: Tensor) -> bool:
        return (
            not is_sparse(gradient)
            and not self.amsgrad
            and keras.backend.backend() == "tensorflow"
            and not self._has_replicas()
        )


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GuardedSGD(GradientGuard, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with a `GradientGuard`.

    >>> from deeprnn_keras.optimizers import GuardedSGD
    >>> GuardedSGD(1.0, global_clipnorm=0.25).global_clipnorm
    0.25
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GuardedRMSprop(GradientGuard, keras.optimizers.RMSprop):
    """`keras.optimizers.RMSprop` with a `GradientGuard`.

    >>> from deeprnn_keras.optimizers import GuardedRMSprop
    >>> GuardedRMSprop(1e-3, global_clipnorm=5.0).global_clipnorm
    5.0
    """


GUARDED_OPTIMIZERS: Mapping[str, type[GradientGuard]] = {
    "adam": GuardedAdam,
    "rmsprop": GuardedRMSprop,
    "sgd": GuardedSGD,
}
