"""However many modes a function has, the semi-implicit scheme takes the same step and mixes as fast.

Claim: Langevin dynamics on functions, semi-implicit in the prior, may take the same step and mixes in the same number
of steps however many modes N there are; explicit steps shrink like N^-2. Its bias is of order (p - 1) / p in the step
for eigenvalues k^-p, that of a cut-off N^-(p - 1).

Formula:
    x <- (I + eta A)^-1 (x - eta grad F(x) + sqrt(2 eta T) xi),    eta <= eta_0 for all N

Source: Muzellec, Sato, Massias, Suzuki (COLT 2022), eq. 3, Propositions 8 to 11, Theorem 5; Cotter, Roberts, Stuart,
White (2013) for proposals. The paper has no experiments; exact laws are ours.

Figure: Left: explicit Euler's steps climb with slope 2, the others are flat. Right: points on lines of the orders that
are drawn.

Points are chains of `simulate`, lines exact laws (`function_targets.py`, `function_space_laws.py`). Modes k = 1, 2, ...
have precision lambda / mu_k, mu_k their variance under the prior. Of the targets `informed`, with curvatures q_k = k^-2
of the data, and `powers`, with mu_k = k^-p, are Gaussian with independent modes; two are functions learnt from data: a
classification, not convex, whose loss has the same mean and autocorrelation for all N, and a regression for one
Metropolis proposal of fixed size from its posterior. Beyond N = 512 steps of explicit Euler are those of its recursion.
"""

import jax
import numpy as np
import xarray
from jaxtyping import Array, Key
from matplotlib.axes import Axes

import function_space_laws as theory
import function_targets as targets
from claims import Check, Claim, Findings, Size, Variables, dataset, sweep, variables
from drawing import panels, points
from estimates import critical_value, exponent, mean_and_error
from function_targets import (
    GROUPS,
    LAGS,
    PRECISION,
    PROPOSALS,
    SCHEMES,
    ends,
    modes,
    power_modes,
)
from langevax.figures import theme
from langevax.run import DivergenceError

MODES = np.array([8, 16, 32, 64, 512, 4096, 65536])
STABILITY_MODES, STABILITY_CHAINS = (
    {"full": (8, 64, 512, 4096), "small": (64,)},
    {"full": 1, "small": 1000},
)
BELOW, ABOVE = 0.95, 1.05  # of a stability limit
DISTANCE_MODES: dict[Size, dict[str, tuple[int, ...]]] = {
    "full": {
        "explicit Euler": (8, 16, 32, 64, 512),
        "semi-implicit": (8, 64, 512, 4096, 65536),
        "exponential": (8, 512, 65536),
    },
    "small": {
        "explicit Euler": (64,),
        "semi-implicit": (64, 512),
        "exponential": (64,),
    },
}
DRAWS = {
    "full": 4e8,
    "small": 3e7,
}  # normal numbers that a measured point of W2 may take
NUM_CHAINS = {"full": 2000, "small": 1000}  # at most
BIAS_LINE, BIAS_STEPS = (
    np.geomspace(1e-5, 1.0, 21),
    {"full": (0.3, 0.1, 0.03, 0.01), "small": (0.4, 0.1)},
)
BIAS_MODES = {"full": 256, "small": 64}
CUTS, TAIL_CHAINS = (
    {"full": (2, 4, 8, 16, 32), "small": (2, 8)},
    {"full": 2**17, "small": 2**14},
)
MIXING_MODES = {"full": (16, 128, 1024, 8192), "small": (16, 256)}
MIXING_STEPS = {"full": 1600, "small": 800}
ACCEPTANCE_MODES = {"full": (16, 256, 4096, 32768), "small": (16, 1024)}
ACCEPTANCE_DRAWS = {"full": 2**24, "small": 2**20}

