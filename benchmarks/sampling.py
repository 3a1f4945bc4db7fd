"""Bayesian logistic regression, n = 100,000 and d = 50, against BlackJAX, posteriors and NUTS.

Steps: SGLD with control variates at the mode, 8 chains, batches of 100; BlackJAX's own estimators and kernel, vmapped
over chains, once in one compiled scan and once as its documentation calls them, a compiled step at a time; eager
PyTorch for `posteriors` as its documentation writes the loop; and what an SVRG or SARAH step costs over a plain one.

Draws: `sample` with SVRG against NUTS of NumPyro, each with its own preconditioning. `main` holds errors of mean and
deviation against a long run of MALA.
"""

import functools
import time
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.case import Candidate, Case, RunResult

N, D, CHAINS, BATCH, STEPS, STEP_SIZE = 100_000, 50, 8, 100, 4000, 0.1
NUTS_WARMUP, NUTS_DRAWS = 200, 300


@functools.cache
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


def target() -> Any:
    """The posterior."""
    return lx.posterior(None, log_likelihood, table(), prior_precision=1.0)


@functools.cache
def mode() -> jax.Array:
    """Return the mode of the posterior."""
    from langevax.sampling.preconditioning import find_mode

    return find_mode(target().problem, jnp.zeros(D))[0]


def langevax_steps(gradient: Callable[[], Any], steps: int) -> Callable[[], Any]:
    """Ours, with one of its gradient estimators."""
    posterior = target()
    langevin = lx.Langevin(STEP_SIZE, posterior.temperature, gradient())
    options = {"key": jax.random.key(0), "num_steps": steps, "num_chains": CHAINS, "progress": False}
    return lambda: lx.simulate(langevin, posterior.problem, mode(), **options).position


