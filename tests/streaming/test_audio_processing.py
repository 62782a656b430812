"""Audio through a model: arrays, streams, files, and the command."""

import keras
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from refusals import outcome
from scipy.signal import resample_poly

from deeprnn_keras import AudioEffect, Stream, export, lower
from deeprnn_keras.cli import main
from deeprnn_keras.streaming import audio, process, process_file, resampling


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(4)
    return AudioEffect(4, skip=False, sample_rate=8000, name="amp")


@pytest.fixture(scope="module")
def program(model):
    return lower(model)


@pytest.fixture(scope="module")
def sound():
    rng = np.random.default_rng(3)
    return (0.2 * rng.normal(size=(3001, 2))).astype("float32")


@pytest.fixture
def blocks(monkeypatch):
    """Make blocks short, so that a signal consists of several."""
    monkeypatch.setattr(audio, "BLOCK", 257)
    monkeypatch.setattr("deeprnn_keras.streaming.audio_files.BLOCK", 257)
    monkeypatch.setattr(resampling, "MIN_BLOCK", 300)


# === Arrays ===


@pytest.mark.usefixtures("blocks")
def test_blocks_do_not_change_the_result(model, program, sound):
    whole = np.asarray(model(sound.T[:, :, None]))[:, :, 0].T
    result = model.process(sound, 8000)
    np.testing.assert_allclose(result, whole, atol=1e-6)
    np.testing.assert_array_equal(result[:, 0], process(program, sound[:, 0].astype("float64")))
    stream = model.stream()
    parts = [model.process(part, stream=stream) for part in np.split(sound[:, 0], [1, 64, 1000])]
    np.testing.assert_array_equal(np.concatenate(parts), result[:, 0])
    block, out = np.ascontiguousarray(sound[None, :64, :1]), np.empty((1, 64, 1), "float32")
    np.testing.assert_array_equal(Stream(program).push(block, out=out)[0, :, 0], result[:64, 0])


def test_knobs_are_constant_inputs(rng):
    model = AudioEffect(3, inputs=3, sample_rate=8000)
    x = rng.normal(size=20).astype("float32")
    inputs = np.stack([x, np.full(20, 0.25), np.full(20, -1.0)], 1).astype("float32")
    np.testing.assert_allclose(model.process(x, knobs=(0.25, -1)), np.asarray(model(inputs[None]))[0, :, 0], atol=1e-6)
    assert model.process(np.zeros(0), knobs=(0, 0)).shape == (0,)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(("up", "down"), [(160, 147), (147, 160), (2, 1), (1, 3)])
@pytest.mark.parametrize("steps", [1, 3001])
def test_resampling_equals_that_of_scipy(up, down, steps, sound):
    cuts = [0, 5, 700, 701, 2900]
    result = np.concatenate(list(resampling.resampled(np.split(sound[:steps], cuts), up, down)))
    np.testing.assert_allclose(result, resample_poly(sound[:steps].astype("float64"), up, down), atol=1e-6)


@pytest.mark.usefixtures("blocks")
def test_other_sample_rates_are_resampled_there_and_back(program, sound):
    result = process(program, sound, 11_025, resample=True)
    there = resample_poly(sound.astype("float64"), 320, 441)
    expected = resample_poly(process(program, there).astype("float64"), 441, 320)[: len(sound)]
    np.testing.assert_allclose(result, expected, atol=1e-5)


# === Files ===


def written(path, sound, **options):
    soundfile.write(path, sound, 8000, **options)
    return path


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize(
    ("source", "target", "subtype", "expected", "step"),
    [
        ("in.wav", "out.wav", "PCM_16", "PCM_16", 2**-15),
        ("in.wav", "out.wav", "PCM_32", "PCM_32", 1e-6),
        ("in.wav", "out.flac", "PCM_24", "PCM_24", 2**-23),
        ("in.wav", "out.flac", "FLOAT", "PCM_16", 2**-15),
        ("in.flac", "out.wav", "PCM_24", "PCM_24", 2**-23),
        ("in.wav", "out.wav", "FLOAT", "FLOAT", 1e-7),
    ],
)
def test_files_keep_format_and_rate(source, target, subtype, expected, step, program, sound, tmp_path):
    path = written(tmp_path / source, sound, subtype=subtype)
    result = process_file(program, path, tmp_path / target)
    info = soundfile.info(tmp_path / target)
    assert (info.samplerate, info.channels, info.frames, info.subtype) == (8000, 2, 3001, expected)
    read, _ = soundfile.read(path, dtype="float32")
    np.testing.assert_allclose(soundfile.read(tmp_path / target)[0], process(program, read), atol=1.5 * step)
    assert result.seconds == 3001 / 8000 and result.speed > 0 and result.clipped == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == [source, target]


