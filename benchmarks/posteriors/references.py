"""References: means, deviations and quantiles from long runs of NUTS of two libraries, in float64.

A reference is stored only where both have R-hat below MAX_RHAT and at least MIN_ESS effective draws of every number of
the position, and agree on means and deviations; it is the average of the two. Chains start at medians of a few draws
from the prior: from anywhere else one of Lotka and Volterra's equations stays where populations die out.
"""

import json
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import blackjax
import jax
import numpy as np
from arviz_stats.base.array import array_stats
from numpyro.infer import MCMC, NUTS, init_to_median
from numpyro.infer.util import initialize_model

from benchmarks.posteriors.models import BenchmarkPosterior

FILE = Path(__file__).with_name("references.json")
CHAINS, WARMUP, DRAWS = 4, 1_000, 5_000
TARGET_ACCEPTANCE = 0.9
MAX_RHAT, MIN_ESS = 1.002, 10_000
MAX_SHIFT, MAX_RATIO = (
    0.05,
    0.05,
)  # between the two: of means in deviations, and of deviations
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
PACKAGES = ("numpyro", "blackjax", "jax", "numpy")

Sites = dict[str, np.ndarray]
"""Values of the sites, (chain, draw, ...)."""


class NoReferenceError(Exception):
    """The two runs are too short, or disagree."""


def flattened(sites: Sites) -> tuple[list[str], np.ndarray]:
    """Return names and (chain, draw, number) of all numbers of the sites."""
    names, columns = [], []
    for site, values in sorted(sites.items()):
        names += [
            f"{site}{list(index) or ''}" for index in np.ndindex(values.shape[2:])
        ]
        columns.append(np.asarray(values, np.float64).reshape(*values.shape[:2], -1))
    return names, np.concatenate(columns, axis=2)


