"""Two-phase training of ReLU networks against everything linear: a teacher of ReLUs, learned from noisy data.

Akiyama and Suzuki (ICLR 2023): y = f*(x) + noise with f* a network of m ReLUs, x uniform on the sphere of R^d. No
estimator that is linear in y gets below n^-(d+2)/(2d+2), whatever the kernel; two-phase noisy gradient descent reaches
the order 1 / n. Here m = 5, signs + + + - -, noise 0.1, a student of five neurons:

excess        E (f - f*)^2 of the network and of five linear estimators at d = 10 and 20, and slopes over n >= 512
along         training loss and excess risk through both phases, and the neurons on their way
ablation      how many restarts succeed without phase I, without its noise, with other temperatures
published     the paper's own run, d = m = 50, n = 1000, and longer steps in phase II

What is compared is in `rates`, what is watched in `trajectories`.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from langevax.studies.study import Config, Study
from langevax.studies.teacher_student import rates, trajectories
from langevax.studies.teacher_student.figure import draw
from langevax.studies.teacher_student.motion import move
from langevax.studies.teacher_student.verdict import judge
from langevax.teacher_student import Converge, Explore

if TYPE_CHECKING:
    import xarray


class Plan(NamedTuple):
    """What a size of the study measures, and what it asks for."""

    num_neurons: int
    sizes: dict[int, tuple[int, ...]]
    """Of each dimension."""
    seeds: int
    linear_seeds: int
    widths: tuple[int, ...]
    """Numbers of random features to choose from."""
    tests: int
    """Inputs at which nearest neighbours are tested."""
    restarts: int
    explore: Explore
    converge: Converge
    watched: int
    """n of the trajectory and of the ablation."""
    ablation_draws: int
    ablation_restarts: int
    published: tuple[int, int]
    """m = d, and n."""
    published_seeds: int
    long: Converge
    aims: dict[str, float]


FULL = Plan(
    5, {10: (128, 256, 512, 1024, 2048, 4096), 20: (128, 256, 512, 1024, 2048)}, 8, 3,
    (512, 2048), 20_000, 6, Explore(), Converge(), 1024, 2, 32, (50, 1000), 3, Converge(0.5, 4000),
    {"aim_level": 1.5, "aim_separation": 10.0, "aim_slope": -0.85, "aim_linear_slope": -0.5, "aim_from": 2048,
     "slope_from": 512},
)  # fmt: skip
SMALL = Plan(
    3, {6: (64, 256)}, 3, 2, (32, 128), 4000, 4, Explore(num_steps=1000), Converge(num_steps=1500), 256, 4, 4, (6, 100),
    2, Converge(0.5, 1000),
    {"aim_level": 2.0, "aim_separation": 3.0, "aim_slope": -0.85, "aim_linear_slope": -0.85, "aim_from": 256,
     "slope_from": 64},
)  # fmt: skip


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """Excess risks, a trajectory, the ablation, and the published setting."""
    import xarray
    from tqdm import tqdm

    size, seed = config.size, config.seed
    plan, root = {"full": FULL, "small": SMALL}[size], jax.random.key(seed)
    cells = sum(len(sizes) for sizes in plan.sizes.values())
    total = cells * (plan.seeds + plan.linear_seeds) + 1 + plan.ablation_draws + 2 * plan.published_seeds
    bar = tqdm(total=total, desc="teacher-student", disable=None if progress is None else not progress)
    variables = _rates(plan, root, bar)
    variables |= _along(plan, jax.random.fold_in(root, 1), bar)
    variables |= _ablation(plan, jax.random.fold_in(root, 2), bar)
    variables |= _published(plan, jax.random.fold_in(root, 3), bar)
    bar.close()
    coordinates = {
        "estimator": list(rates.METHODS), "dim": ("dim", list(plan.sizes), {"units": "inputs"}),
        "rows": ("rows", list(max(plan.sizes.values(), key=len)), {"units": "rows"}),
        "variant": list(trajectories.VARIANTS), "second_phase": ["as published", "longer steps"],
    }  # fmt: skip
    attributes = {"seed": seed, "noise": rates.NOISE, "num_neurons": plan.num_neurons, "restarts": plan.restarts}
    attributes |= {"bandwidths": list(rates.BANDWIDTHS), "features": list(plan.widths)}
    attributes |= {"watched": plan.watched, "published_size": plan.published[1], "published_dim": plan.published[0]}
    return xarray.Dataset(variables, coordinates, attributes | plan.aims)


def _rates(plan: Plan, root: Any, bar: Any) -> dict[str, Any]:
    sizes = max(plan.sizes.values(), key=len)
    shape = len(rates.METHODS), len(plan.sizes), len(sizes), plan.seeds
    excess, edge, tuned = np.full(shape, np.nan), np.zeros(shape), np.full(shape, np.nan)
    test_error, shares = np.zeros(shape), np.full((2, *shape[1:]), np.nan)
    for i, (dim, own) in enumerate(plan.sizes.items()):
        tests = rates.draw_data(plan.num_neurons, dim, plan.tests, jax.random.fold_in(root, 10 + dim), noise=0.0)
        for j, size in enumerate(own):
            for s in range(plan.seeds):
                keys = jax.random.split(jax.random.fold_in(jax.random.fold_in(root, 1000 * dim + s), size), 3)
                drawn = rates.draw_data(plan.num_neurons, dim, size, keys[0])
                net = rates.trained(drawn, keys[1], plan.restarts, plan.explore, plan.converge)
                excess[0, i, j, s] = net.excess
                shares[:, i, j, s] = net.succeeded.mean(), net.right_signs.mean()
                bar.update()
                if s < plan.linear_seeds:
                    found = rates.competitors(drawn, tests, plan.widths, keys[2])
                    for k, name in enumerate(rates.METHODS[1:], start=1):
                        excess[k, i, j, s], test_error[k, i, j, s], edge[k, i, j, s], tuned[k, i, j, s] = found[name]
                    bar.update()
    count = np.sum(np.isfinite(excess), axis=-1)
    spread = np.sqrt(np.nansum((excess - _mean(excess)[..., None]) ** 2, -1) / np.maximum(count - 1, 1))
    error = np.hypot(spread / np.sqrt(np.maximum(count, 1)), test_error.max(axis=-1))
    of, risk = ("estimator", "dim", "rows"), {"units": "E (f - f*)^2"}
    return {
        "excess": ((*of, "draw"), excess, risk), "mean_excess": (of, _mean(excess), risk),
        "mean_excess_error": (of, np.where(count > 0, error, np.nan), risk),
        "on_edge": ((*of, "draw"), edge, {"units": "whether"}),
        "tuned": ((*of, "draw"), tuned, {"units": "bandwidth, features, or neighbours"}),
        "succeeded": (("dim", "rows", "draw"), shares[0], {"units": "share of restarts"}),
        "right_signs": (("dim", "rows", "draw"), shares[1], {"units": "share of restarts"}),
    }  # fmt: skip


def _mean(excess: np.ndarray) -> np.ndarray:
    known = np.isfinite(excess)
    return np.where(known.any(-1), np.where(known, excess, 0).sum(-1) / np.maximum(known.sum(-1), 1), np.nan)


def _along(plan: Plan, key: Any, bar: Any) -> dict[str, Any]:
    data_key, run_key = jax.random.split(key)
    drawn = rates.draw_data(plan.num_neurons, next(iter(plan.sizes)), plan.watched, data_key)
    found = trajectories.along(drawn, run_key, plan.explore, plan.converge, plan.restarts)
    bar.update()
    of = ("restart", "look")
    return {
        "along_step": ("look", found["step"], {"units": "steps"}), "switch": ((), found["switch"], {"units": "steps"}),
        "along_loss": (of, found["loss"], {"units": "loss"}),
        "along_excess": (of, found["excess"], {"units": "E (f - f*)^2"}),
        "place": (("look", "neuron", "axis"), found["place"], {"units": "teacher's lengths"}),
        "sign": (("look", "neuron"), found["sign"], {"units": "sign"}),
        "best": ((), found["best"], {"units": "restart"}),
    }  # fmt: skip


def _ablation(plan: Plan, key: Any, bar: Any) -> dict[str, Any]:
    counts = np.zeros((len(trajectories.VARIANTS), 3))
    for s in range(plan.ablation_draws):
        data_key, run_key = jax.random.split(jax.random.fold_in(key, s))
        drawn = rates.draw_data(plan.num_neurons, next(iter(plan.sizes)), plan.watched, data_key)
        counts += trajectories.ablation(drawn, run_key, plan.ablation_restarts, plan.explore, plan.converge)
        bar.update()
    runs = plan.ablation_draws * plan.ablation_restarts
    share, unit = counts / runs, {"units": "share of restarts"}
    error = np.sqrt((counts + 1) * (runs - counts + 1) / (runs + 2) ** 2 / (runs + 3))  # of the posterior: never 0
    return {
        "success": ("variant", share[:, 0], unit), "success_error": ("variant", error[:, 0], unit),
        "signs": ("variant", share[:, 1], unit), "signs_error": ("variant", error[:, 1], unit),
        "both": ("variant", share[:, 2], unit), "runs": ((), runs, {"units": "restarts"}),
    }  # fmt: skip


def _published(plan: Plan, key: Any, bar: Any) -> dict[str, Any]:
    found, width = [], plan.published[0]
    for second in (trajectories.PAPER["converge"], plan.long):
        runs = []
        for s in range(plan.published_seeds):
            runs.append(trajectories.published(width, plan.published[1], jax.random.fold_in(key, s), second))
            bar.update()
        found.append(runs)
    longest = max(len(runs[0]["step"]) for runs in found)

    def filled(values: np.ndarray) -> np.ndarray:
        return np.append(np.asarray(values, float), np.full(longest - len(values), np.nan))

    of, steps = ("second_phase", "published_draw", "published_look"), [filled(runs[0]["step"]) for runs in found]
    return {
        "published_step": (("second_phase", "published_look"), steps, {"units": "steps"}),
        "published_loss": (of, [[filled(r["loss"]) for r in runs] for runs in found], {"units": "loss"}),
        "published_excess": (of, [[filled(r["excess"]) for r in runs] for runs in found], {"units": "E (f - f*)^2"}),
        "published_zero": ((), found[0][0]["zero"], {"units": "E f*^2"}),
        "published_switch": ((), trajectories.PAPER["explore"].num_steps, {"units": "steps"}),
    }  # fmt: skip


STUDY = Study(
    name="teacher-student",
    part="algorithm",
    brief="A risk of order 1/n, where linear estimators are stuck.",
    claim="Two-phase noisy gradient descent learns a teacher of m ReLU neurons on d inputs from n rows of noise v to "
    "an excess risk of order 1 / n, near m d v^2 / n, where kernel ridge, random features and nearest neighbours, all "
    "linear in y, are stuck above n^-(d+2)/(2d+2).",
    formula=r"E \, (\hat{f} - f^*)^2 = O(m^5 \log n / n), "
    r"\qquad \text{linear in } y: \ \Omega(n^{-(d + 2) / (2 d + 2)})",
    source="Akiyama, Suzuki, ICLR 2023, Theorems 4.1 and 4.5, Algorithm 1",
    measure=measure,
    draw=draw,
    judge=judge,
    see="Above: the network's points on the line m d v^2 / n, the linear estimators, in grey, far above; right, how "
    "losses fall through both phases, bold those of the restart chosen. Below: five neurons on their way to the "
    "teacher's, how often a restart succeeds with phase I taken apart, beside how often it finds the right signs, and "
    "the paper's own setting, where m d > n and no training loss helps.",
    move=move,
)
