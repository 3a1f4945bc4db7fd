"""Whether a log density is that of draws: Stein's identities, which hold for no other density.

With the score g of the density in unconstrained coordinates u, the means of g and of (u - mean) g + 1 over its draws are
zero: each is compared with its standard error, so that no sampler is needed, nor a constant of the density.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro import handlers
from numpyro.infer.util import potential_energy, unconstrain_fn

from benchmarks.posteriordb.models import kernel, model

MAX_ERROR = 5.0
"""Standard errors, of the largest of some twenty numbers."""


def sites_of(numbers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return draws by site of draws by number, such as `beta[1]` and `beta[2]`."""
    columns: dict[str, list[np.ndarray]] = {}
    for name, values in numbers.items():
        columns.setdefault(name.partition("[")[0], []).append(values)
    return {
        site: np.stack(values, axis=1) if f"{site}[1]" in numbers else values[0]
        for site, values in columns.items()
    }


def largest_error(name: str, data: dict, numbers: dict[str, np.ndarray]) -> float:
    """Return the largest error, in standard errors, of the model of this name at draws, (draw,) by number."""
    with jax.enable_x64(True), numpyro.validation_enabled(False):
        chosen, arguments = model(name, data)
        bound = handlers.seed(lambda: chosen(*arguments), 0)
        sites = {
            site: jnp.asarray(values, float)
            for site, values in sites_of(numbers).items()
        }
        sites = _with_latent_sites(name, arguments, sites)

        def of_draw(values: Any) -> Any:
            free = unconstrain_fn(bound, (), {}, values)
            score = jax.grad(lambda free: -potential_energy(bound, (), {}, free))
            return free, score(free)

        free, scores = jax.jit(
            lambda sites: jax.lax.map(of_draw, sites, batch_size=200)
        )(sites)
        errors = []
        for site in free:
            u, g = (
                np.asarray(of[site]).reshape(len(of[site]), -1) for of in (free, scores)
            )
            for zero in (g, (u - u.mean(axis=0)) * g + 1):
                standard = zero.std(axis=0) / np.sqrt(len(zero))
                errors.append(np.max(np.abs(zero.mean(axis=0)) / standard))
    return float(np.max(errors))


def _with_latent_sites(name: str, arguments: tuple, sites: dict) -> dict:
    """The latent sites of which the draws of Stan have a function, and the rows of simplexes with a sum of one."""
    if name == "eight_schools_noncentered":
        mu, tau = sites["mu"][:, None], sites["tau"][:, None]
        theta = sites.pop("theta")
        return sites | {"theta_trans": (theta - mu) / tau}
    if name == "gp_pois_regr":
        x = arguments[0]

        def root(alpha: jax.Array, rho: jax.Array) -> jax.Array:
            return jnp.linalg.cholesky(kernel(x, alpha, rho) + 1e-10 * jnp.eye(len(x)))

        roots = jax.vmap(root)(sites["alpha"], sites["rho"])
        f = sites.pop("f")
        return sites | {"f_tilde": jnp.linalg.solve(roots, f[..., None])[..., 0]}
    if name.startswith("hmm"):
        thetas = {site: sites[site] for site in ("theta1", "theta2")}
        return sites | {k: v / v.sum(axis=1, keepdims=True) for k, v in thetas.items()}
    return sites
