"""The study of functions with any number of modes: its claims hold, its numbers have units, and each can fail."""

import jax
import numpy as np
import pytest

from langevax.studies import load
from langevax.studies.dimension_free import draws, functions
from langevax.studies.dimension_free import modes as gaussian
from langevax.studies.study import Config
from langevax.theory.function_space import steps_to_wasserstein

STUDY = load("dimension-free")
EULER, FLAT, BRACKETS, RATIO = "power of N of the lon", "change of the longest", "chains that grow", "times as many"
LINES, LOSS, MIXING = "farthest of all points", "mean loss at", "autocorrelation of"


@pytest.fixture(scope="module")
def dataset():
    return STUDY.run(Config("small"), progress=False)


def test_the_claim_holds(dataset):
    verdict = STUDY.judge(dataset)
    assert verdict.holds, verdict.sentence
    assert next(claim for claim in verdict.claims if claim.statement.startswith(RATIO)).measured > 1000
    assert all(4 <= len(claim.statement.split()) <= 16 for claim in verdict.claims)
    assert "±" in verdict.sentence


def test_numbers_have_units(dataset):
    assert all(dataset[name].attrs["units"] for name in dataset.data_vars)
    measured = {"w2", "chain_steps", "variance", "bias", "left_out", "correlation", "loss", "acceptance"}
    assert {f"{name}_error" for name in measured} <= set(dataset.data_vars)


def test_the_figure_has_labelled_axes(dataset):
    axes = STUDY.draw(dataset).axes
    assert len(axes) == 8
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes)


def changed(name, factor, **where):
    """The dataset with one variable multiplied, where it is said."""

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
        (changed("variance", 1.3, scheme="exponential"), {LINES}),
        (changed("bias", 1.5, case="semi-implicit, p = 5"), {LINES}),
        (lambda d: d.assign(bias_line=d.bias_line**1.1), {"power of the step"}),
        (lambda d: d.assign(left_out=d.left_out * 1.5), {LINES}),
        (lambda d: d.assign(left_out_line=d.left_out_line**1.1), {"power of N in what"}),
        (changed("loss", 1.05, mixing_modes=256), {LOSS}),
        (changed("correlation", 0.8, mixing_modes=256), {MIXING}),
        (lambda d: d.assign(bent_down=0.0 * d.bent_down), {"share of positions"}),
        (lambda d: d.assign_attrs(top_precision=d.attrs["smoothness"]), {"curvature of the loss"}),
        (changed("acceptance", 0.8, proposal="pCN", proposal_modes=1024), {LINES, "change of pCN's"}),
        (lambda d: d.assign(acceptance=0.3 * d.acceptance, acceptance_exact=0.3 * d.acceptance), {"least acceptance"}),
        (lambda d: d.assign(acceptance=d.acceptance + 0.05, acceptance_exact=d.acceptance_exact + 0.05),
         {"acceptance of MALA"}),
    ],
    ids=[
        "w2", "ratio", "semi-implicit limit", "Euler limit", "unstable below", "stable above", "variance", "bias",
        "order", "cut-off", "order of the cut-off", "loss", "mixing", "convex", "no prior to speak of", "pCN",
        "little accepted", "MALA that is accepted",
    ],
)  # fmt: skip
def test_a_claim_fails_alone(dataset, broken, failing):
    verdict = STUDY.judge(broken(dataset))
    assert verdict.holds is False
    found = [claim.statement for claim in verdict.claims if not claim.holds]
    assert {next((start for start in failing if words.startswith(start)), words) for words in found} == failing


