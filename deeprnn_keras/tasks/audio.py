"""Task family for audio effects: models of guitar amplifiers and other devices."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.data.data_files import OFFICIAL_OPTIONS, DataFiles
from deeprnn_keras.tasks.family import Configuration, ConfigurationT, EvaluationRecord, Family, flags
from deeprnn_keras.tasks.registry import register
from deeprnn_keras.tasks.report import print_score
from deeprnn_keras.tasks.run import MODEL, PROGRAM, RESULT, Run, Split

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from deeprnn_keras.data import AudioPair, TBPTTDataset
    from deeprnn_keras.models import AudioEffect
    from deeprnn_keras.training.recipe import Recipe

SIMULATED_SECONDS, SIMULATED_RATE = 180.0, 48_000
SEGMENT_SECONDS, BURN_IN_SECONDS = 0.5, 0.04
VALIDATION_STREAMS, VALIDATION_BPTT = 64, 8192
BPTT = 512
BLOCK, TIMED_SECONDS = 64, 2.0  # block size of plugins, and audio that is computed to measure the speed
PICTURE, TARGET_SOUND, MODEL_SOUND = "result.png", "target.wav", "model.wav"


class AudioConfiguration(Configuration, Protocol):
    """The part of `deeprnn_keras.zoo.AudioEffectConfig` that the family uses."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        ...


@dataclass
class AudioRun(Run):
    """The outcome of training an audio effect.

    Attributes:
        real_time_factor: Duration of audio divided by the time in which the model computes it on one core, in blocks of
            64 samples; None if the run has not finished.
    """

    real_time_factor: float | None = None