def statistic(name: str, values: np.ndarray, **options: Any) -> np.ndarray:
    """Return a diagnostic of ArviZ for each number."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            getattr(array_stats, name)(values, chain_axis=0, draw_axis=1, **options)
        )


def worst(values: np.ndarray) -> tuple[float, float]:
    """Return the smallest number of effective draws and the largest R-hat of all numbers that are not constant."""
    varying = values[..., np.ptp(values, (0, 1)) > 0]
    return float(statistic("ess", varying).min()), float(
        statistic("rhat", varying).max()
    )


def is_long_enough(values: np.ndarray) -> bool:
    ess, rhat = worst(values)
    return ess >= MIN_ESS and rhat < MAX_RHAT


def run_numpyro(posterior: BenchmarkPosterior, seconds: float) -> Sites:
    """Draw until the run is long enough or its time is over."""
    began, data = time.process_time(), posterior.arrays()
    kernel = NUTS(
        posterior.model,
        target_accept_prob=TARGET_ACCEPTANCE,
        init_strategy=init_to_median,
    )
    options: dict[str, Any] = {
        "num_chains": CHAINS,
        "chain_method": "vectorized",
        "progress_bar": False,
    }
    chains = MCMC(kernel, num_warmup=WARMUP, num_samples=DRAWS, **options)
    parts: list[Sites] = []
    while True:
        chains.run(jax.random.key(len(parts)), *data)
        draws: Any = chains.get_samples(group_by_chain=True)
        parts.append({site: np.asarray(values) for site, values in draws.items()})
        joined = {
            site: np.concatenate([part[site] for part in parts], axis=1)
            for site in parts[0]
        }
        if (
            is_long_enough(flattened(joined)[1])
            or time.process_time() - began > seconds
        ):
            return joined
        chains.post_warmup_state = chains.last_state


def run_blackjax(posterior: BenchmarkPosterior, seconds: float) -> Sites:
    """Draw until the run is long enough or its time is over."""
    began, data = time.process_time(), posterior.arrays()
    keys = jax.random.split(jax.random.key(1), CHAINS)
    model: Any = initialize_model(
        keys, posterior.model, init_strategy=init_to_median, model_args=data
    )
    log_density: Callable[[Any], jax.Array] = lambda x: -model.potential_fn(x)

    @jax.jit
    @jax.vmap
    def warm(key: jax.Array, position: Any) -> Any:
        adaptation = blackjax.window_adaptation(
            blackjax.nuts,
            log_density,
            target_acceptance_rate=TARGET_ACCEPTANCE,
            is_mass_matrix_diagonal=True,
        )
        (state, parameters), _ = adaptation.run(key, position, num_steps=WARMUP)
        return state, parameters

    @jax.jit
    @jax.vmap
    def draw(key: jax.Array, state: Any, parameters: Any) -> Any:
        kernel = blackjax.nuts(log_density, **parameters)

        def step(state: Any, key: jax.Array) -> Any:
            state, _ = kernel.step(key, state)
            return state, state.position

        return jax.lax.scan(step, state, jax.random.split(key, DRAWS))

    constrained = jax.jit(jax.vmap(jax.vmap(model.postprocess_fn)))
    states, parameters = warm(keys, model.param_info.z)
    parts: list[Sites] = []
    while True:
        keys = jax.random.split(jax.random.key(100 + len(parts)), CHAINS)
        states, positions = draw(keys, states, parameters)
        parts.append(
            {
                site: np.asarray(values)
                for site, values in constrained(positions).items()
            }
        )
        joined = {
            site: np.concatenate([part[site] for part in parts], axis=1)
            for site in parts[0]
        }
        if (
            is_long_enough(flattened(joined)[1])
            or time.process_time() - began > seconds
        ):
            return joined


def reference_of(posterior: BenchmarkPosterior, seconds: float) -> dict[str, Any]:
    """Return the reference of a posterior, or raise NoReferenceError with what is missing."""
    with jax.enable_x64(), jax.numpy_dtype_promotion("standard"):
        runs = {
            "numpyro": run_numpyro(posterior, seconds),
            "blackjax": run_blackjax(posterior, seconds),
        }
    names, _ = flattened(runs["numpyro"])
    values = {
        library: flattened({site: sites[site] for site in runs["numpyro"]})[1]
        for library, sites in runs.items()
    }
    diagnostics: dict[str, Any] = {}
    for library, draws in values.items():
        ess, rhat = worst(draws)
        diagnostics[library] = {
            "draws": draws.shape[0] * draws.shape[1],
            "ess": round(ess),
            "rhat": round(rhat, 5),
        }
        if not is_long_enough(draws):
            raise NoReferenceError(
                f"{library} has {ess:,.0f} effective draws and an R-hat of {rhat:.4f}"
            )
    moments = [
        np.stack(
            [
                draws.mean((0, 1)),
                draws.std((0, 1)),
                *np.quantile(draws, QUANTILES, axis=(0, 1)),
            ]
        )
        for draws in values.values()
    ]
    (mean, sd, *_), (other_mean, other_sd, *_) = moments
    varying = sd > 0  # deterministic sites may be constant
    shift = np.max(np.abs(mean - other_mean) / np.where(varying, sd, 1))
    ratio = np.max(
        np.where(varying, np.abs(other_sd / np.where(varying, sd, 1) - 1), 0)
    )
    diagnostics |= {
        "shift of means": round(float(shift), 4),
        "ratio of deviations": round(float(ratio), 4),
    }
    if shift > MAX_SHIFT or ratio > MAX_RATIO:
        raise NoReferenceError(
            f"means differ by {shift:.3f} sd, and deviations by {ratio:.1%}"
        )
    rounded = [
        [float(f"{number:.6g}") for number in column]
        for column in np.mean(moments, axis=0).T
    ]
    return {
        "data": posterior.checksum(),
        **diagnostics,
        "numbers": dict(zip(names, rounded, strict=True)),
    }


def load() -> dict[str, Any]:
    """Return the stored references by the name of the posterior."""
    return (
        json.loads(FILE.read_text(encoding="utf-8"))["posteriors"]
        if FILE.exists()
        else {}
    )


def save(references: dict[str, Any]) -> None:
    """Store the references with the versions of this environment, a number of a position in a line."""
    versions = {package: version(package) for package in PACKAGES} | {
        "python": platform.python_version()
    }
    lines = []
    for name, reference in sorted(references.items()):
        numbers = ",\n".join(
            f"   {json.dumps(key)}: {json.dumps(row)}"
            for key, row in reference["numbers"].items()
        )
        head = ", ".join(
            f"{json.dumps(key)}: {json.dumps(value)}"
            for key, value in reference.items()
            if key != "numbers"
        )
        lines.append(
            f'  {json.dumps(name)}: {{{head}, "numbers": {{\n{numbers}\n  }}}}'
        )
    columns = json.dumps(["mean", "sd", *(f"q{100 * q:.0f}" for q in QUANTILES)])
    text = ",\n".join(lines)
    FILE.write_text(
        f'{{\n "versions": {json.dumps(versions)},\n "columns": {columns},\n "posteriors": {{\n{text}\n }}\n}}\n',
        encoding="utf-8",
    )


def make(posteriors: list[BenchmarkPosterior], seconds: float) -> None:
    """Make and store references, one posterior after the other."""
    references = load()
    for posterior in posteriors:
        jax.clear_caches()  # a process may map only so many programs
        began = time.process_time()
        try:
            references[posterior.name] = reference_of(posterior, seconds)
        except NoReferenceError as error:
            print(
                f"{posterior.name:<26} no reference: {error} ({time.process_time() - began:.0f} CPU s)",
                flush=True,
            )
            continue
        save(references)
        spent = f"{time.process_time() - began:.0f} CPU s"
        print(
            f"{posterior.name:<26} {references[posterior.name]['numpyro']} ({spent})",
            flush=True,
        )
