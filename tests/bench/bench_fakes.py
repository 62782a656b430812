"""Synthetic results of the benchmark, and a fake worker process."""

from deeprnn_keras import zoo
from deeprnn_keras.bench import epoch
from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.results import new_results
from deeprnn_keras.bench.settings import Settings

ABOUT = {"device": "a device", "versions": {"keras": "3.15"}, "python": "3.12", "seed": 0, "rounds": 3}
ABOUT |= {"seconds": 0.1, "epoch_updates": 7, "date": "2026-01-01"}
TINY = Case.from_size("1x4x2x3")
TEXT_MODEL = {"name": "tiny", "vocabulary": "abcd", "embedding": 3, "units": 4, "num_layers": 2, "cell": "gru"}
TEXT_MODEL["recipe"] = epoch.epoch_config(zoo.info("kjv_lstm_2x256"))["recipe"] | {"bptt": 5, "batch_size": 2}


def figures(*rounds):
    return {"rounds_ms": list(rounds), "steps": [3] * len(rounds), "first_call_s": 1.5}


def synthetic_results():
    """Return results with ratios that are easy to compute by hand."""
    results = new_results(ABOUT)
    results["cases"] = {
        "lstm 2x256x32x35 train": {
            "keras": figures(40, 44, 30),
            "torch": figures(10.0),
            "DeepRNN": figures(20, 10, 90),
        },
        "lstm 1x128x8x8 train": {"keras": figures(10.0), "torch": figures(16.0), "DeepRNN": figures(8.0)},
        "lstm 2x64x8x8 train": {
            "keras": figures(1.0),
            "torch": {"error": "out of memory\ndetails"},
            "DeepRNN": figures(7.0),
        },
        "gru 2x256x8x8 infer": {"keras": figures(100.0), "DeepRNN": figures(1234.0), "products": figures(3.0)},
    }
    results["memory"] = {"torch": {"case": "lstm 2x8x8x8 train", "growth_mb": 1234.4}, "keras": {"error": "no memory"}}
    results["epoch"] = {"DeepRNN": {"epochs_s": [30.0, 20.0], "updates": 10, "updates_per_epoch": 40, "loss": [2, 1]}}
    return results


class FakeWorker:
    """Worker process that records the requests, and raises the errors in `failures`."""

    requests, failures, alive = [], {}, set()

    def __init__(self, name):
        self.name = name
        FakeWorker.alive.add(self)

    def request(self, operation, **arguments):
        FakeWorker.requests.append((self.name, operation))
        error = FakeWorker.failures.get((self.name, operation))
        if error is not None:
            raise error
        return {"prepare": {"first_call_s": 2.0}, "measure": {"median_ms": 5.0, "least_ms": 4.0, "steps": 3}}.get(
            operation, {"growth_mb": 3.0} if operation == "memory" else dict(synthetic_results()["epoch"]["DeepRNN"])
        )

    def close(self):
        FakeWorker.alive.remove(self)

    def kill(self):
        """Do nothing: a request ends at once."""

    __enter__ = lambda self: self  # noqa: E731
    __exit__ = lambda self, *_: self.close()  # noqa: E731


GPU_ENVIRONMENT = {key: ABOUT[key] for key in ("device", "versions", "python")}
GPU_ENVIRONMENT |= {"gpu": {"driver": "1", "cuda": "2"}}


class FakeGpuWorker(FakeWorker):
    """Fake worker whose GPU runs all layers on cuDNN; `requests` also has the arguments of calls."""

    environment = GPU_ENVIRONMENT

    def request(self, operation, **arguments):
        values = super().request(operation, **arguments)
        if operation != "call":
            return {"environment": self.environment, "sees_gpu": {"sees_gpu": True}}.get(operation, values)
        if arguments["function"].endswith("training_losses"):
            return {"losses": [2.0, 1.0]}
        return traced_entry() if "gpu_zoo" in arguments["function"] else comparison()


def operators(cudnn=0, cudnn_backward=0, loops=0, executables=0, native=0):
    return {
        "cudnn": cudnn,
        "cudnn_backward": cudnn_backward,
        "native": native,
        "loops": loops,
        "executables": executables,
        "gpu_events": 9,
        "gpu_kernels": ["LSTM_elementWise"] if cudnn else [],
    }


def traced_entry(*claimed, **changes):
    """Return the figures of a model whose layers run on cuDNN."""
    layers = [{"path": f"deep_rnn/forward_{i}", "claimed": c, "card": c} for i, c in enumerate(claimed or ["cudnn"])]
    count = len(layers)
    figures = {"forward": operators(count), "train": operators(count, count), "jit_compile": False}
    return {"layers": layers, **figures, **changes}


def comparison(**changes):
    figures = {"implementations": ["cudnn"], "values": 1e-6, "gradients": 2e-6, "operators": operators(1, 1)}
    return {**figures, **changes}


def settings(*cases, names=("keras", "torch", "DeepRNN"), rounds=3, **others):
    return Settings(cases or (TINY,), names, rounds, 0.1, **{"memory": None, **others})