def test_clipped_samples_are_counted(tmp_path):
    loud = AudioEffect(2, sample_rate=8000)
    loud.get_layer("head").set_weights([np.zeros((2, 1)), np.array([0.5])])
    path = written(tmp_path / "in.wav", np.array([-0.9, 0.4, 0.6, 0.9]))
    assert "2 samples beyond full scale" in str(process_file(loud, path, tmp_path / "out.wav"))
    np.testing.assert_allclose(soundfile.read(tmp_path / "out.wav")[0], [-0.4, 0.9, 1, 1], atol=1e-4)


def test_failure_leaves_the_target(program, sound, tmp_path):
    bad = sound.copy()
    bad[2000] = np.nan
    path, target = written(tmp_path / "in.wav", bad, subtype="FLOAT"), tmp_path / "out.wav"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="sample 2,000 is NaN or infinite"):
        process_file(program, path, target, overwrite=True)
    assert target.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 2


# === Refusals ===


def test_refusals(program, model, sound, tmp_path):
    path, other = written(tmp_path / "in.wav", sound), lower(AudioEffect(2, inputs=2))
    (tmp_path / "bad.wav").write_bytes(b"RIFFxxxxWAVE, but no samples")
    cases = [
        (lambda: process(program, sound, 44_100), "8,000 Hz, got 44,100 Hz.*pass resample=True"),
        (lambda: process(program, sound[None]), r"audio must be .* got float32 of shape \(1, 3001, 2\)"),
        (lambda: process(program, np.ones(3, int)), "audio must be floating-point numbers"),
        (lambda: process(program, [0.0, np.inf]), "sample 1 is NaN or infinite"),
        (lambda: process(program, sound, stream=model.stream()), "stream must have a batch size of 2"),
        (lambda: process(program, [0.0], 50, stream=model.stream(), resample=True), "stream is not supported with"),
        (lambda: process(program, sound, knobs=(1.0,)), "knobs must have 0 numbers .* got 1"),
        (lambda: process(other, sound), "knobs must have 1 numbers for model .* reads 2 channels, got 0"),
        (lambda: process(other, sound, knobs=("a",)), "knobs must be"),
        (lambda: process(lower(keras.Sequential([keras.Input((None, 1)), keras.layers.GRU(2)])), [0.0]), "width"),
        (lambda: process_file(program, tmp_path / "bad.wav", tmp_path / "out.wav"), "bad.wav: not a recording that"),
        (lambda: process_file(program, path, tmp_path / "out.xyz"), "suffix of an audio format, got .*out.xyz"),
        (lambda: process_file(program, tmp_path, tmp_path / "out.wav"), "not a regular file"),
    ]
    wrong = [f"{message}: {found}" for call, message in cases if (found := outcome(call, message))]
    assert not wrong, "\n".join(wrong)
    with pytest.raises(FileExistsError, match=r"target .*in\.wav' exists; pass another path or overwrite=True"):
        process_file(program, path, path)


# === Command ===


def test_command(model, program, sound, tmp_path):
    export(program, tmp_path / "amp.nam", verify=False)
    program.save(tmp_path / "amp.safetensors")
    model.save(tmp_path / "model.keras")
    program.save(tmp_path / "model.program.safetensors")
    path, outputs = written(tmp_path / "in.wav", sound, subtype="FLOAT"), []

    def run(*arguments):
        return CliRunner().invoke(main, ["process", *map(str, arguments)])

    for number, source in enumerate(("amp.safetensors", "", "model.keras", "amp.nam")):
        result = run(tmp_path / source, path, tmp_path / f"{number}.wav")
        assert result.exit_code == 0 and "times real time" in result.output, result.output
        outputs.append(soundfile.read(tmp_path / f"{number}.wav")[0])
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    assert np.abs(outputs[3] - outputs[0])[-1].max() < 1e-3  # the file starts in the states after silence
    for arguments, message in (
        ((tmp_path / "amp.nam", path, tmp_path / "0.wav"), "exists; pass another path or --overwrite"),
        ((tmp_path / "amp.nam", tmp_path / "none.wav", tmp_path / "9.wav"), "No such file"),
        ((tmp_path / "amp.nam", path, tmp_path / "9.wav", "--knobs", "1,a"), "must be numbers separated by commas"),
        (("amp_lstm_2x16", path, tmp_path / "9.wav"), "no trained weights"),
        (("amp_lstm_1x16", path, tmp_path / "9.wav"), "48,000 Hz, got 8,000 Hz"),
    ):
        result = run(*arguments)
        assert result.exit_code != 0 and message in result.output
    assert run(tmp_path / "amp.nam", path, tmp_path / "0.wav", "--overwrite").exit_code == 0
