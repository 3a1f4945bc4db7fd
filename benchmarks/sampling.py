"""Bayesian logistic regression, n = 100,000 and d = 50 or as asked, against BlackJAX, posteriors and NUTS.

Steps: SGLD with control variates at the mode, 8 chains, batches of 100; BlackJAX's own estimators and kernel, vmapped
over chains, once in one compiled scan and once as its documentation calls them, a compiled step at a time; eager
PyTorch for `posteriors` as its documentation writes the loop; and what an SVRG or SARAH step costs over a plain one.

Draws: `sample` against NUTS of NumPyro and of BlackJAX, each with its own preconditioning. `many_rows` holds means and
deviations against Laplace's law with the first correction of its mean, computed in NumPy.
"""

import argparse
import functools
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import langevax as lx
from benchmarks.beside.case import Candidate, Case, RunResult

N, D, CHAINS, BATCH, STEPS, STEP_SIZE = 100_000, 50, 8, 100, 4000, 0.1
NUTS_WARMUP, NUTS_DRAWS = 200, 300


@functools.cache
def table(n: int = N, d: int = D) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns, labels in {-1, 1}."""
    rng = np.random.default_rng(0)
    X = (
        rng.normal(size=(n, d))
        @ (np.eye(d) + 0.3 * rng.normal(size=(d, d)) / np.sqrt(d))
    ).astype(np.float32)
    y = np.where(
        rng.uniform(size=n) < 1 / (1 + np.exp(-X @ rng.normal(size=d) / 4)), 1, -1
    ).astype(np.float32)
    return X, y


def log_likelihood(w: jax.Array, row: Any) -> jax.Array:
    """Of one row."""
    x, y = row
    return -jnp.logaddexp(0.0, -y * (x @ w))


def target(n: int = N, d: int = D) -> Any:
    """The posterior."""
    return lx.posterior(None, log_likelihood, table(n, d), prior_precision=1.0)


@functools.cache
def mode() -> jax.Array:
    """Return the mode of the posterior."""
    from langevax.sampling.preconditioning import find_mode

    return find_mode(target().problem, jnp.zeros(D))[0]


def langevax_steps(gradient: Callable[[], Any], steps: int) -> Callable[[], Any]:
    """Ours, with one of its gradient estimators."""
    posterior = target()
    langevin = lx.Langevin(STEP_SIZE, posterior.temperature, gradient())
    options = {
        "key": jax.random.key(0),
        "num_steps": steps,
        "num_chains": CHAINS,
        "run": lx.Run(progress=False),
    }
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
            return sgld.step(
                step_key, position, jax.tree.map(lambda a: a[rows], data), STEP_SIZE / N
            )

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

    return (
        (lambda: scanned(start, jax.random.key(0)).block_until_ready())
        if scan
        else one_by_one
    )


def posteriors_steps(steps: int) -> Callable[[], RunResult]:
    """Steps of one chain, eager; chains would come one after the other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        import posteriors
        import torch

    inputs, labels = map(torch.from_numpy, table())

    def log_posterior(w: Any, batch: Any) -> tuple[Any, Any]:
        x, y = batch
        return torch.nn.functional.logsigmoid(y * (x @ w)).mean() - (w**2).sum() / (
            2 * N
        ), torch.tensor(0.0)

    sgld = posteriors.sgmcmc.sgld.build(log_posterior, lr=STEP_SIZE, temperature=1 / N)

    def run() -> RunResult:
        state = sgld.init(torch.zeros(D))
        for _ in range(steps):
            rows = torch.randint(N, (BATCH,))
            state, _ = sgld.update(state, (inputs[rows], labels[rows]))
        return RunResult(steps / CHAINS)

    return run


def numpyro_nuts(n: int, d: int) -> np.ndarray:
    """Draws of NumPyro's NUTS, one chain."""
    import numpyro

    X, y = table(n, d)

    def model(x: jax.Array, y: jax.Array) -> None:
        w = numpyro.sample(
            "w", numpyro.distributions.Normal(0, 1).expand([d]).to_event(1)
        )
        with numpyro.plate("rows", n):
            numpyro.sample("y", numpyro.distributions.Bernoulli(logits=x @ w), obs=y)

    chain = numpyro.infer.MCMC(
        numpyro.infer.NUTS(model),
        num_warmup=NUTS_WARMUP,
        num_samples=NUTS_DRAWS,
        progress_bar=False,
    )
    chain.run(jax.random.key(0), jnp.asarray(X), jnp.asarray((y + 1) / 2))
    return np.asarray(chain.get_samples()["w"])[None]


