"""The recurrent layers of a model, wherever they are nested."""


def recurrent_layers(root):
    """[(path, layer)] of every `keras.layers.RNN` in a layer or model, in order, each layer once.

    A path joins the names from below the root down to the layer: "encoder/deep_rnn/forward_1". A layer that is used in
    several places stands where it comes first.
    """
    return list(_walk(root, [], set()))


def _walk(layer, names, seen):
    import keras

    if id(layer) in seen:
        return
    seen.add(id(layer))
    if isinstance(layer, keras.layers.RNN):
        yield "/".join(names) or layer.name, layer
    # what keras.Model.layers is made of; layers that are no model have it too, but no public name for it
    for child in layer._flatten_layers(include_self=False, recursive=False):
        yield from _walk(child, [*names, child.name], seen)
