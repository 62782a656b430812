"""Equations of the LSTM whose output is a projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, Linear, NamedMap
from deeprnn_keras.equations.standard import LSTMEquations


@dataclass(frozen=True)
class ProjectedLSTM(LSTMEquations):
    """LSTM whose output is a projection of fewer features (LSTMP; Sak et al. 2014, arXiv:1402.1128).

        i, f, o = s(x_t W + h_{t-1} U + b),  g = a(x_t W_g + h_{t-1} U_g + b_g),  c_t = f c_{t-1} + i g,
        h_t = (o a(c_t)) P

    c_t has h features, the output h_t has p: U is (p, 4 h), and P is (h, p).

    Attributes:
        projection: p, at most h; h / 2 by default.

    Raises:
        ValueError: If `projection` is not a positive integer, or is above `units`.

    >>> from deeprnn_keras.equations.projected import ProjectedLSTM
    >>> ProjectedLSTM(units=4, projection=2).count_params(input_dim=3)      # 4 (3 + 2 + 1) 4 + 4 x 2
    104
    """

    projection: int | None = None

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        projection = checks.positive_int_or_none("projection", self.projection) or max(1, self.units // 2)
        if projection > self.units:
            raise ValueError(
                f"projection must be at most units = {self.units}, because it narrows the output, got {projection}; "
                "use more units, or a Dense layer above the recurrent layer"
            )
        checks.store(self, projection=projection)

    @property
    @override
    def output_width(self) -> int:
        """Number of features of the output, p."""
        assert self.projection is not None  # set by `__post_init__`
        return self.projection

    @override
    def state_widths(self) -> dict[str, int]:
        return {"h": self.output_width, "c": self.units}

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        width = self.output_width
        return [
            super().maps(input_dim)[0],
            AffineMap("recurrent_kernel", width, self.units, self.gates, role="recurrent"),
            AffineMap("projection_kernel", self.units, width, ("projection",), role="hidden"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        hidden, c = super().step(x, states, linear, f)
        return [linear("projection_kernel", hidden)["projection"], c]
