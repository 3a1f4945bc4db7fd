"""The one-step study in small: points on lines that nothing was fitted to, and a verdict that can fail."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from langevax.studies import load
from langevax.studies.one_step import OneStep

SMALL = {"dim": 80, "num_runs": 6, "samples_per_dim": (1.0, 12.0), "widths": (1.0,)}


@pytest.fixture(scope="module")
def dataset():
    return load("one-step").run(OneStep("small", seed=1, **SMALL), progress=False)


def test_points_are_on_their_lines(dataset):
    verdict = load("one-step").judge(dataset)
    assert verdict.holds, verdict.sentence
    assert all(4 <= len(claim.statement.split()) <= 16 for claim in verdict.claims)
    (gaussian,) = (claim for claim in verdict.claims if "Gaussian form" in claim.statement)
    assert gaussian.measured < 0.7  # what the unified form is needed for


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        ({"predicted": 1.2}, {"risk after the large", "relative distance of mean", "relative distance of the point"}),
        (
            {"power_predicted": 1.3},
            {"relative distance of mean", "relative distance of the point", "risk after the lo"},
        ),
        ({"gain_predicted": 2.0}, {"what a small step gains"}),
        ({"outlier_predicted": 1.2}, {"singular value"}),
        ({"alignment_predicted": 0.8}, {"squared cosine"}),
        ({"floor": 3.0}, {"least risk without"}),
    ],
    ids=lambda broken: next(iter(broken), "") if isinstance(broken, dict) else "",
)
def test_a_claim_fails_alone(dataset, broken, failing):
    """Each by its own number; a prediction of risks is in three claims."""
    ((name, factor),) = broken.items()
    verdict = load("one-step").judge(dataset.assign({name: factor * dataset[name]}))
    found = [claim.statement for claim in verdict.claims if not claim.holds]
    assert len(found) == len(failing)
    assert all(any(words.startswith(start) for start in failing) for words in found)
    assert verdict.holds is False


def test_a_large_step_that_stays_above_the_floor_is_noticed(dataset):
    risk = dataset.risk.where(dataset.step != "sqrt(N)", 2 * dataset.floor)
    failing = [claim.statement for claim in load("one-step").judge(dataset.assign(risk=risk)).claims if not claim.holds]
    assert any(words.startswith("least risk after") for words in failing)


def test_a_floor_that_no_step_is_to_pass_is_not_claimed_to_be_passed(dataset):
    low = load("one-step").judge(dataset.assign(floor=0.2 * dataset.floor))
    assert low.holds
    assert len(low.claims) == len(load("one-step").judge(dataset).claims) - 1


def test_nothing_measured_is_no_success(dataset):
    """A number that is none holds nothing up."""
    for name in ("risk", "power_risk", "gain", "outlier"):
        assert load("one-step").judge(dataset.assign({name: np.nan * dataset[name]})).holds is False


def test_the_figure_has_its_four_panels(dataset):
    figure = load("one-step").draw(dataset)
    assert len(figure.axes) == 4
    plt.close(figure)


def test_options_are_parsed():
    options = load("one-step").options
    assert options["samples_per_dim"]["parse"]("1,2") == (1.0, 2.0)
    assert options["student"]["parse"]("centred relu") == "centred relu"
    for name, words in {"student": "sigmoid", "teacher": "relu", "dim": "1.5", "ridge": "-1"}.items():
        with pytest.raises(ValueError, match=r"pass one of|pass 'centred relu'|whole number|positive"):
            options[name]["parse"](words)
    assert np.all(np.array(options["widths"]["parse"]("1")) == 1)
