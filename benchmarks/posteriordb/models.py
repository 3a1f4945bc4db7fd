"""Models of posteriordb by family, written once in NumPyro: sites have the names of Stan's parameters.

`model(name, data)` is a NumPyro model and its arguments. Stan's parameters without a prior are improper.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

Data = dict[str, Any]
Model = Callable[..., None]

DOUBLE = {"gp_pois_regr"}
"""Models whose covariance matrix has a jitter of 1e-10, which float32 does not hold."""


def flat(name: str, support: Any = constraints.real, *shape: int) -> jax.Array:
    return numpyro.sample(name, dist.ImproperUniform(support, (), shape))


def scale_of(prior: str) -> jax.Array:
    if prior == "flat":
        return flat("sigma", constraints.positive)
    law = {
        "cauchy": dist.HalfCauchy(2.5),
        "normal": dist.HalfNormal(10.0),
        "student": dist.FoldedDistribution(dist.StudentT(3.0, 0.0, 10.0)),
    }
    return numpyro.sample("sigma", law[prior])


def regression(X: jax.Array, y: jax.Array, prior: str) -> None:
    beta = flat("beta", constraints.real_vector, X.shape[1])
    sigma = scale_of(prior)
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(X @ beta, sigma), obs=y)


def standardised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean()) / x.std(ddof=1)


def log(*names: str) -> Callable[[Data], np.ndarray]:
    """The logarithm of a product of columns, divided by those after a minus."""
    return lambda d: sum(
        -np.log(d[name[1:]]) if name[0] == "-" else np.log(d[name]) for name in names
    )


def is_class(name: str, value: int) -> Callable[[Data], np.ndarray]:
    return lambda d: (d[name] == value).astype(float)


def product(*columns: Callable[[Data], np.ndarray]) -> Callable[[Data], np.ndarray]:
    return lambda d: np.prod([column(d) for column in columns], axis=0)


def of(name: str) -> Callable[[Data], np.ndarray]:
    return lambda d: d[name]


HEIGHT, MALE = of("height"), of("male")
IQ, HS = of("mom_iq"), of("mom_hs")
Z_HEIGHT = lambda d: standardised(d["height"])
CENTRED = tuple(
    (lambda d, name=name: d[name] - d[name].mean()) for name in ("mom_hs", "mom_iq")
)
CENTRED_2 = (lambda d: d["mom_hs"] - 0.5, lambda d: d["mom_iq"] - 100)
HALVED = tuple(
    (lambda d, name=name: standardised(d[name]) / 2) for name in ("mom_hs", "mom_iq")
)
VOLUME, AREA, SHAPE = (
    log("diam1", "diam2", "canopy_height"),
    log("diam1", "diam2"),
    log("diam1", "-diam2"),
)
LOG_TOTAL, LOG_DENSITY, GROUP = log("total_height"), log("density"), of("group")
SIZES = ("diam1", "diam2", "canopy_height", "total_height", "density")
AGES = [is_class("age_discrete", value) for value in (2, 3, 4)]

REGRESSIONS: dict[str, tuple[Callable[[Data], np.ndarray], list[Any], str]] = {
    "earn_height": (of("earn"), [HEIGHT], "flat"),
    "log10earn_height": (lambda d: np.log10(d["earn"]), [HEIGHT], "flat"),
    "logearn_height": (log("earn"), [HEIGHT], "flat"),
    "logearn_height_male": (log("earn"), [HEIGHT, MALE], "flat"),
    "logearn_interaction": (
        log("earn"),
        [HEIGHT, MALE, product(HEIGHT, MALE)],
        "flat",
    ),
    "logearn_interaction_z": (
        log("earn"),
        [Z_HEIGHT, MALE, product(Z_HEIGHT, MALE)],
        "flat",
    ),
    "logearn_logheight_male": (log("earn"), [log("height"), MALE], "flat"),
    "kidscore_interaction": (of("kid_score"), [HS, IQ, product(HS, IQ)], "cauchy"),
    "kidscore_momhs": (of("kid_score"), [HS], "cauchy"),
    "kidscore_momhsiq": (of("kid_score"), [HS, IQ], "cauchy"),
    "kidscore_momiq": (of("kid_score"), [IQ], "cauchy"),
    "kidscore_interaction_c": (
        of("kid_score"),
        [*CENTRED, product(*CENTRED)],
        "flat",
    ),
    "kidscore_interaction_c2": (
        of("kid_score"),
        [*CENTRED_2, product(*CENTRED_2)],
        "flat",
    ),
    "kidscore_interaction_z": (of("kid_score"), [*HALVED, product(*HALVED)], "flat"),
    "kidscore_mom_work": (
        of("kid_score"),
        [is_class("mom_work", value) for value in (2, 3, 4)],
        "flat",
    ),
    "logmesquite": (log("weight"), [*map(log, SIZES), GROUP], "flat"),
    "logmesquite_logva": (log("weight"), [VOLUME, AREA, GROUP], "flat"),
    "logmesquite_logvas": (
        log("weight"),
        [VOLUME, AREA, SHAPE, LOG_TOTAL, LOG_DENSITY, GROUP],
        "flat",
    ),
    "logmesquite_logvash": (
        log("weight"),
        [VOLUME, AREA, SHAPE, LOG_TOTAL, GROUP],
        "flat",
    ),
    "logmesquite_logvolume": (log("weight"), [VOLUME], "flat"),
    "mesquite": (of("weight"), [*map(of, SIZES), GROUP], "flat"),
    "nes": (
        of("partyid7"),
        [
            of("real_ideo"),
            of("race_adj"),
            *AGES,
            of("educ1"),
            of("gender"),
            of("income"),
        ],
        "flat",
    ),
}
"""Response, columns after the intercept, and the prior of sigma of each linear regression."""


def blr(X: jax.Array, y: jax.Array) -> None:
    beta = numpyro.sample("beta", dist.Normal(0, 10).expand([X.shape[1]]).to_event(1))
    sigma = scale_of("normal")
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(X @ beta, sigma), obs=y)


def diamonds(X: jax.Array, y: jax.Array) -> None:
    b = numpyro.sample("b", dist.Normal(0, 1).expand([X.shape[1]]).to_event(1))
    intercept = numpyro.sample("Intercept", dist.StudentT(3.0, 8.0, 10.0))
    sigma = scale_of("student")
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(intercept + X @ b, sigma), obs=y)


def kilpisjarvi(x: jax.Array, y: jax.Array, alpha: Any, beta: Any) -> None:
    intercept = numpyro.sample("alpha", dist.Normal(*alpha))
    slope = numpyro.sample("beta", dist.Normal(*beta))
    sigma = scale_of("flat")
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(intercept + slope * x, sigma), obs=y)


def ar(lags: jax.Array, y: jax.Array) -> None:
    alpha = numpyro.sample("alpha", dist.Normal(0, 10))
    beta = numpyro.sample(
        "beta", dist.Normal(0, 10).expand([lags.shape[1]]).to_event(1)
    )
    sigma = scale_of("cauchy")
    with numpyro.plate("rows", len(y)):
        numpyro.sample("y", dist.Normal(alpha + lags @ beta, sigma), obs=y)


def arma(y: jax.Array) -> None:
    mu = numpyro.sample("mu", dist.Normal(0, 10))
    phi = numpyro.sample("phi", dist.Normal(0, 2))
    theta = numpyro.sample("theta", dist.Normal(0, 2))
    sigma = scale_of("cauchy")
    first = y[0] - mu - phi * mu

    def step(error: jax.Array, pair: jax.Array) -> tuple[jax.Array, jax.Array]:
        error = pair[1] - mu - phi * pair[0] - theta * error
        return error, error

    errors = jax.lax.scan(step, first, jnp.stack([y[:-1], y[1:]], axis=1))[1]
    errors = jnp.concatenate([first[None], errors])
    numpyro.sample(
        "errors", dist.Normal(errors, sigma, validate_args=False), obs=jnp.zeros_like(y)
    )


def garch(y: jax.Array, first: float) -> None:
    mu = flat("mu")
    alpha0 = flat("alpha0", constraints.positive)
    alpha1 = flat("alpha1", constraints.unit_interval)
    beta1 = numpyro.sample("beta1", dist.Uniform(0.0, 1 - alpha1))
    numpyro.factor("flat", jnp.log1p(-alpha1))

    def step(variance: jax.Array, before: jax.Array) -> tuple[jax.Array, jax.Array]:
        variance = alpha0 + alpha1 * (before - mu) ** 2 + beta1 * variance
        return variance, variance

    start = jnp.full_like(mu, first**2)
    variances = jax.lax.scan(step, start, y[:-1])[1]
    variances = jnp.concatenate([start[None], variances])
    numpyro.sample("y", dist.Normal(mu, jnp.sqrt(variances)), obs=y)


def schools(y: jax.Array, sigma: jax.Array, is_centred: bool) -> None:
    mu = numpyro.sample("mu", dist.Normal(0, 5))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        if is_centred:
            theta = numpyro.sample("theta", dist.Normal(mu, tau))
        else:
            standard = numpyro.sample("theta_trans", dist.Normal(0, 1))
            theta = numpyro.deterministic("theta", standard * tau + mu)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)


def kernel(x: jax.Array, alpha: jax.Array, rho: jax.Array) -> jax.Array:
    return alpha**2 * jnp.exp(-(((x[:, None] - x) / rho) ** 2) / 2)


def gp_pois_regr(x: jax.Array, k: jax.Array) -> None:
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    standard = numpyro.sample("f_tilde", dist.Normal(0, 1).expand([11]).to_event(1))
    root = jnp.linalg.cholesky(kernel(x, alpha, rho) + 1e-10 * jnp.eye(len(x)))
    f = numpyro.deterministic("f", root @ standard)
    numpyro.sample("k", dist.Poisson(jnp.exp(f)), obs=k)


def gp_regr(x: jax.Array, y: jax.Array) -> None:
    rho = numpyro.sample("rho", dist.Gamma(25.0, 4.0))
    alpha = numpyro.sample("alpha", dist.HalfNormal(2.0))
    sigma = numpyro.sample("sigma", dist.HalfNormal(1.0))
    covariance = kernel(x, alpha, rho) + sigma * jnp.eye(len(x))
    zeros = jnp.zeros_like(x)
    numpyro.sample("y", dist.MultivariateNormal(zeros, covariance), obs=y)


def hidden_markov(
    ordered: dict[str, tuple[Any, Any, list[float]]],
    concentration: jax.Array,
    emissions: Callable[..., jax.Array],
) -> None:
    """Two states, the first of which is of either with the weight 1 each, as in Stan's code."""
    thetas = [
        numpyro.sample(f"theta{k + 1}", dist.Dirichlet(concentration[k]))
        for k in range(2)
    ]
    values = {}
    for name, (support, law, centres) in ordered.items():
        values[name] = flat(name, support, 2)
        prior = law(jnp.asarray(centres), 1.0).log_prob(values[name])
        numpyro.factor(f"prior of {name}", prior.sum())
    densities = emissions(**values)
    log_theta = jnp.log(jnp.stack(thetas))

    def step(gamma: jax.Array, density: jax.Array) -> tuple[jax.Array, None]:
        moved = jax.nn.logsumexp(gamma[:, None] + log_theta, axis=0)
        return moved + density, None

    last, _ = jax.lax.scan(step, densities[0], densities[1:])
    numpyro.factor("forward", jax.nn.logsumexp(last))


