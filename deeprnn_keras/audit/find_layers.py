"""The recurrent layers of a model, wherever they are nested."""

from deeprnn_keras import _compat


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
    for child in _compat.flatten_layers(layer, include_self=False, recursive=False):
        yield from _walk(child, [*names, child.name], seen)


def find_stack(model, name=None):
    """The one `DeepRNN` of a model, or that of this name.

    Raises:
        ValueError: if there is none, or there are several and no name.
    """
    from deeprnn_keras.layers import DeepRNN

    found = [layer for layer in _compat.flatten_layers(model) if isinstance(layer, DeepRNN)]
    if name is not None:
        found = [layer for layer in found if layer.name == name]
    if len(found) != 1:
        names = [layer.name for layer in found]
        wanted = f"named {name!r}" if name else "in the model"
        raise ValueError(f"layer: there must be one DeepRNN {wanted}, found {names or 'none'}; give its name as layer=")
    return found[0]
