"""Characters per second of generation with kjv_lstm_2x256, beside the usual loop in PyTorch with the same weights.

`python -m benchmarks.generation` measures batches of 1 and 64 with one and with two threads, alternating, and the time
from the start of `deeprnn generate` to its first character. The results are saved in
benchmarks/results/generation/results.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from deeprnn_keras import Program

RESULTS = Path(__file__).resolve().parent / "results" / "generation"
MODEL, PROMPT, TEMPERATURE = "kjv_lstm_2x256", "In the beginning", 0.7
LENGTHS = {1: 1000, 64: 100}  # characters by batch size
THREADS, ROUNDS, STARTS = (1, 2), 7, 5


def torch_loop(program: Program, vocabulary: str) -> Callable[[int, int], list[str]]:
    """Return a function of the batch size and the length that generates in PyTorch; its logits are compared first."""
    import torch

    from deeprnn_keras.program.interpreter import run

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(66, 64)
            self.lstm = torch.nn.LSTM(64, 256, 2, batch_first=True)
            self.head = torch.nn.Linear(256, 66)

        def forward(self, ids: torch.Tensor, state: Any = None) -> tuple[torch.Tensor, Any]:  # noqa: ANN401
            outputs, state = self.lstm(self.embedding(ids), state)
            return self.head(outputs), state

    network = Network().eval()
    network.load_state_dict({name: torch.tensor(array) for name, array in torch_weights(program.weights).items()})
    prompt = np.array([[vocabulary.index(character) for character in PROMPT]])
    (expected,), _ = run(program, [prompt])
    with torch.inference_mode():
        np.testing.assert_allclose(network(torch.tensor(prompt))[0].numpy(), expected, atol=1e-4)

    @torch.inference_mode()
    def generate(batch_size: int, length: int) -> list[str]:
        logits, state = network(torch.tensor(prompt).repeat(batch_size, 1))
        generated = []
        for _ in range(length):
            probabilities = torch.softmax(logits[:, -1] / TEMPERATURE, dim=-1)
            ids = torch.multinomial(probabilities, 1)
            generated.append(ids)
            logits, state = network(ids, state)
        return ["".join(vocabulary[i] for i in row) for row in torch.cat(generated, dim=1).tolist()]

    return generate


def torch_weights(weights: Any) -> dict[str, np.ndarray]:  # noqa: ANN401 - a mapping of arrays
    """Return the weights of a program by the names in PyTorch; the gates of an LSTM have the same order there."""
    arrays = {"embedding.weight": weights["embedding/embeddings"], "head.bias": weights["head/bias"]}
    arrays["head.weight"] = weights["head/kernel"].T
    for layer in range(2):
        names = {name: weights[f"deep_rnn/forward_{layer + 1}/lstm_cell/{name}"] for name in ("kernel", "bias")}
        arrays[f"lstm.weight_ih_l{layer}"] = names["kernel"].T
        arrays[f"lstm.weight_hh_l{layer}"] = weights[f"deep_rnn/forward_{layer + 1}/lstm_cell/recurrent_kernel"].T
        arrays[f"lstm.bias_ih_l{layer}"] = names["bias"]
        arrays[f"lstm.bias_hh_l{layer}"] = 0 * names["bias"]
    return arrays


def measure(threads: int) -> dict[str, Any]:
    """Return the characters per second of both in this process, medians of alternating rounds, by batch size."""
    import torch

    from deeprnn_keras import generate, zoo

    torch.set_num_threads(threads)
    program = zoo.load_program(MODEL)
    in_torch = torch_loop(program, program.attributes["vocabulary"])

    def here(batch_size: int, length: int) -> object:
        return generate(program, PROMPT, length, temperature=TEMPERATURE, num_samples=batch_size)

    figures: dict[str, Any] = {}
    for batch_size, length in LENGTHS.items():
        seconds: dict[str, list[float]] = {"deeprnn_keras": [], "PyTorch": []}
        for _ in range(ROUNDS):
            for name, function in (("deeprnn_keras", here), ("PyTorch", in_torch)):
                start = time.perf_counter()
                function(batch_size, length)
                seconds[name].append(time.perf_counter() - start)
        rates = {name: round(batch_size * length / statistics.median(values)) for name, values in seconds.items()}
        figures[str(batch_size)] = {**rates, "ratio": round(rates["deeprnn_keras"] / rates["PyTorch"], 2)}
    return figures


def seconds_to_first_character() -> float:
    """Return the seconds from the start of the process to the first character after the prompt."""
    command = [sys.executable, "-m", "deeprnn_keras.cli", "generate", MODEL, "--prompt", PROMPT]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.read(len(PROMPT) + 1)
    seconds = time.perf_counter() - start
    process.kill()
    process.wait()
    return round(seconds, 2)


def main() -> None:
    """Measure each number of threads in its own process."""
    from deeprnn_keras.bench.environment import environment

    results: dict[str, Any] = {"threads": {}}
    for threads in THREADS:
        command = [sys.executable, "-m", "benchmarks.generation", str(threads)]
        variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        output = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True, text=True).stdout
        results["threads"][str(threads)] = json.loads(output)
    results["seconds to first character"] = [seconds_to_first_character() for _ in range(STARTS)]
    results["about"] = environment()
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
