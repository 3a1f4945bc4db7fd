"""The pages of docs/concepts have their figures, and the figures' numbers are what the pages say."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from tools import concepts

PAGES = sorted((Path(__file__).parents[1] / "docs" / "concepts").glob("*.md"))


@pytest.fixture
def computed(request):
    """Numbers of a quick run."""
    with jax.numpy_dtype_promotion("standard"):
        return concepts.COMPUTED[request.param](quick=True)


def of(name):
    return pytest.mark.parametrize("computed", [name], indirect=True)


def test_every_concept_is_short_and_has_its_figure():
    shown = [
        re.findall(
            r"\(\.\./images/concepts/(\w+)\.png\)", page.read_text(encoding="utf-8")
        )
        for page in PAGES
    ]
    assert (
        sorted(names[0] for names in shown)
        == sorted(concepts.COMPUTED)
        == sorted(concepts.DRAWN)
    )
    for page, names in zip(PAGES, shown, strict=True):
        lines = page.read_text(encoding="utf-8").splitlines()
        assert len(names) == 1
        assert len(lines) <= 80
        assert lines[2].startswith("For readers")
        assert any(f"`python -m tools.concepts {names[0]}`" in line for line in lines)
        assert (concepts.IMAGES / f"{names[0]}.png").stat().st_size < 100_000


@pytest.mark.long
@of("noise")
def test_noise_of_the_right_size_leaves_the_upper_well_and_stays_away(computed):
    none, cold, middle, hot = (share[-1] for share in computed["shares"].values())
    assert none == 0 < cold < hot < middle
    x = np.linspace(-3, 3, 601)
    for temperature in (0.3, 1.0):
        expected = np.sum(concepts.law_density(temperature, x)[x < 0]) * (x[1] - x[0])
        assert abs(computed["shares"][temperature][-1] - expected) < 4.5 * np.sqrt(
            0.25 / 500
        )


@pytest.mark.long
@of("convexity")
def test_mixing_neurons_keeps_the_loss_and_averaging_weights_does_not(computed):
    weights, laws = computed["of weights"], computed["of laws"]
    np.testing.assert_allclose(weights[[0, -1]], laws[[0, -1]], rtol=1e-3)
    assert weights[10] > 2 * weights[[0, -1]].max()
    assert np.all(laws <= laws[[0, -1]].max() * (1 + 1e-6))
    assert np.ptp(computed["few"][:, -1]) > 3 * np.ptp(computed["many"][:, -1])


@pytest.mark.long
@of("variance")
def test_a_correction_at_the_anchor_errs_in_proportion_to_the_distance(computed):
    np.testing.assert_allclose(
        computed["plain"], computed["predicted"], rtol=0.15
    )  # of 400 batches
    np.testing.assert_allclose(
        computed["reduced"], computed["predicted reduced"], rtol=0.15
    )
    for (name, size), measured in computed["points"].items():
        exact = computed[name][list(computed["sizes"]).index(size)]
        assert abs(measured / exact - 1) < 4.5 * np.sqrt(2 / computed["chains"])
    assert computed["SGLD"][1] > 6 > 1.1 > computed["SVRG-LD"][1]


@pytest.mark.long
@pytest.mark.filterwarnings(
    "ignore::langevax.sampling.SamplingWarning"
)  # R-hat of 1.010, of 256 modes
@of("functions")
def test_more_modes_change_neither_the_posterior_nor_the_exponential_step(computed):
    np.testing.assert_allclose(computed["bands"][16], computed["bands"][256], atol=0.15)
    exponential, explicit = (
        np.array(computed["steps"]["Exponential"]),
        np.array(computed["steps"]["Explicit"]),
    )
    np.testing.assert_allclose(exponential, exponential[0], rtol=1e-3)
    assert np.all(explicit[1:] < explicit[:-1] / 4)
    assert explicit[0] < exponential[0]


@pytest.mark.long
@of("leverage")
def test_what_a_reading_does_is_known_without_training_again(computed):
    assert np.corrcoef(computed["changes"], computed["trained"])[0, 1] > 0.95
    assert np.all((computed["leverages"] > 0) & (computed["leverages"] < 1))
    moved = np.abs(computed["without"] - computed["curve"]).max()
    assert np.abs(computed["without"] - computed["refitted"]).max() < 0.3 * moved
