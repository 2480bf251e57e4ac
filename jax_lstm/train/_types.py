"""The containers of training: what is configured, what a step changes, and what `fit` returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import optax

from jax_lstm._annotations import Array, Bool, Float, Int, PyTree
from jax_lstm._repr import short_repr
from jax_lstm.train._batches import Batches

Params = TypeVar("Params")


class Checkpoints(NamedTuple):
    """Where and how often `fit` saves its state, so that a run that was killed can be resumed.

    Args:
        folder: a folder for this run only; it is created. With several processes, one that all of them see.
        every: steps between checkpoints.
        keep: how many are kept, the newest.
    """

    folder: str | Path
    every: int = 1000
    keep: int = 3


class History(NamedTuple):
    """Losses of every step, NaN after a run stopped early.

    Args:
        loss: before the update of each step, `(*members, steps)`.
        validation: `(*members, steps // validate_every)`; None without validation.
    """

    loss: Float[Array, "*members steps"]
    validation: Float[Array, "*members validations"] | None

    def __repr__(self) -> str:
        return short_repr(self)


class Fitted(NamedTuple, Generic[Params]):
    """The result of `fit`; with n keys, every leaf has a leading axis of n.

    Args:
        params: those with the lowest validation loss; without validation the last ones, or where `diverged` the last
            with a finite loss.
        history: the losses.
        steps: how many steps were taken, `(*members)`.
        diverged: whether step `steps + 1` made the loss or the parameters infinite or NaN, so that it was not taken,
            `(*members)`.
        opt_state: the optimizer's state after the last step.
        carry: of a stream, the carry after the last step; else None.
    """

    params: Params
    history: History
    steps: Int[Array, "*members"]
    diverged: Bool[Array, "*members"]
    opt_state: PyTree
    carry: Any

    def __repr__(self) -> str:
        return short_repr(self)


class Best(NamedTuple):
    """The parameters with the lowest validation loss.

    Args:
        params: the parameters, those at the start until there is a validation loss.
        loss: their validation loss, infinite until there is one.
        waited: how many validations have followed without a lower one.
    """

    params: PyTree
    loss: Float[Array, ""]
    waited: Int[Array, ""]


class State(NamedTuple):
    """Training state.

    Args:
        params: the parameters.
        opt_state: the optimizer's state.
        carry: the carry of a stream; else None.
        finite: the last parameters whose loss was finite, returned if the run diverges.
        best: the parameters with the lowest validation loss; None without validation.
        steps: how many steps were taken.
        diverged: whether the run has stopped because the loss or the parameters were not finite.
        history: the losses.
    """

    params: PyTree
    opt_state: PyTree
    carry: PyTree
    finite: PyTree
    best: Best | None
    steps: Int[Array, ""]
    diverged: Bool[Array, ""]
    history: History


@dataclass(frozen=True)
class Validation:
    """Static configuration of validation.

    Args:
        loss: `params -> ()`.
        every: steps between validations.
        patience: stop after this many validations without a lower loss; None never stops.
    """

    loss: Callable[..., Any]
    every: int
    patience: int | None


@dataclass(frozen=True)
class Plan:
    """Static configuration, hashable, so that runs of equal plans share one compilation.

    Args:
        loss: `(params, batch, key) -> ()`, or `(params, carry, batch, key) -> ((), carry)`.
        optimizer: the Optax transformation.
        batches: how the batch of a step is made from the data.
        validation: None without validation.
        average: `(opt_state, params) -> params`, what is validated and returned; None for the parameters themselves.
        mesh: the devices; None for one device.
        vectorized: whether there is a leading axis of members.
    """

    loss: Callable[..., Any]
    optimizer: optax.GradientTransformation
    batches: Batches
    validation: Validation | None
    average: Callable[..., Any] | None
    mesh: jax.sharding.Mesh | None
    vectorized: bool
