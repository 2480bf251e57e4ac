"""Fits the polynomials of `vectors.h` and prints their errors: `python -m experiments.fit_coefficients` (needs mpmath).

2^r - 1 = r p(r) on [-1/2, 1/2], with p of degree 5 for float32 and 11 for float64, of minimal relative error, by Remez
exchange with 50 digits. The sigmoid and the hyperbolic tangent are then evaluated in each dtype, as the kernel does.
"""

from __future__ import annotations

from typing import Any

import numpy as np

DEGREES = {np.float32: 5, np.float64: 11}
SATURATED = {np.float32: 26, np.float64: 56}
LARGEST_POWER = {np.float32: 127, np.float64: 1023}


def fit(degree: int) -> tuple[list[Any], Any]:
    """The coefficients of p, lowest power first, and its largest relative error, which alternates between equal
    extremes.
    """
    try:
        from mpmath import cos, expm1, log, lu_solve, matrix, mp, mpf, pi
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("fit_coefficients needs mpmath: python -m pip install mpmath") from error

    mp.dps = 50

    def target(r: Any) -> Any:
        return log(2) if r == 0 else expm1(r * log(2)) / r

    count = degree + 2
    nodes = [cos(pi * k / (degree + 1)) / 2 for k in range(count)]
    grid = [mpf(k) / 1500 - mpf(1) / 2 for k in range(1501)]
    coefficients, errors = [], []
    for _ in range(6):
        system, values = matrix(count, count), matrix(count, 1)
        for row, node in enumerate(nodes):
            values[row] = target(node)
            for power in range(degree + 1):
                system[row, power] = node**power
            system[row, degree + 1] = (-1) ** row * values[row]
        coefficients = list(lu_solve(system, values))[:-1]
        errors = [sum(c * r**k for k, c in enumerate(coefficients)) / target(r) - 1 for r in grid]
        runs = [[0]]
        for k in range(1, len(grid)):
            if (errors[k] > 0) != (errors[k - 1] > 0):
                runs.append([])
            runs[-1].append(k)
        if len(runs) != count:
            break
        nodes = [grid[max(run, key=lambda k: abs(errors[k]))] for run in reversed(runs)]
    return coefficients, max(abs(error) for error in errors)


def expm1(x: np.ndarray, factor: float, bound: float, coefficients: np.ndarray) -> np.ndarray:
    """e^(factor x) - 1 in the dtype of x, by the operations of `vectors.h`."""
    real = x.dtype.type
    y = np.clip(real(factor / np.log(2)) * x, real(-bound), real(bound))
    n = np.round(y)
    r = y - n
    p = np.full_like(r, coefficients[-1])
    for c in coefficients[-2::-1]:
        p = p * r + real(c)
    scale = np.ldexp(real(1), n.astype(int))
    return scale * (p * r) + (scale - real(1))


def main() -> None:
    """Print the coefficients and the largest errors."""
    for real, degree in DEGREES.items():
        exact, error = fit(degree)
        print(f"{real.__name__}, highest power first:", ", ".join(f"{float(c):.17e}" for c in reversed(exact)))
        print(f"largest relative error of r p(r), before rounding: {float(error):.1e}")
        coefficients = np.array([float(c) for c in exact], real)
        x = np.concatenate([np.linspace(-20, 20, 200_001), np.logspace(-30, 1, 100_001)]).astype(real)
        wide, two = x.astype(np.longdouble), real(2)
        sigmoid = real(1) / (two + expm1(x, -1, LARGEST_POWER[real], coefficients))
        print(f"largest error of the sigmoid: {np.max(np.abs(sigmoid - 1 / (1 + np.exp(-wide)))):.1e}")
        e = expm1(x, 2, SATURATED[real], coefficients)
        relative = np.max(np.abs((e / (e + two))[x != 0] / np.tanh(wide[x != 0]) - 1))
        print(f"largest relative error of the hyperbolic tangent: {relative:.1e}")


if __name__ == "__main__":
    main()