RATIO_AT, LEAST_RATIO = 4096, 1000
FLAT = 0.05  # by how much an acceptance that is flat may differ between numbers of modes, beyond its errors
LINES = ("w2", "bias", "left_out", "acceptance")  # what is measured beside exact laws
BIAS_CASES = {  # scheme, p of mu_k = k^-p, curvature, and the order of the bias in the step
    "semi-implicit, p = 2": ("semi-implicit", 2.0, 0.0, theory.weak_order(2)),
    "semi-implicit, p = 3": ("semi-implicit", 3.0, 0.0, theory.weak_order(3)),
    "semi-implicit, p = 5": ("semi-implicit", 5.0, 0.0, theory.weak_order(5)),
    "exponential, p = 2, with a loss": ("exponential", 2.0, 1.0, 1.0),
}
GROWTH_STEPS, HUGE = (
    300,
    1e6,
)  # 5 % beyond its limit a mode grows by about 10 % a step: to 1e11
BIAS_TIME, BIAS_CHAINS = (
    4.0,
    1000,
)  # forgets the start, a draw of the target, up to e^-8


def measure(size: Size, seed: int) -> xarray.Dataset:
    keys = jax.random.split(jax.random.key(seed), 5)
    measured = [
        measure_steps(size, keys[0]),
        measure_bias(size, keys[2]),
        measure_mixing(size, keys[3]),
        measure_acceptance(size, keys[4]),
    ]
    labels = {
        "scheme": list(SCHEMES),
        "case": list(BIAS_CASES),
        "proposal": list(PROPOSALS),
    }
    labels |= {
        "modes": (MODES, "modes"),
        "stability_modes": (STABILITY_MODES[size], "modes"),
        "lag": (LAGS, "steps"),
    }
    labels |= {
        "line_step": (BIAS_LINE, "time"),
        "step": (BIAS_STEPS[size], "time"),
        "cut": (CUTS[size], "modes"),
    }
    labels |= {
        "mixing_modes": (MIXING_MODES[size], "modes"),
        "proposal_modes": (ACCEPTANCE_MODES[size], "modes"),
    }
    return dataset(
        labels, *measured, smoothness=targets.smoothness(), top_precision=PRECISION
    )


def measure_steps(size: Size, key: Key[Array, ""]) -> Variables:
    schemes, checked = list(SCHEMES), STABILITY_MODES[size]
    unknown = dict.fromkeys(
        ("w2", "w2_error", "w2_exact", "chain_steps", "chain_steps_error"), np.nan
    )

    def steps_to_distance(i: int, j: int) -> dict[str, float]:
        num_modes = int(MODES[j])
        steps, step_size = targets.fewest_steps(schemes[i], num_modes)
        exact = {
            "steps": steps,
            "limit": targets.stability_limit(schemes[i], num_modes),
        }
        if num_modes not in DISTANCE_MODES[size][schemes[i]]:
            return exact | unknown
        num_chains = min(NUM_CHAINS[size], int(DRAWS[size] / (steps * num_modes)))
        stream = jax.random.fold_in(key, 1000 * i + 500 + j)
        return exact | targets.distance_of_chains(
            schemes[i], num_modes, step_size, steps, num_chains, stream
        )

    def growth(i: int, j: int, k: int) -> dict[str, bool]:
        step_size = (BELOW, ABOVE)[k] * targets.stability_limit(schemes[i], checked[j])
        chains = STABILITY_CHAINS[size], jax.random.fold_in(key, 1000 * i + 10 * j + k)
        try:
            return {
                "grows": np.abs(
                    ends(
                        schemes[i], modes(checked[j]), step_size, GROWTH_STEPS, *chains
                    )
                ).max()
                > HUGE
            }
        except DivergenceError:
            return {"grows": True}

    at = sweep(steps_to_distance, range(len(schemes)), range(len(MODES)))
    grows = sweep(growth, range(len(schemes)), range(len(checked)), range(2))["grows"]
    return {
        **variables("scheme modes", "time", limit=at["limit"]),
        **variables(
            "scheme modes",
            "norm of x",
            **{name: at[name] for name in at if "w2" in name},
        ),
        **variables(
            "scheme modes",
            "steps",
            **{name: at[name] for name in at if "steps" in name},
        ),
        **variables(
            "scheme stability_modes",
            "whether",
            grows_below=grows[..., 0],
            grows_above=grows[..., 1],
        ),
    }