def blackjax_steps(scan: bool, steps: int) -> Callable[[], Any]:
    """BlackJAX's SGLD with its control variate at the mode, in one compiled scan or a compiled step at a time."""
    import blackjax
    from blackjax.sgmcmc.gradients import control_variates, grad_estimator

    data = tuple(map(jnp.asarray, table()))
    estimator = grad_estimator(lambda w: -jnp.sum(w**2) / 2, log_likelihood, N)
    sgld = blackjax.sgld(control_variates(estimator, mode(), data))

    def step(positions: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        def one(position: jax.Array, key: jax.Array) -> jax.Array:
            batch_key, step_key = jax.random.split(key)
            rows = jax.random.randint(batch_key, (BATCH,), 0, N)
            return sgld.step(step_key, position, jax.tree.map(lambda a: a[rows], data), STEP_SIZE / N)

        return jax.vmap(one)(positions, jax.random.split(key, CHAINS)), None

    start, compiled = jnp.tile(mode(), (CHAINS, 1)), jax.jit(step)

    def one_by_one() -> Any:
        positions, key = start, jax.random.key(0)
        for _ in range(steps):
            key, step_key = jax.random.split(key)
            positions, _ = compiled(positions, step_key)
        return positions.block_until_ready()

    @jax.jit
    def scanned(positions: jax.Array, key: jax.Array) -> jax.Array:
        return jax.lax.scan(step, positions, jax.random.split(key, steps))[0]

    return (lambda: scanned(start, jax.random.key(0)).block_until_ready()) if scan else one_by_one


def posteriors_steps(steps: int) -> Callable[[], RunResult]:
    """Steps of one chain, eager; chains would come one after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import posteriors
        import torch

    inputs, labels = map(torch.from_numpy, table())

    def log_posterior(w: Any, batch: Any) -> tuple[Any, Any]:
        x, y = batch
        return torch.nn.functional.logsigmoid(y * (x @ w)).mean() - (w**2).sum() / (2 * N), torch.tensor(0.0)

    sgld = posteriors.sgmcmc.sgld.build(log_posterior, lr=STEP_SIZE, temperature=1 / N)

    def run() -> RunResult:
        state = sgld.init(torch.zeros(D))
        for _ in range(steps):
            rows = torch.randint(N, (BATCH,))
            state, _ = sgld.update(state, (inputs[rows], labels[rows]))
        return RunResult(steps / CHAINS)

    return run


def nuts() -> tuple[np.ndarray, float, float]:
    """Draws of NumPyro's NUTS, one chain; seconds of sampling, and of everything."""
    import numpyro

    X, y = table()

    def model(x: jax.Array, y: jax.Array) -> None:
        w = numpyro.sample("w", numpyro.distributions.Normal(0, 1).expand([D]).to_event(1))
        with numpyro.plate("rows", N):
            numpyro.sample("y", numpyro.distributions.Bernoulli(logits=x @ w), obs=y)

    chain = numpyro.infer.MCMC(
        numpyro.infer.NUTS(model), num_warmup=NUTS_WARMUP, num_samples=NUTS_DRAWS, progress_bar=False
    )
    began = time.perf_counter()
    chain.warmup(jax.random.key(0), jnp.asarray(X), jnp.asarray((y + 1) / 2))
    warm = time.perf_counter()
    chain.run(jax.random.key(1), jnp.asarray(X), jnp.asarray((y + 1) / 2))
    positions = np.asarray(chain.get_samples()["w"])[None]
    ended = time.perf_counter()
    return positions, ended - warm, ended - began


def effective(positions: np.ndarray) -> float:
    """Effective draws of the worst coordinate."""
    from arviz_stats.base.array import array_stats

    return float(np.min(array_stats.ess(positions, chain_axis=0, draw_axis=1)))


def drawn(dynamics: str) -> Callable[[int], Callable[[], RunResult]]:
    """A whole run, compiling, pilot, tuning and warm-up included, counted by its effective draws."""

    def run() -> RunResult:
        if dynamics == "NUTS":
            positions = nuts()[0]
        else:
            options = {"key": jax.random.key(0), "num_chains": CHAINS, "num_samples": 500}
            positions = lx.sample(target(), jnp.zeros(D), progress=False, **options).positions
        return RunResult((draws := effective(positions)), results={"draws": draws})

    def make(steps: int) -> Callable[[], RunResult]:
        target()  # its rows are no part of it
        return run

    return make


def main() -> None:
    """Print the table of effective draws a second, and how far off they are."""
    exact = lx.sample(
        target(), jnp.zeros(D), key=jax.random.key(9), dynamics="mala", num_samples=300, num_chains=CHAINS, thinning=4
    )
    mean, deviation = exact.positions.mean((0, 1)), exact.positions.std((0, 1))
    error = np.max(exact.summary()["mcse_mean"] / deviation)
    print(f"\nerrors are in posterior deviations; the reference, MALA with {exact.ess:.0f} draws, has {error:.3f}")
    head = f"{'ESS, worst':>10} {'seconds':>8} {'ESS/s':>8} {'ESS/s, all':>10} {'mean off':>9} {'deviations':>16}"
    print(f"{'':<22} {head}")

    def line(name: str, positions: np.ndarray, sampling: float, total: float) -> float:
        ess = effective(positions)
        off = np.max(np.abs(positions.mean((0, 1)) - mean) / deviation)
        shares = positions.std((0, 1)) / deviation
        spread = f"{shares.min():.3f}..{shares.max():.3f}"
        numbers = f"{ess:>10.0f} {total:>8.1f} {ess / sampling:>8.1f} {ess / total:>10.1f} {off:>9.3f}"
        print(f"{name:<22} {numbers} {spread:>16}", flush=True)
        return ess / total

    rates = {}
    for name, options in {
        "SVRG-LD": {"dynamics": "langevin"},
        "control variate": {"gradient": "control-variate"},
        "underdamped SVRG": {"dynamics": "underdamped"},
    }.items():
        options |= {"key": jax.random.key(0), "num_chains": CHAINS, "num_samples": 500}
        samples = lx.sample(target(), jnp.zeros(D), **options)
        rates[name] = line(name, samples.positions, samples.result.seconds, samples.seconds)

    rates["NUTS"] = line("NUTS, one chain", *nuts())
    print(f"SVRG-LD / NUTS, everything counted: {rates['SVRG-LD'] / rates['NUTS']:.1f}   (aim 5)")


SIZE = f"n = {N:,}, d = {D}, {CHAINS} chains"
NEVER = 10 * STEPS  # a full pass costs what it costs: here only the steps between two of them are compared
ESTIMATORS = {
    "control variate": lambda: lx.gradients.ControlVariate(BATCH, mode(), replace=True),
    "minibatch": lambda: lx.gradients.Minibatch(BATCH),
    "SVRG": lambda: lx.gradients.SVRG(BATCH, NEVER),
    "SARAH": lambda: lx.gradients.SARAH(BATCH, NEVER),
}


def ours(name: str) -> Callable[[int], Any]:
    """A maker of runs with an estimator."""
    return functools.partial(langevax_steps, ESTIMATORS[name])


CASES = (
    Case(
        f"Langevin with a control variate, {SIZE}",
        "a step of all chains",
        (
            Candidate("langevax", ours("control variate"), STEPS, "ours"),
            Candidate(
                "BlackJAX, a compiled step at a time",
                functools.partial(blackjax_steps, False),
                STEPS // 4,
                aim=1.5,
                needs=("blackjax",),
            ),
            Candidate("BlackJAX, one scan", functools.partial(blackjax_steps, True), STEPS, needs=("blackjax",)),
        ),
    ),
    Case(
        f"Langevin with minibatches, {SIZE}",
        "a step of all chains",
        (
            Candidate("langevax", ours("minibatch"), STEPS, "ours"),
            Candidate("posteriors, eager", posteriors_steps, STEPS // 8, aim=10, needs=("torch", "posteriors")),
        ),
    ),
    *(
        Case(
            f"{name}-LD between full passes, {SIZE}",
            "a step of all chains",
            (
                Candidate("langevax", ours(name), STEPS, "ours"),
                Candidate("a step with minibatches", ours("minibatch"), STEPS, "floor", aim=2.3),
            ),
        )
        for name in ("SVRG", "SARAH")
    ),
    Case(
        f"draws of a posterior, n = {N:,}, d = {D}, everything counted",
        "an effective draw of the worst coordinate",
        (
            Candidate("langevax, sample", drawn("SVRG"), role="ours"),
            Candidate("NUTS of NumPyro", drawn("NUTS"), aim=5, needs=("numpyro",)),
        ),
        turns=1,
        warm=False,
        limit=240,
    ),
)


if __name__ == "__main__":
    main()
