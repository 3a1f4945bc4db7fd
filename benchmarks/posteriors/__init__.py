"""`sample` at its defaults against references: errors, cost, warnings, and who was wrong without a word.

`python -m benchmarks posteriors` judges `sample` and NUTS of NumPyro and of BlackJAX; `--make` makes the references;
`--tolerance 0.1` asks for a tolerance instead, with several seeds, and counts how often it was kept.
"""

import argparse
import time
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import langevax as lx
import langevax.numpyro
from benchmarks.posteriors import regressions, structures  # noqa: F401 (they enter their posteriors)
from benchmarks.posteriors.models import POSTERIORS, BenchmarkPosterior
from benchmarks.posteriors.references import flattened, load, make, statistic

MAX_MEAN_ERROR, MAX_SD_ERROR = 0.1, 0.05  # in deviations; relative
MONTE_CARLO = 3  # standard errors of the draws that are added to the limits
NUTS_WARMUP, NUTS_DRAWS, NUTS_CHAINS = 1_000, 1_000, 4


class Judgement(NamedTuple):
    """Draws beside a reference."""

    mean_error: float
    """Largest error of a mean, in deviations."""
    sd_error: float
    """Largest relative error of a deviation."""
    is_right: bool
    """True where both are within their limits, Monte Carlo error added, for every number."""
    ess: float


def judge(draws: dict[str, np.ndarray], reference: dict[str, Any]) -> Judgement:
    """Compare draws of the sites, (chain, draw, ...), with a reference."""
    names, values = flattened(draws)
    rows = np.array([reference["numbers"][name][:2] for name in names])
    varying = rows[:, 1] > 0
    values, (mean, sd) = values[..., varying], rows[varying].T
    mean_errors, sd_errors = (
        np.abs(values.mean((0, 1)) - mean) / sd,
        np.abs(values.std((0, 1)) / sd - 1),
    )
    noise = statistic("mcse", values) / sd, statistic("mcse", values, method="sd") / sd
    is_right = np.all(mean_errors < MAX_MEAN_ERROR + MONTE_CARLO * noise[0])
    is_right &= np.all(sd_errors < MAX_SD_ERROR + MONTE_CARLO * noise[1])
    ess = float(statistic("ess", values).min())
    return Judgement(
        float(mean_errors.max()), float(sd_errors.max()), bool(is_right), ess
    )


def line(
    name: str,
    method: str,
    judgement: Judgement,
    passes: float,
    seconds: float,
    verdict: str,
) -> None:
    print(
        f"| {name} | {method} | {judgement.mean_error:.3f} | {judgement.sd_error:.1%} | {judgement.ess:,.0f} | "
        f"{judgement.ess / passes:.3f} | {seconds:.1f} | {judgement.ess / seconds:,.0f} | {verdict} |",
        flush=True,
    )


def run_sample(
    posterior: BenchmarkPosterior, reference: dict[str, Any], key: jax.Array
) -> str:
    """Print the line of `sample`, and return right, refused or wrong."""
    jax.clear_caches()  # a process may map only so many programs
    began = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lx.sampling.SamplingWarning)
            target = langevax.numpyro.posterior(posterior.model, *posterior.arrays())
            samples = lx.sample(target, key=key, run=lx.Run(progress=False))
    except (ValueError, lx.DivergenceError) as error:
        print(
            f"| {posterior.name} | | | | | | {time.process_time() - began:.1f} | | refused: {error} |",
            flush=True,
        )
        return "refused"
    seconds = time.process_time() - began
    judgement = judge(samples.positions, reference)
    sentences = " ".join(samples.warnings)
    verdict = "refused" if sentences else "right" if judgement.is_right else "wrong"
    passes = samples.evaluations / int(samples.problem.size)
    line(
        posterior.name,
        f"`sample`, {samples.method}",
        judgement,
        passes,
        seconds,
        f"{verdict}. {sentences}".strip(),
    )
    return verdict


def run_numpyro(
    posterior: BenchmarkPosterior, reference: dict[str, Any], key: jax.Array
) -> None:
    """Print the line of NumPyro's NUTS; the passes of its warm-up are counted in a run of its own, not timed."""
    from numpyro.infer import MCMC, NUTS

    options: dict[str, Any] = {
        "num_warmup": NUTS_WARMUP,
        "num_samples": NUTS_DRAWS,
        "num_chains": NUTS_CHAINS,
    }
    options |= {"chain_method": "vectorized", "progress_bar": False}
    with jax.numpy_dtype_promotion("standard"):
        began = time.process_time()
        chains = MCMC(NUTS(posterior.model), **options)
        chains.run(key, *posterior.arrays(), extra_fields=("num_steps",))
        draws: Any = jax.block_until_ready(chains.get_samples(group_by_chain=True))
        seconds = time.process_time() - began
        passes = np.sum(chains.get_extra_fields()["num_steps"])
        warm = MCMC(NUTS(posterior.model), **options)
        warm.warmup(
            key, *posterior.arrays(), extra_fields=("num_steps",), collect_warmup=True
        )
        passes += np.sum(warm.get_extra_fields()["num_steps"])
    judgement = judge(
        {site: np.asarray(values) for site, values in draws.items()}, reference
    )
    line(
        "",
        "NUTS of NumPyro",
        judgement,
        float(passes),
        seconds,
        "right" if judgement.is_right else "wrong",
    )


