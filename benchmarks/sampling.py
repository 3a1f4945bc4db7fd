"""Bayesian logistic regression, n = 100,000 and d = 50, against BlackJAX, posteriors and NUTS.

Steps: SGLD with control variates at the mode, 8 chains, batches of 100; BlackJAX's own estimators and kernel, vmapped
over chains, once in one compiled scan and once as its documentation calls them, a compiled step at a time; eager
PyTorch for `posteriors` as its documentation writes the loop; and what an SVRG or SARAH step costs over a plain one.

Draws: `sample` with SVRG against NUTS of NumPyro, each with its own preconditioning; errors of mean and deviation are
held against a long run of MALA.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import blackjax
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from arviz_stats.base.array import array_stats
from blackjax.sgmcmc.gradients import control_variates, grad_estimator

import langevax as lx
from benchmarks.timing import in_turns, median, ratio

N, D, CHAINS, BATCH, STEPS, STEP_SIZE = 100_000, 50, 8, 100, 2000, 0.1
TORCH_STEPS = 200
NUTS_WARMUP, NUTS_DRAWS = 200, 300


def table() -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns, labels in {-1, 1}."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(N, D)) @ (np.eye(D) + 0.3 * rng.normal(size=(D, D)) / np.sqrt(D))).astype(np.float32)
    y = np.where(rng.uniform(size=N) < 1 / (1 + np.exp(-X @ rng.normal(size=D) / 4)), 1, -1).astype(np.float32)
    return X, y


def log_likelihood(w: jax.Array, row: Any) -> jax.Array:
    """Of one row."""
    x, y = row
    return -jnp.logaddexp(0.0, -y * (x @ w))


def blackjax_steps(data: Any, mode: jax.Array, scan: bool) -> Callable[[], Any]:
    """STEPS steps of BlackJAX's SGLD with its control variate at the mode, TORCH_STEPS where each is called alone."""
    estimator = grad_estimator(lambda w: -jnp.sum(w**2) / 2, log_likelihood, N)
    sgld = blackjax.sgld(control_variates(estimator, mode, data))

    def step(positions: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        def one(position: jax.Array, key: jax.Array) -> jax.Array:
            batch_key, step_key = jax.random.split(key)
            rows = jax.random.randint(batch_key, (BATCH,), 0, N)
            return sgld.step(step_key, position, jax.tree.map(lambda a: a[rows], data), STEP_SIZE / N)

        return jax.vmap(one)(positions, jax.random.split(key, CHAINS)), None

    start, compiled = jnp.tile(mode, (CHAINS, 1)), jax.jit(step)

    def one_by_one() -> None:
        positions, key = start, jax.random.key(0)
        for _ in range(TORCH_STEPS):
            key, step_key = jax.random.split(key)
            positions, _ = compiled(positions, step_key)
        positions.block_until_ready()

    @jax.jit
    def scanned(positions: jax.Array, key: jax.Array) -> jax.Array:
        return jax.lax.scan(step, positions, jax.random.split(key, STEPS))[0]

    return (lambda: scanned(start, jax.random.key(0)).block_until_ready()) if scan else one_by_one


def posteriors_steps(X: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    """TORCH_STEPS steps of one chain, eager."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import posteriors
        import torch

    inputs, labels = torch.from_numpy(X), torch.from_numpy(y)

    def log_posterior(w: Any, batch: Any) -> tuple[Any, Any]:
        x, y = batch
        return torch.nn.functional.logsigmoid(y * (x @ w)).mean() - (w**2).sum() / (2 * N), torch.tensor(0.0)

    sgld = posteriors.sgmcmc.sgld.build(log_posterior, lr=STEP_SIZE, temperature=1 / N)

    def run() -> None:
        state = sgld.init(torch.zeros(D))
        for _ in range(TORCH_STEPS):
            rows = torch.randint(N, (BATCH,))
            state, _ = sgld.update(state, (inputs[rows], labels[rows]))

    return run


def steps(target: Any, mode: jax.Array, X: np.ndarray, y: np.ndarray) -> None:
    """The table of steps."""

    def ours(gradient: Any) -> Callable[[], Any]:
        langevin = lx.Langevin(STEP_SIZE, target.temperature, gradient)
        options = {"key": jax.random.key(0), "num_steps": STEPS, "num_chains": CHAINS}
        return lambda: lx.simulate(langevin, target.problem, mode, **options)

    gradients, data = lx.gradients, (jnp.asarray(X), jnp.asarray(y))
    never = 10 * STEPS  # a full pass costs what it costs: here only the steps between two of them are compared
    times = in_turns(
        {
            "control variate": ours(gradients.ControlVariate(BATCH, mode, replace=True)),
            "BlackJAX, one scan": blackjax_steps(data, mode, scan=True),
            "BlackJAX, step by step": blackjax_steps(data, mode, scan=False),
            "posteriors": posteriors_steps(X, y),
            "minibatch": ours(gradients.Minibatch(BATCH)),
            "SVRG": ours(gradients.SVRG(BATCH, never)),
            "SARAH": ours(gradients.SARAH(BATCH, never)),
        },
        repeats=5,
    )
    share = STEPS / TORCH_STEPS
    times["posteriors"] = [t * share * CHAINS for t in times["posteriors"]]  # chain after chain
    times["BlackJAX, step by step"] = [t * share for t in times["BlackJAX, step by step"]]
    print(f"{'8 chains, batches of 100':<28} {'us a step':>10}")
    for name, seconds in times.items():
        print(f"{name:<28} {median(seconds) / STEPS * 1e6:>10.1f}")
    for name in ("one scan", "step by step"):
        found = ratio(times, f"BlackJAX, {name}", "control variate")
        print(f"{f'BlackJAX, {name} / ours':<28} {found:>10.2f}   (aim 1.5)")
    print(f"posteriors / minibatch       {ratio(times, 'posteriors', 'minibatch'):>10.1f}   (aim 10)")
    for name in ("SVRG", "SARAH"):
        print(f"{name + ' / minibatch':<28} {ratio(times, name, 'minibatch'):>10.2f}   (aim at most 2.3)")


def draws(target: Any, X: np.ndarray, y: np.ndarray) -> None:
    """The table of effective draws a second."""
    exact = lx.sample(
        target, jnp.zeros(D), key=jax.random.key(9), dynamics="mala", num_samples=300, num_chains=CHAINS, thinning=4
    )
    mean, deviation = exact.positions.mean((0, 1)), exact.positions.std((0, 1))
    error = np.max(exact.summary()["mcse_mean"] / deviation)
    print(f"\nerrors are in posterior deviations; the reference, MALA with {exact.ess:.0f} draws, has {error:.3f}")
    head = f"{'ESS, worst':>10} {'seconds':>8} {'ESS/s':>8} {'ESS/s, all':>10} {'mean off':>9} {'deviations':>16}"
    print(f"{'':<22} {head}")

    def line(name: str, positions: np.ndarray, sampling: float, total: float) -> float:
        ess = float(np.min(array_stats.ess(positions, chain_axis=0, draw_axis=1)))
        off = np.max(np.abs(positions.mean((0, 1)) - mean) / deviation)
        shares = positions.std((0, 1)) / deviation
        spread = f"{shares.min():.3f}..{shares.max():.3f}"
        numbers = f"{ess:>10.0f} {total:>8.1f} {ess / sampling:>8.1f} {ess / total:>10.1f} {off:>9.3f}"
        print(f"{name:<22} {numbers} {spread:>16}", flush=True)
        return ess / total

    rates = {}
    for name, options in {
        "SVRG-LD": {},
        "control variate": {"gradient": "control-variate"},
        "underdamped SVRG": {"dynamics": "underdamped"},
    }.items():
        samples = lx.sample(target, jnp.zeros(D), key=jax.random.key(0), num_chains=CHAINS, num_samples=500, **options)
        rates[name] = line(name, samples.positions, samples.result.seconds, samples.seconds)

    def model(x: jax.Array, y: jax.Array) -> None:
        w = numpyro.sample("w", numpyro.distributions.Normal(0, 1).expand([D]).to_event(1))
        with numpyro.plate("rows", N):
            numpyro.sample("y", numpyro.distributions.Bernoulli(logits=x @ w), obs=y)

    nuts = numpyro.infer.MCMC(
        numpyro.infer.NUTS(model), num_warmup=NUTS_WARMUP, num_samples=NUTS_DRAWS, progress_bar=False
    )
    began = time.perf_counter()
    nuts.warmup(jax.random.key(0), jnp.asarray(X), jnp.asarray((y + 1) / 2))
    warm = time.perf_counter()
    nuts.run(jax.random.key(1), jnp.asarray(X), jnp.asarray((y + 1) / 2))
    found = np.asarray(nuts.get_samples()["w"])[None]
    ended = time.perf_counter()
    rates["NUTS"] = line("NUTS, one chain", found, ended - warm, ended - began)
    print(f"SVRG-LD / NUTS, everything counted: {rates['SVRG-LD'] / rates['NUTS']:.1f}   (aim 5)")


def main() -> None:
    """Both tables."""
    X, y = table()
    target = lx.posterior(None, log_likelihood, (X, y), prior_precision=1.0)
    from langevax.sampling.pilot import find_mode

    mode, _ = find_mode(target.problem, jnp.zeros(D))
    steps(target, mode, X, y)
    draws(target, X, y)


if __name__ == "__main__":
    main()
