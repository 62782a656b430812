"""The command `deeprnn tune`."""

import json
import signal
import subprocess

import pytest
from test_command import DEEPRNN, TEXT, deeprnn, error_of

from deeprnn_keras import zoo
from deeprnn_keras.training.callbacks import LossHistory
from deeprnn_keras.tuning.resumable_tuner import ResumableTuner
from deeprnn_keras.tuning.trial_records import read_trials

NAME = "kjv_lstm_2x256"
TINY = ["--layers", "1:2", "--units", "4:8", "--cell", "rnn", "--bptt", "8", "--batch-size", "4"]
SHORT = ["--updates", "8", "--trials", "2", "--algorithm", "random"]


@pytest.fixture
def base_options(tmp_path, monkeypatch):
    """Return options for a small text and short trials, in a temporary working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text(TEXT)
    config = zoo.info(NAME).replace(embedding=4, epochs=2, min_steps=1)
    monkeypatch.setitem(zoo.registry.MODELS._entries, NAME, config)
    return ["--text", "words.txt", *TINY, *SHORT]


@pytest.mark.long
def test_search_from_the_first_trial_to_the_preset(base_options, tmp_path, monkeypatch):
    monkeypatch.setattr("deeprnn_keras.tuning.search.NUM_SEEDS", 2)
    result = deeprnn("tune", NAME, *base_options, "--params", "2k", "--units", "own")
    assert result.exit_code == 0, result.output
    directory = tmp_path / "runs" / f"tune_{NAME}"
    for part in (
        "Algorithm random, 8 updates per trial",
        "bits per character",
        "parameters",
        "ms/step",
        "Retraining the best",
    ):
        assert part in result.stdout
    records = read_trials(directory / "search", "val_loss")
    assert len(records) == 2 and all(record.complete for record in records)
    assert all(abs(record.metrics["num_params"] - 2000) <= 60 for record in records)
    assert all(len(record.seeds) == 2 for record in records)
    model = zoo.create_model(directory / "preset")
    assert abs(model.count_params() - 2000) <= 60 and model.generate("in ", length=5).startswith("in ")
    for name in ("trials.csv", "heat_map.png", "parameters.png", "hparams", "best/model.keras"):
        assert (directory / name).exists(), name
    assert "its search has finished" in error_of("tune", NAME, "--resume", "--output", directory)


def interrupted(monkeypatch, at, *arguments):
    """Return the result of the command, interrupted with Ctrl-C in the trial with number `at`."""
    trial_ids = []

    def interrupt(self, trial, *args, run=ResumableTuner.run_trial, **kwargs):
        trial_ids.append(trial.trial_id)
        if len(trial_ids) == at:
            raise KeyboardInterrupt
        return run(self, trial, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ResumableTuner, "run_trial", interrupt)
        result = deeprnn(*arguments)
    assert result.exit_code == 130, result.output
    return result


@pytest.fixture
def one_seed(monkeypatch):
    """Train no configuration with further seeds, which `test_search_from_the_first_trial_to_the_preset` covers."""
    monkeypatch.setattr("deeprnn_keras.tuning.search.NUM_SEEDS", 1)


@pytest.mark.slow
@pytest.mark.usefixtures("one_seed")
def test_resumed_search_keeps_its_trials(base_options, monkeypatch, tmp_path):
    result = interrupted(monkeypatch, 2, "tune", NAME, *base_options)
    assert f"Resume with: deeprnn tune {NAME} --resume --output runs/tune_{NAME}" in result.stdout
    for options, message in (
        (["--units", "9"], "was started with units = 4:8, got units = 9 with --resume"),
        (["--trials", "9"], "was started with trials = 2, got trials = 9 with --resume"),
        (["--params", "2k"], "was started without --params, got params = 2000 with --resume"),
    ):
        assert message in error_of("tune", NAME, "--resume", *options)
    directory = tmp_path / "runs" / f"tune_{NAME}"
    before = {r.trial_id: r.score for r in read_trials(directory / "search", "val_loss") if r.complete}
    assert len(before) == 1
    resumed = deeprnn("tune", NAME, "--resume")
    assert resumed.exit_code == 0 and "Resuming after 1 completed trial" in resumed.stdout
    after = {record.trial_id: record.score for record in read_trials(directory / "search", "val_loss")}
    assert len(after) == 2 and before.items() <= after.items()


@pytest.mark.slow
@pytest.mark.usefixtures("one_seed")
def test_interrupted_retraining_is_resumed(base_options, monkeypatch, tmp_path):
    def interrupt(self, batch, logs=None, on_train_batch_end=LossHistory.on_train_batch_end):
        on_train_batch_end(self, batch, logs)
        if self.update == 150:
            raise KeyboardInterrupt

    options = [*base_options, "--trials", "1", "--output", "mine"]
    with monkeypatch.context() as patch:
        patch.setattr(LossHistory, "on_train_batch_end", interrupt)
        result = deeprnn("tune", NAME, *options)
    assert result.exit_code == 130, result.output
    assert f"deeprnn tune {NAME} --resume --output mine" in result.stdout
    resumed = deeprnn("tune", NAME, "--resume", "--output", "mine")
    assert resumed.exit_code == 0, resumed.output
    about = json.loads((tmp_path / "mine" / "best" / "result.json").read_text())
    assert about["ending"] == "finished" and about["resumed_at_update"] > 0
    assert zoo.create_model(tmp_path / "mine" / "preset").count_params() == about["num_params"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--units", "8", "--params", "10M"], "params=10,000,000: no model in these ranges has this number of param"),
        (["--max-params", "100"], "max_params=100: all models in these ranges have more parameters; the smallest"),
        (["--params", "2k", "--max-params", "3k"], "fixes the size"),
        (["--cell", "lstmm"], "unknown cell 'lstmm'; did you mean 'lstm'"),
        (["--resume"], f"'runs' holds no unfinished search for {NAME}"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_unsupported_option_is_an_error(options, message, base_options):
    assert message in error_of("tune", NAME, *base_options, *options)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--params", "many"], "must be a number of parameters"),
        (["--params", "inf"], "must be a number of parameters"),
        (["--layers", "4:1"], "'--layers': must be LOW:HIGH with LOW <= HIGH, got '4:1'"),
        (["--layers", "1.5"], "must be an integer, LOW:HIGH, comma-separated integers, or own, got '1.5'"),
        (["--dropout", "a:b"], "must be a number, LOW:HIGH, comma-separated numbers, or own, got 'a:b'"),
        (["--units", "1:2:3"], "got '1:2:3'"),
        (["--trials", "0"], "'--trials'"),
    ],
    ids=" ".join,
)
def test_malformed_option_is_a_usage_error(option, message, base_options):
    assert message in error_of("tune", NAME, *base_options, *option, code=2)


SEARCH = {"algorithm": "random", "seed": 0, "trials": 2}
OPTIONS = {"model": NAME, "text": "gone.txt", "ranges": {"units": {"between": [4, 8]}}, "budget": {}, "search": SEARCH}
DAMAGED = {
    "empty": "",
    "truncated": "{",
    "list": "[]",
    "empty dictionary": "{}",
    "deeply nested": "[" * 100_000,
    "unknown algorithm": json.dumps({**OPTIONS, "search": {**SEARCH, "algorithm": "x"}}),
    "unknown range": json.dumps({**OPTIONS, "ranges": {"x": 5}}),
    "range without bounds": json.dumps({**OPTIONS, "ranges": {"units": {}}}),
    "budget that is a text": json.dumps({**OPTIONS, "budget": {"params": "x"}}),
    "text that is a number": json.dumps({**OPTIONS, "text": 5}),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_options_are_named_and_skipped(damage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, options in (("whole", json.dumps(OPTIONS)), ("damaged", DAMAGED[damage])):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "tune.json").write_text(options)
    path = "runs/damaged/tune.json: not the settings of a search, or damaged: "
    assert path in error_of("tune", NAME, "--resume", "--output", "runs/damaged")
    message = error_of("tune", NAME, "--resume")  # the other search, whose text is missing
    assert f"Skipping a damaged search: {path}" in message and "gone.txt" in message


def test_directory_of_another_search_is_rejected(base_options, tmp_path):
    (tmp_path / "mine").mkdir()
    code = "import sys, time; from deeprnn_keras.locking import DirectoryLock as D; D(sys.argv[1]).__enter__(); "
    command = [DEEPRNN[0], "-c", code + "print('held', flush=True); time.sleep(60)", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        assert f"/mine' is in use by process {other.pid} " in error_of("tune", NAME, *base_options, "--output", "mine")
        other.kill()


def test_too_short_text_is_rejected_before_anything_is_written(base_options, tmp_path):
    (tmp_path / "words.txt").write_text("ab")
    assert "tokens for one window" in error_of("tune", NAME, *base_options, "--bptt", "own")
    assert not (tmp_path / "runs").exists()


def test_family_without_tuning_is_rejected(base_options):
    assert "deeprnn tune does not support task family 'classification' of model 'vowels_bigru_2x64'" in error_of(
        "tune", "vowels_bigru_2x64", *base_options
    )


@pytest.mark.long
def test_missing_extra_is_an_error_that_names_it(base_options):
    code = (
        "import sys; sys.modules['keras_tuner'] = None\nfrom deeprnn_keras.cli import main\n"
        f"sys.argv = ['deeprnn', 'tune', {NAME!r}, '--text', 'words.txt']; main()"
    )
    process = subprocess.run([DEEPRNN[0], "-c", code], capture_output=True, text=True)
    assert process.returncode == 1 and "pip install 'deeprnn-keras[tune]'" in process.stderr, process.stderr[-2000:]
    assert "Traceback" not in process.stderr


@pytest.mark.long
def test_two_workers(tmp_path):
    (tmp_path / "words.txt").write_text(TEXT)
    options = ["--text", "words.txt", *TINY, "--updates", "8", "--trials", "2", "--algorithm", "random"]
    command = [*DEEPRNN, "tune", NAME, *options, "--output", "two", "--workers", "2", "--minutes", "1"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]
    records = read_trials(tmp_path / "two" / "search", "val_loss")
    assert [record.complete for record in records] == [True, True]
    assert zoo.create_model(tmp_path / "two" / "preset").generate("in ", length=3).startswith("in ")


# === Searches shared through a storage ===
SHARED = ["--storage", "search.journal", "--study", "words"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--storage", "search.journal"], "--storage requires --study; pass both, or neither"),
        (["--study", "words"], "--study requires --storage; pass both, or neither"),
        ([*SHARED, "--workers", "2"], "--workers must be 1 with --storage, got 2; start deeprnn tune-worker"),
        ([*SHARED, "--algorithm", "grid"], "unknown algorithm with a storage 'grid'; choose from 'bayesian', 'random'"),
    ],
    ids=["no study", "no storage", "workers", "grid"],
)
def test_options_of_a_shared_search_are_checked(options, message, base_options, tmp_path):
    assert message in error_of("tune", NAME, *base_options, *options)
    assert not (tmp_path / "runs").exists()


def test_worker_names_a_study_that_does_not_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = (
        "storage 'search.journal' has no study 'words'; start it with: deeprnn tune MODEL --storage URL --study words"
    )
    assert message in error_of("tune-worker", *SHARED)
    assert message in error_of("tune-worker", *SHARED, "--wait", "0.1")


@pytest.mark.slow
@pytest.mark.usefixtures("one_seed")
def test_worker_runs_the_trials_of_an_interrupted_shared_search(base_options, monkeypatch, tmp_path):
    from deeprnn_keras.tuning.study_tuner import StudyTuner

    with monkeypatch.context() as patch:
        patch.setattr(StudyTuner, "train", lambda *arguments, **options: signal.raise_signal(signal.SIGTERM))
        patch.setattr(signal, "SIGTERM", signal.SIGINT)  # `deeprnn tune` stops at Ctrl-C
        assert deeprnn("tune", NAME, *base_options, *SHARED).exit_code == 130
    with monkeypatch.context() as patch:
        patch.setattr(StudyTuner, "train", lambda *arguments, **options: signal.raise_signal(signal.SIGTERM))
        stopped = deeprnn("tune-worker", *SHARED)
    assert stopped.exit_code == 130 and "has returned to the queue" in stopped.stdout
    (tmp_path / "moved").mkdir()
    (tmp_path / "words.txt").rename(tmp_path / "moved" / "words.txt")
    assert "words.txt" in error_of("tune-worker", *SHARED)
    worker = deeprnn("tune-worker", *SHARED, "--text", "moved/words.txt", "--retry-stale", "--report", "report")
    assert worker.exit_code == 0 and "Returned to the queue: 0 trials" in worker.stdout, worker.output
    assert (tmp_path / "report" / "trials.csv").read_text().count("\n") == 3
    (tmp_path / "moved" / "words.txt").rename(tmp_path / "words.txt")
    assert "--study requires --storage" in error_of("tune", NAME, "--resume")
    resumed = deeprnn("tune", NAME, "--resume", "--storage", "search.journal")
    assert resumed.exit_code == 0 and "Resuming after 2 completed trials" in resumed.stdout, resumed.output
    assert zoo.create_model(tmp_path / "runs" / f"tune_{NAME}" / "preset").generate("in ", length=3).startswith("in ")
