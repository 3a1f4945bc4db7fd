"""The dual gap against gradients and outer iterations: MFLD, SVRG-MFLD, PDA, P-SDCA and fictitious play.

D* - D(g) of the dual vector g that a method ends with is what it is worth: D(g) <= min P, and the squared distance of g
to the optimum is at most 2 n / gamma times it. Dual averaging promises O(1/T) in T outer iterations (Nitanda, Wu,
Suzuki, NeurIPS 2021), coordinate ascent E[D* - D(g)] <= (1 - 1/kappa)^t (D* - D(0)), kappa = n + B^2 / (T gamma) with
T the temperature (Oko, Suzuki, Nitanda, Wu, ICLR 2022).

In the plane (one input and a bias, n = 20) D and D* are quadrature, exact in float64, and so are the laws without
particles: exact inner loops that read the very rows which the particles' runs read, so that points and lines differ
by particles and step sizes alone. In 10 dimensions and on a real table gaps are certified, by independent samplers.

The dual of MFLD, SVRG-MFLD, P-SDCA and fictitious play is averaged over the last half of the steps, since a last one
has the noise of one cloud; PDA's is an average already. For its rate P-SDCA's last dual is taken. The dual vector of
online PDA is the mean of each row's duals, which is feasible; its 1/T begins once all rows were seen, near
T = n log n = 60, so that it is fitted from 128 on.

What was found otherwise than hoped. With all rows exact PDA falls like 1/T^2, particles like T^-1.5 until their noise
and the inner steps stop them. The aim of 1e-5 after 128 outer iterations of 10 inner steps is reached with the logistic
loss and missed with the squared one, 1.5e-5: it is reported, and not among what `holds` asks for. Of that the exact law
has 2.0e-6, noise of particles 3.5e-6 (the runs' mean dual is at 1.1e-5), and the bias of the step alone would leave
2.7e-6 (what fictitious play ends with); the rest is the lag of inner loops, or the alignment of these errors, which was
not tested. Steps of 0.3 to 2 with 10 of them left 1.5e-5 to 9e-5; 20 of 0.5 left 1.1e-5, 40 of 0.25 0.8e-5 to 1.0e-5
in two measurements of error 0.14e-5; one inner step at as many gradients leaves the same 1.0e-5.

An exponent is held against -1 + 2 errors, which are large: it would notice no more than a gross failure. The sharp test
of the outer loops is that gaps are those of the exact laws on the same rows. Steps are those of rough searches on other
keys; the problem in the plane is one of four that were looked at.
"""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from langevax.meanfield import PSDCA, certify
from langevax.studies.dual_methods import runs as dual_runs
from langevax.studies.dual_methods.figure import draw
from langevax.studies.dual_methods.runs import CONVEXITY, LOSSES, PLANE_SIZE, TEMPERATURE
from langevax.studies.dual_methods.verdict import judge
from langevax.studies.study import Config, Study
from langevax.theory.mean_field import sdca_condition

if TYPE_CHECKING:
    import xarray

STEP, TABLE_STEP = 0.5, {"10-d, squared": 1.0, "breast cancer, logistic": 4.0}
PARTICLES = {"plane": 4000, "online": 500, "cloud": 2000}
"""Online PDA has the noise of its rows, beside which that of particles is small."""
PLANE_STEPS = {
    "MFLD": 800, "SVRG-MFLD": 1400, "PDA, 10 inner": 128, "PDA, 1 inner": 704, "online PDA, 10 inner": 1024,
    "online PDA, 1 inner": 1024, "P-SDCA": 600, "fictitious play": 128,
}  # fmt: skip
"""Dual averaging with one inner step and with ten has as many gradients."""
CERTIFIED = tuple(name for name in PLANE_STEPS if name != "online PDA, 1 inner")
PASSES = 800
"""Component gradients over n in the certified problems, about."""
SIZES: dict[str, dict[str, Any]] = {
    "full": {"runs": 8, "online": 1024, "checks": 4, "certified": CERTIFIED,
             "problems": (dual_runs.cloud_problem, dual_runs.table_problem)},
    "small": {"runs": 2, "online": 512, "checks": 2, "certified": ("MFLD", "P-SDCA"),
              "problems": (dual_runs.cloud_problem,)},
}  # fmt: skip
REPLICATES = 8
RECORDS = 24


