"""A posterior with two modes: variance reduction spreads chains as it should, and no chain crosses.

The experiment of Kinoshita and Suzuki (NeurIPS 2022) on the mixture of Welling and Teh (ICML 2011):

    theta1 ~ N(0, 10),  theta2 ~ N(0, 1),  x_i ~ 1/2 N(theta1, 2) + 1/2 N(theta1 + theta2, 2)     (variances)

with n = 10^4 observations at theta = (0, 1). The paper samples exp(-sum_i ...) at eta = 1e-5. Here the potential is a
mean and the temperature 1/n, and the same chain has step_size = eta n = 0.1: step times gradient is eta n times the
mean, and the noise is sqrt(2 eta n / n) = sqrt(2 eta). The paper compares with MALA from the same start; here the
reference is the posterior itself, by quadrature, one mode at a time.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from langevax import gradients
from langevax.figures.theme import INK, LIGHT, METHODS, style
from langevax.langevin import Langevin
from langevax.metropolis import MALA
from langevax.problems.posterior import posterior
from langevax.run import simulate
from langevax.studies.study import Config, Study, Verdict

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

TRUTH = np.array([0.0, 1.0])
PRIOR_VARIANCES, VARIANCE = np.array([10.0, 1.0]), 2.0
STEP_SIZE = 0.1  # eta n, with the paper's eta = 1e-5 at its n = 10^4
MALA_STEP_SIZE = 1.0  # eta n, with the paper's 1e-4
SIZES: dict[str, dict[str, int]] = {  # n stays: at n = 1000 the barrier is low, and chains cross
    "full": {"n": 10_000, "batch": 100, "chains": 512, "epochs": 60, "mala_steps": 300},
    "small": {"n": 10_000, "batch": 100, "chains": 64, "epochs": 36, "mala_steps": 48},
}
PERIOD, RECORDS = 100, 12
STARTS = {"N(0, I)": (0.0, 0.0), "N((0, 1), I)": (0.0, 1.0)}  # the paper's, and one that leans to a mode
GRID, REACH = 81, 7.0  # points a side, and standard deviations to either side
TOLERANCE, SIGMAS = 0.1, 3.0  # an index is 1 within both together: discretisation at this step is 0.015 of it
LATE, ARRIVED = 3, 40.0  # records that are judged; half the squared distance within a mode: 9 sd (the ridge: 90)


def log_likelihood(theta: Any, x: Any) -> Any:
    """Of one observation, up to a constant."""
    return jnp.logaddexp(-((x - theta[0]) ** 2) / (2 * VARIANCE), -((x - theta[0] - theta[1]) ** 2) / (2 * VARIANCE))


def observations(n: int, seed: int) -> np.ndarray:
    """n draws at the truth."""
    random = np.random.default_rng(seed)
    return TRUTH[0] + TRUTH[1] * (random.random(n) < 0.5) + np.sqrt(VARIANCE) * random.normal(size=n)


def log_posterior(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """At each of `theta` (..., 2), in float64 and up to a constant."""
    flat = theta.reshape(-1, 2)
    values = -(flat**2 / (2 * PRIOR_VARIANCES)).sum(-1)
    for i, (a, b) in enumerate(flat):
        first, second = (x - a) ** 2 / (2 * VARIANCE), (x - a - b) ** 2 / (2 * VARIANCE)
        low = np.minimum(first, second)
        values[i] += (np.log1p(np.exp(-np.abs(first - second))) - low).sum()
    return values.reshape(theta.shape[:-1])


def exact(x: np.ndarray) -> dict[str, np.ndarray]:
    """Weight, mean and covariance of either mode (theta2 > 0 first), and the density on a grid about it.

    The grid follows the Hessian at the mode's top; the trapezium rule on a law that has died away at the grid's edge
    is exact to rounding. theta2 = 0 parts the modes: it is the axis of the likelihood's symmetry.
    """
    from scipy.optimize import minimize

    ticks = np.linspace(-REACH, REACH, GRID)
    whitened = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1)
    points, logs, cells = [], [], []
    for start in (TRUTH, np.array([TRUTH.sum(), -TRUTH[1]])):
        top = minimize(lambda t: -log_posterior(t, x) / len(x), start, method="Nelder-Mead", options={"xatol": 1e-8})
        step = 3e-3
        moves = step * np.array([[1, 1], [1, -1], [-1, 1], [-1, -1], [1, 0], [-1, 0], [0, 1], [0, -1], [0, 0]])
        pp, pm, mp, mm, right, left, up, down, middle = log_posterior(top.x + moves, x)
        cross = (pp - pm - mp + mm) / 4
        hessian = -np.array([[right + left - 2 * middle, cross], [cross, up + down - 2 * middle]]) / step**2
        root = np.linalg.cholesky(np.linalg.inv(hessian))
        points.append(top.x + whitened @ root.T)
        logs.append(log_posterior(points[-1], x))
        cells.append(np.linalg.det(root))
    theta, height = np.stack(points), np.stack(logs)
    density = np.exp(height - height.max())
    mine = np.sign(theta[..., 1]) == np.array([1, -1])[:, None, None]
    mass = density * mine * np.array(cells)[:, None, None]
    weight = mass.sum((1, 2))
    share = mass / weight[:, None, None]
    mean = np.einsum("muv,muvi->mi", share, theta)
    centred = theta - mean[:, None, None]
    covariance = np.einsum("muv,muvi,muvj->mij", share, centred, centred)
    heights = density / density.max((1, 2), keepdims=True)
    return {"weight": weight / weight.sum(), "mean": mean, "covariance": covariance, "density": heights, "theta": theta}


def distances(positions: np.ndarray, law: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The mode each position is in, and half its squared distance from that mode's mean in units of its covariance."""
    mode = (positions[..., 1] < 0).astype(int)
    away = positions - law["mean"][mode]
    return mode, np.einsum("...i,...ij,...j->...", away, np.linalg.inv(law["covariance"])[mode], away) / 2


