"""SVRG with 8 chains against 8 times one chain's minibatch step of as many component gradients.

If a refresh under `vmap` were to become a select, every step would cost a full pass and the ratio
would be of the order of n / (2 B).
"""

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.driver import logistic
from benchmarks.timing import in_turns, median, ratio

STEPS, CHAINS = 20_000, 8


def main() -> None:
    """Print microseconds per step for two sizes of table."""
    print(f"{'SVRG, 8 chains':<28} {'8 chains':>10} {'8 x one':>10} {'ratio':>6}")
    rng = np.random.default_rng(0)
    for size, batch_size in ((10_000, 16), (100_000, 64)):
        X = rng.standard_normal((size, 20)).astype(np.float32)
        problem = lx.FiniteSum(logistic, (X, np.sign(X[:, 0]) + np.float32(0)), precision=1 / size)
        period = 10 * size // (2 * batch_size)  # the full passes are a tenth of the work
        start = jnp.zeros(20, jnp.float32)

        def run(gradient, chains=None, problem=problem, start=start):
            langevin = lx.Langevin(0.05, 1 / problem.max_size, gradient)
            return lambda: lx.simulate(
                langevin, problem, start, key=jax.random.key(0), num_steps=STEPS, num_chains=chains
            )

        times = in_turns(
            {
                "chains": run(lx.gradients.SVRG(batch_size=batch_size, period=period), CHAINS),
                "one": run(lx.gradients.Minibatch(batch_size=2 * batch_size)),
            },
            repeats=7,
        )
        chains, one = (median(times[name]) / STEPS * 1e6 for name in ("chains", "one"))
        label = f"n = {size:,}, B = {batch_size}"
        print(f"{label:<28} {chains:>8.1f}us {CHAINS * one:>8.1f}us {ratio(times, 'chains', 'one') / CHAINS:>6.2f}")


if __name__ == "__main__":
    main()