def measure_bias(size: Size, key: Key[Array, ""]) -> Variables:
    """Of the trace in the step size, and what a cut-off leaves out of it.

    Beside each chain runs a twin with the same noise that treats loss and penalty alike exactly: its law is the
    target's, so that only the difference to it need be averaged.
    """
    cases, steps, cuts = list(BIAS_CASES.values()), BIAS_STEPS[size], CUTS[size]

    def bias(i: int, j: int) -> dict[str, float]:
        (scheme, decay, curvature, _), step_size = cases[i], steps[j]
        target, num_steps = (
            power_modes(BIAS_MODES[size], decay, curvature),
            max(1, round(BIAS_TIME / step_size)),
        )
        twin = power_modes(BIAS_MODES[size], decay, 0.0)._replace(
            precision=target.precision + curvature
        )
        variance, stream = 1 / twin.precision, jax.random.fold_in(key, 100 * i + j)
        chains = step_size, num_steps, BIAS_CHAINS, stream, np.sqrt(variance), 1.0
        squares = (ends(scheme, target, *chains) ** 2).sum(axis=1)
        squares -= (ends("exponential", twin, *chains) ** 2).sum(axis=1)
        law = step_size, target.precision, target.curvature, 1.0, num_steps
        exact = (
            theory.mode_moments(SCHEMES[scheme].name, *law, start_variance=variance)[1]
            - variance
        ).sum()
        value, error = mean_and_error(squares)
        return {
            "bias": np.sign(exact) * value,
            "bias_error": error,
            "bias_exact": abs(exact),
        }

    def cut_off(j: int) -> dict[str, float]:
        target, stream = (
            power_modes(cuts[j], 2.0, 0.0),
            jax.random.fold_in(key, 1000 + j),
        )
        chains = (
            0.5,
            round(BIAS_TIME / 0.5),
            TAIL_CHAINS[size],
            stream,
            target.precision**-0.5,
            1.0,
        )
        value, error = mean_and_error(
            (ends("exponential", target, *chains) ** 2).sum(axis=1)
        )
        return {"left_out": np.pi**2 / 6 - value, "left_out_error": error}

    lines = []
    for scheme, decay, curvature, _ in cases:
        target = power_modes(10**5, decay, curvature)
        law = target.precision, target.curvature, 1.0
        lines.append(
            [
                abs(theory.trace_bias(SCHEMES[scheme].name, float(h), *law))
                for h in BIAS_LINE
            ]
        )
    # infinitely many modes: 10^6, and the integral of the others
    many, square = np.arange(1.0, 10**6 + 1) ** -2, "norm of x, squared"
    line, exact = (
        [theory.galerkin_tail(many, int(n), 1.0, 1.0) + 1e-6 for n in at]
        for at in (MODES, cuts)
    )
    return {
        **variables("case line_step", square, bias_line=lines),
        **variables(
            "case step", square, **sweep(bias, range(len(cases)), range(len(steps)))
        ),
        **variables("modes", square, left_out_line=line),
        **variables(
            "cut", square, **sweep(cut_off, range(len(cuts))), left_out_exact=exact
        ),
    }


def measure_mixing(size: Size, key: Key[Array, ""]) -> Variables:
    counts = MIXING_MODES[size]
    runs = [
        targets.mixing(counts[j], MIXING_STEPS[size], jax.random.fold_in(key, j))
        for j in range(len(counts))
    ]
    correlations, losses, positions = zip(*runs, strict=True)
    correlation, correlation_error = np.moveaxis(np.array(correlations), -1, 0)
    loss, loss_error = np.transpose(losses)
    return {
        **variables(
            "mixing_modes lag",
            "1",
            correlation=correlation,
            correlation_error=correlation_error,
        ),
        **variables(
            "mixing_modes", "units of the loss", loss=loss, loss_error=loss_error
        ),
        **variables(
            "", "share of positions", bent_down=targets.bending(positions[0])[0]
        ),
    }