def hmm_example(y: jax.Array) -> None:
    emissions = lambda mu: dist.Normal(mu, 1.0).log_prob(y[:, None])
    support = constraints.positive_ordered_vector
    hidden_markov(
        {"mu": (support, dist.Normal, [3.0, 10.0])}, jnp.ones((2, 2)), emissions
    )


def hmm_drive(
    u: jax.Array, v: jax.Array, alpha: jax.Array, tau: float, rho: float
) -> None:
    """Of exponential laws where there are no standard deviations."""

    def emissions(**values: jax.Array) -> jax.Array:
        phi, rate = values["phi"], values["lambda"]
        normal = lambda: (dist.Normal(phi, tau), dist.Normal(rate, rho))
        laws = normal() if tau else (dist.Exponential(phi), dist.Exponential(rate))
        return laws[0].log_prob(u[:, None]) + laws[1].log_prob(v[:, None])

    is_normal = tau > 0
    support = (
        constraints.ordered_vector if is_normal else constraints.positive_ordered_vector
    )
    prior = support, dist.Normal, [0.0, 3.0]
    hidden_markov({"phi": prior, "lambda": prior}, alpha, emissions)


def low_dim_gauss_mix(y: jax.Array) -> None:
    mu = flat("mu", constraints.ordered_vector, 2)
    numpyro.factor("prior of mu", dist.Normal(0.0, 2.0).log_prob(mu).sum())
    sigma = numpyro.sample("sigma", dist.HalfNormal(2.0).expand([2]).to_event(1))
    theta = numpyro.sample("theta", dist.Beta(5.0, 5.0))
    weights = dist.Categorical(probs=jnp.stack([theta, 1 - theta]))
    with numpyro.plate("rows", len(y)):
        numpyro.sample(
            "y", dist.MixtureSameFamily(weights, dist.Normal(mu, sigma)), obs=y
        )


