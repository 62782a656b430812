"""Losses made of derivatives, and their derivatives."""

import tensorflow as tf


def output(layers, x, mask):
    for layer in layers:
        x = layer(x, mask=mask if len(x.shape) == 3 else None, training=mask is None)
    return x


def of_squared_gradients(layers, x, mask):
    """The squared length of a gradient, and its gradient."""
    sources = [x, *(w.value for layer in layers for w in layer.trainable_weights)]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(tf.sin(output(layers, x, mask)))
        value = tf.add_n([tf.reduce_sum(part**2) for part in inner.gradient(loss, sources)])
    return value, outer.gradient(value, sources)


def of_products_with_the_jacobian(layers, x, mask):
    """Gradients of two losses from one forward pass, and J v as the gradient of J^T u."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = output(layers, x, mask)
        u = tf.ones_like(y)
        tape.watch(u)
        losses = tf.reduce_sum(y**2), tf.reduce_sum(tf.sin(y))
        pulled = tape.gradient(y, x, output_gradients=u)
    return [*(tape.gradient(loss, x) for loss in losses), tape.gradient(pulled, u, output_gradients=tf.cos(x))]