def measure_acceptance(size: Size, key: Key[Array, ""]) -> Variables:
    """Of one proposal; where none of n is accepted the error is 1 / n."""
    counts, names = ACCEPTANCE_MODES[size], list(PROPOSALS)

    def proposal(i: int, j: int) -> dict[str, float]:
        chains = min(NUM_CHAINS[size], ACCEPTANCE_DRAWS[size] // counts[j])
        mean, error = targets.acceptance(
            names[i], counts[j], chains, jax.random.fold_in(key, 10 * i + j)
        )
        exact = targets.exact_acceptance(names[i], counts[j])
        return {
            "acceptance": mean,
            "acceptance_error": max(error, 1 / chains),
            "acceptance_exact": exact,
        }

    numbers = sweep(proposal, range(len(names)), range(len(counts)))
    return variables("proposal proposal_modes", "probability", **numbers)


def draw_steps(axes: Axes, data: xarray.Dataset) -> None:
    for name, scheme in SCHEMES.items():
        row, label = (
            data.sel(scheme=name),
            f"{name}, slope 2" if "Euler" in name else name,
        )
        axes.loglog(data.modes, row.steps, color=scheme.style[0])
        points(
            axes,
            data.modes,
            (row.chain_steps, row.chain_steps_error),
            scheme.style,
            label,
        )
    axes.legend(loc="upper left", handletextpad=0.2)
    axes.set(
        xlabel="modes $N$", ylabel="steps to $W_2$ = 0.06, low 50 modes", ylim=(1, 1e10)
    )
    axes.set(title="Euler needs more steps with every mode")


def draw_bias(axes: Axes, data: xarray.Dataset) -> None:
    labels = (
        "$p$ = 2: slope 1/2",
        "$p$ = 3: 2/3",
        "$p$ = 5: 4/5",
        "exponential, $p$ = 2, a loss: 1",
    )
    colours = (
        *(theme.OKABE_ITO[i] for i in (0, 1, 3)),
        SCHEMES["exponential"].style[0],
    )
    for case, colour, marker, label in zip(
        data.case.values, colours, "os^D", labels, strict=True
    ):
        row = data.sel(case=case)
        axes.loglog(data.line_step, row.bias_line, color=colour)
        points(axes, data.step, (row.bias, row.bias_error), (colour, marker), label)
    axes.legend(loc="lower right", handletextpad=0.2)
    axes.set(xlabel="step size $h$ (time)", ylabel="bias of $E|x|^2$")
    axes.set(title="Order $(p-1)/p$ in the step, $\\mu_k = k^{-p}$")


def mean_over_modes(data: xarray.Dataset, name: str) -> xarray.DataArray:
    return data[name].weighted(1 / data[f"{name}_error"] ** 2).mean("mixing_modes")


def z_scores(data: xarray.Dataset, name: str) -> np.ndarray:
    """Standard errors by which a measurement misses its exact law, or the mean over all N where there is none."""
    expected = data[f"{name}_exact"] if name in LINES else mean_over_modes(data, name)
    return ((data[name] - expected) / data[f"{name}_error"]).values


def limit_of(name: str, z: np.ndarray) -> float:
    """Standard errors that chance allows; some of them come from a jackknife."""
    return critical_value(
        int(np.isfinite(z).sum()), GROUPS if name in ("w2", "correlation") else np.inf
    )


def judge(data: xarray.Dataset) -> Findings:
    yield from judge_stability(data)
    euler = float(data.steps.sel(scheme="explicit Euler", modes=RATIO_AT))
    semi = data[["chain_steps", "chain_steps_error"]].sel(
        scheme="semi-implicit", modes=slice(None, RATIO_AT)
    )
    steps, error = (
        semi.dropna("modes").isel(modes=-1).to_array().values
    )  # with the most modes up to RATIO_AT
    statement = f"times as many steps that explicit Euler takes, N = {RATIO_AT:,}, less three errors"
    ratio = euler / (steps + 3 * error), euler / steps**2 * error
    yield Check.at_least(statement, "our aim", ratio, LEAST_RATIO)
    paper = "Propositions 9 and 11"
    for case, (*_, order) in BIAS_CASES.items():
        power, _ = exponent(
            data.line_step.values[:2], data.bias_line.sel(case=case).values[:2]
        )
        source = paper if "semi" in case else "exact law"
        yield Check.equals(
            f"power of the step in the bias: {case}", source, power, order, 0.02
        )
    statement, tail = (
        "power of N in what a cut-off leaves out, p = 2",
        data.left_out_line[3:].values,
    )
    power, _ = exponent(MODES[3:], tail)
    yield Check.equals(statement, paper, power, -1, 0.02)

    z = {name: z_scores(data, name) for name in LINES}
    share = max(np.nanmax(np.abs(z[name])) / limit_of(name, z[name]) for name in LINES)
    statement, unit = (
        "farthest of all points from its exact line",
        "of what chance allows",
    )
    yield Check.at_most(statement, "exact laws", share, 0, 1, unit)
    for name, about in {
        "loss": "mean loss",
        "correlation": "autocorrelation of the loss",
    }.items():
        z_name = z_scores(data, name)
        far = np.unravel_index(np.argmax(np.abs(z_name)), z_name.shape)
        statement = f"{about} at N = {data.mixing_modes.values[far[0]]}, the farthest from its mean over all N"
        measured, common = (
            (data[name].values[far], data[f"{name}_error"].values[far]),
            mean_over_modes(data, name),
        )
        source, tolerance = (
            "Proposition 8: no N in the rate",
            limit_of(name, z_name) * measured[1],
        )
        yield Check.equals(
            statement, source, measured, common.values[far[1:]], tolerance
        )
    statement = "share of positions where the potential bends downwards"
    yield Check.at_least(statement, "our aim: no convexity", data.bent_down, 0.05)
    statement, ratio = (
        "curvature of the loss over the prior's least precision",
        data.smoothness / data.top_precision,
    )
    yield Check.at_least(statement, "our aim: outside the convex case", ratio, 10)
    yield from judge_acceptance(data)
    yield f"steps of explicit Euler, N = {RATIO_AT:,}, by its recursion", euler


def judge_stability(data: xarray.Dataset) -> Findings:
    source, modes, limit = "our stability limit", data.modes.values, data.limit.values
    statement, (power, _) = (
        "power of N of the longest stable step, explicit Euler",
        exponent(modes[-4:], limit[0, -4:]),
    )
    yield Check.equals(statement, "exact: 2 / stiffest precision", power, -2, 0.01)
    span = f"from {modes[0]} to {modes[-1]:,} modes"
    statement = (
        f"change of the longest stable step {span}, semi-implicit and exponential"
    )
    change = np.ptp(limit[1:], axis=1).max()
    yield Check.at_most(statement, source, change, 0, 1e-6, "units of time")
    statement = "chains that grow just below a limit or settle just above it"
    wrong = data.grows_below.sum() + (~data.grows_above.astype(bool)).sum()
    yield Check.at_most(statement, source, wrong, 0, unit="chains")


def judge_acceptance(data: xarray.Dataset) -> Findings:
    flat, paper = data.sel(proposal=["pCN", "pCNL"]), "Cotter et al. 2013"
    spread = (
        flat.acceptance.max("proposal_modes") - flat.acceptance.min("proposal_modes")
    ).values
    allowed = FLAT + 4 * flat.acceptance_error.max("proposal_modes").values
    far = int(np.argmax(spread - allowed))
    statement = f"change of {flat.proposal.values[far]}'s acceptance with N, which is the larger"
    yield Check.at_most(statement, paper, spread[far], 0, allowed[far])
    yield Check.at_least(
        "least acceptance of pCN and pCNL, any N", "our aim", flat.acceptance.min(), 0.2
    )
    largest = (
        data.sel(proposal=["MALA", "random walk"])
        .acceptance.isel(proposal_modes=-1)
        .max()
    )
    statement = f"acceptance of MALA and the random walk, N = {int(data.proposal_modes[-1]):,}, the larger"
    yield Check.at_most(statement, paper, largest, 0, 0.01)


CLAIM = Claim(
    __file__, __doc__, measure, panels((10.5, 4.2), 1, draw_steps, draw_bias), judge
)

if __name__ == "__main__":
    CLAIM.main()