@register
class AudioFamily(Family):
    """Task family of models that compute the output of a device from its input, sample by sample."""

    name = "audio"
    intended_use = "models of amplifiers and effects, computed in real time; comparison of recurrent networks"
    limits = (
        "The model is one device with the settings of its recording, at the sample rate of the recording. Effects "
        "with long memory, such as reverberation and delay, are out of its reach."
    )
    unsupported_options = ("quick", "stateful", "processes", *OFFICIAL_OPTIONS)
    program_kinds = ("audio",)
    files = (
        ("model", MODEL),
        ("program", PROGRAM),
        ("picture", PICTURE),
        ("target, sound", TARGET_SOUND),
        ("model, sound", MODEL_SOUND),
        ("results", RESULT),
    )

    # === Models and data ===
    @override
    def accepts(self, model: keras.Model) -> bool:
        """Return whether a model is an `AudioEffect`."""
        from deeprnn_keras.models import AudioEffect

        return isinstance(model, AudioEffect)

    @override
    def metrics(self, model: keras.Model) -> list[keras.metrics.Metric]:
        """Return no metrics: those of an audio effect use the sample weights."""
        return []

    @override
    def weighted_metrics(self, model: AudioEffect) -> list[keras.metrics.Metric]:
        """Return the error-to-signal ratio."""
        return model.metric_functions()

    @override
    def load_data(self, config: Configuration | None, path: Path | None = None) -> Split:
        """Return the parts of the simulated amplifier; see `load_files`."""
        return self.load_files(config, DataFiles(path))

    @override
    def load_files(self, config: Configuration | None, files: DataFiles) -> Split:
        """Load two recordings of a device, or simulate an amplifier if none are passed.

        Raises:
            ValueError: If other files are passed, or one recording without the other; as for `audio_pair`.
        """
        from deeprnn_keras.data import audio_pair, simulated_amplifier

        if files.data is not None or files.official():
            options = flags([*(["data"] if files.data is not None else []), *files.official()])
            raise ValueError(f"audio models read two recordings, got {options}; pass --dry FILE and --wet FILE")
        if files.dry is not None and files.wet is not None:
            return split_recordings([audio_pair(files.dry, files.wet, channel=files.channel)])
        if files.recordings():
            raise ValueError(f"audio models require both --dry and --wet, got {flags(files.recordings())}")
        rate = SIMULATED_RATE if config is None else cast(AudioConfiguration, config).sample_rate
        return split_recordings([simulated_amplifier(SIMULATED_SECONDS, rate)])

    @override
    def data_included(self, config: Configuration) -> bool:
        """Return True: the simulated amplifier is the data of all entries."""
        return True

    @override
    def configure(self, config: ConfigurationT, data: Split) -> ConfigurationT:
        """Return `config` with the sample rate and the number of channels of the recordings."""
        pair = data.train[0]
        return config.replace(sample_rate=pair.sample_rate, inputs=1 + len(pair.knobs))

    @override
    def describe_data(self, data: Split) -> str:
        """Return the name, duration, and sample rate of the recordings, and the latency that was removed."""
        pair, seconds = data.train[0], sum(_seconds(part) for part in (data.train, data.validation, data.test))
        latency = f", latency of {pair.latency:,} samples removed" if pair.latency else ""
        return f"{data.name}, {seconds:.1f} s at {pair.sample_rate:,} Hz{latency}"

    @override
    def data_record(self, data: Split) -> dict[str, Any]:
        """Return the name, duration, sample rate, and latency of the recordings, and the SHA-256 of their samples."""
        digest, parts = hashlib.sha256(), (data.train, data.validation, data.test)
        for pair in [pair for part in parts for pair in part]:
            digest.update(pair.dry)
            digest.update(pair.wet)
        pair = data.train[0]
        record = {"data": data.name, "audio_seconds": round(sum(map(_seconds, parts)), 3)}
        return {**record, "sample_rate": pair.sample_rate, "latency": pair.latency, "sha256": digest.hexdigest()}

    @override
    def batches(
        self,
        model: AudioEffect,
        part: Sequence[AudioPair],
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int | None = None,
        bptt: int = BPTT,
    ) -> TBPTTDataset:
        """Return batches of segments of recordings.

        Args:
            model: The model that reads the batches.
            part: Recordings.
            batch_size: Number of segments per batch, n.
            shuffle: If True, shuffle the segments in every epoch.
            seed: Random seed for shuffling.
            bptt: Number of samples per batch, T.
        """
        from deeprnn_keras.data import audio_batches

        shuffle = checks.flag("shuffle", shuffle)
        rate, size = part[0].sample_rate, sum(len(pair.dry) for pair in part)
        burn_in, stateful = round(BURN_IN_SECONDS * rate), len(model.inputs) == 2
        segment = min(round(SEGMENT_SECONDS * rate), max(size // batch_size - burn_in, 2 * burn_in))
        options = {"burn_in": burn_in, "shuffle": shuffle, "reset_mask": stateful, "seed": seed}
        return audio_batches(part, batch_size, bptt, segment=segment if stateful else bptt, **options)

    # === Training ===
    @override
    def training_batches(
        self, model: AudioEffect, part: Sequence[AudioPair], recipe: Recipe, seed: int
    ) -> TBPTTDataset:
        return self.batches(model, part, recipe.batch_size, seed=seed, bptt=recipe.bptt)

    @override
    def validation_batches(self, model: AudioEffect, part: Sequence[AudioPair]) -> TBPTTDataset:
        return _validation_batches(model, part)

    @override
    def new_run(self, directory: Path) -> AudioRun:
        return AudioRun(directory)

    @override
    def finish(
        self,
        run: Run,
        model: AudioEffect,
        data: Split,
        recipe: Recipe,
        history: keras.callbacks.Callback,
        *,
        title: str | None,
        seed: int,
        console: Console,
    ) -> None:
        """If the run has finished, score the model on the test part, draw it, and write target and output as WAV."""
        from deeprnn_keras.data.audio_files import save_recording
        from deeprnn_keras.training.signal_plot import plot_signals

        if run.ending != "finished":
            return
        run = cast(AudioRun, run)
        with console.status("Scoring"):
            outputs = [model_output(model, pair) for pair in data.test]
        run.score = error_ratios(data.test, outputs)
        run.real_time_factor = real_time_factor(model, data.test[0])
        pair, output = data.test[0], outputs[0]
        save_recording(pair.wet, pair.sample_rate, run.directory / TARGET_SOUND)
        save_recording(output, pair.sample_rate, run.directory / MODEL_SOUND)
        figures = f"ESR {run.score['esr']:.4f}, {run.real_time_factor:.0f} times faster than real time on one core"
        plot_signals(
            pair.wet, output, pair.sample_rate, run.directory / PICTURE, f"{title or model.name}: {figures} (test part)"
        )

    @override
    def score(self, model: AudioEffect, part: Sequence[AudioPair]) -> dict[str, float | int]:
        """Return the error-to-signal ratios of a model on recordings, which it computes from their first sample.

        Raises:
            ValueError: If the sample rate or the number of knobs differs from the model's.
        """
        return error_ratios(part, [model_output(model, pair) for pair in part])

    @override
    def score_record(self, run: Run, data: Split) -> dict[str, Any]:
        """Return the score on the test part, and the speed."""
        return {"score": run.score, "real_time_factor": cast(AudioRun, run).real_time_factor}

    @override
    def report(self, run: Run, model: AudioEffect, console: Console) -> None:
        """Print the score on the test part, and the speed."""
        print_score(run.score, console)
        factor = f"{cast(AudioRun, run).real_time_factor:.1f} times faster than real time"
        console.print(f"[bold]{'speed':>14}[/]  {factor}, on one core in blocks of {BLOCK} samples")

    # === Trained models ===
    @override
    def evaluation_record(self, config: Configuration, model: AudioEffect, path: Path | None) -> EvaluationRecord:
        """Return the error-to-signal ratio on the test part of the simulated amplifier.

        Raises:
            ValueError: If a file is passed.
        """
        from deeprnn_keras.training.step_time import first_batch

        data, recipe = self.load_data(config, path), config.recipe
        train = self.batches(model, data.train, recipe.batch_size, seed=0, bptt=recipe.bptt)
        return EvaluationRecord(
            data.name, "test", {"ESR": self.score(model, data.test)["esr"]}, first_batch(train.skip(1))
        )


def split_recordings(pairs: Sequence[AudioPair]) -> Split:
    """Return the parts of one or several recordings of a device; each is split in time, see `AudioPair.split`.

    Args:
        pairs: Recordings with the same sample rate and number of knobs.

    Raises:
        ValueError: If they differ in rate or number of knobs, or are too short.
    """
    from deeprnn_keras.data.audio_segments import check_alike

    check_alike(pairs)
    train, validation, test = zip(*(pair.split() for pair in pairs), strict=True)
    return Split(train=train, validation=validation, test=test, name=", ".join(pair.name for pair in pairs))


def _seconds(part: Sequence[AudioPair]) -> float:
    return sum(pair.seconds for pair in part)


def _validation_batches(model: AudioEffect, pairs: Sequence[AudioPair]) -> TBPTTDataset:
    """Return the whole recordings, cut into parallel streams of one batch row each."""
    from deeprnn_keras.data import audio_batches

    size, shortest = (function(len(pair.dry) for pair in pairs) for function in (sum, min))
    burn_in = min(round(BURN_IN_SECONDS * pairs[0].sample_rate), shortest // 4)
    segment = min(max(-(-size // VALIDATION_STREAMS), 4 * burn_in), shortest - burn_in)
    streams = sum((len(pair.dry) - burn_in) // segment for pair in pairs)
    stateful = len(model.inputs) == 2
    bptt = VALIDATION_BPTT if stateful else segment
    return audio_batches(
        *(pairs, streams, min(bptt, segment)), segment=segment, burn_in=burn_in, shuffle=False, reset_mask=stateful
    )


def model_output(model: AudioEffect, pair: AudioPair) -> np.ndarray:
    """Return the output of a model for the inputs of a recording, (T,), with states carried over all samples.

    Args:
        model: The model.
        pair: The recording.

    Raises:
        ValueError: If the sample rate or the number of knobs of the recording differs from the model's.
    """
    from deeprnn_keras.streaming import process

    found, expected = (pair.sample_rate, 1 + len(pair.knobs)), (model.sample_rate, model.inputs[0].shape[-1])
    if found != expected:
        raise ValueError(
            f"model {model.name!r} reads audio at {expected[0]:,} Hz and {expected[1] - 1} knobs, got {found[0]:,} Hz "
            f"and {found[1] - 1} knobs of {pair.name}; resample the recording, or train a model on it"
        )
    return process(model, pair.dry, knobs=pair.knobs)


def error_ratios(pairs: Sequence[AudioPair], outputs: Sequence[np.ndarray]) -> dict[str, float | int]:
    """Return the error-to-signal ratio of outputs, that of the pre-emphasized signals, and the number of samples.

        ESR = Σ_t (y_t - ŷ_t)² / Σ_t y_t²

    Args:
        pairs: Recordings.
        outputs: Output of a model for each.
    """
    from deeprnn_keras.models.audio_losses import PRE_EMPHASIS

    targets = [pair.wet.astype("float64") for pair in pairs]
    errors = [target - output for target, output in zip(targets, outputs, strict=True)]

    def power(signals: list[np.ndarray], coefficient: float) -> float:
        return sum(float(np.sum((one - coefficient * np.pad(one[:-1], (1, 0))) ** 2)) for one in signals)

    esr, emphasized = (power(errors, c) / max(power(targets, c), 1e-30) for c in (0.0, PRE_EMPHASIS))
    return {"esr": esr, "esr_pre_emphasized": emphasized, "samples": sum(map(len, targets))}


def real_time_factor(model: AudioEffect, pair: AudioPair) -> float:
    """Return the duration of audio divided by the time that a `Stream` takes to compute it in blocks of 64 samples."""
    from deeprnn_keras import Stream

    stream, inputs = Stream(model), pair.inputs[None, : round(TIMED_SECONDS * pair.sample_rate)]
    blocks = [inputs[:, start : start + BLOCK] for start in range(0, inputs.shape[1] - BLOCK + 1, BLOCK)]
    blocks = [np.ascontiguousarray(block) for block in blocks or [inputs]]
    stream.push(blocks[0])
    start = time.perf_counter()
    for block in blocks:
        stream.push(block)
    return sum(block.shape[1] for block in blocks) / pair.sample_rate / (time.perf_counter() - start)
