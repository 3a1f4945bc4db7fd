"""Refining a function costs nothing: the semi-implicit scheme's step and mixing do not know the number of modes N.

Muzellec, Sato, Massias, Suzuki (COLT 2022): Langevin dynamics in a Hilbert space, eq. 3, whose step sizes and rates
(Propositions 8 to 11, Theorem 5) do not depend on N. They have no experiments. Here

steps       the largest stable step, and the fewest steps to W2 = 0.06 of the low 50 modes, each scheme at its best step
variances   of each mode where chains settle, target / (1 + step (a - q) / 2) for the semi-implicit scheme
bias        E |x|^2 of chains against the step size, orders (p - 1) / p for mu_k = (k + 1)^-p; 1 if exponential
cut-off     what N modes leave out of E |x|^2, order N^-1 (p = 2)
mixing      mean and autocorrelation of the loss of a problem that is not convex, equal for all N
acceptance  of one Metropolis proposal of fixed size (Cotter, Roberts, Stuart, White 2013), with its limit
draws       one chain's functions on their way, at two numbers of modes, to be looked at

Chains are those of `modes`, `functions` and `draws`, which say what the problems are; lines are exact laws. Explicit
Euler beyond N = 512 is too slow to run: there its steps are those of the exact recursion.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from langevax.studies.dimension_free import draws, functions
from langevax.studies.dimension_free import modes as gaussian
from langevax.studies.dimension_free.figure import draw
from langevax.studies.dimension_free.motion import move
from langevax.studies.dimension_free.verdict import judge
from langevax.studies.study import Config, Study
from langevax.theory import function_space as theory

if TYPE_CHECKING:
    import xarray

MODES = np.array([8, 16, 32, 64, 512, 4096, 65536])
STABILITY_MODES = {"full": (8, 64, 512, 4096), "small": (64,)}
BELOW, ABOVE = 0.95, 1.05
DISTANCE_MODES: dict[str, dict[str, tuple[int, ...]]] = {
    "full": {
        "explicit Euler": (8, 16, 32, 64, 512),
        "semi-implicit": (8, 64, 512, 4096, 65536),
        "exponential": (8, 512, 65536),
    },
    "small": {"explicit Euler": (64,), "semi-implicit": (64, 512), "exponential": (64,)},
}
DRAWS = {"full": 4e8, "small": 3e7}  # normal numbers that a measured point of W2 may take
NUM_CHAINS = {"full": 2000, "small": 1000}  # at most
VARIANCE_MODES, VARIANCE_STEP = {"full": 256, "small": 64}, 0.2
BIAS_LINE = np.geomspace(1e-5, 1.0, 21)
BIAS_STEPS = {"full": (0.3, 0.1, 0.03, 0.01), "small": (0.4, 0.1)}
BIAS_MODES, BIAS_CHAINS = {"full": 256, "small": 64}, 1000
CUTS = {"full": (2, 4, 8, 16, 32), "small": (2, 8)}
TAIL_CHAINS = {"full": 2**17, "small": 2**14}
MIXING_MODES = {"full": (16, 128, 1024, 8192), "small": (16, 256)}
MIXING_CHAINS, MIXING_STEPS = 64, {"full": 1600, "small": 800}
ACCEPTANCE_MODES = {"full": (16, 256, 4096, 32768), "small": (16, 1024)}
ACCEPTANCE_LINE = np.array([16, 32, 64, 128, 256, 512, 1024, 32768])
ACCEPTANCE_DRAWS = {"full": 2**24, "small": 2**20}


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """All six, with their exact lines, and the draws."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    root, parts = jax.random.key(seed), (_steps, _variances, _bias, _mixing, _acceptance)
    total = len(gaussian.SCHEMES) * (1 + len(STABILITY_MODES[size])) + sum(map(len, DISTANCE_MODES[size].values()))
    total += 2 + len(gaussian.BIAS_CASES) * len(BIAS_STEPS[size]) + len(CUTS[size]) + len(MIXING_MODES[size])
    total += len(functions.METHODS) * len(ACCEPTANCE_MODES[size]) + 1
    bar = tqdm(total=total, desc="dimension-free", disable=None if progress is None else not progress)
    variables: dict[str, Any] = {}
    for part, key in zip(parts, jax.random.split(root, len(parts)), strict=True):
        variables |= part(size, key, bar)
    seen, places = draws.measured(jax.random.fold_in(root, len(parts)))
    bar.update()
    bar.close()
    coordinates = {
        "scheme": list(gaussian.SCHEMES), "modes": ("modes", MODES, {"units": "modes"}),
        "stability_modes": ("stability_modes", list(STABILITY_MODES[size]), {"units": "modes"}),
        "mode": ("mode", np.arange(VARIANCE_MODES[size]), {"units": "1"}),
        "case": list(gaussian.BIAS_CASES), "line_step": ("line_step", BIAS_LINE, {"units": "time"}),
        "step": ("step", list(BIAS_STEPS[size]), {"units": "time"}),
        "cut": ("cut", list(CUTS[size]), {"units": "modes"}),
        "mixing_modes": ("mixing_modes", list(MIXING_MODES[size]), {"units": "modes"}),
        "lag": ("lag", functions.LAGS, {"units": "steps"}), "proposal": list(functions.METHODS),
        "proposal_line_modes": ("proposal_line_modes", ACCEPTANCE_LINE, {"units": "modes"}),
        "proposal_modes": ("proposal_modes", list(ACCEPTANCE_MODES[size]), {"units": "modes"}),
    }  # fmt: skip
    smoothness, top = functions.smoothness(), functions.RIDGE
    return xarray.Dataset(
        variables | seen, coordinates | places, {"seed": seed, "smoothness": smoothness, "top_precision": top}
    )


