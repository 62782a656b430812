"""Steps of PyTorch models: nn.LSTM, a linear head, and a plain loop, with the default number of threads.

The model runs on a GPU if PyTorch sees one. As in the Keras models, the batch is in the memory of the host, so that
each step copies it to the device. PyTorch is imported in the functions: it is an optional dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deeprnn_keras.bench.case import Case
from deeprnn_keras.bench.implementations import Step

if TYPE_CHECKING:
    import numpy as np
    import torch

CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def make_step(_: str, case: Case, seed: int) -> Step:
    """Return one training update (Adam, mean squared error), or one prediction in inference mode."""
    import torch

    torch.manual_seed(seed)
    model = build_model(case).to(device())
    x = torch.randn(case.batch_size, case.steps, case.units)
    if case.mode == "infer":
        return predict_step(model, x)
    return train_step(model, x, torch.randn(case.batch_size, case.steps, 1))


def device() -> torch.device:
    """Return the GPU, or the CPU if PyTorch sees no GPU."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_model(case: Case) -> torch.nn.Module:
    """Return L recurrent layers and a head with one output per time step."""
    from torch import nn

    class Stack(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layer_class = getattr(nn, CLASSES[case.cell])
            self.recurrent = layer_class(case.units, case.units, num_layers=case.num_layers, batch_first=True)
            self.head = nn.Linear(case.units, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.recurrent(x)[0])

    return Stack()


def train_step(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> Step:
    """Return a function that runs one training update and fetches the loss."""
    import torch

    optimizer = torch.optim.Adam(model.parameters())
    loss_function, target = torch.nn.MSELoss(), device()

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_function(model(x.to(target)), y.to(target))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def predict_step(model: torch.nn.Module, x: torch.Tensor) -> Step:
    """Return a function that runs one prediction and returns a NumPy array."""
    import torch

    model.eval()
    target = device()

    def step() -> np.ndarray:
        with torch.inference_mode():
            return model(x.to(target)).cpu().numpy()

    return step
