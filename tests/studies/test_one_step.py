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
    assert verdict.numbers["Gaussian form at large steps, largest"] > 0.3  # what the unified form is needed for


@pytest.mark.parametrize(
    "broken",
    [
        {"predicted": 1.2},
        {"power_predicted": 1.2},
        {"gain_predicted": 2.0},
        {"outlier_predicted": 1.2},
        {"floor": 3.0},
    ],
    ids=lambda broken: next(iter(broken)),
)
def test_the_verdict_can_fail(dataset, broken):
    ((name, factor),) = broken.items()
    assert not load("one-step").judge(dataset.assign({name: factor * dataset[name]})).holds


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
