"""Operators in a profile, comparisons with the loop, masks, devices of workers, and deadlines."""

import json
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from deeprnn_keras import _compat
from deeprnn_keras.bench.deadline import DeadlineReachedError, TimedWorkerPool
from deeprnn_keras.bench.masks import MASK_KINDS, make_mask
from deeprnn_keras.bench.process import WorkerError, WorkerProcess
from deeprnn_keras.bench.trace import summarize, trace


def add_events(profile, plane_name, names, annotation=""):
    """Add a plane with one event per name; an annotation is stored as a reference, as the GPU's are."""
    plane = profile.planes.add(name=plane_name)
    plane.stat_metadata[7].name = annotation
    line = plane.lines.add()
    for number, name in enumerate(names):
        plane.event_metadata[number].name = name
        event = line.events.add(metadata_id=number)
        if annotation:
            event.stats.add(metadata_id=1, ref_value=7)
        else:
            event.stats.add(metadata_id=1, str_value="unrelated text")


def test_operators_of_a_profile_with_a_gpu_are_counted():
    profile, scope = _compat.profile_message()(), "model/deep_rnn/forward_1/"
    on_host = [f"{scope}CudnnRNNV3:CudnnRNNV3", f"{scope}CudnnRNNV3:CudnnRNNV3", f"{scope}MatMul:MatMul"]
    on_host += [f"gradients/{scope}CudnnRNNBackpropV3:CudnnRNNBackpropV3", "GpuExecutable::ExecuteAsyncOnStreamImpl"]
    on_host += [f"{scope}while/body/_1/{scope}while/Mul:Mul", f"{scope}while/body/_1/{scope}while/Add:AddV2"]
    add_events(profile, "/host:CPU", on_host)
    other = "model/deep_rnn/forward_2/CudnnRNNV3"
    add_events(profile, "/device:GPU:0", ["LSTM_elementWise_fp", "ampere_sgemm"], f"{other}:CudnnRNNV3")
    assert summarize(profile) == {
        "cudnn": 2,
        "cudnn_backward": 1,
        "native": 0,
        "loops": 1,
        "executables": 1,
        "gpu_events": 2,
        "gpu_kernels": ["LSTM_elementWise_fp"],
    }


def test_loop_and_program_of_xla_are_found_on_the_cpu():
    def repeat(x):
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.matmul(y, y)), (0, x))[1]

    for compiled, expected in ((False, (1, 0)), (True, (0, 1))):
        function = tf.function(repeat, jit_compile=compiled, autograph=False)
        function(tf.eye(2))
        operators = trace(lambda function=function: function(tf.eye(2)).numpy())
        assert (operators["loops"], operators["executables"]) == expected, operators
        assert operators["cudnn"] == operators["gpu_events"] == 0


@pytest.mark.parametrize("kind", MASK_KINDS)
def test_masks(kind):
    mask = make_mask(kind, 6, 9, seed=2)
    assert mask.shape == (6, 9) and mask.any() and not mask.all()
    assert mask.any(axis=1).all() == (kind != "empty rows")
    rises = np.diff(mask.astype(int), axis=1)
    assert {"right-padded": rises.max() <= 0, "left-padded": rises.min() >= 0}.get(kind, (rises > 0).any())


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, low, high",
    [({"mask": "gaps", "bidirectional": True}, 1e-8, 1e-5), ({"policy": "mixed_bfloat16"}, 1e-4, 3e-2)],
)
def test_layer_is_compared_with_the_loop(options, low, high):
    from deeprnn_keras.bench.agreement import compare_with_loop

    figures = compare_with_loop("1x4x3x5", "gru", **options)
    assert low < figures["values"] < high and low < figures["gradients"] < high
    (implementation,) = set(figures["implementations"])
    assert figures["operators"][{"native": "native", "xla": "executables"}[implementation]] > 0


def test_largest_error():
    from deeprnn_keras.bench.agreement import largest_error

    a = np.array([3.0, 4.0], "float32")
    assert largest_error([a, a], [a, a * 1.5]) == pytest.approx(0.5)
    assert largest_error([a], [np.array([np.nan, 4.0])]) is None


def test_losses_that_are_not_finite_are_none(monkeypatch):
    from deeprnn_keras.bench import agreement

    losses = iter([1.5, float("nan")])
    monkeypatch.setattr(agreement, "make_step", lambda *_: lambda: next(losses))
    case = {"num_layers": 1, "units": 2, "batch_size": 2, "steps": 2}
    assert agreement.training_losses("DeepRNN", case, 2, 0) == {"losses": [1.5, None]}


@pytest.mark.parametrize("device, hidden", [("cpu", "-1"), ("gpu", "0")])
def test_device_of_a_worker(device, hidden, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    code = "import json, os; input(); print(json.dumps({'hidden': os.environ['CUDA_VISIBLE_DEVICES']}))"
    with WorkerProcess("keras", [sys.executable, "-c", code], device) as process:
        assert process.request("environment") == {"hidden": hidden}
    with pytest.raises(ValueError, match="unknown device 'tpu'"):
        WorkerProcess("keras", device="tpu")


def test_worker_calls_a_function_by_name():
    with WorkerProcess("keras") as process:
        assert process.request("call", function="json:loads", arguments={"s": json.dumps({"a": 1})}) == {"a": 1}


def test_deadline_ends_a_request_and_refuses_further_ones():
    def start(name):
        return WorkerProcess(name, [sys.executable, "-c", "import time; time.sleep(60)"])

    begin = time.monotonic()
    with TimedWorkerPool(0.5, start) as pool:
        for name in ("keras", "torch"):
            with pytest.raises(DeadlineReachedError, match=f"'measure' of {name} was not completed in time"):
                pool.request(name, "measure")
        assert pool.remaining_seconds == 0
    assert time.monotonic() - begin < 20


def test_worker_that_dies_before_the_deadline_is_an_error():
    with TimedWorkerPool(60, lambda name: WorkerProcess(name, [sys.executable, "-c", "raise SystemExit(3)"])) as pool:
        with pytest.raises(WorkerError, match="exit code 3"):
            pool.request("keras", "measure")
        pool.kill("keras")  # it has ended
        pool.stop("keras")