def looks_of(name: str, steps: int) -> np.ndarray:
    """Steps at which gaps are taken: evenly where a straight line is one on a linear axis."""
    looks = np.linspace(1, steps, RECORDS) if name == "P-SDCA" else np.geomspace(1, steps, RECORDS)
    looks = looks.round().astype(int)
    for k in range(1, RECORDS):
        looks[k] = max(looks[k], looks[k - 1] + 1)
    return looks


def in_the_plane(loss: str, name: str, runs: int, steps: int, key: Any) -> dict[str, Any]:
    """True gaps of one method, (run, record), and those of the exact law on the same rows."""
    grid = dual_runs.plane_grid(loss)
    best = grid.dual_objective(grid.optimal_dual())

    def gap(dual: np.ndarray) -> Any:
        return best - np.apply_along_axis(grid.dual_objective, -1, dual)

    risk = dual_runs.risk_of(loss, *dual_runs.plane_rows(loss), dual_runs.PLANE_RIDGE)
    learner = dual_runs.learners(PLANE_SIZE, STEP, STEP, {name: steps})[name]
    looks, online = looks_of(name, learner.steps), name.startswith("online")
    found = dual_runs.run(learner, risk, PARTICLES["online" if online else "plane"], looks, key=key, num_chains=runs)
    exact = np.full((runs, RECORDS), np.nan)
    if "MFLD" not in name:
        by_row = online or isinstance(learner.algorithm, PSDCA)
        rows = dual_runs.rows_of(learner, risk, learner.steps, key, runs) if by_row else None
        exact[:] = gap(dual_runs.exact_duals(learner, grid, loss, rows, looks))
    return {
        "gap": gap(found.average),
        "last": gap(found.last),
        "exact": exact,
        "centre": gap(found.average[:, -1].mean(axis=0)),
        "start": gap(np.zeros(PLANE_SIZE)),
        "iterations": looks,
        "evaluations": found.evaluations,
    }


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """True gaps in the plane, certified ones elsewhere."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    runs, online, checks, certify_these, problems = SIZES[size].values()
    names = list(PLANE_STEPS)
    total = len(LOSSES) * len(names) + len(problems) * len(certify_these)
    bar = tqdm(total=total, desc="dual-methods", disable=None if progress is None else not progress)
    rows = []
    for a, loss in enumerate(LOSSES):
        for b, name in enumerate(names):
            key = jax.random.fold_in(jax.random.key(seed), 100 * a + b)
            steps = online if name.startswith("online") else PLANE_STEPS[name]
            rows.append(in_the_plane(loss, name, runs, steps, key))
            bar.set_postfix_str(f"{name}: gap {rows[-1]['gap'][:, -1].mean():.1e}")
            bar.update()
    found = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found = {name: v.reshape(len(LOSSES), len(names), *v.shape[1:]) for name, v in found.items()}
    certified = _certified(problems, certify_these, checks, seed, bar)
    bar.close()
    share, count = {"units": "units of D"}, {"units": "component gradients"}
    per_run = ("loss", "learner", "run", "record")
    return xarray.Dataset(
        {
            "gap": (per_run, found["gap"], share | {"long_name": "D* - D at the dual a method gives"}),
            "gap_last": (per_run, found["last"], share | {"long_name": "D* - D at the last dual"}),
            "gap_exact": (
                per_run,
                found["exact"],
                share | {"long_name": "D* - D with exact inner loops, the same rows"},
            ),
            "gap_of_mean": (
                ("loss", "learner"),
                found["centre"],
                share | {"long_name": "D* - D at the runs' mean dual"},
            ),
            "gap_start": ("loss", found["start"][:, 0], share),
            "iterations": (("learner", "record"), found["iterations"][0], {"units": "outer iterations"}),
            "evaluations": (("loss", "learner", "record"), found["evaluations"], count),
            **certified,
        },
        {"loss": list(LOSSES), "learner": names, "certified_learner": list(certify_these)}
        | {"problem": [problem(seed)[1] for problem in problems]},
        {"temperature": TEMPERATURE, "seed": seed, "size": size, "runs": runs, "rows": PLANE_SIZE}
        | {f"condition_{loss}": sdca_condition(PLANE_SIZE, 1.0, TEMPERATURE, CONVEXITY[loss]) for loss in LOSSES},
    )


def _certified(problems: Any, names: Any, checks: int, seed: int, bar: Any) -> dict[str, Any]:
    """Certified gaps at a quarter of the gradients, a quarter of that, and so on."""
    shape = (len(problems), len(names), checks)
    gap, error, used, trust = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape, bool)
    for a, problem in enumerate(problems):
        risk, title = problem(seed)
        n = int(risk.size)
        budget = {"MFLD": PASSES, "SVRG-MFLD": PASSES, "PDA, 10 inner": PASSES // 11, "PDA, 1 inner": PASSES // 2}
        budget |= {"online PDA, 10 inner": PASSES // 10, "P-SDCA": PASSES // 17 * n, "fictitious play": PASSES // 11}
        methods = dual_runs.learners(n, TABLE_STEP[title], TABLE_STEP[title], {name: budget[name] for name in names})
        for b, (name, learner) in enumerate(methods.items()):
            key = jax.random.fold_in(jax.random.key(seed), 1000 + 100 * a + b)
            looks = np.maximum(1, learner.steps // 4 ** np.arange(checks)[::-1])
            found = dual_runs.run(learner, risk, PARTICLES["cloud"], looks, key=key, num_chains=None)
            used[a, b] = found.evaluations
            for c in range(checks):
                look = certify(
                    risk, found.average[0, c], TEMPERATURE, key=jax.random.fold_in(key, c), polish=0,
                    num_replicates=REPLICATES,
                )  # fmt: skip
                gap[a, b, c], error[a, b, c], trust[a, b, c] = look.gap, look.standard_error, look.trustworthy
            bar.set_postfix_str(f"{name}: certified gap {gap[a, b, -1]:.1e}")
            bar.update()
    dims = ("problem", "certified_learner", "check")
    return {
        "certified": (dims, gap, {"units": "units of P"}),
        "certified_error": (dims, error, {"units": "units of P"}),
        "certified_evaluations": (dims, used, {"units": "component gradients"}),
        "trustworthy": (dims, trust, {"units": "1"}),
    }


STUDY = Study(
    name="dual-methods",
    part="algorithm",
    brief="Dual gaps close like 1/T, or by a factor a step.",
    claim=(
        "In T outer iterations particle dual averaging closes the gap D* - D(g) of its dual g like 1 / T, and particle "
        "coordinate ascent by a factor 1 - 1 / kappa a step, kappa = n + B^2 / (temperature gamma) for n rows, down to "
        "the noise of particles."
    ),
    formula=r"D^* - D(g_T) = O\left(\frac{1}{T}\right), \qquad E[D^* - D(g_t)] \le \left(1 - \frac{1}{\kappa}\right)^t "
    r"(D^* - D(g_0))",
    source="Nitanda, Wu, Suzuki (NeurIPS 2021), Theorem on PDA; Oko, Suzuki, Nitanda, Wu (ICLR 2022), on P-SDCA",
    measure=measure,
    draw=draw,
    judge=judge,
    see=(
        "Top left: online PDA parallel to 1/T, with all rows steeper. Top middle: P-SDCA on the lines of exact laws, "
        "steeper than promised, down to its noise. Others: all methods against component gradients."
    ),
)
