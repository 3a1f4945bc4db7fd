"""Curves and graphs of another scale than those of the training: named, and only they."""

import warnings

import numpy as np
import pytest

from langevax.sklearn import (
    CurveCoefficients,
    FunctionalMeanFieldRegressor,
    UnlikeTrainingWarning,
)
from langevax.sklearn.inputs.shapes import CurveShapes

TIMES = np.linspace(0, 1, 40)


def waves(n, seed, level=0.0, unit=1.0):
    random = np.random.default_rng(seed)
    phases, sizes, levels = (
        random.uniform(0, 6, (n, 1)),
        random.uniform(0.5, 2, (n, 1)),
        random.normal(size=(n, 1)),
    )
    return unit * (sizes * np.sin(9 * TIMES + phases) + levels + level)


def test_new_curves_of_the_same_law_are_not_named():
    assert CurveCoefficients().fit(waves(40, 0)).unlike_training(waves(2000, 1)) == []


@pytest.mark.parametrize(
    ("level", "unit", "word"),
    [(0, 50, "deviation"), (0, 0.01, "deviation"), (30, 1, "mean")],
)
def test_a_curve_of_another_unit_or_level_is_named(level, unit, word):
    for encoder in (CurveCoefficients(), CurveShapes(CurveCoefficients(centre=False))):
        encoder.fit_transform(waves(40, 0))
        new = waves(9, 1)
        new[4] = waves(9, 1, level, unit)[4]
        ((row, reason),) = encoder.unlike_training(new)
        assert row == 4
        assert f"its {word}" in reason or f"its standard {word}" in reason
        with pytest.warns(
            UnlikeTrainingWarning,
            match=r"curve 4 of X is unlike all of training: .* check its unit",
        ):
            encoder.transform(new)
        assert (
            encoder.unlike_training(new[:, ::2], TIMES[::2])[0][0] == 4
        )  # on another grid


@pytest.mark.parametrize(
    ("derivative", "named"),
    [(0, [1, 2, 3]), (1, [2, 3]), (2, [3]), ((0, 2), [1, 2, 3])],
)
def test_what_derivatives_do_not_see_is_not_held_against_a_curve(derivative, named):
    new = waves(4, 1)
    new[1] += 100
    new[2] += 100 * TIMES
    new[3] *= 100
    encoder = CurveCoefficients(derivative=derivative, smoothing=None).fit(waves(40, 0))
    assert [row for row, _ in encoder.unlike_training(new)] == named


def test_channels_are_compared_each_with_its_own():
    X = np.stack([waves(30, 0), 1000 * waves(30, 1)], 1)
    new = np.stack([waves(5, 2), 1000 * waves(5, 3)], 1)
    encoder = CurveCoefficients(channels=2).fit(X)
    assert encoder.unlike_training(new) == []
    new[2] = new[2, ::-1]  # channels exchanged
    ((row, reason),) = encoder.unlike_training(new)
    assert (row, "in channel 0" in reason) == (2, True)


def test_constant_curves_of_the_training_make_constant_ones_usual():
    X = waves(30, 0)
    flat = np.full((1, 40), 1.0)
    assert [row for row, _ in CurveCoefficients().fit(X).unlike_training(flat)] == [0]
    assert (
        CurveCoefficients().fit(np.concatenate([X, flat])).unlike_training(flat + 0.5)
        == []
    )


@pytest.mark.slow
def test_a_prediction_there_warns_once_and_a_fit_never():
    X = waves(30, 0)
    model = FunctionalMeanFieldRegressor(
        "mfld", encoder="basis", num_particles=20, num_steps=5, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, X[:, 0], sample_weight=np.arange(30) > 2).predict(X)
    with pytest.warns(
        UnlikeTrainingWarning,
        match="30 of 30 curves are unlike all of training, such as curve 0",
    ) as c:
        model.predict(80 * X)
    assert len(c) == 1
