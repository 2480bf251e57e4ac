"""The LSTM once more, for the tests to compare with: float64 NumPy, one row of the batch after the other, one step
after the other.

It reads the fields of the parameters and nothing else of the package. Gate blocks stand in the order input, forget,
candidate, output.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Result(NamedTuple):
    """The last carry `h (*batch, out)`, `c (*batch, hidden)`, and for each of the six names its values `(time, *batch,
    size)`. With exponential gates c, n and m stand side by side in `c`.
    """

    h: np.ndarray
    c: np.ndarray
    values: dict[str, np.ndarray]

    @property
    def hs(self) -> np.ndarray:
        return self.values["hidden_state"]


def lstm(
    params,
    xs,
    h=None,
    c=None,
    *,
    lengths=None,
    mask=None,
    resets=None,
    reset_to=None,
    reverse=False,
    recurrent_mask=None,
    zoneout=(None, None),
) -> Result:
    """A layer over `xs (time, *batch, features)`; the arguments are those of the package's `lstm`, with the carry as
    two arrays.
    """
    hidden = params.w_x.shape[1] // (4 if params.coupled is None else 3)
    out = hidden if params.projection is None else params.projection.shape[1]
    time, *batch, _ = xs.shape
    sizes = dict.fromkeys(("forget_gate", "input_gate", "candidate", "cell_state", "output_gate"), hidden) | {
        "hidden_state": out
    }
    values = {name: np.zeros((time, *batch, size)) for name, size in sizes.items()}
    memory = hidden if getattr(params, "exponential", None) is None else 3 * hidden
    last_h, last_c = np.zeros((*batch, out)), np.zeros((*batch, memory))

    for row in np.ndindex(*batch):
        first_h = np.zeros(out) if h is None else np.asarray(h, float)[row]
        first_c = np.zeros(memory) if c is None else np.asarray(c, float)[row]
        h_now, c_now = first_h, first_c
        back = (
            (np.zeros(out), np.zeros(memory))
            if reset_to is None
            else tuple(np.asarray(part, float)[row] for part in reset_to)
        )
        for t in reversed(range(time)) if reverse else range(time):
            at = (t, *row)
            if resets is not None and resets[at]:
                h_now, c_now = back
            if lengths is not None and t >= lengths[row]:
                continue
            if mask is not None and not mask[at]:
                continue
            seen = h_now if recurrent_mask is None else h_now * np.asarray(recurrent_mask, float)[row]
            six = step(params, seen, c_now, np.asarray(xs[at], float))
            h_now = six["hidden_state"] = zone(zoneout[0], at, h_now, six["hidden_state"])
            c_now = zone(zoneout[1], at, c_now, six.pop("memory", six["cell_state"]))
            six["cell_state"] = c_now[:hidden]
            for name, value in six.items():
                values[name][at] = value
        last_h[row], last_c[row] = h_now, c_now
    return Result(last_h, last_c, values)


def step(params, h, c, x) -> dict[str, np.ndarray]:
    """The six values of one step of one row: `h (out,)`, `c (hidden,)`, `x (features,)`."""
    z_x = x @ params.w_x
    z_h = recurrent(params.w_h, h)
    if params.norm is not None:
        z_x = normalize(z_x) * params.norm.scale_x
        z_h = normalize(z_h) * params.norm.scale_h
    z = z_x + z_h
    if params.b is not None:
        z = z + params.b
    if getattr(params, "exponential", None) is not None:
        return exponential(z, c)
    bound = np.inf if params.clip is None or params.clip.gates is None else params.clip.gates
    blocks = iter(z.reshape(-1, c.size))
    peepholes = iter(np.zeros((3, c.size)) if params.peephole is None else params.peephole)
    i = sigmoid(np.clip(next(blocks) + next(peepholes) * c, -bound, bound))
    f = sigmoid(np.clip(next(blocks) + next(peepholes) * c, -bound, bound)) if params.coupled is None else 1 - i
    g = np.tanh(np.clip(next(blocks), -bound, bound))
    c = f * c + i * g
    if params.clip is not None and params.clip.cell is not None:
        c = np.clip(c, -params.clip.cell, params.clip.cell)
    o = sigmoid(np.clip(next(blocks) + next(peepholes) * c, -bound, bound))
    shown = c if params.norm is None else normalize(c) * params.norm.scale_c + params.norm.bias_c
    h = o * np.tanh(shown)
    if params.projection is not None:
        h = h @ params.projection
    return {"forget_gate": f, "input_gate": i, "candidate": g, "cell_state": c, "output_gate": o, "hidden_state": h}


def exponential(z, memory) -> dict[str, np.ndarray]:
    """The six values of a step of an sLSTM, and what it remembers (Beck et al. 2024, equations 8 to 17)."""
    z_i, z_f, z_g, z_o = np.split(z, 4)
    c, n, m = np.split(memory, 3)
    log_f = np.where(n > 0, m - np.logaddexp(0, -z_f), -np.inf)
    m = np.maximum(log_f, z_i)
    i, f, g, o = np.exp(z_i - m), np.exp(log_f - m), np.tanh(z_g), sigmoid(z_o)
    c, n = f * c + i * g, f * n + i
    values = {"forget_gate": f, "input_gate": i, "candidate": g, "cell_state": c, "output_gate": o}
    return values | {"hidden_state": o * c / n, "memory": np.concatenate([c, n, m])}


def recurrent(w_h, h):
    """What a step adds for the previous hidden state, `(gates*hidden,)`."""
    if w_h.ndim == 1:  # a weight per unit and gate: gate blocks of units
        return np.concatenate([w * h for w in w_h.reshape(-1, h.size)])
    if w_h.ndim == 3:  # heads: each its own units of h, and of every gate
        heads, size, width = w_h.shape
        of_head = [h[k * size :][:size] @ w_h[k] for k in range(heads)]
        return np.concatenate([z[at : at + size] for at in range(0, width, size) for z in of_head])
    return h @ w_h


def zone(keep, at, old, new):
    """Zoneout: a unit keeps its old state where `keep` says so, or a share `keep` of it."""
    if keep is None:
        return new
    if np.ndim(keep) == 0:
        return keep * old + (1 - keep) * new
    return np.array([was if stays else now for stays, was, now in zip(keep[at], old, new, strict=True)])


def normalize(z):
    """Mean zero and variance one over the units."""
    return (z - np.mean(z)) / np.sqrt(np.var(z) + 1e-5)


def sigmoid(z):
    """`1 / (1 + exp(-z))`, without overflow."""
    return np.exp(-np.logaddexp(0, -z))
