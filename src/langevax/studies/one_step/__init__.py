"""One gradient step on the first layer: the risk of ridge regression afterwards, simulated and predicted.

Ba, Erdogdu, Suzuki, Wang, Wu, Yang (NeurIPS 2022). Every point is the mean of independent networks, trained by
`langevax.teacher_student.simulate_one_step`; every line is `langevax.theory.feature_learning`'s, with nothing fitted:

samples    risk against n / d without a step, with a small one (step_size 1) and a large one (sqrt(N)), beside the
           floor that kernels and small steps cannot go below
neurons    what a small step gains against N / d: networks with and without it, of the same draws
powers     risk against alpha, step_size = N^alpha: from small to large steps
spectrum   singular values of the trained first layer: the bulk of the start, and one outlier that points to the teacher
"""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from langevax.studies.one_step.figure import draw
from langevax.studies.one_step.runs import DEFAULTS, POWERS, Setting, gains, powers, samples, spectrum
from langevax.studies.one_step.verdict import judge
from langevax.studies.study import Config, Study, number, numbers, setting

if TYPE_CHECKING:
    import xarray


def _activation(words: str) -> str:
    from langevax.theory.feature_learning import hermite_coefficients

    if abs(hermite_coefficients(words).mean) > 1e-8:
        raise ValueError(f"its mean is not 0; pass 'centred {words}'")
    return words


def _whole(words: str) -> int:
    value = number(words)
    if value != int(value) or value < 2:
        raise ValueError("a whole number from 2 on is wanted")
    return int(value)


@dataclass(frozen=True)
class OneStep(Config):
    """With what a researcher may change for a figure of one's own."""

    student: str | None = setting("the activation: erf, tanh, sin, 'centred relu' or 'centred softplus'", _activation)
    teacher: str | None = setting("the teacher's function of one direction: the same names", _activation)
    samples_per_dim: tuple[float, ...] | None = setting("n / d, several with commas between them", numbers)
    neurons_per_dim: float | None = setting("N / d of all panels but the second", number)
    widths: tuple[float, ...] | None = setting("N / d of the second panel, several with commas between them", numbers)
    ridge: float | None = setting("the penalty of w^2 beside the mean square", number)
    noise: float | None = setting("the standard deviation of the labels' noise", number)
    dim: int | None = setting("d, a whole number from 2 on", _whole)
    num_runs: int | None = setting("networks a point, a whole number from 2 on", _whole)


OPTIONS = tuple(each.name for each in fields(OneStep) if each.metadata)


def measure(config: OneStep, progress: bool | None = None) -> "xarray.Dataset":
    """All four panels."""
    import jax
    import xarray
    from tqdm import tqdm

    size = config.size
    changed = {name: value for name in OPTIONS if (value := getattr(config, name)) is not None}
    chosen = Setting(**(DEFAULTS[size] | changed))
    keys = jax.random.split(jax.random.key(config.seed), 4)
    total = 3 * len(chosen.samples_per_dim) + 3 * len(chosen.widths) + len(POWERS[size]) + 1
    with tqdm(total=total, desc="one-step", disable=None if progress is None else not progress) as bar:
        parts = [
            samples(chosen, keys[0], bar.update),
            gains(chosen, keys[1], bar.update),
            powers(chosen, POWERS[size], keys[2], bar.update),
            spectrum(chosen, keys[3], bar.update),
        ]
    dataset = xarray.merge([xarray.Dataset(*part) for part in parts])
    return dataset.assign_attrs(
        {name: np.asarray(value) if isinstance(value, tuple) else value for name, value in chosen._asdict().items()}
        | {"seed": config.seed, "size": size}
    )


STUDY = Study(
    name="one-step",
    part="algorithm",
    brief="One large step passes the floor of linear learning.",
    claim="One gradient step on the first layer of N neurons, from n rows of d inputs, improves the features: a small "
    "step (size 1) by a predictable amount that never passes the floor of linear learning, a large one (size sqrt(N)) "
    "below that floor, like d / n.",
    formula=r"W_1 = W_0 + \eta \sqrt{N}\, G: \qquad R \ge \|f^*_{>1}\|^2 \ \text{for} \ \eta = \Theta(1), "
    r"\qquad R = O(d / n) \ \text{for} \ \eta = \Theta(\sqrt{N})",
    source="Ba, Erdogdu, Suzuki, Wang, Wu, Yang, NeurIPS 2022, Theorems 3, 5, 7, Corollary 8 and Figure 3; lines by "
    "the closed and the unified form of langevax.theory.feature_learning",
    measure=measure,
    draw=draw,
    judge=judge,
    see="Points on their lines. Left above: only the large step crosses the dashed floor, and then falls like d / n. "
    "Right above: what a small step gains fades as networks widen. Left below: the Gaussian form (dotted) misses large "
    "steps, which the unified form (solid) meets. Right below: one singular value left the bulk.",
    config=OneStep,
)
