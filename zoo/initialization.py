"""How a published model starts out, as data."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Initialization:
    """A rule for all weights of a language model.

    Attributes:
        rule: "care": this library's defaults; "keras": Keras' defaults; "uniform": U(-scale, scale) for every kernel,
            embedding and the head; "normal": N(0, scale) for every kernel and the head, biases 0; "irnn": N(0, scale)
            for the input, the identity for the recurrent matrix (Le et al. 2015).
        scale: of "uniform", "normal" and "irnn".
        forget_bias: of LSTM and GRU cells; other biases of recurrent layers are 0. None: the rule's own.
    """

    rule: str = "care"
    scale: float | None = None
    forget_bias: float | None = None

    def arguments(self, cell):
        """Keyword arguments of `LanguageModel`; `cell` may be a list."""
        import keras

        from deeprnn_keras import ForgetBias, cell_spec

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
            gated = all(cell_spec(name).keep_gate for name in cells)
            given["bias_initializer"] = ForgetBias(self.forget_bias) if gated else "zeros"
        return given

    def __str__(self):
        text = {
            "care": "per gate: Glorot kernels, orthogonal recurrent matrices; embedding N(0, 1)",
            "keras": "Keras' defaults",
            "uniform": f"U(-{self.scale}, {self.scale})",
            "normal": f"N(0, {self.scale})",
            "irnn": f"N(0, {self.scale}) kernels, the identity for recurrent matrices",
        }[self.rule]
        return text if self.forget_bias is None else f"{text}, forget bias {self.forget_bias:g}"
