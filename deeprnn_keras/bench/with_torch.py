"""PyTorch as its users write it: nn.LSTM, a linear head, a plain loop; as many threads as it takes by itself.

PyTorch is imported where it is used: the package does without it.
"""

CLASSES = {"lstm": "LSTM", "gru": "GRU", "rnn": "RNN"}


def make_step(_, case, seed):
    """One update (Adam, mean squared error), or one prediction in inference mode."""
    import torch

    torch.manual_seed(seed)
    model = stack(case)
    x = torch.randn(case.batch_size, case.steps, case.units)
    if case.mode == "infer":
        return predict_step(model, x)
    return train_step(model, x, torch.randn(case.batch_size, case.steps, 1))


def stack(case):
    """L recurrent layers and a head of one number per step."""
    from torch import nn

    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            layers = getattr(nn, CLASSES[case.cell])
            self.recurrent = layers(case.units, case.units, num_layers=case.num_layers, batch_first=True)
            self.head = nn.Linear(case.units, 1)

        def forward(self, x):
            return self.head(self.recurrent(x)[0])

    return Stack()


def train_step(model, x, y):
    """An update; its loss is fetched."""
    import torch

    optimizer = torch.optim.Adam(model.parameters())
    loss_function = torch.nn.MSELoss()

    def step():
        optimizer.zero_grad()
        loss = loss_function(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def predict_step(model, x):
    """A prediction, up to the NumPy array."""
    import torch

    model.eval()

    def step():
        with torch.inference_mode():
            return model(x).numpy()

    return step
