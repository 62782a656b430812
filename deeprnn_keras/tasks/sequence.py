"""Base class of the task families of `SequenceModel`, which predicts one output per series or per step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from deeprnn_keras.tasks.family import Configuration, Family

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
    from deeprnn_keras.models import SequenceModel


class SequenceFamily(Family):
    """Base class of task families of a `SequenceModel`, on data of type `SeriesSplit`.

    A subclass must define `name`, `kinds`, and `score`. It must also define `load_data`, unless its data sets are
    loaded by functions of `deeprnn_keras.data`.

    Attributes:
        kinds: The values of `SequenceModel.kind` that the family handles.

    >>> from deeprnn_keras.data import adding_split
    >>> from deeprnn_keras.tasks import SequenceFamily
    >>> class Adding(SequenceFamily):
    ...     name = "adding"
    ...     def load_data(self, config, path=None):
    ...         return adding_split(steps=10, train=8, test=2)
    ...     def score(self, model, part):
    ...         return {"mse": model.evaluate(self.batches(model, part, 32, shuffle=False), verbose=0)}
    >>> Adding().describe_data(Adding().load_data(None))
    '8 training series, 2 test series'
    """

    kinds: tuple[str, ...] = ()

    @override
    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model is a `SequenceModel` of one of the family's kinds."""
        from deeprnn_keras.models import SequenceModel

        return isinstance(model, SequenceModel) and model.kind in self.kinds

    # === Data ===
    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> SeriesSplit:
        """Load the data of a configuration with the function of `deeprnn_keras.data` that `config.corpus` names.

        Raises:
            ValueError: If `config` is None or names no function, if the function requires a file and `path` is None,
                or if it reads no file and `path` is passed.
        """
        if config is None:
            raise ValueError(
                "the data of a model that is not in the zoo are unknown; in a script, evaluate it with model.evaluate"
            )
        if config.corpus is None:
            raise ValueError(
                f"the data of {config.name} ({config.data}) are not included; in a script, use "
                f"zoo.create_model({config.name!r}), model.dataset(series, labels), and model.fit"
            )
        load, parameter = dataset_function(config.corpus), path_parameter(config.corpus)
        if parameter is None and path is not None:
            raise ValueError(f"the data of {config.name} ({config.data}) are included; leave out --data")
        if parameter is not None and parameter.default is parameter.empty and path is None:
            raise ValueError(f"the data of {config.name} ({config.data}) are not included; pass --data FILE")
        return load() if path is None else load(path)

    @override
    def describe_data(self, data: SeriesSplit) -> str:
        """Return the numbers of training and test series."""
        return f"{len(data.train):,} training series, {len(data.test):,} test series"

    @override
    def data_record(self, data: SeriesSplit) -> dict[str, Any]:
        """Return the name of the data set and the numbers of training and test series."""
        return {"data": data.name, "train": len(data.train), "test": len(data.test)}

    @override
    def batches(
        self,
        model: SequenceModel,
        part: LabeledSeries,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> Batches:
        """Return batches of series, whose lengths may differ."""
        return model.dataset(part.series, part.targets, batch_size, shuffle=shuffle, seed=seed)


def dataset_function(name: str) -> Callable[..., SeriesSplit]:
    """Return the function of `deeprnn_keras.data` that loads the data set `name`."""
    from deeprnn_keras import data

    return getattr(data, name)


def path_parameter(name: str) -> inspect.Parameter | None:
    """Return the parameter `path` of the function that loads the data set `name`, or None if it reads no file."""
    return inspect.signature(dataset_function(name)).parameters.get("path")
