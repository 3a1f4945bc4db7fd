"""Three models in four libraries: the code of docs/three_models.md, effective draws and CPU seconds.

Each run is a process of its own, without caches of compiled programs: from the data to draws in NumPy, compiling and
warm-up included. Four chains of 1,000 draws, with each library's own defaults otherwise. PyMC may be installed in
another environment, whose interpreter `--pymc` names.

    python -m benchmarks three_models --pymc PYTHON
"""

import argparse
import importlib
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CHAINS, DRAWS, WARMUP = 4, 1_000, 1_000
PATIENTS, MANY_ROWS = 569, 20_000
EFFECTS = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
ERRORS = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])

Draws = Mapping[str, np.ndarray]
"""Values, (chain, draw, ...)."""


def patients() -> tuple[np.ndarray, np.ndarray]:
    """Return the breast cancer table of scikit-learn, standardised, and its labels 0 and 1."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    X = np.asarray(X)
    return np.asarray((X - X.mean(0)) / X.std(0), np.float32), np.asarray(y, np.int32)


def counts() -> tuple[np.ndarray, np.ndarray]:
    """Return a column of ones, five correlated columns, and counts of mean about 1.7."""
    rng = np.random.default_rng(0)
    X = np.column_stack(
        [np.ones(MANY_ROWS), rng.normal(size=(MANY_ROWS, 5)) @ (np.eye(5) + 0.3)]
    )
    return X.astype(np.float32), rng.poisson(
        np.exp(X @ [0.4, 0.3, -0.2, 0.1, 0.0, -0.1])
    ).astype(np.int32)


# langevax: a log likelihood of one row and a prior, or a log density of the whole


def langevax_logistic() -> Draws:
    import jax
    import jax.numpy as jnp

    import langevax as lx

    X, y = patients()
    log_likelihood = lambda w, row: -jax.nn.softplus((1 - 2 * row[1]) * (row[0] @ w))
    posterior = lx.posterior(
        None, log_likelihood, (X, np.float32(y)), prior_precision=1.0
    )
    return {
        "w": np.asarray(
            lx.sample(posterior, jnp.zeros(30), key=jax.random.key(0)).positions
        )
    }


def langevax_schools() -> Draws:
    import jax
    import jax.numpy as jnp
    from jax.scipy.stats import cauchy, norm

    import langevax as lx

    def log_density(p: dict[str, jax.Array]) -> jax.Array:
        effects = p["mu"] + jnp.exp(p["log_tau"]) * p["z"]
        prior = (
            norm.logpdf(p["mu"], 0, 5)
            + cauchy.logpdf(jnp.exp(p["log_tau"]), 0, 5)
            + p["log_tau"]
        )
        return (
            prior
            + norm.logpdf(p["z"]).sum()
            + norm.logpdf(EFFECTS, effects, ERRORS).sum()
        )

    start = {"mu": jnp.zeros(()), "log_tau": jnp.zeros(()), "z": jnp.zeros(8)}
    return with_effects(lx.sample(log_density, start, key=jax.random.key(0)).positions)


def langevax_poisson() -> Draws:
    import jax
    import jax.numpy as jnp

    import langevax as lx

    X, y = counts()
    log_likelihood = lambda w, row: row[1] * (row[0] @ w) - jnp.exp(row[0] @ w)
    posterior = lx.posterior(
        None, log_likelihood, (X, np.float32(y)), prior_precision=1.0
    )
    return {
        "w": np.asarray(
            lx.sample(posterior, jnp.zeros(6), key=jax.random.key(0)).positions
        )
    }


def with_effects(positions: Mapping[str, Any]) -> Draws:
    """Return mu, tau and the effects of mu, log_tau and z."""
    mu, tau = np.asarray(positions["mu"]), np.exp(np.asarray(positions["log_tau"]))
    return {
        "mu": mu,
        "tau": tau,
        "theta": mu[..., None] + tau[..., None] * np.asarray(positions["z"]),
    }


# NumPyro: a function that draws every variable, and observes the data


def numpyro_draws(model: Callable[..., None], *data: Any) -> Draws:
    import jax
    from numpyro.infer import MCMC, NUTS

    options: dict[str, Any] = {"chain_method": "vectorized", "progress_bar": False}
    nuts = MCMC(
        NUTS(model), num_warmup=WARMUP, num_samples=DRAWS, num_chains=CHAINS, **options
    )
    nuts.run(jax.random.key(0), *data)
    draws: Any = nuts.get_samples(group_by_chain=True)
    return {name: np.asarray(values) for name, values in draws.items()}


def numpyro_logistic() -> Draws:
    import numpyro
    import numpyro.distributions as dist

    def model(X: Any, y: Any) -> None:
        w: Any = numpyro.sample("w", dist.Normal(0, 1).expand([30]).to_event(1))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Bernoulli(logits=X @ w), obs=y)

    return numpyro_draws(model, *patients())


def numpyro_schools() -> Draws:
    import numpyro
    import numpyro.distributions as dist

    def model(y: Any, sigma: Any) -> None:
        mu: Any = numpyro.sample("mu", dist.Normal(0, 5))
        tau: Any = numpyro.sample("tau", dist.HalfCauchy(5))
        with numpyro.plate("schools", 8):
            z: Any = numpyro.sample("z", dist.Normal(0, 1))
            theta: Any = numpyro.deterministic("theta", mu + tau * z)
            numpyro.sample("y", dist.Normal(theta, sigma), obs=y)

    return numpyro_draws(model, EFFECTS, ERRORS)


def numpyro_poisson() -> Draws:
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(X: Any, y: Any) -> None:
        w: Any = numpyro.sample("w", dist.Normal(0, 1).expand([6]).to_event(1))
        with numpyro.plate("rows", len(y)):
            numpyro.sample("y", dist.Poisson(jnp.exp(X @ w)), obs=y)

    return numpyro_draws(model, *counts())


# BlackJAX: a log density of the whole, and the loops


def blackjax_draws(log_density: Callable[[Any], Any], start: Any) -> Any:
    import blackjax
    import jax

    @jax.jit
    @jax.vmap
    def chain(key: jax.Array) -> Any:
        warm_key, key = jax.random.split(key)
        warmup: Any = blackjax.window_adaptation(blackjax.nuts, log_density)
        (state, parameters), _ = warmup.run(warm_key, start, num_steps=WARMUP)
        kernel = blackjax.nuts(log_density, **parameters)

        def step(state: Any, key: jax.Array) -> Any:
            state, _ = kernel.step(key, state)
            return state, state.position

        return jax.lax.scan(step, state, jax.random.split(key, DRAWS))[1]

    return jax.block_until_ready(chain(jax.random.split(jax.random.key(0), CHAINS)))


def blackjax_logistic() -> Draws:
    import jax
    import jax.numpy as jnp
    from jax.scipy.stats import norm

    X, y = patients()
    log_density = lambda w: (
        norm.logpdf(w).sum() - jax.nn.softplus((1 - 2 * y) * (X @ w)).sum()
    )
    return {"w": np.asarray(blackjax_draws(log_density, jnp.zeros(30)))}


def blackjax_schools() -> Draws:
    import jax.numpy as jnp
    from jax.scipy.stats import cauchy, norm

    def log_density(p: dict[str, Any]) -> Any:
        effects = p["mu"] + jnp.exp(p["log_tau"]) * p["z"]
        prior = (
            norm.logpdf(p["mu"], 0, 5)
            + cauchy.logpdf(jnp.exp(p["log_tau"]), 0, 5)
            + p["log_tau"]
        )
        return (
            prior
            + norm.logpdf(p["z"]).sum()
            + norm.logpdf(EFFECTS, effects, ERRORS).sum()
        )

    start = {"mu": jnp.zeros(()), "log_tau": jnp.zeros(()), "z": jnp.zeros(8)}
    return with_effects(blackjax_draws(log_density, start))


def blackjax_poisson() -> Draws:
    import jax.numpy as jnp
    from jax.scipy.stats import norm

    X, y = counts()
    log_density = lambda w: norm.logpdf(w).sum() + (y * (X @ w) - jnp.exp(X @ w)).sum()
    return {"w": np.asarray(blackjax_draws(log_density, jnp.zeros(6)))}


# PyMC: variables of a model, made inside its context


def pymc_draws(model: Any) -> Draws:
    import pymc  # pyright: ignore[reportMissingImports] (of another environment)

    options = {
        "draws": DRAWS,
        "tune": WARMUP,
        "chains": CHAINS,
        "cores": 1,
        "random_seed": 0,
        "progressbar": False,
    }
    draws = pymc.sample(model=model, **options).posterior
    return {str(name): np.asarray(values) for name, values in draws.items()}


def pymc_logistic() -> Draws:
    import pymc  # pyright: ignore[reportMissingImports] (of another environment)

    X, y = patients()
    with pymc.Model() as model:
        w = pymc.Normal("w", 0, 1, shape=30)
        pymc.Bernoulli("y", logit_p=X @ w, observed=y)
    return pymc_draws(model)


def pymc_schools() -> Draws:
    import pymc  # pyright: ignore[reportMissingImports] (of another environment)

    with pymc.Model() as model:
        mu, tau = pymc.Normal("mu", 0, 5), pymc.HalfCauchy("tau", 5)
        theta = pymc.Deterministic("theta", mu + tau * pymc.Normal("z", 0, 1, shape=8))
        pymc.Normal("y", theta, ERRORS, observed=EFFECTS)
    return pymc_draws(model)


def pymc_poisson() -> Draws:
    import pymc  # pyright: ignore[reportMissingImports] (of another environment)

    X, y = counts()
    with pymc.Model() as model:
        w = pymc.Normal("w", 0, 1, shape=6)
        pymc.Poisson("y", pymc.math.exp(X @ w), observed=y)
    return pymc_draws(model)


# Measured


class ThreeModel(NamedTuple):
    """What is drawn of a model, and the number that is printed."""

    title: str
    sites: tuple[str, ...]
    number: Callable[[Draws], np.ndarray]


MODELS = {
    "logistic": ThreeModel(
        f"logistic, {PATIENTS} rows, d = 30", ("w",), lambda draws: draws["w"][..., 0]
    ),
    "schools": ThreeModel(
        "eight schools", ("mu", "tau", "theta"), lambda draws: draws["tau"]
    ),
    "poisson": ThreeModel(
        f"Poisson, {MANY_ROWS:,} rows, d = 6", ("w",), lambda draws: draws["w"][..., 1]
    ),
}
RUNS: dict[str, dict[str, Callable[[], Draws]]] = {
    "langevax": {
        "logistic": langevax_logistic,
        "schools": langevax_schools,
        "poisson": langevax_poisson,
    },
    "NumPyro": {
        "logistic": numpyro_logistic,
        "schools": numpyro_schools,
        "poisson": numpyro_poisson,
    },
    "BlackJAX": {
        "logistic": blackjax_logistic,
        "schools": blackjax_schools,
        "poisson": blackjax_poisson,
    },
    "PyMC": {
        "logistic": pymc_logistic,
        "schools": pymc_schools,
        "poisson": pymc_poisson,
    },
}


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of the compilers that it has started."""
    usages = (
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def run(model: str, library: str, file: str) -> None:
    """Draw, and save the draws and the CPU seconds that they took."""
    importlib.import_module(library.lower())
    began = cpu_seconds()
    draws = RUNS[library][model]()
    seconds = np.array(cpu_seconds() - began)
    arrays: dict[str, Any] = {site: draws[site] for site in MODELS[model].sites} | {
        "seconds": seconds
    }
    np.savez(file, **arrays)


def line(model: str, library: str, python: str, folder: Path) -> str:
    """Return the line of a library, from a process of its own."""
    from benchmarks.posteriors.references import flattened, statistic

    file = folder / f"{model}-{library}.npz"
    compiled = f"base_compiledir={folder / 'pytensor'}"
    environment = {
        **os.environ,
        "JAX_ENABLE_COMPILATION_CACHE": "false",
        "PYTENSOR_FLAGS": compiled,
    }
    command = [
        python,
        "-W",
        "ignore",
        "-m",
        "benchmarks.three_models",
        model,
        library,
        str(file),
    ]
    subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    with np.load(file) as saved:
        seconds, draws = (
            float(saved["seconds"]),
            {site: saved[site] for site in MODELS[model].sites},
        )
    values, number = flattened(draws)[1], MODELS[model].number(draws)
    ess, rhat = (
        float(statistic("ess", values).min()),
        float(statistic("rhat", values).max()),
    )
    moments = f"{number.mean():.3f} ± {number.std():.3f}"
    return f"| {library} | {moments} | {ess:,.0f} | {rhat:.3f} | {seconds:.1f} | {ess / seconds:,.0f} |"


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table as Markdown, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks three_models", description=__doc__
    )
    parser.add_argument(
        "--only", nargs="+", choices=MODELS, default=list(MODELS), metavar="MODEL"
    )
    parser.add_argument(
        "--libraries", nargs="+", choices=RUNS, default=list(RUNS), metavar="LIBRARY"
    )
    parser.add_argument(
        "--pymc",
        default=sys.executable,
        metavar="PYTHON",
        help="interpreter that has PyMC",
    )
    options = parser.parse_args(arguments)
    has_pymc = [
        options.pymc,
        "-c",
        "import importlib.util as u, sys; sys.exit(u.find_spec('pymc') is None)",
    ]
    if "PyMC" in options.libraries and subprocess.run(has_pymc, check=False).returncode:
        others = " ".join(library for library in RUNS if library != "PyMC")
        parser.error(
            f"{options.pymc} has no PyMC; pass --pymc PYTHON with one that has, or --libraries {others}"
        )
    print("| library | a number | ESS, worst | R-hat | CPU s | ESS a CPU s |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for model in options.only:
            print(f"| **{MODELS[model].title}** | | | | | |")
            for library in options.libraries:
                python = options.pymc if library == "PyMC" else sys.executable
                print(line(model, library, python, Path(folder)), flush=True)


if __name__ == "__main__":
    run(*sys.argv[1:])
