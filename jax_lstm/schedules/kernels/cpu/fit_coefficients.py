"""Fits the polynomial of `vectors.h` for its exponentials, and states its error: `python fit_coefficients.py`.

2^r - 1 = r p(r) on [-1/2, 1/2], with p of degree 5 and least relative error, by Remez exchange in float64. The sigmoid
and the hyperbolic tangent are then evaluated in float32, as the kernel does, at many points and compared with float64.
"""

from __future__ import annotations

import numpy as np

DEGREE = 5
HALF = 0.5


def target(r: np.ndarray) -> np.ndarray:
    """(2^r - 1) / r, also at zero."""
    safe = np.where(r == 0, 1.0, r)
    return np.where(r == 0, np.log(2), np.expm1(safe * np.log(2)) / safe)


def fit(degree: int = DEGREE) -> np.ndarray:
    """The coefficients of p, highest power first: its relative error alternates between equal extremes."""
    grid = np.linspace(-HALF, HALF, 20001)
    nodes = HALF * np.cos(np.pi * np.arange(degree + 2) / (degree + 1))
    for _ in range(20):
        signs = (-1.0) ** np.arange(degree + 2)
        system = np.column_stack([np.vander(nodes, degree + 1), signs * target(nodes)])
        coefficients = np.linalg.solve(system, target(nodes))[:-1]
        error = np.polyval(coefficients, grid) / target(grid) - 1
        ends = np.flatnonzero(np.diff(np.sign(error))) + 1
        nodes = np.array([part[np.argmax(np.abs(error[part]))] for part in np.split(np.arange(grid.size), ends)])
        nodes = grid[nodes][::-1]
    return coefficients


def expm1(x: np.ndarray, factor: float, bound: float, coefficients: np.ndarray) -> np.ndarray:
    """e^(factor x) - 1 in float32, by the operations of `vectors.h`."""
    f4 = np.float32
    y = np.clip(f4(factor / np.log(2)) * x, f4(-bound), f4(bound))
    n = np.round(y)
    r = y - n
    p = np.full_like(r, f4(coefficients[0]))
    for c in coefficients[1:]:
        p = p * r + f4(c)
    scale = np.ldexp(f4(1), n.astype(int))
    return scale * (p * r) + (scale - f4(1))


def main() -> None:
    """Prints the coefficients and the largest errors."""
    coefficients = fit()
    print("coefficients of p, highest power first:", ", ".join(f"{np.float32(c):.9e}f" for c in coefficients))
    r = np.linspace(-HALF, HALF, 1_000_001)
    relative = np.max(np.abs(np.polyval(coefficients, r) / target(r) - 1))
    print(f"largest relative error of r p(r), before rounding: {relative:.1e}")
    x = np.concatenate([np.linspace(-30, 30, 2_000_001), np.logspace(-30, 1, 100_001)]).astype(np.float32)
    wide = x.astype(float)
    two = np.float32(2)
    sigmoid = np.float32(1) / (two + expm1(x, -1, 43, coefficients))
    print(f"largest error of the sigmoid in float32: {np.max(np.abs(sigmoid - 1 / (1 + np.exp(-wide)))):.1e}")
    e = expm1(x, 2, 26, coefficients)
    tanh = e / (e + two)
    relative = np.max(np.abs(tanh[x != 0] / np.tanh(wide[x != 0]) - 1))
    print(f"largest relative error of the hyperbolic tangent in float32: {relative:.1e}")


if __name__ == "__main__":
    main()
