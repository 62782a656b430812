"""Equations of the linear recurrent unit, whose state is complex."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

from typing_extensions import override

from deeprnn_keras import checks
from deeprnn_keras.equations import primitives
from deeprnn_keras.equations.contract import Equations
from deeprnn_keras.equations.maps import AffineMap, Array, Blocks, DiagonalMap, Linear, NamedMap


@dataclass(frozen=True)
class LinearRecurrentUnit(Equations):
    """Linear recurrent unit (LRU; Orvieto et al. 2023, arXiv:2303.06349), with an activation of its output.

        s_t = exp(-exp(nu) + i exp(theta)) s_{t-1} + exp(gamma) x_t (B + i B'),  h_t = f(Re(s_t (C + i C')) + x_t D)

    The complex state s has h units; its real and imaginary parts are two states. nu, theta, and gamma are (h,).

    Attributes:
        min_radius: Smallest initial |exp(-exp(nu) + i exp(theta))|.
        max_radius: Largest one.
        max_phase: Largest initial exp(theta).

    >>> from deeprnn_keras.equations.linear_recurrent import LinearRecurrentUnit
    >>> LinearRecurrentUnit(units=4).count_params(input_dim=3)      # 3 x 3 x 4 + 3 x 4 + 2 x 4 x 4
    80
    """

    min_radius: float = 0.0
    max_radius: float = 1.0
    max_phase: float = 2.0 * math.pi

    states = ("h", "real", "imaginary")
    activations: ClassVar[dict[str, str]] = {"activation": "tanh"}

    @override
    def __post_init__(self) -> None:
        """Check the sizes and the ring.

        Raises:
            ValueError: If one is out of range.
        """
        super().__post_init__()
        for name in ("min_radius", "max_radius"):
            checks.store(self, **{name: checks.non_negative(name, getattr(self, name))})
        checks.store(self, max_phase=checks.positive("max_phase", self.max_phase))
        if not self.min_radius < self.max_radius <= 1.0:
            raise ValueError(
                "min_radius and max_radius must satisfy 0 <= min_radius < max_radius <= 1, got "
                f"{self.min_radius:g} and {self.max_radius:g}"
            )

    @override
    def maps(self, input_dim: int) -> Sequence[NamedMap]:
        return [
            AffineMap("kernel", input_dim, self.units, ("real", "imaginary", "skip")),
            DiagonalMap("ring", self.units, ("log_decay", "log_phase", "log_scale")),
            AffineMap("output_kernel", self.units, self.units, ("real", "imaginary"), role="hidden"),
        ]

    @override
    def step(self, x: Blocks, states: list[Array], linear: Linear, f: SimpleNamespace) -> list[Array]:
        _, real, imaginary = states
        ring = linear("ring", 1.0 + 0.0 * x["real"])
        radius, phase = primitives.exp(-primitives.exp(ring["log_decay"])), primitives.exp(ring["log_phase"])
        cosine, sine = radius * primitives.cos(phase), radius * primitives.sin(phase)
        scale = primitives.exp(ring["log_scale"])
        real, imaginary = (
            cosine * real - sine * imaginary + scale * x["real"],
            sine * real + cosine * imaginary + scale * x["imaginary"],
        )
        of_real = linear("output_kernel", real, "real")["real"]
        of_imaginary = linear("output_kernel", imaginary, "imaginary")["imaginary"]
        return [f.activation(of_real - of_imaginary + x["skip"]), real, imaginary]
