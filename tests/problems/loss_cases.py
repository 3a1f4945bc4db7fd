"""Cases for the tests of losses: the losses by name, rows to ask them at, and one compiled program for each.

Compiling is what these tests spend their time on. So a program answers everything about one loss, at `ROWS`
rows, and shorter questions are filled up: one compilation per loss and precision serves all tests.
"""

from functools import cache

import jax
import numpy as np
import pytest

from langevax.problems import losses

ROWS = 300
CLASSES = 4
MARGIN = {"logistic": losses.logistic, "hinge": losses.SmoothedHinge(width=0.3)}
SCALAR = {"squared": losses.squared, **MARGIN}
BENT = {
    "squared vector": losses.squared,
    **MARGIN,
    "softmax": losses.softmax,
}  # no more than their `curvature`
ALL = {**BENT, "log score": losses.LogScore(weight=0.7)}
KNOWN = {**ALL, **SCALAR, "linear": losses.linear}

each_loss = pytest.mark.parametrize("name", ALL)
each_bent_loss = pytest.mark.parametrize("name", BENT)
each_scalar_loss = pytest.mark.parametrize("name", SCALAR)
each_margin_loss = pytest.mark.parametrize("name", MARGIN)

ARGUMENTS = {
    "__call__": ("z", "y"),
    "derivative": ("z", "y"),
    "conjugate": ("dual", "y"),
    "in_domain": ("dual", "y"),
    "project": ("dual", "y"),
    "dual_step": ("z", "dual", "y", "c"),
    "fenchel_young": ("z", "dual", "y"),
}


@cache
def program(name):
    loss = KNOWN[name]

    def one_row(**arguments):
        methods = {method: getattr(loss, method) for method in ARGUMENTS}
        slopes = {
            f"slope of {method}": jax.grad(methods[method])
            for method in ("__call__", "fenchel_young")
        }
        functions = {**methods, **slopes}
        return {
            key: f(*(arguments[a] for a in ARGUMENTS[key.removeprefix("slope of ")]))
            for key, f in functions.items()
        }

    return jax.jit(jax.vmap(one_row))


def rows(name, answer="__call__"):
    """`rows(name, "conjugate")(dual, y)`: a method of a loss at each row, as numpy."""

    def ask(*arguments):
        by_name = dict(
            zip(
                ARGUMENTS[answer.removeprefix("slope of ")],
                map(np.asarray, arguments),
                strict=True,
            )
        )
        outputs = by_name.get("z", by_name.get("dual"))
        by_name = {
            "z": outputs,
            "dual": outputs,
            "c": np.ones(len(outputs), outputs.dtype),
        } | by_name
        filled = {
            key: np.concatenate([a, np.repeat(a[-1:], ROWS - len(a), axis=0)])
            for key, a in by_name.items()
        }
        return np.asarray(program(name)(**filled)[answer])[: len(outputs)]

    return ask


def slopes(name, method="__call__"):
    """Its gradient in the first argument."""
    return rows(name, f"slope of {method}")


@cache
def alone(name, method):
    """A method by itself, for shapes and types of which a test or two ask one thing only."""
    return jax.jit(jax.vmap(getattr(KNOWN[name], method)))


def examples(name, dtype, count=ROWS, seed=0):
    """Rows (z, feasible dual, y), outputs of many sizes, borders of the domain among the duals."""
    rng = np.random.default_rng(seed)
    sizes = 10.0 ** rng.uniform(-2, 1.5, count)
    if name == "softmax":
        y = rng.integers(0, CLASSES, count).astype(np.int32)
        share = rng.dirichlet(np.full(CLASSES, 0.5), count)
        share[::9] = np.eye(CLASSES)[rng.integers(0, CLASSES, len(share[::9]))]
        return (
            (sizes[:, None] * rng.normal(size=(count, CLASSES))).astype(dtype),
            (share - vertex(y)).astype(dtype),
            y,
        )
    if name in MARGIN:
        y = rng.choice([-1.0, 1.0], count)
        share = rng.uniform(size=count)
        share[::9], share[1::9] = 0.0, 1.0
        return (
            (sizes * rng.normal(size=count)).astype(dtype),
            (-y * share).astype(dtype),
            y.astype(dtype),
        )
    if name == "log score":
        return (
            sizes.astype(dtype),
            (-(10.0 ** rng.uniform(-2, 1.5, count))).astype(dtype),
            np.zeros(count, dtype),
        )
    shape = (count, CLASSES) if name == "squared vector" else (count,)
    return tuple(rng.normal(size=shape).astype(dtype) * 3 for _ in range(3))


def extremes(name, dtype):
    """Rows at |z| = 1e4 and 0 with duals on the border, or near where there is none."""
    if name == "softmax":
        outputs = [
            [1e4, 0, 0, -1e4],
            [-1e4, 1e4, 1e4, 0],
            [0, 0, 0, 0],
            [-1e4, -1e4, -1e4, -1e4],
        ]
        cases = [
            (z, vertex(corner) - vertex(y), y)
            for z in outputs
            for corner in range(4)
            for y in range(4)
        ]
        z, dual, y = (np.array(column) for column in zip(*cases, strict=True))
        return z.astype(dtype), dual.astype(dtype), y.astype(np.int32)
    if name == "log score":
        return tuple(
            np.array(
                [(z, -g, 0.0) for z in (1e-4, 1.0, 1e4) for g in (1e-4, 1.0, 1e4)],
                dtype,
            ).T
        )
    cases = [
        (z, -y * s, y)
        for z in (-1e4, -1.0, 0.0, 1.0, 1e4)
        for s in (0.0, 1.0)
        for y in (-1.0, 1.0)
    ]
    columns = np.array(cases, dtype).T
    return tuple(
        np.stack([v] * CLASSES, axis=1) if name == "squared vector" else v
        for v in columns
    )


def vertex(y, classes=CLASSES):
    return np.eye(classes)[y]


def maximisers(concave, low, high):
    """The places in [low, high], row by row, of the maxima of a function concave in each row: ternary search."""
    for _ in range(70):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        rising = concave(left) < concave(right)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return (low + high) / 2
