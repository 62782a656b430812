"""`run`: the grid, memory and the epoch, one after another; what is measured is in the file at once."""

from deeprnn_keras.bench.alternate import Team, Turns, case_seconds
from deeprnn_keras.bench.epoch import epoch_seconds, measure_epoch
from deeprnn_keras.bench.memory import measure_memory, memory_seconds
from deeprnn_keras.bench.process import Process
from deeprnn_keras.bench.results import complete, save_results
from deeprnn_keras.bench.watch import Watcher


def expected_seconds(settings):
    """A guess at how long `run` takes."""
    seconds = sum(case_seconds(case, settings.in_grid, settings) for case in settings.cases)
    return seconds + sum(guess(settings) for _, _, _, guess in _parts(settings))


def run(settings, results, directory, watcher=None, start=Process):
    """Measures what `results` lacks and adds it; after each part, the file in `directory` is written.

    Args:
        settings: `Settings`.
        results: from `new_results` or `resumed`.
        directory: for the file.
        watcher: a `Watcher`.
        start: name -> a `Process`.
    """
    watcher = watcher or Watcher()
    _grid(settings, results, directory, watcher, start)
    for part, measure, name, guess in _parts(settings):
        if complete(results[part], [name]):
            watcher.skip(guess(settings))
        else:
            results[part][name] = measure(name, settings, watcher, start)
            save_results(results, directory)


def _parts(settings):
    """(key of the results, function that measures, implementation, guess at its seconds) of what is not the grid."""
    memory = [("memory", measure_memory, name, memory_seconds) for name in settings.in_memory]
    epoch = [("epoch", measure_epoch, name, epoch_seconds) for name in settings.in_epoch]
    return memory * (settings.memory is not None) + epoch * (settings.epoch is not None)


def _grid(settings, results, directory, watcher, start):
    with Team(start) as team:
        for case in settings.cases:
            found = results["cases"].get(case.key, {})
            if complete(found, settings.in_grid):
                watcher.skip(case_seconds(case, settings.in_grid, settings))
            else:
                found = Turns(team, case, settings.in_grid, settings, watcher).run()
                results["cases"][case.key] = found
                save_results(results, directory)
            watcher.case(case, found)