def solved(
    slope: Callable[[jax.Array, jax.Array], jax.Array],
    start: jax.Array,
    times: np.ndarray,
    steps: int,
) -> jax.Array:
    """Values at times, the first of which is that of the start, by so many steps of Runge and Kutta between two."""

    def step(z: jax.Array, span: jax.Array) -> tuple[jax.Array, jax.Array]:
        t, h = span[0], (span[1] - span[0]) / steps

        def inner(i: Any, z: jax.Array) -> jax.Array:
            now = t + h * i
            k1 = slope(now, z)
            k2 = slope(now + h / 2, z + h / 2 * k1)
            k3 = slope(now + h / 2, z + h / 2 * k2)
            k4 = slope(now + h, z + h * k3)
            return z + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)

        z = jax.lax.fori_loop(0, steps, inner, z)
        return z, z

    spans = jnp.stack([jnp.asarray(times[:-1]), jnp.asarray(times[1:])], axis=1)
    return jax.lax.scan(step, start, spans.astype(start.dtype))[1]


def lotka_volterra(times: np.ndarray, first: jax.Array, y: jax.Array) -> None:
    centres, widths = jnp.array([1, 0.05, 1, 0.05]), jnp.array([0.5, 0.05, 0.5, 0.05])
    theta = numpyro.sample(
        "theta", dist.TruncatedNormal(centres, widths, low=0.0).to_event(1)
    )
    z_init = numpyro.sample(
        "z_init", dist.LogNormal(np.log(10), 1).expand([2]).to_event(1)
    )
    sigma = numpyro.sample("sigma", dist.LogNormal(-1, 1).expand([2]).to_event(1))

    def slope(_: jax.Array, z: jax.Array) -> jax.Array:
        return jnp.stack(
            [(theta[0] - theta[1] * z[1]) * z[0], (theta[3] * z[0] - theta[2]) * z[1]]
        )

    z = solved(slope, z_init, np.concatenate([[0.0], times]), 20)
    numpyro.sample("y_init", dist.LogNormal(jnp.log(z_init), sigma), obs=first)
    numpyro.sample("y", dist.LogNormal(jnp.log(z), sigma), obs=y)


