"""The zoo's names: what is there, what is known of it, and how to build it. Nothing here imports Keras."""

from deeprnn_keras import Registry
from deeprnn_keras.zoo import presets, trained

MODELS = Registry("model")


def register(*configs):
    """Adds configurations under their names; a name that is taken is an error."""
    for config in configs:
        MODELS.add(config.name, config)


def list_models(pattern="*", task=None, pretrained=None):
    """The names of models, sorted.

    Args:
        pattern: with * and ?, such as "*lstm*".
        task: such as "language", "classification", "music"; None for all.
        pretrained: True: only those with weights; False: only those without; None: all.

    Raises:
        ValueError: for a task that no model has.

    >>> from deeprnn_keras import zoo
    >>> zoo.list_models("d2l_*")
    ['d2l_gru_2x32', 'd2l_lstm_2x256', 'd2l_rnn_2x32']
    """
    if task is not None:
        task = Registry("task", {config.task: config.task for config in MODELS})[task]
    return [
        name
        for name in MODELS.names(pattern)
        if task in (None, MODELS[name].task) and pretrained in (None, MODELS[name].weights is not None)
    ]


def info(name, **overrides):
    """The configuration called `name`: architecture, recipe, paper, what differs from it. Printed it is a card.

    Args:
        name: one of `list_models()`.
        overrides: other values for its fields, as in `create_model`.

    Raises:
        ValueError: for an unknown name or field; it suggests the nearest.

    >>> from deeprnn_keras import zoo
    >>> zoo.info("zaremba_small").recipe.bptt
    20
    """
    return MODELS[name].changed(**overrides)


def count_params(name, **overrides):
    """The number of weights of a model, from its configuration alone: nothing is built.

    Equal to `create_model(name, **overrides).count_params()`.
    """
    return info(name, **overrides).count_params()


def create_model(name, pretrained=False, **overrides):
    """The model called `name`, compiled with its recipe's optimizer and ready for `model.fit`.

    The recipe's schedule comes with `zoo.info(name).recipe.callbacks()`.

    Args:
        name: one of `list_models()`; or the folder of a preset, whose weights it then has.
        pretrained: with the trained weights that come with the package, where there are some: nothing is fetched, and
            their SHA-256 is verified.
        overrides: other values for fields of the configuration (`units`, `num_layers`, `cell`, `dropout`,
            `vocabulary`, ...) or of its recipe (`learning_rate`, `global_clipnorm`, ...).

    Raises:
        ValueError: for an unknown name or field (it suggests the nearest), a value out of range, weights that do not
            exist, are damaged, or belong to a model without these overrides.

    >>> from deeprnn_keras import zoo
    >>> zoo.create_model("d2l_gru_2x32").count_params()
    13212
    """
    if not isinstance(name, str) or (name not in MODELS and presets.is_preset(name)):
        return _from_preset(name, overrides)
    config = info(name, **overrides)
    weights = _weights_of(config) if pretrained else None
    model = config.build()
    if weights is not None:
        weights.load(model)
    return model


def _weights_of(config):
    """The trained weights of a configuration."""
    found = trained.record(config.name)
    if found is None:
        having = list_models(pretrained=True)
        raise ValueError(f"{config.name} has no trained weights; models that have: {', '.join(having) or 'none yet'}")
    wrong = [f"{key}={mine!r} (theirs: {theirs!r})" for key, mine, theirs in found.contradictions(config)]
    if wrong:
        raise ValueError(
            f"the trained weights of {config.name} belong to another model than {', '.join(wrong)}; leave these "
            "overrides out, or pretrained=True"
        )
    return found


def _from_preset(folder, overrides):
    config = presets.load_config(folder)
    model = config.changed(**overrides).build()
    if model.count_params() != config.count_params():
        raise ValueError(f"{overrides} describe another model than the weights in {str(folder)!r}; leave them out")
    presets.load_weights(model, folder)
    return model