def _steps(size: str, key: Any, bar: Any) -> dict[str, Any]:
    """Stability limits and steps to a distance."""
    schemes, cap = list(gaussian.SCHEMES), NUM_CHAINS[size]
    limit, steps, step_size = (np.zeros((len(schemes), len(MODES))) for _ in range(3))
    grows = np.zeros((len(schemes), len(STABILITY_MODES[size]), 2), bool)
    names = ("w2", "w2_error", "w2_exact", "chain_steps", "chain_steps_error")
    points = np.full((len(names), len(schemes), len(MODES)), np.nan)
    for i, scheme in enumerate(schemes):
        for j, num_modes in enumerate(MODES):
            these = gaussian.modes(int(num_modes))
            limit[i, j] = theory.stability_limit(gaussian.SCHEMES[scheme][0], these.precision, these.curvature)
            steps[i, j], step_size[i, j] = gaussian.fewest_steps(scheme, int(num_modes))
        bar.update()
        for j, num_modes in enumerate(STABILITY_MODES[size]):
            here, chains = limit[i, np.searchsorted(MODES, num_modes)], cap if size == "small" else 1
            for k, factor in enumerate((BELOW, ABOVE)):
                each = jax.random.fold_in(key, 1000 * i + 10 * j + k)
                grows[i, j, k] = gaussian.diverges(scheme, num_modes, float(factor * here), chains, each)
            bar.update()
        for num_modes in DISTANCE_MODES[size][scheme]:
            j = int(np.searchsorted(MODES, num_modes))
            chains = min(cap, int(DRAWS[size] / (steps[i, j] * num_modes)))
            each = jax.random.fold_in(key, 1000 * i + 500 + j)
            run = float(step_size[i, j]), int(steps[i, j]), chains, each
            points[:, i, j] = gaussian.distance_point(scheme, num_modes, *run)
            bar.update()
    of, time, count = ("scheme", "modes"), {"units": "time"}, {"units": "steps"}
    units = dict(zip(names, [{"units": "norm of x"}] * 3 + [count] * 2, strict=True))
    return {
        "limit": (of, limit, time), "steps": (of, steps, count), "best_step": (of, step_size, time),
        "grows_below": (("scheme", "stability_modes"), grows[..., 0], {"units": "whether"}),
        "grows_above": (("scheme", "stability_modes"), grows[..., 1], {"units": "whether"}),
    } | {name: (of, points[k], units[name]) for k, name in enumerate(names)}  # fmt: skip


def _variances(size: str, key: Any, bar: Any) -> dict[str, Any]:
    """Of each mode at rest; explicit Euler is left out, as it would need another step size."""
    ratios = np.full((3, len(gaussian.SCHEMES), VARIANCE_MODES[size]), np.nan)
    for i, scheme in enumerate(gaussian.SCHEMES):
        if scheme != "explicit Euler":
            each = jax.random.fold_in(key, i)
            ratios[:, i] = gaussian.variance_ratios(scheme, VARIANCE_MODES[size], VARIANCE_STEP, NUM_CHAINS[size], each)
            bar.update()
    names = ("variance", "variance_error", "variance_exact")
    return {
        name: (("scheme", "mode"), row, {"units": "target variance"}) for name, row in zip(names, ratios, strict=True)
    }


