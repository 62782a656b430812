"""Searches shared through a journal file: killed workers, races, outages, and studies that do not fit."""

import json
import math
import os
import signal
import time

import pytest

optuna = pytest.importorskip("optuna")
from shared_search import PlantedStudyTuner, hyper, planted_tuner, scores  # noqa: E402 - imports optuna

from deeprnn_keras.locking import DirectoryInUseError  # noqa: E402
from deeprnn_keras.tuning import places, storages, study_tuner, tuner  # noqa: E402

optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    monkeypatch.setattr(study_tuner, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(study_tuner, "STUDY_SECONDS", 0.2)


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "search.journal"


def fork_worker(journal, directory, **attributes):
    """Run a worker in a child process, which imports nothing again; return its process ID."""
    pid = os.fork()
    if pid:
        return pid
    worker = planted_tuner(journal, directory)
    for name, value in attributes.items():
        setattr(worker, name, value)
    worker.search(verbose=0)
    os._exit(0)


def test_killed_worker_loses_no_trial_and_scores_equal_those_of_one_process(journal, tmp_path):
    alone = planted_tuner(tmp_path / "alone.journal", tmp_path)
    alone.search(verbose=0)
    observer, log = planted_tuner(journal, tmp_path), tmp_path / "trials.txt"
    killed = fork_worker(journal, tmp_path, log=log, killed=True)
    assert os.waitstatus_to_exitcode(os.waitpid(killed, 0)[1]) == -signal.SIGKILL
    others = [fork_worker(journal, tmp_path, log=log, seconds=0.02) for _ in range(2)]
    while places.num_open(observer.study) > 1:
        time.sleep(0.02)
    assert observer.retry_stale() == 1  # without it, the others wait: a journal file has no heartbeats
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in others] == [0, 0]
    assert scores(observer) == scores(alone)
    started = log.read_text().split()
    assert len(started) == 9 and len(set(started)) == 8  # one trial was started twice
    assert all(len(record.epochs) == 3 for record in observer.records())


def test_bayesian_search_with_pruning_and_maximization_ends(journal, tmp_path):
    import keras_tuner

    class Negative(PlantedStudyTuner):
        def value(self, values):
            return -super().value(values)

    objective = keras_tuner.Objective("score", "max")
    search = Negative(
        hyper(), objective, 10, storage=journal, study="tpe", algorithm="bayesian", directory=tmp_path, seed=1
    )
    search.search(verbose=0)
    results = search.results()
    assert len(results.rows) == 10 and {row.status for row in results.rows} == {"COMPLETED", "PRUNED"}
    assert results.best().value == max(row.value for row in results.rows)


def test_trial_outside_the_budget_draws_again(journal, tmp_path):
    search = planted_tuner(journal, tmp_path, trials=4, space=hyper(max_params=5_000, units=(4, 256)))
    search.search(verbose=0)
    assert len(scores(search)) == 4
    assert all(search.hypermodel.resolve(record.values).num_params <= 5_000 for record in search.records())
    assert any(places.is_outside_budget(trial) for trial in search.study.trials)


def test_place_that_two_workers_fill_runs_once(journal, tmp_path):
    search = planted_tuner(journal, tmp_path, trials=2)
    search.log = tmp_path / "trials.txt"
    lost = search.study.ask()
    search.study.tell(lost.number, state=optuna.trial.TrialState.FAIL)
    for _ in range(2):  # as two workers that have read the study at the same time
        search.study.add_trial(places._successor([search.study.trials[lost.number]]))
    search.search(verbose=0)
    assert len(scores(search)) == 2 and sorted(search.log.read_text().split()) == ["0000", "0001"]