def blackjax_nuts(n: int, d: int) -> np.ndarray:
    """Draws of BlackJAX's NUTS after its window adaptation, one chain."""
    import blackjax

    @jax.jit
    def run(X: jax.Array, y: jax.Array) -> jax.Array:
        def log_density(w: jax.Array) -> jax.Array:
            return jnp.sum(jax.nn.log_sigmoid(y * (X @ w))) - w @ w / 2

        adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
        (state, parameters), _ = adaptation.run(
            jax.random.key(0), jnp.zeros(d), num_steps=NUTS_WARMUP
        )
        kernel = blackjax.nuts(log_density, **parameters)

        def step(state: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            state, _ = kernel.step(key, state)
            return state, state.position

        return jax.lax.scan(
            step, state, jax.random.split(jax.random.key(1), NUTS_DRAWS)
        )[1]

    with jax.numpy_dtype_promotion("standard"):
        return np.asarray(run(*map(jnp.asarray, table(n, d))))[None]


def by_sample(**chosen: Any) -> Callable[[int, int], np.ndarray]:
    """A run of `sample`."""
    return lambda n, d: (
        lx.sample(
            target(n, d),
            jnp.zeros(d),
            key=jax.random.key(0),
            run=lx.Run(progress=False),
            **chosen,
        ).positions
    )


def mean_and_deviations(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviations of the posterior, from the mode w and the inverse Hessian S there, in float64.

    The mean is w + S sum_i t_i (x_i^T S x_i) x_i / 2, with t_i the third derivative of the log-likelihood of a row in
    x_i^T w: the first term of an expansion in d / n.
    """
    X, y = (np.float64(a) for a in table(n, d))
    w, p, inverse, move = np.zeros(d), np.full(n, 0.5), np.eye(d), np.ones(d)
    while np.abs(move).max() > 1e-10:
        inverse = np.linalg.inv((X * (p * (1 - p))[:, None]).T @ X + np.eye(d))
        move = inverse @ (X.T @ ((y + 1) / 2 - p) - w)
        w += move
        p = 1 / (1 + np.exp(-X @ w))
    third = -p * (1 - p) * (1 - 2 * p)
    shift = inverse @ (X.T @ (third * np.sum((X @ inverse) * X, axis=1))) / 2
    return w + shift, np.sqrt(np.diag(inverse))


def effective(positions: np.ndarray) -> float:
    """Effective draws of the worst coordinate."""
    from arviz_stats.base.array import array_stats

    return float(np.min(array_stats.ess(positions, chain_axis=0, draw_axis=1)))


def drawn(
    draw: Callable[[int, int], np.ndarray],
) -> Callable[[int], Callable[[], RunResult]]:
    """A whole run, compiling, pilot, tuning and warm-up included, counted by its effective draws."""

    def run() -> RunResult:
        draws = effective(draw(N, D))
        return RunResult(draws, results={"draws": draws})

    def make(steps: int) -> Callable[[], RunResult]:
        target()  # its rows are no part of it
        return run

    return make


MANY_ROWS = {
    "`sample`": by_sample(),
    "SVRG-LD": by_sample(
        algorithm=lx.Langevin(gradient=lx.gradients.SVRG()),
        num_chains=CHAINS,
        num_samples=500,
    ),
    "control variate": by_sample(
        algorithm=lx.Langevin(gradient=lx.gradients.ControlVariate()),
        num_chains=CHAINS,
        num_samples=500,
    ),
    "NUTS (NumPyro), one chain": numpyro_nuts,
    "NUTS (BlackJAX), one chain": blackjax_nuts,
}


def many_rows(arguments: Sequence[str] = ()) -> None:
    """Print effective draws a CPU second, compiling and warm-up counted, and how far off they are."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks many_rows", description=many_rows.__doc__
    )
    parser.add_argument("--rows", type=int, default=N, help=f"of the table; {N:,}")
    parser.add_argument("--columns", type=int, default=D, help=f"of the table; {D}")
    names = list(MANY_ROWS)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"of {names}",
    )
    options = parser.parse_args(arguments)
    n, d = options.rows, options.columns
    mean, deviations = mean_and_deviations(n, d)
    print(
        f"\n{n:,} rows, {d} columns; the error of the mean is in posterior deviations\n"
    )
    print(
        "| | effective draws, worst | CPU s | a CPU s | error of the mean | deviations, ratio |"
    )
    print("|---|---|---|---|---|---|")
    rates = {}
    for name in options.only:
        began = time.process_time()
        positions = MANY_ROWS[name](n, d)
        seconds = time.process_time() - began
        ess = effective(positions)
        rates[name] = ess / seconds
        off = np.max(np.abs(positions.mean((0, 1)) - mean) / deviations)
        ratios = positions.std((0, 1)) / deviations
        numbers = f"{ess:,.0f} | {seconds:.0f} | {rates[name]:.2f} | {off:.3f}"
        print(
            f"| {name} | {numbers} | {ratios.min():.3f} to {ratios.max():.3f} |",
            flush=True,
        )
    if peers := [rate for name, rate in rates.items() if "NUTS" in name]:
        print(
            f"\n`sample` / the better NUTS: {rates.get('`sample`', float('nan')) / max(peers):.1f}"
        )


SIZE = f"n = {N:,}, d = {D}, {CHAINS} chains"
NEVER = (
    10 * STEPS
)  # a full pass costs what it costs: here only the steps between two of them are compared
ESTIMATORS = {
    "control variate": lambda: lx.gradients.ControlVariate(BATCH, mode()),
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
            Candidate(
                "BlackJAX, one scan",
                functools.partial(blackjax_steps, True),
                STEPS,
                needs=("blackjax",),
            ),
        ),
    ),
    Case(
        f"Langevin with minibatches, {SIZE}",
        "a step of all chains",
        (
            Candidate("langevax", ours("minibatch"), STEPS, "ours"),
            Candidate(
                "posteriors, eager",
                posteriors_steps,
                STEPS // 8,
                aim=10,
                needs=("torch", "posteriors"),
            ),
        ),
    ),
    *(
        Case(
            f"{name}-LD between full passes, {SIZE}",
            "a step of all chains",
            (
                Candidate("langevax", ours(name), STEPS, "ours"),
                Candidate(
                    "a step with minibatches",
                    ours("minibatch"),
                    STEPS,
                    "floor",
                    aim=2.3,
                ),
            ),
        )
        for name in ("SVRG", "SARAH")
    ),
    Case(
        f"draws of a posterior, n = {N:,}, d = {D}, everything counted",
        "an effective draw of the worst coordinate",
        (
            Candidate("langevax, sample", drawn(MANY_ROWS["SVRG-LD"]), role="ours"),
            Candidate(
                "NUTS of NumPyro", drawn(numpyro_nuts), aim=5, needs=("numpyro",)
            ),
        ),
        turns=1,
        warm=False,
        limit=240,
    ),
)
