"""Derivatives of recurrent layers: gradients, gradients of gradients, and products with the Jacobian."""

import tensorflow as tf


def run_layers(layers, x, mask):
    for layer in layers:
        x = layer(x, mask=mask if len(x.shape) == 3 else None, training=mask is None)
    return x


def squared_gradient_norm(layers, x, mask):
    """Return the squared norm of the gradient of a loss, and the gradient of this norm."""
    sources = [x, *(w.value for layer in layers for w in layer.trainable_weights)]
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            loss = tf.reduce_sum(tf.sin(run_layers(layers, x, mask)))
        squared_norm = tf.add_n([tf.reduce_sum(part**2) for part in inner.gradient(loss, sources)])
    return squared_norm, outer.gradient(squared_norm, sources)


def jacobian_products(layers, x, mask):
    """Return the gradients of two losses of one forward pass, and J v as the gradient of J^T u with respect to u."""
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = run_layers(layers, x, mask)
        u = tf.ones_like(y)
        tape.watch(u)
        losses = tf.reduce_sum(y**2), tf.reduce_sum(tf.sin(y))
        vector_jacobian_product = tape.gradient(y, x, output_gradients=u)
    gradients = [tape.gradient(loss, x) for loss in losses]
    return [*gradients, tape.gradient(vector_jacobian_product, u, output_gradients=tf.cos(x))]


def values_and_gradients(layer, weights, x, states, mask):
    """Return outputs, final states, and all gradients of a recurrent layer with given weights."""
    layer.build((None, None, x.shape[2]))
    layer.set_weights(weights)
    tensors = [tf.cast(array, layer.dtype) for array in (x, *states)]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output, *final = layer(tensors[0], initial_state=tensors[1:], mask=mask, training=True)
        loss = tf.reduce_sum(tf.sin(output)) + sum(tf.reduce_sum(state**2) for state in final)
    variables = [weight.value for weight in layer.trainable_weights]
    return [output, *final, *tape.gradient(loss, [*tensors, *variables], unconnected_gradients="zero")]