def test_functions_are_drawn_in_their_band_and_more_modes_add_detail_only(dataset):
    """Both chains take the same step and the same noise in the modes that they share."""
    z = (dataset.drawn - dataset.drawn_mean) / dataset.drawn_deviation
    late = z.isel(drawn_step=slice(15, None))
    assert np.mean(np.abs(late) < 2) > 0.85
    assert np.abs(late.std(("drawn_step", "place")) - 1).max() < 0.25
    assert dataset.drawn.dtype == np.float32
    few, many = dataset.drawn.values
    assert np.corrcoef(few.ravel(), many.ravel())[0, 1] > 0.8
    assert np.abs(np.diff(many, axis=1)).mean() > 2 * np.abs(np.diff(few, axis=1)).mean()
    scene = STUDY.move(dataset)
    np.testing.assert_array_equal(scene.steps, dataset.drawn_step)
    for picture, values in zip(scene.pictures, (few, many), strict=True):
        np.testing.assert_array_equal(picture.picture.tracks[0].values, values)


def test_the_band_of_draws_is_that_of_its_gaussian():
    """Regression on values at places, in the prior's own covariance of values: Gaussian processes' formulas."""
    places, values = draws.rows()
    seen, shown = draws.cosines(places, 64), draws.cosines(draws.GRID, 64)
    prior = np.arange(1.0, 65) ** -2
    gram = (seen * prior) @ seen.T + draws.NOISE_VARIANCE * np.eye(draws.NUM_DATA)
    cross = (shown * prior) @ seen.T
    mean, deviation = draws.posterior(64)
    np.testing.assert_allclose(mean, cross @ np.linalg.solve(gram, values), atol=1e-10)
    variance = (shown**2) @ prior - np.einsum("pi,pi->p", cross, np.linalg.solve(gram, cross.T).T)
    np.testing.assert_allclose(deviation**2, variance, atol=1e-10)


def test_eulers_steps_are_those_of_its_recursion(dataset):
    """The fewest over step sizes: none of a finer set does better by more than a step in ten."""
    low = gaussian.modes(64)
    low_50, limit = low.first(gaussian.LOW), float(dataset.limit.sel(scheme="explicit Euler", modes=64))
    fine = [
        steps_to_wasserstein(
            "explicit", h, low_50.precision, low_50.curvature, gaussian.TEMPERATURE, gaussian.DISTANCE,
            start_mean=-low_50.mean,
        )
        for h in limit * np.linspace(0.3, 1, 30)
    ]  # fmt: skip
    assert float(dataset.steps.sel(scheme="explicit Euler", modes=64)) <= 1.1 * min(fine)


def test_what_bends_down_is_what_jax_says():
    problem = functions.classification(8)
    x = jax.random.normal(jax.random.key(0), (4, 8)) * 2
    hessians = jax.vmap(jax.hessian(problem.potential))(x)
    share, least = functions.bending(np.asarray(x))
    expected = np.linalg.eigvalsh(np.asarray(hessians, float))[:, 0]
    assert least == pytest.approx(expected.min(), abs=1e-5)
    assert share == np.mean(expected < 0)


def test_smoothness_bounds_every_second_derivative():
    features = np.asarray(functions.classification(64).data[0], float)
    t = np.tanh(np.linspace(-4, 4, 2001))
    steepest = np.abs(2 * t * (1 - t**2)).max()
    assert functions.smoothness() == pytest.approx(steepest * np.linalg.norm(features.T @ features / 30, 2), rel=1e-4)


def test_acceptance_without_data_is_that_of_a_gaussian(monkeypatch):
    """pCN and pCNL accept everything; the random walk E 2 Phi(-s |xi| / 2)."""
    from scipy.stats import norm

    monkeypatch.setattr(functions, "NOISE_VARIANCE", 1e12)
    assert functions.exact_acceptance("pCN", 64) == pytest.approx(1, abs=1e-5)
    assert functions.exact_acceptance("pCNL", 64) == pytest.approx(1, abs=1e-5)
    lengths = np.sqrt(np.random.default_rng(0).chisquare(64, 10**5))
    expected = 2 * norm.cdf(-functions.PROPOSAL * lengths / 2).mean()
    assert functions.exact_acceptance("random walk", 64) == pytest.approx(expected, abs=0.003)