def one_comp_mm_elim_abs(
    times: np.ndarray, y: jax.Array, dose: float, volume: float
) -> None:
    k_a, k_m, v_m, sigma = (
        numpyro.sample(name, dist.HalfCauchy(1.0))
        for name in ("k_a", "K_m", "V_m", "sigma")
    )

    def slope(t: jax.Array, c: jax.Array) -> jax.Array:
        return jnp.exp(-k_a * t) * dose * k_a / volume - v_m / volume * c / (k_m + c)

    c = solved(slope, jnp.zeros_like(k_a), times, 20)
    numpyro.sample("C_hat", dist.LogNormal(jnp.log(c), sigma), obs=y)


def model(name: str, data: Data) -> tuple[Model, tuple[Any, ...]]:
    """Return the model of this name in posteriordb, and its arguments from the data of a posterior."""
    d = {key: np.asarray(value) for key, value in data.items()}
    if name in REGRESSIONS:
        response, columns, prior = REGRESSIONS[name]
        X = np.stack([np.ones(len(response(d))), *(c(d) for c in columns)], axis=1)
        return (lambda X, y: regression(X, y, prior)), _arrays(X, response(d))
    is_centred = name == "eight_schools_centered"
    makers: dict[str, Callable[[], tuple[Model, tuple[Any, ...]]]] = {
        "blr": lambda: (blr, _arrays(d["X"], d["y"])),
        "diamonds": lambda: (
            diamonds,
            _arrays((d["X"] - d["X"].mean(axis=0))[:, 1:], d["Y"]),
        ),
        "kilpisjarvi": lambda: (
            kilpisjarvi,
            (
                *_arrays(d["x"], d["y"]),
                (float(d["pmualpha"]), float(d["psalpha"])),
                (float(d["pmubeta"]), float(d["psbeta"])),
            ),
        ),
        "arK": lambda: (
            ar,
            _arrays(
                np.stack(
                    [d["y"][5 - k : -k] for k in range(1, int(d["K"]) + 1)], axis=1
                ),
                d["y"][5:],
            ),
        ),
        "arma11": lambda: (arma, _arrays(d["y"])),
        "garch11": lambda: (garch, (*_arrays(d["y"]), float(d["sigma1"]))),
        "gp_pois_regr": lambda: (gp_pois_regr, _arrays(d["x"], d["k"])),
        "gp_regr": lambda: (gp_regr, _arrays(d["x"], d["y"])),
        "hmm_example": lambda: (hmm_example, _arrays(d["y"])),
        "low_dim_gauss_mix": lambda: (low_dim_gauss_mix, _arrays(d["y"])),
        "lotka_volterra": lambda: (
            lotka_volterra,
            (d["ts"], *_arrays(d["y_init"], d["y"])),
        ),
        "one_comp_mm_elim_abs": lambda: (
            one_comp_mm_elim_abs,
            (
                np.concatenate([[float(d["t0"])], d["times"]]),
                *_arrays(d["C_hat"]),
                float(d["D"]),
                float(d["V"]),
            ),
        ),
    }
    if name in makers:
        return makers[name]()
    if name.startswith("eight_schools"):
        centred = lambda y, sigma: schools(y, sigma, is_centred)
        return centred, _arrays(d["y"], d["sigma"])
    deviations = float(d.get("tau", 0)), float(d.get("rho", 0))
    return hmm_drive, (*_arrays(d["u"], d["v"], d["alpha"]), *deviations)


def _arrays(*arrays: np.ndarray) -> tuple[jax.Array, ...]:
    return tuple(jnp.asarray(array, jnp.result_type(float)) for array in arrays)