def run_blackjax(
    posterior: BenchmarkPosterior, reference: dict[str, Any], key: jax.Array
) -> None:
    """Print the line of BlackJAX's NUTS after its window adaptation, from NumPyro's starts, by NumPyro's transforms."""
    import blackjax
    from numpyro.infer.util import initialize_model

    jax.clear_caches()
    with jax.numpy_dtype_promotion("standard"):
        began = time.process_time()
        keys = jax.random.split(key, NUTS_CHAINS)
        model: Any = initialize_model(
            keys, posterior.model, model_args=posterior.arrays()
        )
        log_density: Any = lambda x: -model.potential_fn(x)

        @jax.jit
        @jax.vmap
        def run(key: jax.Array, position: Any) -> Any:
            adaptation = blackjax.window_adaptation(blackjax.nuts, log_density)
            (state, parameters), info = adaptation.run(
                key, position, num_steps=NUTS_WARMUP
            )
            kernel = blackjax.nuts(log_density, **parameters)

            def step(state: Any, key: jax.Array) -> Any:
                state, info = kernel.step(key, state)
                return state, (state.position, info.num_integration_steps)

            keys = jax.random.split(jax.random.fold_in(key, 1), NUTS_DRAWS)
            positions, steps = jax.lax.scan(step, state, keys)[1]
            return positions, steps.sum() + info.info.num_integration_steps.sum()

        positions, passes = run(keys, model.param_info.z)
        draws = {
            site: np.asarray(values)
            for site, values in jax.jit(jax.vmap(jax.vmap(model.postprocess_fn)))(
                positions
            ).items()
        }
        seconds = time.process_time() - began
    judgement = judge(draws, reference)
    verdict = "right" if judgement.is_right else "wrong"
    line("", "NUTS of BlackJAX", judgement, float(np.sum(passes)), seconds, verdict)


def true_error(draws: dict[str, np.ndarray], reference: dict[str, Any]) -> float:
    """Return the largest error of any mean, in deviations, and relative error of any deviation."""
    judgement = judge(draws, reference)
    return max(judgement.mean_error, judgement.sd_error)


def run_tolerance(
    posterior: BenchmarkPosterior,
    reference: dict[str, Any],
    tolerance: float,
    seed: int,
) -> str:
    """Print a line of draws to a tolerance, and return kept, refused or broken."""
    jax.clear_caches()
    began = time.process_time()
    error, ess, reason = float("nan"), float("nan"), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", lx.sampling.SamplingWarning)
            target = langevax.numpyro.posterior(posterior.model, *posterior.arrays())
            samples = lx.sample(
                target,
                key=jax.random.key(seed),
                tolerance=tolerance,
                run=lx.Run(progress=False),
            )
        error, ess, reason = (
            true_error(samples.positions, reference),
            samples.ess,
            samples.method,
        )
        verdict = "kept" if error <= tolerance else "broken"
    except (ValueError, lx.DivergenceError, lx.sampling.ToleranceError) as failure:
        verdict, reason = "refused", str(failure)
    seconds = time.process_time() - began
    print(
        f"| {posterior.name} | {seed} | {error:.3f} | {ess:,.0f} | {seconds:.1f} | {verdict} | {reason} |",
        flush=True,
    )
    return verdict


def print_tolerances(
    names: Sequence[str],
    references: dict[str, Any],
    tolerance: float,
    seeds: Sequence[int],
) -> None:
    """Print a line for each posterior and seed, all posteriors once before any twice, and the counts."""
    print("| posterior | seed | error | ESS | CPU s | verdict | |")
    print("|---|---|---|---|---|---|---|")
    known = [name for name in names if name in references]
    verdicts = [
        run_tolerance(POSTERIORS[name], references[name], tolerance, seed)
        for seed in seeds
        for name in known
    ]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in ("kept", "refused", "broken")
    )
    print(f"\n{len(verdicts)} pairs at {tolerance:g}: {counts}.")


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table as Markdown, a line as soon as it is measured; or make references."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks posteriors", description=__doc__
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=POSTERIORS,
        metavar="NAME",
        help=f"of {', '.join(POSTERIORS)}",
    )
    parser.add_argument(
        "--make",
        action="store_true",
        help="make references of those that have none, and of --only",
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="CPU seconds of each long run; 60"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the runs that are judged; 0"
    )
    parser.add_argument(
        "--no-nuts", action="store_true", help="leave NUTS of NumPyro and BlackJAX out"
    )
    parser.add_argument(
        "--tolerance", type=float, help="of draws whose errors are held against it"
    )
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0, 1], help="of --tolerance; 0 1"
    )
    options = parser.parse_args(arguments)
    references = load()
    if options.make:
        names = options.only or [name for name in POSTERIORS if name not in references]
        make([POSTERIORS[name] for name in names], options.seconds)
        return
    if options.tolerance is not None:
        print_tolerances(
            options.only or list(POSTERIORS),
            references,
            options.tolerance,
            options.seeds,
        )
        return
    print(
        "| posterior | method | mean, sd | sd | ESS | ESS/pass | CPU s | ESS/s | verdict |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    verdicts: list[str] = []
    for name in options.only or POSTERIORS:
        posterior = POSTERIORS[name]
        if name not in references:
            print(f"| {name} | | | | | | | | no reference |", flush=True)
            continue
        if references[name]["data"] != posterior.checksum():
            raise ValueError(
                f"the data of {name} are not those of its reference; make it again with --make --only."
            )
        verdicts.append(
            run_sample(posterior, references[name], jax.random.key(options.seed))
        )
        if not options.no_nuts:
            run_numpyro(posterior, references[name], jax.random.key(options.seed))
            run_blackjax(posterior, references[name], jax.random.key(options.seed))
    counts = ", ".join(
        f"{verdicts.count(verdict)} {verdict}"
        for verdict in ("right", "refused", "wrong")
    )
    print(
        f"\n{len(verdicts)} posteriors: {counts} without a word. Limits: {MAX_MEAN_ERROR} sd, {MAX_SD_ERROR:.0%}."
    )
