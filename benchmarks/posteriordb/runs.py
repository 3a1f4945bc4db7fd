"""One run of one method in a process of its own: `... FOLDER MODEL DATA METHOD SEED OUT LIMIT`.

Writes its draws by site to OUT, and prints a line of JSON: gradients of all rows (warm-up and pilot included), CPU
seconds of the call and of the process, and what the method warned of.
"""

import json
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpyro.infer.util import initialize_model

from benchmarks.posteriordb import read
from benchmarks.posteriordb.models import DOUBLE, model

WARMUP, DRAWS, CHAINS = 1_000, 1_000, 4
"""Of NUTS of the others, their defaults but for the number of chains of some."""

Outcome = dict[str, Any]


def langevax(chosen: Any, arguments: Any, seed: int) -> tuple[Any, float, list[str]]:
    import langevax as lx

    jax.config.update("jax_numpy_dtype_promotion", "strict")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        draws = lx.sample(
            chosen,
            model_args=arguments,
            key=jax.random.key(seed),
            run=lx.Run(progress=False),
        )
    passes = draws.evaluations / int(draws.problem.size)
    sites = draws.to_datatree()["posterior"].data_vars
    return (
        {name: values.values for name, values in sites.items()},
        passes,
        draws.warnings,
    )


def numpyro(chosen: Any, arguments: Any, seed: int) -> tuple[Any, float, list[str]]:
    """Its doubts, divergences and R-hat above 1.01, are those that its own summary prints."""
    from numpyro.infer import MCMC, NUTS

    chains = MCMC(
        NUTS(chosen),
        num_warmup=WARMUP,
        num_samples=DRAWS,
        num_chains=CHAINS,
        chain_method="vectorized",
        progress_bar=False,
    )
    fields = ("num_steps",)
    key = jax.random.key(seed)
    chains.warmup(key, *arguments, extra_fields=fields, collect_warmup=True)
    gradients = float(np.sum(chains.get_extra_fields()["num_steps"]))
    chains.run(key, *arguments, extra_fields=(*fields, "diverging"))
    extra = chains.get_extra_fields()
    gradients += float(np.sum(extra["num_steps"]))
    draws = chains.get_samples(group_by_chain=True)
    return draws, gradients, doubts(draws, int(np.sum(extra["diverging"])))


def doubts(draws: Any, divergences: int) -> list[str]:
    """What the packages of others print or warn of by default: divergences, and R-hat as Stan's users read it."""
    from numpyro.diagnostics import split_gelman_rubin

    rhat = max(
        float(np.nanmax(split_gelman_rubin(np.asarray(values))))
        for values in draws.values()
    )
    sentences = [f"{divergences} divergences"] if divergences else []
    return sentences + ([f"R-hat {rhat:.2f}"] if not rhat <= 1.01 else [])


def blackjax(chosen: Any, arguments: Any, seed: int) -> tuple[Any, float, list[str]]:
    import blackjax as library

    keys = jax.random.split(jax.random.key(seed), CHAINS)
    written: Any = initialize_model(keys, chosen, model_args=arguments)
    log_density: Any = lambda x: -written.potential_fn(x)

    @jax.jit
    @jax.vmap
    def run(key: jax.Array, position: Any) -> Any:
        adaptation = library.window_adaptation(library.nuts, log_density)
        (state, parameters), info = adaptation.run(key, position, num_steps=WARMUP)
        kernel = library.nuts(log_density, **parameters)

        def step(state: Any, key: jax.Array) -> Any:
            state, info = kernel.step(key, state)
            return state, (
                state.position,
                info.num_integration_steps,
                info.is_divergent,
            )

        keys = jax.random.split(jax.random.fold_in(key, 1), DRAWS)
        positions, steps, diverging = jax.lax.scan(step, state, keys)[1]
        gradients = steps.sum() + info.info.num_integration_steps.sum()
        return positions, gradients, diverging.sum()

    positions, gradients, divergences = run(keys, written.param_info.z)
    values = jax.jit(jax.vmap(jax.vmap(written.postprocess_fn)))(positions)
    return values, float(np.sum(gradients)), doubts(values, int(np.sum(divergences)))


def nutpie(
    chosen: Any, arguments: Any, seed: int, is_low_rank: bool = False
) -> tuple[Any, float, list[str]]:
    import nutpie as library
    from jax.flatten_util import ravel_pytree

    written: Any = initialize_model(jax.random.key(seed), chosen, model_args=arguments)
    first, unravel = ravel_pytree(written.param_info.z)
    density = jax.jit(jax.value_and_grad(lambda x: -written.potential_fn(unravel(x))))

    def log_density(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = density(x.astype(first.dtype))
        return float(value), np.asarray(gradient, np.float64)

    compiled = library.compiled_pyfunc.from_pyfunc(
        len(first),
        lambda: log_density,
        lambda *_: lambda x: {"x": np.asarray(x, np.float64)},
        [np.dtype(np.float64)],
        [(len(first),)],
        ["x"],
    )
    chains = library.sample(
        compiled,
        draws=DRAWS,
        chains=CHAINS,
        tune=WARMUP if is_low_rank else None,
        seed=seed,
        save_warmup=True,
        progress_bar=False,
        low_rank_modified_mass_matrix=is_low_rank,
    )
    gradients = float(chains.sample_stats["n_steps"].sum())
    gradients += float(chains.warmup_sample_stats["n_steps"].sum())
    flat = jax.numpy.asarray(chains.posterior["x"].values, first.dtype)
    values = jax.jit(jax.vmap(jax.vmap(lambda x: written.postprocess_fn(unravel(x)))))(
        flat
    )
    divergences = int(chains.sample_stats["diverging"].sum())
    return values, gradients, doubts(values, divergences)


def main(
    folder: str, name: str, data: str, method: str, seed: str, out: str, limit: str
) -> Outcome:
    """Return the line of one run, whose draws are written; end where it takes more than so many CPU seconds."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit) + 5))
    if name in DOUBLE:
        jax.config.update("jax_enable_x64", True)
    chosen, arguments = model(name, read(Path(folder), f"data/data/{data}.json"))
    began = time.process_time()
    try:
        if method.startswith("nutpie"):
            is_low_rank = method == "nutpie_low_rank"
            values, gradients, said = nutpie(chosen, arguments, int(seed), is_low_rank)
        else:
            runner = {"langevax": langevax, "numpyro": numpyro, "blackjax": blackjax}
            values, gradients, said = runner[method](chosen, arguments, int(seed))
    except (ValueError, ArithmeticError, RuntimeError) as error:
        return {"refused": f"{type(error).__name__}: {str(error).splitlines()[0]}"}
    values = {site: np.asarray(array) for site, array in values.items()}
    np.savez(out, **values)
    ended = time.process_time()
    return {
        "gradients": gradients,
        "seconds": ended - began,
        "process": ended,
        "sentences": said,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
