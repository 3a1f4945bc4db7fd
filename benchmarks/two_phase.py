"""Two-phase training: all restarts in one compiled program against an eager PyTorch loop over restarts.

The same algorithm and steps on both sides, d = 10, m = 5, six restarts. PyTorch runs on one thread, its best at these
shapes. A step of all restarts is two products of (n, d) with (d, 6 m), 24 n m d operations of arithmetic; the
floor is those two alone, compiled, on the rows in one piece. Phase I, 600 of the 2,200 steps, also draws its noise.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.beside.case import Candidate, Case, RunResult
from langevax.run import Run
from langevax.teacher_student import (
    Converge,
    Explore,
    orthogonal_teacher,
    teach,
    two_phase,
)

DIM, NEURONS, RESTARTS = 10, 5, 6
EXPLORE, CONVERGE = (
    Explore(num_steps=600),
    Converge(num_steps=1600),
)  # a fifth of the defaults
STEPS = EXPLORE.num_steps + CONVERGE.num_steps
SIZES = (1024, 4096)


def by_torch(X: Any, y: Any) -> list[float]:
    """Training losses of restarts, one after the other."""
    import torch

    bound, final = EXPLORE.bound, []
    second = float(CONVERGE.algorithm(X.numpy(), NEURONS).step_size)  # pyright: ignore[reportArgumentType]

    def clip(r: Any) -> Any:
        return bound * torch.tanh(r * r.abs() / (2 * bound))

    def loss(outer: Any, inner: Any) -> Any:
        return ((torch.relu(X @ inner.T) @ outer - y) ** 2).mean() / 2

    for _ in range(RESTARTS):
        outer = torch.randn(NEURONS, requires_grad=True)
        inner = torch.randn(NEURONS, DIM, requires_grad=True)
        for step in range(EXPLORE.num_steps):
            gradients = torch.autograd.grad(
                loss(clip(outer), clip(inner)), (outer, inner)
            )
            temperature = EXPLORE.temperature * EXPLORE.annealing ** (
                -step / EXPLORE.num_steps
            )
            noise = math.sqrt(2 * EXPLORE.step_size * temperature)
            with torch.no_grad():
                for weight, gradient in zip((outer, inner), gradients, strict=True):
                    weight -= EXPLORE.step_size * (
                        gradient + EXPLORE.precision * weight
                    )
                    weight += noise * torch.randn_like(weight)
        with torch.no_grad():
            signs, w = (
                torch.sign(clip(outer)),
                (clip(outer).abs()[:, None] * clip(inner)).requires_grad_(),
            )
        for _ in range(CONVERGE.num_steps):
            (gradient,) = torch.autograd.grad(loss(signs, w), (w,))
            with torch.no_grad():
                w -= second * gradient
        final.append(loss(signs, w).item())
    return final


@functools.partial(jax.jit, static_argnames="steps")
def products(X: jax.Array, weights: jax.Array, steps: int) -> jax.Array:
    """The two products of a step of all restarts, and nothing else."""

    def body(_: int, w: jax.Array) -> jax.Array:
        return 1e-3 * (X.T @ (X @ w))

    return jax.lax.fori_loop(0, steps, body, weights)


def sample(size: int) -> tuple[jax.Array, jax.Array]:
    """Rows of a teacher, with noise."""
    return teach(orthogonal_teacher(NEURONS, DIM), size, 0.1, key=jax.random.key(0))


def langevax(size: int, steps: int) -> Callable[[], RunResult]:
    """Ours; a whole training counts its steps."""
    X, y = sample(size)
    options = {
        "num_restarts": RESTARTS,
        "explore": EXPLORE,
        "converge": CONVERGE,
        "run": Run(progress=False),
    }

    def run() -> RunResult:
        result = two_phase(X, y, NEURONS, key=jax.random.key(1), **options)
        return RunResult(STEPS, results={"loss": float(min(result.losses))})

    return run


def eager(size: int, steps: int) -> Callable[[], RunResult]:
    """PyTorch, on one thread."""
    import torch

    X, y = (torch.tensor(np.asarray(part)) for part in sample(size))

    def run() -> RunResult:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return RunResult(STEPS, results={"loss": min(by_torch(X, y))})
        finally:
            torch.set_num_threads(threads)

    return run


def products_alone(size: int, steps: int) -> Callable[[], jax.Array]:
    """The floor."""
    X, weights = sample(size)[0], jnp.ones((DIM, NEURONS * RESTARTS), jnp.float32)
    return lambda: products(X, weights, steps).block_until_ready()


CASES = tuple(
    Case(
        f"two-phase training, 6 restarts, n = {size:,}",
        "a step of all restarts",
        (
            Candidate("langevax", functools.partial(langevax, size), role="ours"),
            Candidate(
                "PyTorch, eager",
                functools.partial(eager, size),
                aim=10,
                needs=("torch",),
            ),
            Candidate(
                "two products alone",
                functools.partial(products_alone, size),
                STEPS,
                "floor",
            ),
        ),
        turns=5,
    )
    for size in SIZES
)
