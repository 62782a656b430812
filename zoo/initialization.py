"""`Initialization`: the weight initialization of a published model, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deeprnn_keras import AffineMap, Equations, checks
from deeprnn_keras._types import CellSpec

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Initialization:
    """Weight initialization of a whole model.

    Attributes:
        rule: "care" for the defaults of this library; "keras" for those of Keras; "uniform" for U(-scale, scale) in
            all kernels, embeddings, and the head; "normal" for N(0, scale^2) in all kernels, embeddings, and the head,
            with zero biases; "irnn" for N(0, scale^2) in input kernels and identity recurrent matrices (Le et al.
            2015).
        scale: Limit of "uniform"; standard deviation of "normal" and "irnn".
        forget_bias: Forget gate bias of LSTM and GRU cells, with all other biases of the recurrent layers 0. None for
            the default of the rule.
    """

    rule: str = "care"
    scale: float | None = None
    forget_bias: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers, and store NumPy's as Python's."""
        for name in ("scale", "forget_bias"):
            value = getattr(self, name)
            checks.store(self, **{name: None if value is None else checks.number(name, value)})

    def arguments(self, cell: CellSpec | list[CellSpec] | tuple[CellSpec, ...]) -> dict[str, Any]:
        """Return the initializers as keyword arguments of `LanguageModel` and `SequenceModel`.

        Args:
            cell: Cell of all layers, or one per layer.
        """
        from deeprnn_keras.initializers import ForgetBias
        from deeprnn_keras.specs import registered_cell

        initializers = self._kernel_initializers()
        if self.forget_bias is not None:
            cells = cell if isinstance(cell, (list, tuple)) else [cell]
            gated = all(registered_cell(name).keep_gate for name in cells)
            initializers["bias_initializer"] = ForgetBias(self.forget_bias) if gated else "zeros"
        return initializers

    def _kernel_initializers(self) -> dict[str, Any]:
        import keras

        if self.rule == "care":
            return {}
        if self.rule == "keras":
            return {
                "kernel_initializer": "glorot_uniform",
                "recurrent_initializer": "orthogonal",
                "embeddings_initializer": "uniform",
            }
        if self.rule == "irnn":
            return {
                "kernel_initializer": keras.initializers.RandomNormal(stddev=self.scale),
                "recurrent_initializer": "identity",
            }
        scale = self.scale
        if scale is None:
            raise ValueError(f"scale must be a number for the initialization rule {self.rule!r}, got None")
        create: Callable[[], keras.initializers.Initializer] = {
            "uniform": lambda: keras.initializers.RandomUniform(-scale, scale),
            "normal": lambda: keras.initializers.RandomNormal(stddev=scale),
        }[self.rule]
        names = ["kernel_initializer", "recurrent_initializer", "embeddings_initializer", "head_initializer"]
        names += ["head_bias_initializer"] if self.rule == "uniform" else []
        return {name: create() for name in names}

    def describe(self, cell: CellSpec | list[CellSpec] | tuple[CellSpec, ...], *, embedding: bool) -> str:
        """Return a description that names only what the model has.

        Args:
            cell: Cell of all layers, or one per layer.
            embedding: True if the model has an embedding.
        """
        from deeprnn_keras.specs import registered_cell

        cells = [registered_cell(name) for name in (cell if isinstance(cell, (list, tuple)) else [cell])]
        per_gate = " per gate" if any(registered.keep_gate for registered in cells) else ""
        matrices = any(_has_matrix(registered.example_equations) for registered in cells)
        recurrent = "orthogonal recurrent matrices" if matrices else "recurrent weights of the cell"
        text = {
            "care": f"Glorot kernels and {recurrent}{per_gate}" + "; embedding N(0, 1)" * embedding,
            "keras": "Keras defaults",
            "uniform": f"U(-{self.scale}, {self.scale})",
            "normal": f"N(0, {self.scale}^2)",
            "irnn": f"N(0, {self.scale}^2) kernels, identity recurrent matrices",
        }[self.rule]
        if self.forget_bias is None:
            return text
        gated = all(registered.keep_gate for registered in cells)  # as in `arguments`
        return f"{text}, {f'forget bias {self.forget_bias:g}' if gated else 'zero biases'}"


def _has_matrix(equations: Equations | None) -> bool:
    """Return whether the state of a cell is multiplied by a matrix, rather than elementwise."""
    maps = () if equations is None else equations.maps(equations.units)
    return equations is None or any(isinstance(one, AffineMap) and one.role == "recurrent" for one in maps)
