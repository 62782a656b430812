"""The zoo's names: list, describe, count, and build models. Nothing here imports Keras."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.registry import Registry
from deeprnn_keras.tasks import families
from deeprnn_keras.zoo import presets, trained
from deeprnn_keras.zoo.configuration import Configuration

if TYPE_CHECKING:
    import keras

MODELS = Registry("model")  # use `models`, which adds those of task families
_families_added: set[str] = set()


def register(*configs: Configuration) -> None:
    """Add configurations under their names.

    Raises:
        ValueError: If a name is taken.
    """
    for config in configs:
        MODELS.add(config.name, config)


def models() -> Registry:
    """Return all configurations by name, those of task families in other packages included."""
    for family in families():
        if family.name not in _families_added:
            _families_added.add(family.name)
            try:
                register(*family.entries())
            except Exception as error:  # whatever a foreign package raises must not break the others
                message = f"entries of task family {family.name!r} could not be added to the zoo"
                warnings.warn(f"{message}: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)
    return MODELS


def list_models(pattern: str = "*", task: str | None = None, pretrained: bool | None = None) -> list[str]:
    """Return the names of models, sorted.

    Args:
        pattern: Pattern with * and ?, such as "*lstm*".
        task: Task family, such as "language" or "music"; None for all.
        pretrained: True for models with trained weights only, False for those without; None for all.

    Raises:
        ValueError: For a task that no model has.

    >>> from deeprnn_keras import zoo
    >>> zoo.list_models("d2l_*")
    ['d2l_gru_2x32', 'd2l_lstm_2x256', 'd2l_rnn_2x32']
    """
    known = models()
    if task is not None:
        task = Registry("task", {config.task: config.task for config in known})[task]
    return [
        name
        for name in known.names(pattern)
        if task in (None, known[name].task) and pretrained in (None, known[name].weights is not None)
    ]


def info(name: str, **overrides: Any) -> Configuration:
    """Return the configuration of a model: architecture, recipe, paper, and what differs from it.

    Args:
        name: One of `list_models()`.
        overrides: Other values for its fields, as in `create_model`.

    Raises:
        ValueError: For an unknown name or field; the nearest name is suggested.

    >>> from deeprnn_keras import zoo
    >>> zoo.info("zaremba_small").recipe.bptt
    20
    """
    return models()[name].replace(**overrides)


def card(name: str, **overrides: Any) -> str:
    """Return the card of a model as text, the same as `str(info(name, **overrides))`.

    Args:
        name: One of `list_models()`.
        overrides: Other values for its fields, as in `create_model`.

    Raises:
        ValueError: For an unknown name or field; the nearest name is suggested.

    >>> from deeprnn_keras import zoo
    >>> print(zoo.card("zaremba_small").splitlines()[0])
    zaremba_small: unregularized LSTM, small
    """
    return str(info(name, **overrides))


def count_params(name: str, **overrides: Any) -> int:
    """Return the number of weights of a model from its configuration alone, without building it.

    Equal to `create_model(name, **overrides).count_params()`.
    """
    return info(name, **overrides).count_params()


def create_model(name: str | Path, pretrained: bool = False, **overrides: Any) -> keras.Model:
    """Return a model, compiled with its recipe's optimizer and ready for `model.fit`.

    The recipe's schedule comes with `zoo.info(name).recipe.callbacks()`.

    Args:
        name: One of `list_models()`; or the directory of a preset, whose weights are loaded.
        pretrained: Whether to load the trained weights in the package. Nothing is downloaded, and their SHA-256 is
            verified.
        overrides: Other values for fields of the configuration (`units`, `num_layers`, `cell`, `dropout`,
            `vocabulary`, ...) or of its recipe (`learning_rate`, `global_clipnorm`, ...).

    Raises:
        ValueError: For an unknown name or field (the nearest is suggested), a value out of range, or weights that do
            not exist, are damaged, or belong to a model without these overrides.

    >>> from deeprnn_keras import zoo
    >>> zoo.create_model("d2l_gru_2x32").count_params()
    13212
    """
    if not isinstance(name, str) or (name not in models() and presets.is_preset(name)):
        return _from_preset(name, overrides)
    config = info(name, **overrides)
    weights = _weights_of(config) if pretrained else None
    model = config.build()
    if weights is not None:
        weights.load(model)
    return model


def _weights_of(config: Configuration) -> trained.Trained:
    """Return the trained weights of a configuration."""
    found = trained.read_record(config.name)
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


def _from_preset(directory: str | Path, overrides: dict[str, Any]) -> keras.Model:
    config = presets.load_config(directory)
    model = config.replace(**overrides).build()
    if model.count_params() != config.count_params():
        raise ValueError(f"{overrides} describe another model than the weights in {str(directory)!r}; leave them out")
    presets.load_weights(model, directory)
    return model