def spread(data: "xarray.Dataset", name: str, looks: slice) -> tuple[np.ndarray, np.ndarray, int]:
    """Per mode the spread index over some records, its standard error over chains, and the chains left out.

    The index is tr(exact covariance^-1 second moment about the exact mean) / 2: 1 for exact draws, else the mean ratio
    of variances over the two principal directions. A few chains are still on the ridge between the modes when a run
    ends; they are in neither and are left out, unless they are many.
    """
    ratio, mode = data["ratio"].sel(sampler=name).values, data["mode_of"].sel(sampler=name).values[:, -1]
    arrived = np.all(ratio[:, -LATE:] < ARRIVED, axis=1)
    if arrived.mean() < 0.9:
        arrived = np.ones(len(ratio), bool)
    each = [ratio[arrived & (mode == m), looks].mean(1) for m in range(2)]
    errors = [r.std(ddof=1) / np.sqrt(len(r)) for r in each]
    return np.array([r.mean() for r in each]), np.array(errors), int((~arrived).sum())


def measure(config: Config, progress: bool | None = None) -> "xarray.Dataset":
    """Four methods at one step size and budget of component gradients, from N(0, I); two of them, MALA one, leaning."""
    import xarray

    size, seed = config.size, config.seed
    n, batch, chains, epochs, mala_steps = SIZES[size].values()
    x = observations(n, seed)
    law = exact(x)
    rows, precision = jnp.asarray(x, jnp.float32), jnp.asarray(1 / PRIOR_VARIANCES, jnp.float32)
    problem, temperature = posterior(None, log_likelihood, rows, prior_precision=precision)
    cost = n + 2 * batch * (PERIOD - 1)  # of an epoch
    estimators = {
        "LD": (gradients.Full(), epochs * cost // n),
        "SGLD": (gradients.Minibatch(batch_size=batch), epochs * cost // batch),
        "SVRG-LD": (gradients.SVRG(batch_size=batch, period=PERIOD), epochs * PERIOD),
        "SARAH-LD": (gradients.SARAH(batch_size=batch, period=PERIOD), epochs * PERIOD),
    }
    langevin = {name: Langevin(STEP_SIZE, temperature, gradient) for name, (gradient, _) in estimators.items()}

    def go(algorithm: Any, start: str, steps: int, stream: int) -> Any:
        every, centre = steps // RECORDS, jnp.asarray(STARTS[start], jnp.float32)

        def drawn(key: Any) -> Any:
            return centre + jax.random.normal(key, (2,), jnp.float32)

        grid = {"num_steps": every * RECORDS, "record_every": every, "num_chains": chains, "progress": progress}
        return simulate(algorithm, problem, drawn, key=jax.random.fold_in(jax.random.key(seed), stream), **grid)

    (home, leaning), mala = STARTS, MALA(MALA_STEP_SIZE, temperature)
    runs = {name: go(langevin[name], home, steps, i) for i, (name, (_, steps)) in enumerate(estimators.items())}
    used = np.stack([np.asarray(run.trace.info["evaluations"])[0] for run in runs.values()])
    positions = np.stack([np.asarray(run.positions, np.float64) for run in runs.values()])
    mode, ratio = distances(positions, law)
    others = {("SVRG-LD", home): runs["SVRG-LD"], ("MALA", home): go(mala, home, mala_steps, 4)}
    others["SVRG-LD", leaning] = go(langevin["SVRG-LD"], leaning, epochs * PERIOD // 3, 5)
    others["MALA", leaning] = go(mala, leaning, mala_steps, 6)
    compared = ["SVRG-LD", "MALA"]
    share = [[(np.asarray(others[a, b].position)[:, 1] > 0).mean() for b in STARTS] for a in compared]
    theta, count, one = {"units": "1 (location)"}, {"units": "component gradients per chain"}, {"units": "1"}
    return xarray.Dataset(
        {
            "gradients": (("sampler", "record"), used.astype(float), count),
            "ratio": (("sampler", "chain", "record"), ratio, one | {"long_name": "half the squared distance"}),
            "mode_of": (("sampler", "chain", "record"), mode, one | {"long_name": "0 where theta2 > 0, else 1"}),
            "end": (("sampler", "chain", "coordinate"), positions[:, :, -1], theta),
            "share": (("compared", "start"), np.array(share), one | {"long_name": "share of chains with theta2 > 0"}),
            "exact_weight": (("mode",), law["weight"], one),
            "exact_mean": (("mode", "coordinate"), law["mean"], theta),
            "exact_covariance": (("mode", "coordinate", "other"), law["covariance"], {"units": "1 (location squared)"}),
            "density": (("mode", "u", "v"), law["density"], {"units": "1 (of the mode's top)"}),
            "theta": (("mode", "u", "v", "coordinate"), law["theta"], theta),
        },
        coords={"sampler": list(runs), "compared": compared, "start": list(STARTS)}
        | {"mode": ["theta2 > 0", "theta2 < 0"], "coordinate": ["theta1", "theta2"]},
        attrs={"n": n, "batch_size": batch, "period": PERIOD, "chains": chains, "step_size": STEP_SIZE, "seed": seed}
        | {"eta_of_the_paper": STEP_SIZE / n, "temperature": temperature, "epochs": epochs, "size": size},
    )


def draw(data: "xarray.Dataset") -> "Figure":
    """Chains on the exact density, mode by mode; the spread index along the run; where chains ended by their start."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(style()):  # type: ignore[arg-type]
        figure = Figure(figsize=(10.5, 6.2))
        grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.25), height_ratios=(1.55, 1))
        cells = grid[:, 0].subgridspec(2, 1)  # one for both: layouts of two would overlap
        for mode in range(2):
            _draw_mode(figure.add_subplot(cells[mode]), data, mode)
        _draw_index(figure.add_subplot(grid[0, 1]), data)
        _draw_share(figure.add_subplot(grid[1, 1]), data)
    return figure


def _draw_mode(axes: Any, data: "xarray.Dataset", mode: int) -> None:
    theta, density = data["theta"].values[mode], data["density"].values[mode]
    for name in ("SGLD", "SVRG-LD"):
        mine = data["end"].sel(sampler=name).values[data["mode_of"].sel(sampler=name)[:, -1] == mode]
        axes.plot(*mine.T, METHODS[name][1], color=METHODS[name][0], markersize=3, alpha=0.6, markeredgewidth=0)
    axes.contour(theta[..., 0], theta[..., 1], density, np.exp([-4.5, -2.0, -0.5]), colors=INK, linewidths=1.0)
    (a, b), weight = data["exact_mean"].values[mode], float(data["exact_weight"][mode])
    da, db = 4.6 * np.sqrt(np.diag(data["exact_covariance"].values[mode]))
    axes.locator_params(axis="x", nbins=5)
    axes.set(xlim=(a - da, a + da), ylim=(b - db, b + db), xlabel="$\\theta_1$, first location")
    axes.set(ylabel="$\\theta_2$, shift of the second", title=f"Mode {mode + 1}, exact weight {weight:.3f}")
    if mode == 0:
        for k, (name, mark) in enumerate({"SGLD": "▲", "SVRG-LD": "●"}.items()):
            right = {"transform": axes.transAxes, "ha": "right", "va": "top"}
            axes.text(0.98, 0.95 - 0.11 * k, f"{mark} {name}", color=METHODS[name][0], **right)
        axes.text(0.02, 0.04, "lines: exact, 1, 2, 3 sd", transform=axes.transAxes)


def _draw_index(axes: Any, data: "xarray.Dataset") -> None:
    labels = {"SVRG-LD": -9, "SARAH-LD": 9}
    for name in data["sampler"].values:
        colour, marker = METHODS[str(name)]
        x = data["gradients"].sel(sampler=name).values / 1e6
        index, error, _ = zip(*(spread(data, name, slice(k, k + 1)) for k in range(len(x))), strict=True)
        faces, looks = (colour, LIGHT["paper"]), {"color": colour, "fmt": marker + ":", "linewidth": 0.9}
        for shift, face, y, bars in zip((0.988, 1.012), faces, np.transpose(index), np.transpose(error), strict=True):
            axes.errorbar(x * shift, y, bars, markerfacecolor=face, **looks)
        place = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(name, (x[-1], index[-1].mean()), (12, labels.get(str(name), 0)), color=colour, **place)
    axes.axhline(1, color=INK)
    axes.set(yscale="log", ylim=(0.6, None), ylabel="spread index, chain / exact")
    title = "Filled: mode 1, hollow: mode 2; bars: standard error"
    axes.set(xlabel="component gradients per chain (millions)", title=title)


def _draw_share(axes: Any, data: "xarray.Dataset") -> None:
    exact_weight = float(data["exact_weight"][0])
    for row, start in enumerate(data["start"].values):
        for name, shift in (("SVRG-LD", -0.13), ("MALA", 0.13)):
            p = float(data["share"].sel(compared=name, start=start))
            colour, marker = METHODS[name]
            axes.errorbar(p, row + shift, xerr=np.sqrt(p * (1 - p) / data.attrs["chains"]), fmt=marker, color=colour)
            axes.annotate(name, (p, row + shift), (22, 0), textcoords="offset points", color=colour, va="center")
    axes.axvline(exact_weight, color=INK)
    axes.annotate(f"exact {exact_weight:.3f}", (exact_weight, 0.5), (5, 0), textcoords="offset points", va="center")
    axes.set(yticks=range(data.sizes["start"]), yticklabels=[f"from {s}" for s in data["start"].values])
    axes.set(ylim=(1.5, -0.5), xlim=(0.4, 1.0), xlabel="share of chains that end in mode 1")
    axes.set(ylabel="start", title="No chain crosses: the start decides the share, for MALA too")


def judge(data: "xarray.Dataset") -> Verdict:
    """SVRG-LD and SARAH-LD at 1 in both modes, SGLD far above it, and no chain that crossed."""
    index, error, out, chains = {}, {}, {}, data.attrs["chains"]
    for name in (str(name) for name in data["sampler"].values):
        index[name], error[name], out[name] = spread(data, name, slice(-LATE, None))

    def right(name: str) -> bool:
        return bool(np.all(np.abs(index[name] - 1) < TOLERANCE + SIGMAS * error[name])) and out[name] < 0.05 * chains

    wide = index["SGLD"].mean() - SIGMAS * np.linalg.norm(error["SGLD"]) / 2 > 1.5
    inside, mode = data["ratio"].values < ARRIVED, data["mode_of"].values
    crossed = int((inside & inside[..., -1:] & (mode != mode[..., -1:])).any(-1).sum())
    share, weight = data["share"].values, float(data["exact_weight"][0])
    share_error = np.sqrt(share * (1 - share) / chains)
    held = bool(right("SVRG-LD") and right("SARAH-LD") and wide and crossed == 0)

    def told(values: np.ndarray, errors: np.ndarray, digits: int) -> str:
        return " and ".join(f"{v:.{digits}f} ± {e:.{digits}f}" for v, e in zip(values, errors, strict=True))

    wanted, used = ("SVRG-LD", "SARAH-LD", "SGLD"), data["gradients"].values[-1, -1]
    found = ", ".join(f"{name} {told(index[name], error[name], 2)} ({out[name]} left out)" for name in wanted)
    ends = [told(*pair, 3) for pair in zip(share, share_error, strict=True)]
    sentence = (
        f"After {used:.3g} component gradients the spread index of the two modes is {found}; exact is 1, and "
        f"chains still on the ridge, of {chains}, are left out. LD, with few steps for so many gradients, is at "
        f"{index['LD'].mean():.2g}. {crossed or 'No'} chain{'s' * (crossed > 1)} crossed between the modes: from a "
        f"centred and a leaning start SVRG-LD has {ends[0]} of its chains in the mode of exact weight {weight:.3f}, "
        f"MALA {ends[1]}."
    )
    numbers = {"crossed": float(crossed), "exact_weight": weight}
    for i, j in np.ndindex(2, 2):
        which = f"{data['compared'].values[i]}_{('centred', 'leaning')[j]}"
        numbers |= {f"{which}_share": float(share[i, j]), f"{which}_share_error": float(share_error[i, j])}
        for name in index:
            numbers |= {f"{name}_index_{j + 1}": float(index[name][j]), f"{name}_error_{j + 1}": float(error[name][j])}
    return Verdict((), sentence, numbers, decided=bool(held))


STUDY = Study(
    name="mixture",
    part="gradient",
    claim="Where SGLD is several times too wide, SVRG-LD and SARAH-LD sample each mode of a mixture's posterior with "
    "its exact spread after 60 epochs, at the same step; no method of these moves chains between the modes.",
    formula=r"\theta \leftarrow \theta - \eta v + \sqrt{2 \eta T}\, \xi, "
    r"\qquad v = \nabla f_B(\theta) - \nabla f_B(\tilde\theta) + \nabla f(\tilde\theta)",
    source="Kinoshita and Suzuki, NeurIPS 2022, the experiment on the mixture of Welling and Teh (ICML 2011); the "
    "reference by quadrature and the count of crossings are ours.",
    measure=measure,
    draw=draw,
    judge=judge,
    see="Left: ends of chains on the exact density of either mode; SGLD's lie far outside. Right: the spread index "
    "falls to 1 for SVRG-LD and SARAH-LD and stays above 2 for SGLD. Below: the share of chains in mode 1 hangs on the "
    "start; SVRG-LD and MALA from one start agree, so that MALA as a reference hides the error.",
)