def _bias(size: str, key: Any, bar: Any) -> dict[str, Any]:
    """Of the trace in the step size, and what is cut off."""
    lines = np.array([gaussian.bias_line(case, BIAS_LINE) for case in gaussian.BIAS_CASES])
    points = np.zeros((3, len(lines), len(BIAS_STEPS[size])))
    for i, case in enumerate(gaussian.BIAS_CASES):
        for j, step in enumerate(BIAS_STEPS[size]):
            each = jax.random.fold_in(key, 100 * i + j)
            points[:, i, j] = gaussian.bias_point(case, step, BIAS_MODES[size], BIAS_CHAINS, each)
            bar.update()
    cuts, tails = CUTS[size], []
    for j, cut in enumerate(cuts):
        tails.append(gaussian.tail_point(cut, TAIL_CHAINS[size], jax.random.fold_in(key, 1000 + j)))
        bar.update()
    # infinitely many modes: those that are given, and the integral of the others
    given = np.arange(1.0, 10**6 + 1) ** -2
    exact = [theory.galerkin_tail(given, int(n), 1.0, 1.0) + 1e-6 for n in (*MODES, *cuts)]
    orders = [theory.weak_order(2), theory.weak_order(3), theory.weak_order(5), 1.0]
    square = {"units": "norm of x, squared"}
    return {
        "bias_line": (("case", "line_step"), lines, square), "order": ("case", orders, {"units": "1"}),
        "bias": (("case", "step"), points[0], square), "bias_error": (("case", "step"), points[1], square),
        "bias_exact": (("case", "step"), points[2], square), "left_out_line": ("modes", exact[: len(MODES)], square),
        "left_out": ("cut", [t[0] for t in tails], square), "left_out_error": ("cut", [t[1] for t in tails], square),
        "left_out_exact": ("cut", exact[len(MODES) :], square),
    }  # fmt: skip


def _mixing(size: str, key: Any, bar: Any) -> dict[str, Any]:
    """Of the loss of the classification."""
    found = []
    for j, num_modes in enumerate(MIXING_MODES[size]):
        each = jax.random.fold_in(key, j)
        found.append(functions.mixing(num_modes, MIXING_CHAINS, MIXING_STEPS[size], each))
        bar.update()
    share, least = functions.bending(found[0].position)
    correlation, loss = np.array([f.correlation for f in found]), np.array([f.loss for f in found])
    of = ("mixing_modes", "lag")
    return {
        "correlation": (of, correlation[..., 0], {"units": "1"}),
        "correlation_error": (of, correlation[..., 1], {"units": "1"}),
        "loss": ("mixing_modes", loss[:, 0], {"units": "units of the loss"}),
        "loss_error": ("mixing_modes", loss[:, 1], {"units": "units of the loss"}),
        "bent_down": ((), share, {"units": "share of positions"}),
        "least_curvature": ((), least, {"units": "1 / time"}),
    }


def _acceptance(size: str, key: Any, bar: Any) -> dict[str, Any]:
    """Of one proposal; where none of n is accepted the error is 1 / n."""
    found = np.zeros((3, len(functions.METHODS), len(ACCEPTANCE_MODES[size])))
    for i, method in enumerate(functions.METHODS):
        for j, num_modes in enumerate(ACCEPTANCE_MODES[size]):
            chains = min(NUM_CHAINS[size], ACCEPTANCE_DRAWS[size] // num_modes)
            mean, error = functions.acceptance(method, num_modes, chains, jax.random.fold_in(key, 10 * i + j))
            found[:, i, j] = mean, max(error, 1 / chains), functions.exact_acceptance(method, num_modes)
            bar.update()
    moving = ("MALA", "random walk")
    lines = [
        [functions.exact_acceptance(method, int(n)) for n in ACCEPTANCE_LINE]
        if method in moving
        else np.interp(np.log(ACCEPTANCE_LINE), np.log(ACCEPTANCE_MODES[size]), found[2, i])  # flat
        for i, method in enumerate(functions.METHODS)
    ]
    names, unit = ("acceptance", "acceptance_error", "acceptance_exact"), {"units": "probability"}
    variables = {name: (("proposal", "proposal_modes"), row, unit) for name, row in zip(names, found, strict=True)}
    return variables | {"acceptance_line": (("proposal", "proposal_line_modes"), np.array(lines), unit)}


STUDY = Study(
    name="dimension-free",
    part="integrator",
    brief="The same step however many modes a function has.",
    claim=(
        "Langevin dynamics on functions, semi-implicit in the prior, may take the same step and mixes in the same "
        "number of steps however many modes N there are; explicit steps shrink like N^-2. Its bias is of order "
        "(p - 1) / p in the step for eigenvalues k^-p, that of a cut-off N^-(p - 1)."
    ),
    formula=r"x \leftarrow (I + \eta A)^{-1} (x - \eta \nabla F(x) + \sqrt{2 \eta T}\, \xi), "
    r"\qquad \eta \le \eta_0 \ \text{for all } N",
    source="Muzellec, Sato, Massias, Suzuki (COLT 2022), eq. 3, Propositions 8 to 11, Theorem 5; exact laws are ours",
    measure=measure,
    draw=draw,
    judge=judge,
    move=move,
    see=(
        "Top: explicit Euler's limit falls and its steps climb with slope 2, the others are flat; modes are colder the "
        "stiffer they are; acceptance stays for pCN and pCNL. Bottom: points on lines of the orders that are drawn; "
        "autocorrelations of all N on each other, the mean loss at one level."
    ),
)
