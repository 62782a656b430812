"""Optimizers that look at a gradient before they take it: clipped by its global norm, left out if it is not finite."""

import keras
from keras import ops

from deeprnn_keras import checks

DENSE = 2**25  # elements: up to here an embedding's gradient is made dense, beyond its rows are merged


class GradientGuard:
    """Mixin for a Keras optimizer: `class GuardedLion(GradientGuard, keras.optimizers.Lion): ...`.

    All gradients together are scaled by min(1, global_clipnorm / |g|), where |g| is their global norm. (Keras'
    `global_clipnorm` takes the norm of an embedding's gradient row by row as the rows were read, which is wrong where a
    symbol occurs twice.) A gradient that is not finite is not taken: weights, slots and `iterations` stay as they are.

    Args:
        global_clipnorm: a positive number, or None.
        Everything else: as in the optimizer.

    Attributes, variables that `fit` keeps up to date:
        applied, clipped, skipped: updates taken, of these scaled down, and left out.
        last_norm: |g| of the last update taken, before clipping.
        faulty: number of the first weight whose gradient was not finite when one was left out last; -1 before.

    Under a strategy with several replicas each clips its own gradient and none is left out.

    Raises:
        ValueError: for a global_clipnorm out of range, or together with another of Keras' clippings.

    >>> import keras
    >>> from deeprnn_keras.optimizers import GradientGuard
    >>> class GuardedLion(GradientGuard, keras.optimizers.Lion):
    ...     pass
    >>> GuardedLion(1e-4, global_clipnorm=1.0).global_clipnorm
    1.0
    """

    def __init__(self, *args, global_clipnorm=None, **kwargs):
        if global_clipnorm is not None:
            checks.positive_or_none("global_clipnorm", global_clipnorm)
        super().__init__(*args, global_clipnorm=global_clipnorm, **kwargs)

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.applied, self.clipped, self.skipped = map(self._counter, ("applied", "clipped", "skipped"))
        self.faulty = self._counter("faulty", start=-1)
        self.last_norm = self._counter("last_norm", "float32")

    def _counter(self, name, dtype="int32", start=0):
        start = keras.initializers.Constant(start)  # not assigned: `build` may be traced, and run in every step
        return self.add_variable((), start, dtype, aggregation="only_first_replica", name=name)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is not None and not self.built:
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
            self.built = True
        present = [place for place, grad in enumerate(grads) if grad is not None]
        merged = {place: merged_rows(grads[place]) for place in present}
        squares = ops.stack([sum_of_squares(merged[place]) for place in present])
        norm = ops.sqrt(ops.sum(squares))
        scale = (
            1.0 if self.global_clipnorm is None else ops.minimum(1.0, self.global_clipnorm / ops.maximum(norm, 1e-30))
        )
        scaled = [scaled_by(merged[place], scale) if place in merged else None for place in range(len(grads))]

        def take():
            super(GradientGuard, self).apply(scaled, trainable_variables)
            self.applied.assign_add(1)
            self.clipped.assign_add(ops.cast(ops.less(scale, 1.0), "int32"))
            self.last_norm.assign(norm)

        def leave_out():
            self.skipped.assign_add(1)
            first = ops.argmax(ops.cast(ops.logical_not(ops.isfinite(squares)), "int32"))
            self.faulty.assign(ops.take(ops.convert_to_tensor(present, "int32"), first))

        if self._several_replicas():
            take()
        else:
            ops.cond(ops.isfinite(norm), take, leave_out)

    @staticmethod
    def _several_replicas():
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync > 1

    def _clip_gradients(self, grads):
        return grads if self.global_clipnorm else super()._clip_gradients(grads)  # `apply` has clipped the global norm


def merged_rows(gradient):
    """A gradient in which each row of the weight stands once: dense, or for large embeddings as rows."""
    if not hasattr(gradient, "indices"):
        return gradient
    import tensorflow as tf

    if gradient.dense_shape is not None:
        shape = tf.get_static_value(gradient.dense_shape)
        if shape is not None and int(shape.prod()) <= DENSE:
            return tf.convert_to_tensor(gradient)
    rows, place = tf.unique(gradient.indices)
    return tf.IndexedSlices(
        tf.math.unsorted_segment_sum(gradient.values, place, tf.size(rows)), rows, gradient.dense_shape
    )


def sum_of_squares(gradient):
    """In float32."""
    return ops.sum(ops.square(ops.cast(getattr(gradient, "values", gradient), "float32")))


def scaled_by(gradient, scale):
    """The gradient times a scalar, in its own dtype."""
    if hasattr(gradient, "indices"):
        values = gradient.values * ops.cast(scale, gradient.values.dtype)
        return type(gradient)(values, gradient.indices, gradient.dense_shape)
    return gradient * ops.cast(scale, gradient.dtype)


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GuardedAdam(GradientGuard, keras.optimizers.Adam):
    """`keras.optimizers.Adam` that clips by the global norm and leaves out what is not finite: see `GradientGuard`.

    >>> from deeprnn_keras.optimizers import GuardedAdam
    >>> GuardedAdam(1e-3, global_clipnorm=1.0).get_config()["global_clipnorm"]
    1.0
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GuardedSGD(GradientGuard, keras.optimizers.SGD):
    """`keras.optimizers.SGD` that clips by the global norm and leaves out what is not finite: see `GradientGuard`.

    >>> from deeprnn_keras.optimizers import GuardedSGD
    >>> GuardedSGD(1.0, global_clipnorm=0.25).global_clipnorm
    0.25
    """


@keras.saving.register_keras_serializable(package="deeprnn_keras")
class GuardedRMSprop(GradientGuard, keras.optimizers.RMSprop):
    """`keras.optimizers.RMSprop` that clips by the global norm and leaves out what is not finite: see `GradientGuard`.

    >>> from deeprnn_keras.optimizers import GuardedRMSprop
    >>> GuardedRMSprop(1e-3, global_clipnorm=5.0).global_clipnorm
    5.0
    """


GUARDED_OPTIMIZERS = {"adam": GuardedAdam, "rmsprop": GuardedRMSprop, "sgd": GuardedSGD}
