"""One step of mean-field Langevin: against an eager PyTorch loop, and against its own floor.

The floor is what no implementation of the step can leave out: two matrix products, the tanh of
N x n numbers and N x (d + 1) normal draws, compiled alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

import langevax as lx
from benchmarks.timing import in_turns, median, ratio

SHAPES = [(1000, 20, 1024), (442, 10, 1024), (2000, 50, 2048), (500, 10, 10240)]


def table(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal inputs over sqrt(d), and a bounded target."""
    rng = np.random.default_rng(0)
    inputs = (rng.standard_normal((n, d)) / np.sqrt(d)).astype(np.float32)
    return inputs, np.tanh(inputs[:, 0] * 3).astype(np.float32)


@functools.partial(jax.jit, static_argnames="steps")
def floor(cloud: jax.Array, inputs: jax.Array, key: jax.Array, steps: int) -> jax.Array:
    """`steps` times the work that cannot be left out."""
    weights = jnp.concatenate([inputs, jnp.ones_like(inputs[:, :1])], 1)

    def body(cloud, step):
        activations = jnp.tanh(cloud @ weights.T)
        noise = jax.random.normal(jax.random.fold_in(key, step), cloud.shape, cloud.dtype)
        return activations @ weights * 1e-4 + noise * 1e-1, None

    return lax.scan(body, cloud, jnp.arange(steps, dtype=jnp.int32))[0]


def torch_loop(n: int, d: int, num_particles: int, steps: int):
    """The loop that people write: autograd, eager, the usual three lines."""
    import torch

    inputs, targets = (torch.from_numpy(a) for a in table(n, d))
    step_size, temperature, ridge = 0.1, 0.01, 0.005
    cloud = torch.randn(num_particles, d + 1, requires_grad=True)

    def run():
        for _ in range(steps):
            outputs = torch.tanh(inputs @ cloud[:, :-1].T + cloud[:, -1]).mean(1)
            risk = 0.5 * ((outputs - targets) ** 2).mean() * num_particles + ridge * (cloud**2).sum()
            (gradient,) = torch.autograd.grad(risk, cloud)
            with torch.no_grad():
                cloud.add_(gradient, alpha=-step_size).add_(
                    torch.randn_like(cloud), alpha=(2 * step_size * temperature) ** 0.5
                )

    return run


def main() -> None:
    """Print the table of issue and README: ratios in one run."""
    print(f"{'(n, d, N)':>18} {'step':>9} {'floor':>9} {'torch':>9} {'step/floor':>11} {'torch/step':>11}")
    for n, d, num_particles in SHAPES:
        steps = max(100, int(4e8 / (n * num_particles)))  # long enough that starting a run is nothing
        inputs, targets = table(n, d)
        risk = lx.MeanFieldRisk(lx.neurons.Tanh(), lx.losses.squared, inputs, targets, precision=0.01)
        start = risk.prior(0.01, num_particles)(jax.random.key(0))
        mfld = lx.meanfield.MFLD(step_size=0.1, temperature=0.01)

        def ours(risk=risk, start=start, mfld=mfld, steps=steps):
            lx.simulate(mfld, risk, start, key=jax.random.key(1), num_steps=steps)

        def least(start=start, rows=risk.inputs, steps=steps):
            floor(start, rows, jax.random.key(1), steps).block_until_ready()

        times = in_turns({"ours": ours, "floor": least, "torch": torch_loop(n, d, num_particles, steps)})
        step, bottom, torch = (median(times[name]) / steps * 1e6 for name in ("ours", "floor", "torch"))
        print(
            f"{(n, d, num_particles)!s:>18} {step:>7.0f}us {bottom:>7.0f}us {torch:>7.0f}us "
            f"{ratio(times, 'ours', 'floor'):>11.2f} {ratio(times, 'torch', 'ours'):>11.1f}"
        )


if __name__ == "__main__":
    main()
