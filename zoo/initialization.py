"""`Initialization`: how the weights of a published model are initialized, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Initialization:
    """A rule for all weights of a model.

    Attributes:
        rule: "care" for this library's defaults; "keras" for Keras' defaults; "uniform" for U(-scale, scale) in every
            kernel, embedding, and the head; "normal" for N(0, scale) in every kernel and the head, biases 0; "irnn" for
            N(0, scale) in input kernels and the identity in recurrent matrices (Le et al. 2015).
        scale: Scale of "uniform", "normal", and "irnn".
        forget_bias: Forget bias of LSTM and GRU cells; other biases of recurrent layers are 0. None for the rule's own.
    """

    rule: str = "care"
    scale: float | None = None
    forget_bias: float | None = None

    def arguments(self, cell: Any) -> dict[str, Any]:
        """Return keyword arguments of `LanguageModel` and `SequenceModel`; `cell` may be a list."""
        import keras

        from deeprnn_keras.initializers import ForgetBias
        from deeprnn_keras.specs import registered_cell

        given = {}
        if self.rule == "keras":
            given = {"kernel_initializer": "glorot_uniform", "recurrent_initializer": "orthogonal"}
            given["embeddings_initializer"] = "uniform"
        elif self.rule == "irnn":
            given["kernel_initializer"] = keras.initializers.RandomNormal(stddev=self.scale)
            given["recurrent_initializer"] = "identity"
        elif self.rule != "care":
            make = {
                "uniform": lambda: keras.initializers.RandomUniform(-self.scale, self.scale),
                "normal": lambda: keras.initializers.RandomNormal(stddev=self.scale),
            }[self.rule]
            names = ("kernel_initializer", "recurrent_initializer", "embeddings_initializer", "head_initializer")
            given = {name: make() for name in names}
            if self.rule == "uniform":
                given["head_bias_initializer"] = make()
        if self.forget_bias is not None:
            cells = cell if isinstance(cell, (list, tuple)) else [cell]
            gated = all(registered_cell(name).keep_gate for name in cells)
            given["bias_initializer"] = ForgetBias(self.forget_bias) if gated else "zeros"
        return given

    def __str__(self) -> str:
        text = {
            "care": "per gate: Glorot kernels, orthogonal recurrent matrices; embedding N(0, 1)",
            "keras": "Keras' defaults",
            "uniform": f"U(-{self.scale}, {self.scale})",
            "normal": f"N(0, {self.scale})",
            "irnn": f"N(0, {self.scale}) kernels, the identity for recurrent matrices",
        }[self.rule]
        return text if self.forget_bias is None else f"{text}, forget bias {self.forget_bias:g}"
