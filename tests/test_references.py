"""References of posteriors and calibration: what is stored, what is judged, and that the bands have power."""

import jax
import numpy as np
import pytest

import langevax
import langevax.numpyro
from benchmarks import calibration, posteriors, sampling
from benchmarks.posteriors import references
from benchmarks.posteriors.models import POSTERIORS
from tests.sentences import refuses

pytestmark = pytest.mark.filterwarnings("ignore::langevax.sampling.SamplingWarning")
STORED = references.load()


def test_references_are_of_the_data_that_there_are():
    """Long enough, and the same by two libraries."""
    assert STORED.keys() <= POSTERIORS.keys()
    assert len(POSTERIORS) >= 25
    for name, reference in STORED.items():
        assert reference["data"] == POSTERIORS[name].checksum()
        for library in ("numpyro", "blackjax"):
            assert reference[library]["ess"] >= references.MIN_ESS
            assert reference[library]["rhat"] < references.MAX_RHAT
        assert (
            max(reference["shift of means"], reference["ratio of deviations"]) <= 0.05
        )
        for mean, sd, *quantiles in reference["numbers"].values():
            assert sd >= 0
            assert quantiles == sorted(quantiles)
            assert quantiles[0] <= mean <= quantiles[-1]


def test_constant_numbers_of_a_site_do_not_make_a_run_too_short():
    """A Cholesky root has zeros."""
    draws = np.random.default_rng(0).normal(size=(4, 5000, 2))
    draws[..., 1] = 0
    assert references.is_long_enough(draws)
    assert not references.is_long_enough(draws[:, :2000])


@pytest.mark.long
def test_a_mode_without_mass_is_left():
    """Batting averages: the joint density peaks where all shares are equal, which is hardly ever so."""
    name = "batting_averages"
    target = langevax.numpyro.posterior(
        POSTERIORS[name].model, *POSTERIORS[name].arrays()
    )
    runs = [langevax.sample(target, key=jax.random.key(seed)) for seed in (1, 2)]
    assert any(
        run.reason.endswith(
            "as in a narrow peak, and chains start anew around the start"
        )
        for run in runs
    )
    for samples in runs:
        assert (
            samples.evaluations < 600_000
        )  # far fewer than chains in the peak would take, or descents into it
        assert samples.modes == []
        assert samples.summary()["r_hat"].max() < 1.03
        judgement = posteriors.judge(samples.positions, STORED[name])
        assert judgement.is_right
        assert judgement.ess > 300


@pytest.mark.long
def test_chains_come_from_far_to_a_law_whose_mode_is_a_peak():
    """A level near 1,100, with starts in (-2, 2) at potentials of 1e6, and a peak of deviation 0.001 about its mode."""
    target = langevax.numpyro.posterior(
        POSTERIORS["local_level"].model, *POSTERIORS["local_level"].arrays()
    )
    samples = langevax.sample(target, key=jax.random.key(3))
    assert 30 < samples.positions["first"].std() < 100
    assert samples.ess > 200
    assert samples.summary()["r_hat"].max() < 1.03


@pytest.mark.slow
def test_few_divergences_are_cured_by_shorter_steps(tmp_path):
    """A run that is saved is not made again, and warns."""
    name = "cauchy_location"
    target = langevax.numpyro.posterior(
        POSTERIORS[name].model, *POSTERIORS[name].arrays()
    )
    cured = (
        (seed, langevax.sample(target, key=jax.random.key(seed))) for seed in range(40)
    )  # few of them need it
    seed, samples = next(
        (seed, samples) for seed, samples in cured if "diverged" in samples.reason
    )
    assert samples.reason.endswith(
        "of 4,000 steps diverged, so that draws are of another run with shorter ones"
    )
    assert (samples.result.counts["divergences"], samples.warnings) == (0, [])
    assert samples.algorithm.target_accept == 0.99
    assert posteriors.judge(samples.positions, STORED[name]).is_right
    saved = langevax.sample(
        target, key=jax.random.key(seed), run=langevax.Run(checkpoint=tmp_path / "run")
    )
    assert 0 < saved.result.counts["divergences"] <= 0.02 * 4000
    assert "diverged" in saved.warnings[0]
    assert saved.step_size > 1.3 * samples.step_size


def test_draws_are_judged_by_their_errors():
    """Of N(1, 2^2), exact moments as the reference: shifted by 0.2 sd and widened by a tenth they are wrong."""
    reference = {"numbers": {"a": [1.0, 2.0]}}
    z = np.random.default_rng(0).normal(size=(4, 5000))
    right = posteriors.judge({"a": 1 + 2 * z}, reference)
    assert right.is_right
    assert right.ess > 15_000
    shifted = posteriors.judge({"a": 1.4 + 2 * z}, reference)
    assert not shifted.is_right
    assert abs(shifted.mean_error - 0.2) < 0.03
    wide = posteriors.judge({"a": 1 + 2.2 * z}, reference)
    assert not wide.is_right
    assert abs(wide.sd_error - 0.1) < 0.03


def test_a_site_without_a_reference_is_an_error():
    with refuses(KeyError):
        posteriors.judge({"b": np.zeros((2, 10))}, {"numbers": {"a": [1.0, 2.0]}})


@pytest.mark.slow
def test_sample_is_right_by_a_reference():
    name = "schools_non_centred"
    assert (
        posteriors.run_sample(POSTERIORS[name], STORED[name], jax.random.key(0))
        == "right"
    )


def test_bands_hold_uniform_ranks_and_exclude_others():
    """Of 400 sets of 200 uniform ranks 1 to 10 % leave the bands of 5 %; a law 1.5 times as wide leaves them."""
    rng = np.random.default_rng(1)
    uniform = calibration.p_values(rng.integers(0, 101, (400, 200)), 100)
    assert 0.01 < np.mean(uniform < 0.05) < 0.1
    draws, truth = 1.5 * rng.normal(size=(50, 300, 100)), rng.normal(size=(50, 300, 1))
    wide = calibration.p_values(np.sum(draws < truth, axis=-1), 100)
    assert np.mean(wide < 0.05) > 0.9


@pytest.mark.slow
def test_ranks_among_draws_of_sample_are_uniform_and_among_wider_draws_are_not():
    """50 independent means, 15 data sets: 750 ranks."""
    model = calibration.MODELS[0]
    assert model.name == "means"
    ranks = calibration.calibrate(model, 15, seed=0, scales=(1.0, 1.2)).reshape(2, -1)
    right, wide = calibration.p_values(ranks, 100)
    assert wide < 0.005 < 0.02 < right


def test_the_law_of_many_rows_is_that_of_quadrature():
    """The correction moves a mean by a twentieth of its deviation here."""
    n, d = 200, 2
    X, y = (np.float64(a) for a in sampling.table(n, d))
    mean, deviations = sampling.mean_and_deviations(n, d)
    axes = [
        np.linspace(m - 7 * s, m + 7 * s, 300)
        for m, s in zip(mean, deviations, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    log_density = (
        -np.logaddexp(0, -y * (grid @ X.T)).sum(-1) - np.sum(grid**2, axis=-1) / 2
    )
    weights = np.exp(log_density - log_density.max())
    weights /= weights.sum()
    exact = np.tensordot(weights, grid, 2)
    widths = np.sqrt(np.tensordot(weights, (grid - exact) ** 2, 2))
    np.testing.assert_allclose(deviations, widths, rtol=0.01)
    np.testing.assert_allclose(mean, exact, atol=1e-3 * widths.min())