def test_trial_that_is_lost_repeatedly_is_given_up(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MAX_LOSSES", 1)
    search = planted_tuner(journal, tmp_path, trials=1)
    for _ in range(2):
        search.study.ask()
        assert search.retry_stale() == 1
    (record,) = search.records()
    assert record.failed and record.message == "its worker was killed 2 times"
    with pytest.raises(RuntimeError, match="all trials failed"):
        search.search(verbose=0)


def test_stopped_worker_returns_its_trial(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MAX_LOSSES", 0)  # does not count
    search = planted_tuner(journal, tmp_path, trials=1)
    with monkeypatch.context() as patch:
        patch.setattr(PlantedStudyTuner, "train", lambda *arguments, **options: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            search.search(verbose=0)
    search.search(verbose=0)
    assert len(scores(search)) == 1


def test_worker_that_was_declared_dead_discards_its_trial(journal, tmp_path):
    class Paused(PlantedStudyTuner):
        def train(self, *arguments, **options):
            if not self.log:
                self.log = tmp_path / "trials.txt"
                assert planted_tuner(journal, tmp_path, trials=1).retry_stale() == 1
            return super().train(*arguments, **options)

    search = planted_tuner(journal, tmp_path, trials=1, cls=Paused)
    search.search(verbose=0)
    assert len(scores(search)) == 1
    assert [trial.state.name for trial in search.study.trials] == ["FAIL", "COMPLETE"]


def test_checkpoints_in_use_are_left_to_their_owner(journal, tmp_path):
    used = []

    class InUse(PlantedStudyTuner):
        def train(self, *arguments, checkpoints, **options):
            used.append(checkpoints.name)
            if len(used) == 1:
                raise DirectoryInUseError("in use")
            return super().train(*arguments, checkpoints=checkpoints, **options)

    search = planted_tuner(journal, tmp_path, trials=1, cls=InUse)
    search.search(verbose=0)
    assert len(scores(search)) == 1 and used == ["0000", "0000-0"]


def test_failures_are_recorded_and_not_retried(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(study_tuner, "MAX_CONSECUTIVE_FAILURES", 9)

    class Failing(PlantedStudyTuner):
        def value(self, values):
            if values["num_layers"] == 2:
                raise OSError("disk full")
            return math.nan if values["num_layers"] == 3 else super().value(values)

    space = hyper(num_layers=[1, 2, 3])
    search = planted_tuner(journal, tmp_path, cls=Failing, space=space)
    search.search(verbose=0)
    failed = {record.values["num_layers"]: record.message for record in search.records() if record.failed}
    assert "OSError: disk full" in failed[2] and failed[3] == "score was finite in no epoch"
    assert len(search.study.trials) == 8
    monkeypatch.undo()
    always = planted_tuner(journal, tmp_path, cls=Failing, space=hyper(num_layers=2), study="always")
    with pytest.raises(RuntimeError, match=r"3 consecutive trials failed.*disk full"):
        always.search(verbose=0)


# === Studies that do not fit ===
def test_study_of_another_space_or_version_is_rejected(journal, tmp_path):
    search = planted_tuner(journal, tmp_path)
    with pytest.raises(ValueError, match=r"study 'planted' of this storage is another search: .*units.*512.*256"):
        planted_tuner(journal, tmp_path, space=hyper(units=(16, 256)))
    with pytest.raises(ValueError, match=r"another search: .*seed"):
        planted_tuner(journal, tmp_path, seed=4)
    search.study.set_user_attr("version", "0.0.1")
    with pytest.raises(ValueError, match=r"was created by deeprnn-keras 0.0.1, and this worker runs .*same version"):
        planted_tuner(journal, tmp_path)
    optuna.create_study(storage=storages.open_storage(journal), study_name="foreign")
    with pytest.raises(ValueError, match="was not created by deeprnn_keras"):
        planted_tuner(journal, tmp_path, study="foreign")


@pytest.mark.parametrize(
    ("location", "error", "message"),
    [
        (
            "postgresql://me:secret@127.0.0.1:1/search",
            ConnectionError,
            r"me:\*\*\*@127.0.0.1:1/search' could not be opened: ",
        ),
        ("mysql://me:secret@127.0.0.1:1/search", ConnectionError, r"could not be opened: .*127.0.0.1"),
        ("oracle://host/search", ValueError, "supported databases are postgresql, mysql, sqlite, got 'oracle'"),
        ("postgresql://me:secret@host:port/search", ValueError, "storage must be the path of a journal file, or a URL"),
        ("{tmp}/missing/search.journal", ValueError, "missing' does not exist; create it first"),
        ("{tmp}", ValueError, "is a directory"),
        ("{tmp}/text", ValueError, "is not a journal file"),
    ],
)
def test_unusable_storage_is_named(location, error, message, tmp_path):
    (tmp_path / "text").write_text("no journal\nat all\n")
    with pytest.raises(error, match=message) as raised:
        planted_tuner(location.format(tmp=tmp_path), tmp_path)
    assert "secret" not in str(raised.value)


def test_missing_driver_names_the_extra(monkeypatch, tmp_path):
    import sys

    for driver, url, extra in (("psycopg", "postgresql", "postgresql"), ("pymysql", "mysql", "mysql")):
        monkeypatch.setitem(sys.modules, driver, None)
        with pytest.raises(ImportError, match=rf"deeprnn-keras\[{extra}\]"):
            planted_tuner(f"{url}://host/name", tmp_path)


def test_arguments_of_storages_and_tuners_are_checked(journal):
    with pytest.raises(ValueError, match="heartbeat_timeout must be at least 4 seconds, got 1"):
        storages.open_storage(journal, 1.0)
    with pytest.raises(ValueError, match="requires a storage"):
        tuner(hyper(), study="planted")
    with pytest.raises(ValueError, match="requires study"):
        tuner(hyper(), storage=journal)
    with pytest.raises(ValueError, match="unknown algorithm 'grid'; choose from 'bayesian', 'random'"):
        tuner(hyper(), storage=journal, study="planted", algorithm="grid")


# === File systems ===
def test_file_system_that_does_not_answer_is_named(journal, tmp_path, monkeypatch):
    monkeypatch.setattr(storages, "FILE_SECONDS", 0.1)
    monkeypatch.setattr(study_tuner, "POLL_SECONDS", 0.0)
    dead = tmp_path / "dead.journal"
    os.mkfifo(dead)  # its open blocks, like that of a file on a server that has failed
    with pytest.raises(TimeoutError, match=r"dead.journal': no answer within 0.1 s; check its file system"):
        planted_tuner(dead, tmp_path)

    class Outage(PlantedStudyTuner):
        def value(self, values):
            if not dead.with_suffix(".old").exists():
                journal.rename(dead.with_suffix(".old"))
                os.mkfifo(journal)
            return super().value(values)

    with pytest.raises(TimeoutError, match=r"search.journal': no answer"):
        planted_tuner(journal, tmp_path, cls=Outage).search(verbose=0)


def test_line_of_a_killed_writer_is_removed(journal, tmp_path):
    planted_tuner(journal, tmp_path, trials=2)
    with journal.open("a") as file:
        file.write('{"op_code": 4, "wor')
    search = planted_tuner(journal, tmp_path, trials=2)
    search.search(verbose=0)
    assert len(scores(search)) == 2
    assert all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.slow  # waits for the disk
def test_outage_of_a_database_is_named(tmp_path):
    url = f"sqlite:///{tmp_path}/search.db"
    search = planted_tuner(url, tmp_path, trials=2)
    with search._storage.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trials")
    with pytest.raises(ConnectionError, match=r"storage 'sqlite:///.*search.db' has failed: no such table"):
        search.search(verbose=0)
