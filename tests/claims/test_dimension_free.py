"""The claim on functions with any number of modes: it holds, its numbers have units, and each check can fail."""

import numpy as np
import pytest
from scipy.stats import norm

import function_targets
from dimension_free import CLAIM
from function_space_laws import steps_to_wasserstein
from tests.claims.failing import check_failing, check_holding

pytestmark = pytest.mark.long

EULER, FLAT, BRACKETS, RATIO = (
    "power of N of the lon",
    "change of the longest",
    "chains that grow",
    "times as many",
)
LINES, LOSS, MIXING = "farthest of all points", "mean loss at", "autocorrelation of"


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    checks = check_holding(CLAIM, dataset).checks
    assert (
        next(check for check in checks if check.statement.startswith(RATIO)).measured
        > 1000
    )


def test_numbers_have_units(dataset):
    assert all(dataset[name].attrs["units"] for name in dataset.data_vars)
    measured = {
        "w2",
        "chain_steps",
        "bias",
        "left_out",
        "correlation",
        "loss",
        "acceptance",
    }
    assert {f"{name}_error" for name in measured} <= set(dataset.data_vars)


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 2
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes)


def changed(name, factor, **where):
    """The dataset with one variable multiplied, where the coordinates are these."""

    def change(dataset):
        array = dataset[name].copy(deep=True)
        array.loc[where] = factor * array.loc[where]
        return dataset.assign({name: array})

    return change


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        (changed("w2", 1.6), {LINES}),
        (changed("chain_steps", 20.0, scheme="semi-implicit"), {RATIO}),
        (changed("limit", 0.9, scheme="semi-implicit", modes=65536), {FLAT}),
        (changed("limit", 2.0, scheme="explicit Euler", modes=65536), {EULER}),
        (lambda d: d.assign(grows_below=~d.grows_below), {BRACKETS}),
        (lambda d: d.assign(grows_above=~d.grows_above), {BRACKETS}),
        (changed("bias", 1.5, case="semi-implicit, p = 5"), {LINES}),
        (lambda d: d.assign(bias_line=d.bias_line**1.1), {"power of the step"}),
        (lambda d: d.assign(left_out=d.left_out * 1.5), {LINES}),
        (
            lambda d: d.assign(left_out_line=d.left_out_line**1.1),
            {"power of N in what"},
        ),
        (changed("loss", 1.05, mixing_modes=256), {LOSS}),
        (changed("correlation", 0.8, mixing_modes=256), {MIXING}),
        (lambda d: d.assign(bent_down=0.0 * d.bent_down), {"share of positions"}),
        (
            lambda d: d.assign_attrs(top_precision=d.attrs["smoothness"]),
            {"curvature of the loss"},
        ),
        (
            changed("acceptance", 0.8, proposal="pCN", proposal_modes=1024),
            {LINES, "change of pCN's"},
        ),
        (
            lambda d: d.assign(
                acceptance=0.3 * d.acceptance, acceptance_exact=0.3 * d.acceptance
            ),
            {"least acceptance"},
        ),
        (
            lambda d: d.assign(
                acceptance=d.acceptance + 0.05,
                acceptance_exact=d.acceptance_exact + 0.05,
            ),
            {"acceptance of MALA"},
        ),
    ],
    ids=[
        "w2",
        "ratio",
        "semi-implicit limit",
        "Euler limit",
        "unstable below",
        "stable above",
        "bias",
        "order",
        "cut-off",
        "order of the cut-off",
        "loss",
        "mixing",
        "convex",
        "no prior to speak of",
        "pCN",
        "little accepted",
        "MALA that is accepted",
    ],
)
def test_a_check_fails_alone(dataset, broken, failing):
    check_failing(CLAIM, broken(dataset), *failing)


def test_eulers_steps_are_those_of_its_recursion(dataset):
    """The fewest over step sizes: none of a finer set does better by more than a step in ten."""
    low = function_targets.modes(64).first(function_targets.LOW)
    limit = float(dataset.limit.sel(scheme="explicit Euler", modes=64))
    law = (
        low.precision,
        low.curvature,
        function_targets.TEMPERATURE,
        function_targets.DISTANCE,
    )
    steps = limit * np.linspace(0.3, 1, 30)
    fine = [
        steps_to_wasserstein("explicit", h, *law, start_mean=-low.mean) for h in steps
    ]
    assert float(dataset.steps.sel(scheme="explicit Euler", modes=64)) <= 1.1 * min(
        fine
    )


def test_smoothness_bounds_every_second_derivative():
    features = np.asarray(function_targets.classification(64).data[0], float)
    t = np.tanh(np.linspace(-4, 4, 2001))
    steepest = np.abs(2 * t * (1 - t**2)).max()
    assert function_targets.smoothness() == pytest.approx(
        steepest * np.linalg.norm(features.T @ features / 30, 2), rel=1e-4
    )


def test_acceptance_without_data_is_that_of_a_gaussian(monkeypatch):
    """pCN and pCNL accept everything; the random walk E 2 Phi(-s |xi| / 2)."""
    monkeypatch.setattr(function_targets, "NOISE_VARIANCE", 1e12)
    assert function_targets.exact_acceptance("pCN", 64) == pytest.approx(1, abs=1e-5)
    assert function_targets.exact_acceptance("pCNL", 64) == pytest.approx(1, abs=1e-5)
    lengths = np.sqrt(np.random.default_rng(0).chisquare(64, 10**5))
    expected = 2 * norm.cdf(-function_targets.PROPOSAL * lengths / 2).mean()
    assert function_targets.exact_acceptance("random walk", 64) == pytest.approx(
        expected, abs=0.003
    )
