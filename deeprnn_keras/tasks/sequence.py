"""Families of `SequenceModel`: one prediction for a whole series, or one per step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deeprnn_keras.tasks.family import Configuration, Family

if TYPE_CHECKING:
    import keras

    from deeprnn_keras.data.batches import Batches
    from deeprnn_keras.data.series import LabeledSeries, SeriesSplit
    from deeprnn_keras.models import SequenceModel


class SequenceFamily(Family):
    """Models of series, `SequenceModel`, on a `SeriesSplit`.

    A subclass defines `name`, `kinds`, and `score`; and `load_data` for data that `deeprnn_keras.data` does not have.

    Attributes:
        kinds: The `kind` of the models that belong to the family.

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

    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model is a `SequenceModel` with an output of one of the family's kinds."""
        from deeprnn_keras.models import SequenceModel

        return isinstance(model, SequenceModel) and model.kind in self.kinds

    # === Data ===
    def load_data(self, config: Configuration, path: Path | None = None) -> SeriesSplit:
        """Return the data of a configuration from the function called `config.corpus`.

        Raises:
            ValueError: If the configuration comes without data, or the file is missing or not needed.
        """
        if config is None:
            raise ValueError("the model is not one of the zoo, whose entries know their data; score it in a script")
        if config.corpus is None:
            raise ValueError(
                f"{config.name} comes without its data ({config.data}); use zoo.create_model({config.name!r}) with "
                "model.dataset(series, labels) and model.fit"
            )
        load, file = dataset_function(config.corpus), path_parameter(config.corpus)
        if file is None and path is not None:
            raise ValueError(f"{config.name} comes with its data ({config.data}); leave out --data")
        if file is not None and file.default is file.empty and path is None:
            raise ValueError(f"{config.name} comes without its data ({config.data}); give it with --data FILE")
        return load() if path is None else load(path)

    def describe_data(self, data: SeriesSplit) -> str:
        """Return the numbers of training and test series."""
        return f"{len(data.train):,} training series, {len(data.test):,} test series"

    def data_record(self, data: SeriesSplit) -> dict[str, Any]:
        """Return the name of the data and the numbers of series."""
        return {"data": data.name, "train": len(data.train), "test": len(data.test)}

    def batches(
        self,
        model: SequenceModel,
        part: LabeledSeries,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> Batches:
        """Return batches of series, which may have different lengths."""
        return model.dataset(part.series, part.targets, batch_size, shuffle=shuffle, seed=seed)


def dataset_function(name: str) -> Callable[..., SeriesSplit]:
    """Return the function of `deeprnn_keras.data` that loads the data set `name`."""
    from deeprnn_keras import data

    return getattr(data, name)


def path_parameter(name: str) -> inspect.Parameter | None:
    """Return the parameter `path` of the function that loads the data set `name`, or None."""
    return inspect.signature(dataset_function(name)).parameters.get("path")
