"""Two epochs of a whole training on the King James Bible: a fresh process each, data, clipping and schedule included.

The model and its recipe come as a dictionary that can be sent to a process:

    {"name", "vocabulary": characters, "embedding", "units", "num_layers", "cell", "recipe": fields of a `Recipe`}
"""

from dataclasses import asdict

from deeprnn_keras.bench.process import WorkerError

EPOCHS = 2
GUESS_PER_UPDATE = 0.25
START_SECONDS = 15.0


def epoch_of(config):
    """The dictionary for an entry of the zoo: units, layers and cell the same in all layers, embedding, no dropout."""
    names = ("name", "vocabulary", "embedding", "units", "num_layers", "cell")
    return {**{name: getattr(config, name) for name in names}, "recipe": asdict(config.recipe)}


def measure_epoch(name, settings, watcher, start):
    """{"epochs_s": [first, second], "updates", "updates_per_epoch", "loss"} of one implementation, or {"error"}."""
    words = f"{settings.epoch['name']}, {EPOCHS} x {settings.epoch_updates} updates at most: {name}"
    watcher.begin(words, epoch_seconds(settings))
    with start(name) as process:
        try:
            return process.ask("epoch", model=settings.epoch, updates=settings.epoch_updates, seed=settings.seed)
        except WorkerError as error:
            return {"error": str(error)}


def epoch_seconds(settings):
    """A guess at how long it takes for one implementation."""
    return START_SECONDS + EPOCHS * settings.epoch_updates * GUESS_PER_UPDATE


def whole_epochs(figures):
    """[seconds of the first, of the second] whole epoch: as measured, or what is missing at the second's speed."""
    first, second = figures["epochs_s"]
    missing = figures["updates_per_epoch"] - figures["updates"]
    per_update = second / figures["updates"]
    return [first + missing * per_update, second + missing * per_update]


def text_pieces(model):
    """The training text as ids in the model's vocabulary, a list of int arrays."""
    from deeprnn_keras.data import TextCorpus, Vocabulary, king_james

    corpus = TextCorpus(king_james().text, "King James Bible", Vocabulary(model["vocabulary"]))
    return corpus.encode(corpus.split().train)


def recipe_of(model):
    """Its `Recipe`, with a cosine schedule or none."""
    from deeprnn_keras.training.recipe import Recipe
    from deeprnn_keras.training.schedules import CosineDecay

    values = dict(model["recipe"])
    schedule = values.pop("schedule")
    return Recipe(**values, schedule=schedule and CosineDecay(**schedule))
