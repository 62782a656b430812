"""Layouts: how the steps of a window become inputs and targets of a network, and its outputs a forecast.

Symbols: T steps of context, horizon H, forecast origin T: the last observed step. Step t of a window is its t-th value,
t = 0, ..., T + H - 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from typing_extensions import override


@dataclass(frozen=True)
class ScaledWindow:
    """Windows of the same length, scaled, after the steps that only their lagged values are read from.

    Attributes:
        z: Scaled values, (n, history + T + H). Missing ones are those of the season before with differences, else 0.
        observed: 1 where a value is observed, else 0, of the same shape.
        step_features: Calendar features and known-future covariates, (n, history + T + H, k).
        past: Past covariates, (n, history + T + H, p); those after the origin are not read.
        static: Static covariates, (n, s).
        ratio: Scale of the targets in units of z, (n,); 1 without differences.
    """

    z: np.ndarray
    observed: np.ndarray
    step_features: np.ndarray
    past: np.ndarray
    static: np.ndarray
    ratio: np.ndarray

    def inputs(self, first: int, count: int, layout: Layout) -> np.ndarray:
        """Return the inputs of some steps, float32, (n, count, d).

        Args:
            first: First step of the values, flags, and past covariates.
            count: Number of steps.
            layout: Layout of the inputs. The calendar, known-future covariates, and lags belong to the steps that are
                `layout.feature_offset` later.
        """
        values = slice(first, first + count)
        start = first + layout.feature_offset
        z = self.z[:, values, None]
        static = np.broadcast_to(self.static[:, None], (*z.shape[:2], self.static.shape[1]))
        observed = [self.observed[:, values, None]] if layout.flags else []
        if layout.season:
            earlier = self.z[:, first - layout.season : first - layout.season + count]
            observed.append(((self.z[:, values] - earlier) / self.ratio[:, None])[:, :, None])
        lagged = [self.z[:, start - lag : start - lag + count, None] for lag in layout.lags]
        features = self.step_features[:, start : start + count]
        return np.concatenate([z, *observed, *lagged, self.past[:, values], features, static], 2, dtype=np.float32)


@dataclass(frozen=True)
class Layout(ABC):
    """Base class of layouts.

    Attributes:
        horizon: H.
        flags: True if the inputs contain the flags of observed values.
        lags: The inputs contain the values these numbers of steps before the predicted step; at least 2 each.
        season: The targets are differences from the value this number of steps earlier, and the inputs contain such
            differences; 0 for values as targets.
    """

    horizon: int
    flags: bool = True
    lags: tuple[int, ...] = ()
    season: int = 0

    name: ClassVar[str]
    per_step: ClassVar[bool]  # whether the network has an output for each step of its input
    supports_past: ClassVar[bool] = True
    supports_lags: ClassVar[bool] = False
    trains_on_context: ClassVar[bool] = False  # whether targets within the context count in training
    feature_offset: ClassVar[int] = 0  # the input with the values of step t has the features of step t + offset

    @property
    def lag(self) -> int:
        """Number of last observed steps that are read only when a forecast is made."""
        return 1

    @property
    def history(self) -> int:
        """Number of steps before the first input that lagged values and differences are read from."""
        return max(self.season, *(lag - self.feature_offset for lag in self.lags), 0)

    def min_context(self) -> int:
        """Return the smallest number of steps of context."""
        return 2

    def output_width(self, num_parameters: int) -> int:
        """Return the width of the output of the network."""
        return num_parameters

    def future_width(self, known: int) -> int:
        """Return the number of features with known-future covariates of later steps, of `known` covariates."""
        return 0

    def input_steps(self, context: int) -> int:
        """Return the number of input steps of a window with T steps of context."""
        return context

    def inputs(self, window: ScaledWindow, count: int, known: int, *, final: bool) -> np.ndarray:
        """Return the inputs of the first steps of windows, float32, (n, count, d).

        Args:
            window: Windows, whose first `history` steps are not inputs.
            count: Number of steps.
            known: Number of known-future covariates, which are the last of the step features.
            final: True if the last of these steps is the forecast origin.
        """
        x = window.inputs(self.history, count, self)
        features = window.step_features[:, self.history :]
        future = self.future_features(features[:, :, features.shape[2] - known :], count, final)
        return x if future is None else np.concatenate([x, future.astype(np.float32)], axis=2)

    def future_features(self, known: np.ndarray, count: int, final: bool) -> np.ndarray | None:
        """Return the features with covariates of later steps, (n, count, `future_width`), or None.

        Args:
            known: Known-future covariates of all steps of the windows.
            count: As for `inputs`.
            final: As for `inputs`.
        """
        return None

    def references(self, z: np.ndarray, steps: np.ndarray, origin: int) -> np.ndarray:
        """Return the values that targets are differences from, (n, steps): those of the last season before the origin.

        Args:
            z: Scaled values of windows.
            steps: Steps of the targets in `z`.
            origin: First step of the horizon in `z`.

        Returns:
            The values; 0 without differences.
        """
        if not self.season:
            return np.zeros((len(z), len(steps)))
        seasons = np.maximum((steps - origin) // self.season + 1, 1)
        return z[:, steps - self.season * seasons]

    @abstractmethod
    def target_steps(self, context: int) -> np.ndarray:
        """Return the steps of the window that are the targets, in the order of the outputs."""


class Recursive(Layout):
    """Step t is predicted from the values before it; a forecast feeds samples back (DeepAR).

    The input for z_t is (z_{t-1}, observed_{t-1}, z_{t-lag} for each lag, features_t, static), for
    t = 1, ..., T + H - 1.
    """

    name = "recursive"
    per_step = True
    supports_past = False
    supports_lags = True
    trains_on_context = True
    feature_offset = 1

    def input_steps(self, context: int) -> int:
        """Return T + H - 1."""
        return context + self.horizon - 1

    @override
    def references(self, z: np.ndarray, steps: np.ndarray, origin: int) -> np.ndarray:
        """Return the values one season before the targets, which may be samples; 0 without differences."""
        return z[:, steps - self.season] if self.season else np.zeros((len(z), len(steps)))

    def target_steps(self, context: int) -> np.ndarray:
        """Return 1, ..., T + H - 1."""
        return np.arange(1, context + self.horizon)


class Direct(Layout):
    """All steps of the horizon are predicted at once from the state after the origin.

    The input is (z_t, observed_t, past_t, features_t, static) for t = 0, ..., T - 1. That of the origin also contains
    the known-future covariates of the H steps after it; before the origin these features are 0.
    """

    name = "direct"
    per_step = False

    def output_width(self, num_parameters: int) -> int:
        """Return H times the number of parameters."""
        return self.horizon * num_parameters

    def future_width(self, known: int) -> int:
        """Return H k."""
        return self.horizon * known

    def future_features(self, known: np.ndarray, count: int, final: bool) -> np.ndarray | None:
        """Return the covariates of the H steps after the origin at the origin, and 0 before."""
        if not known.shape[2]:
            return None
        features = np.zeros((len(known), count, self.future_width(known.shape[2])), np.float32)
        if final:
            features[:, -1] = known[:, count : count + self.horizon].reshape(len(known), -1)
        return features

    def target_steps(self, context: int) -> np.ndarray:
        """Return T, ..., T + H - 1."""
        return np.arange(context, context + self.horizon)


class Shifted(Layout):
    """Step t + H is predicted from the values up to step t, for the last H steps of the context (neuralforecast).

    The input is that of `Direct`, with the known-future covariates of step t + H.
    """

    name = "shifted"
    per_step = True

    @property
    def lag(self) -> int:
        """Return H."""
        return self.horizon

    def min_context(self) -> int:
        """Return H."""
        return max(2, self.horizon)

    def future_width(self, known: int) -> int:
        """Return k."""
        return known

    def future_features(self, known: np.ndarray, count: int, final: bool) -> np.ndarray | None:
        """Return the covariates of step t + H at step t."""
        return known[:, self.horizon : self.horizon + count] if known.shape[2] else None

    def target_steps(self, context: int) -> np.ndarray:
        """Return H, ..., T + H - 1."""
        return np.arange(self.horizon, context + self.horizon)


LAYOUTS = {layout.name: layout for layout in (Recursive, Direct, Shifted)}
"""Layouts by the name of their strategy."""
