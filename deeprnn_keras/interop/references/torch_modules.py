"""`TorchModuleReference`: a PyTorch module that runs itself, with the outputs of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from typing_extensions import override

from deeprnn_keras.interop.source import Reference

if TYPE_CHECKING:
    import torch


class TorchModuleReference(Reference):
    """A PyTorch module. The outputs of its parts have their names, with "_" in place of ".".

    A module that is itself an LSTM, GRU, or RNN is called with its own order of axes; any other module is called with
    batch-first input.

    Args:
        module: The module.
        return_sequences: If False, a bare recurrent module returns its last states, those of both directions
            concatenated, instead of all steps.
    """

    def __init__(self, module: torch.nn.Module, return_sequences: bool = True) -> None:
        import torch

        self.module, self.return_sequences = module, return_sequences
        self.title = f"PyTorch {torch.__version__}"

    @override
    def run(self, x: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        found: dict[str, np.ndarray] = {}
        hooks = [
            part.register_forward_hook(self._recorder(name.replace(".", "_"), found))
            for name, part in self.module.named_modules()
            if name
        ]
        training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                output = self._call(torch.from_numpy(x.astype(np.int64) if x.dtype.kind in "iu" else x))
        finally:
            self.module.train(training)
            for hook in hooks:
                hook.remove()
        found.pop("output", None)
        return {**found, "output": output.numpy()}

    def _call(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        module = self.module
        if not isinstance(module, torch.nn.RNNBase):
            return _first(module(x))
        output, final = module(x if module.batch_first else x.transpose(0, 1))
        if self.return_sequences:
            return output if module.batch_first else output.transpose(0, 1)
        directions = 2 if module.bidirectional else 1
        return torch.cat(list(_first(final)[-directions:]), dim=-1)

    def _recorder(self, name: str, found: dict[str, np.ndarray]) -> Any:  # noqa: ANN401 - a hook
        import torch

        def record(part: Any, arguments: object, result: object) -> None:  # noqa: ANN401 - a module
            value = _first(result)
            if isinstance(part, torch.nn.RNNBase) and not part.batch_first:
                value = value.transpose(0, 1)
            if isinstance(value, torch.Tensor):
                found[name] = value.numpy()

        return record


def _first(result: Any) -> Any:  # noqa: ANN401 - a tensor, or a tuple of them
    return result[0] if isinstance(result, tuple) else result
