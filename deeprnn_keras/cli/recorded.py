"""`deeprnn evaluate --record`: figures of an entry, with how they came about, into the zoo's table."""

import math
from dataclasses import dataclass

NAMES = {"nats_per_frame": "nats per frame"}


@dataclass(frozen=True)
class Origin:
    """How a model was trained."""

    seed: int
    updates: int
    minutes: float
    device: str
    versions: str


def record_figures(named, model, data, console):
    """Scores an entry on its own data, times its training step, and writes both into results.csv and the table.

    Args:
        named: what the user called the model: a name of the zoo, or a training's folder.
        model: built.
        data: a file of the user's, for entries that come without data, or None.
        console: to report to.

    Raises:
        ValueError: for a model that is not an entry as it stands.
    """
    from deeprnn_keras import zoo
    from deeprnn_keras.training.device import device_name
    from deeprnn_keras.zoo import results, table

    config = zoo.info(named if named in zoo.list_models() else model.name)
    origin = _origin(config, named)
    with console.status("scoring"):
        place, figures, batch = _figures(config, model, data)
    about = {"name": config.name, "data": place[0], "seed": str(origin.seed), "steps": str(origin.updates)}
    about |= {"minutes": f"{origin.minutes:.1f}", "versions": origin.versions}
    rows = [
        results.Result(split=place[1], metric=metric, value=f"{value:.4f}", device=origin.device, **about)
        for metric, value in figures.items()
    ]
    with console.status("timing training steps"):
        ms = _milliseconds(config, batch)
    about["versions"] = _versions()
    rows.append(
        results.Result(split="train", metric=results.STEP_TIME, value=f"{ms:.1f}", device=device_name(), **about)
    )
    results.record_results(rows)
    table.write()
    for row in rows:
        console.print(f"[bold]{row.metric:>20}[/]  {row.value}   {row.data}, {row.split}")
    console.print(f"written to {results.FILE} and {table.README}", soft_wrap=True)


def _origin(config, named):
    from deeprnn_keras.zoo import trained
    from deeprnn_keras.zoo.publish import finished_training

    if named == config.name:
        found = trained.record(named)
        return Origin(found.seed, found.updates, found.minutes, found.device, _words(found.versions))
    result = finished_training(named, config)
    versions = {**result["versions"], "python": result["python"]}
    return Origin(result["seed"], result["updates"], result["seconds"] / 60, result["device"], _words(versions))


def _words(versions):
    return ", ".join(f"{name} {number}" for name, number in versions.items() if name != "deeprnn-keras")


def _versions():
    import platform
    from importlib.metadata import version

    found = {name: version(name) for name in ("keras", "tensorflow")}
    return _words({**found, "python": platform.python_version()})


def _figures(config, model, data):
    """-> ((data, split), {metric: value}, a batch to train on)."""
    from deeprnn_keras.training.step_time import first_batch

    if config.task == "language":
        from deeprnn_keras.cli.train import corpus_of
        from deeprnn_keras.training.text_plan import batches, split_text

        corpus, recipe = corpus_of(config, data), config.recipe
        if (config.corpus and data) or corpus.vocabulary != model.vocabulary:
            raise ValueError(f"--record scores {config.name} on its own text, and {corpus.name} is another")
        split = split_text(corpus, recipe)
        train, validation = batches(*map(corpus.encode, (split.train, split.validation)), recipe, False, 0)
        figures = _text_figures(config, model, split, validation)
        return (corpus.name, "validation"), figures, first_batch(train())
    from deeprnn_keras.cli.series import series_of
    from deeprnn_keras.training.series_run import score_series

    split = series_of(config, data)
    score = score_series(model, split.test)
    figures = {NAMES.get(name, name): value for name, value in score.items() if isinstance(value, float)}
    train = model.dataset(split.train.series, split.train.answers, config.recipe.batch_size, seed=0)
    return (split.name, "test"), figures, first_batch(train)


def _text_figures(config, model, split, validation):
    if config.recipe.train_windows is not None:  # what such recipes validate on: windows that begin with no state
        model.compile(loss=model.loss_function())
        return {"perplexity": math.exp(model.evaluate(validation, verbose=0))}
    score = model.score(split.validation)
    if config.symbols == "words":
        return {"perplexity": score.perplexity}
    return {f"bits per {config.symbols[:-1]}": score.bits_per_character}


def _milliseconds(config, batch):
    from deeprnn_keras.training.step_time import step_ms

    return step_ms(config.build(), tuple(batch))
