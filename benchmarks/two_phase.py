"""Two-phase training: all restarts in one compiled program against an eager PyTorch loop over restarts.

The same algorithm and steps on both sides, d = 10, m = 5, six restarts. PyTorch runs on one thread, its best at these
shapes. A step of all restarts is two products of (n, d) with (d, 6 m), 24 n m d operations of arithmetic; the
floor is those two alone, compiled, on the rows in one piece. Phase I, 600 of the 2,200 steps, also draws its noise.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks.timing import in_turns, median, ratio
from langevax.teacher_student import Converge, Explore, orthogonal_teacher, teach, two_phase

DIM, NEURONS, RESTARTS = 10, 5, 6
EXPLORE, CONVERGE = Explore(num_steps=600), Converge(num_steps=1600)  # a fifth of the defaults
SIZES = (256, 1024, 4096)


def by_torch(X: torch.Tensor, y: torch.Tensor) -> list[float]:
    """Training losses of restarts, one after the other."""
    bound, final = EXPLORE.bound, []
    second = float(CONVERGE.algorithm(X.numpy(), NEURONS).step_size)  # pyright: ignore[reportArgumentType]

    def clip(r: torch.Tensor) -> torch.Tensor:
        return bound * torch.tanh(r * r.abs() / (2 * bound))

    def loss(outer: torch.Tensor, inner: torch.Tensor) -> torch.Tensor:
        return ((torch.relu(X @ inner.T) @ outer - y) ** 2).mean() / 2

    for _ in range(RESTARTS):
        outer = torch.randn(NEURONS, requires_grad=True)
        inner = torch.randn(NEURONS, DIM, requires_grad=True)
        for step in range(EXPLORE.num_steps):
            gradients = torch.autograd.grad(loss(clip(outer), clip(inner)), (outer, inner))
            temperature = EXPLORE.temperature * EXPLORE.annealing ** (-step / EXPLORE.num_steps)
            noise = math.sqrt(2 * EXPLORE.step_size * temperature)
            with torch.no_grad():
                for weight, gradient in zip((outer, inner), gradients, strict=True):
                    weight -= EXPLORE.step_size * (gradient + 2 * EXPLORE.ridge * weight)
                    weight += noise * torch.randn_like(weight)
        with torch.no_grad():
            signs, w = torch.sign(clip(outer)), (clip(outer).abs()[:, None] * clip(inner)).requires_grad_()
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


def main() -> None:
    """Print microseconds of a step of all restarts."""
    torch.set_num_threads(1)
    steps = EXPLORE.num_steps + CONVERGE.num_steps
    print(f"{'two-phase, 6 restarts':<22} {'langevax':>10} {'PyTorch':>11} {'ratio':>6} {'floor':>9} {'over it':>8}")
    for size in SIZES:
        X, y = teach(orthogonal_teacher(NEURONS, DIM), jax.random.key(0), size, 0.1)
        rows = torch.tensor(np.asarray(X)), torch.tensor(np.asarray(y))
        weights = jnp.ones((DIM, NEURONS * RESTARTS), jnp.float32)
        losses = {"langevax": [], "torch": []}

        def ours(X=X, y=y, losses=losses):
            options = {"num_restarts": RESTARTS, "explore": EXPLORE, "converge": CONVERGE, "progress": False}
            losses["langevax"].extend(two_phase(X, y, NEURONS, key=jax.random.key(1), **options).losses)

        def theirs(rows=rows, losses=losses):
            losses["torch"].extend(by_torch(*rows))

        def floor(X=X, weights=weights):
            products(X, weights, steps).block_until_ready()

        times = in_turns({"langevax": ours, "torch": theirs, "floor": floor}, repeats=5)
        of = {name: median(values) / steps * 1e6 for name, values in times.items()}
        print(
            f"{f'n = {size:,}':<22} {of['langevax']:>8.0f}us {of['torch']:>9.0f}us "
            f"{ratio(times, 'torch', 'langevax'):>6.1f} {of['floor']:>7.0f}us {of['langevax'] / of['floor']:>8.1f}"
        )
        best = {name: min(values) for name, values in losses.items()}
        print(f"{'  least training loss':<22} {best['langevax']:>10.5f} {best['torch']:>11.5f}")


if __name__ == "__main__":
    main()
