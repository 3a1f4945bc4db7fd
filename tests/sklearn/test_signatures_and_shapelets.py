"""Signatures against their sums and identities, shapelets against the least of all distances, and both as encoders."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from langevax.sklearn import (
    FunctionalMeanFieldClassifier,
    FunctionalMeanFieldRegressor,
    load,
)
from langevax.sklearn.inputs.curves import CurveCoefficients
from langevax.sklearn.inputs.shapelets import NUM_SHAPELETS, POINTS, Shapelets
from langevax.sklearn.inputs.shapes import CurveShapes
from langevax.sklearn.inputs.signatures import (
    MOST_FEATURES,
    Signatures,
    joined,
    signature,
)
from langevax.sklearn.inputs.unlike import UnlikeTrainingWarning

KINDS = ["signatures", "shapelets"]
SMALL = {"num_particles": 100, "num_steps": 300, "random_state": 0, "progress": False}


def steps_of(*shape):
    return np.random.default_rng(0).normal(size=shape)


def iterated_sums(steps, order):
    """S_k of one path, a term at a time: products of k increments in order of time, over r! where r fall together."""
    total = np.zeros((steps.shape[1],) * order)
    for places in itertools.combinations_with_replacement(range(len(steps)), order):
        share = math.prod(math.factorial(places.count(place)) for place in set(places))
        term = np.array(1.0)
        for place in places:
            term = np.multiply.outer(term, steps[place])
        total += term / share
    return total.reshape(-1)


def test_signatures_are_iterated_sums():
    steps = steps_of(2, 5, 3)
    for k, tensor in enumerate(signature(steps, 4), 1):
        np.testing.assert_allclose(
            tensor, [iterated_sums(path, k) for path in steps], atol=1e-12
        )


def test_the_signature_of_a_straight_line_is_known():
    change = np.array([0.5, -2.0])
    tensors = signature(np.tile(change / 7, (1, 7, 1)), 4)
    for k, tensor in enumerate(tensors, 1):
        expected = np.array(1.0)
        for _ in range(k):
            expected = np.multiply.outer(expected, change)
        np.testing.assert_allclose(
            tensor[0], expected.reshape(-1) / math.factorial(k), atol=1e-13
        )


def test_signatures_of_pieces_join_by_chens_identity():
    steps = steps_of(3, 9, 2)
    whole = signature(steps, 4)
    pieces = joined(signature(steps[:, :4], 4), signature(steps[:, 4:], 4))
    for one, other in zip(whole, pieces, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_signatures_of_a_path_do_not_depend_on_its_clock():
    steps = steps_of(2, 6, 2)
    uneven = (
        np.repeat(steps, [1, 3, 1, 2, 1, 5], axis=1)
        / np.repeat([1, 3, 1, 2, 1, 5], [1, 3, 1, 2, 1, 5])[:, None]
    )
    for one, other in zip(signature(steps, 4), signature(uneven, 4), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_products_of_signatures_are_their_shuffles():
    one, two, three, _ = signature(steps_of(1, 6, 2), 4)
    one, two, three = one[0], two.reshape(2, 2), three.reshape(2, 2, 2)
    np.testing.assert_allclose(np.outer(one, one), two + two.T, atol=1e-12)
    shuffled = (
        three + three.transpose(1, 0, 2) + three.transpose(2, 0, 1)
    )  # of i with jk
    np.testing.assert_allclose(np.einsum("i,jk->ijk", one, two), shuffled, atol=1e-12)


def test_windows_are_the_whole_curve_its_halves_and_so_on():
    values = steps_of(2, 1, 33).astype(np.float32)
    few = Signatures(depth=2, num_splits=1, lag=1)
    features = few(values)
    times = np.linspace(0, 1, 32)
    paths = np.stack(
        [np.stack([times, x[0, 1:], x[0, :-1]], 1) for x in values.astype(np.float64)]
    )
    steps = np.diff(paths, axis=1, prepend=np.zeros((2, 1, 3)))
    expected = [signature(part, 2) for part in (steps, steps[:, :16], steps[:, 16:])]
    np.testing.assert_allclose(
        features,
        np.concatenate([t for w in expected for t in w], 1),
        rtol=1e-5,
        atol=1e-6,
    )
    level = few(values + 1) - features
    assert np.abs(level).max() > 0.5  # from 0 to the first value


@pytest.mark.parametrize(
    ("channels", "length"), [(1, 18), (1, 2048), (2, 500), (12, 18), (60, 100)]
)
def test_the_number_of_signatures_is_bounded(channels, length):
    values = np.zeros((2, channels, length), np.float32)
    features = Signatures.fit(values)(values)
    assert 1 < features.shape[1] <= MOST_FEATURES
    assert np.isfinite(features).all()


def brute_force(shapelets, k, curve):
    """(least distance, its place, share of near places) of shapelet k, place by place."""
    dilation, reach = (
        int(shapelets.dilations[k]),
        (POINTS - 1) * int(shapelets.dilations[k]),
    )
    distances = []
    for t in range(curve.shape[1] - reach):
        square = 0.0
        for channel in np.flatnonzero(shapelets.channels[k]):
            piece = curve[channel, t : t + reach + 1 : dilation].astype(np.float64)
            if shapelets.normalised[k]:
                deviation = piece.std()
                piece = (
                    (piece - piece.mean()) / deviation
                    if deviation > 1e-4
                    else 0 * piece
                )
            square += np.sum((piece - shapelets.pieces[k, channel]) ** 2)
        distances.append(np.sqrt(square))
    near = np.mean(np.array(distances) < np.sqrt(shapelets.thresholds[k]))
    return min(distances), np.argmin(distances) / len(distances), near


def test_shapelets_are_least_distances_their_places_and_shares_of_near_places():
    values = steps_of(3, 2, 60).astype(np.float32)
    values[2, :, 20:45] = 1.0  # no shape
    shapelets = Shapelets.fit(values)
    features = shapelets(values).reshape(3, 3, NUM_SHAPELETS)
    for k in (0, 1, 700, 701, NUM_SHAPELETS - 2, NUM_SHAPELETS - 1):
        expected = [brute_force(shapelets, k, curve) for curve in values]
        np.testing.assert_allclose(features[:, :, k], expected, atol=5e-3)
        least = features[:, 0, k].min()  # its own curve
        assert least < 5e-3
        near = features[:, 2, k].max()
        assert 0 < near < 0.5


def test_normalised_shapelets_see_neither_level_nor_size():
    values = steps_of(4, 1, 50).astype(np.float32)
    shapelets = Shapelets.fit(values)
    difference = (
        np.abs(shapelets(values) - shapelets(5 + 3 * values))
        .reshape(4, 3, NUM_SHAPELETS)
        .max((0, 1))
    )
    assert np.quantile(difference[shapelets.normalised], 0.99) < 0.05
    assert difference[~shapelets.normalised].min() > 0.05


def curves_of_all_forms() -> dict[str, tuple[Any, dict[str, Any]]]:
    random = np.random.default_rng(0)
    gaps = random.normal(size=(8, 30))
    gaps[0, 3:9] = np.nan
    times = [np.sort(random.uniform(size=6 + i)) for i in range(8)]
    return {
        "one reading": (random.normal(size=(8, 1)), {}),
        "constant curves": (np.ones((8, 5)), {}),
        "channels": (random.normal(size=(8, 12, 30)), {"channels": 12}),
        "times of their own": (
            [(t, np.arange(len(t)) + i) for i, t in enumerate(times)],
            {},
        ),
        "missing readings": (gaps, {"missing": "interpolate"}),
        "derivatives": (
            random.normal(size=(8, 30)),
            {"derivative": (0, 1), "smoothing": None},
        ),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", curves_of_all_forms())
def test_curves_of_every_form_are_encoded(kind, form):
    X, options = curves_of_all_forms()[form]
    encoder = CurveShapes(CurveCoefficients(centre=False, **options), kind)
    columns = encoder.fit_transform(X)
    assert np.isfinite(columns).all()
    np.testing.assert_allclose(encoder.transform(X), columns, atol=1e-6)
    assert columns.any() == (form != "constant curves")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_networks_learn_explain_and_load(kind, tmp_path):
    random, t = np.random.default_rng(0), np.linspace(0, 1, 90)
    heights = random.uniform(0, 1, 50)
    X = 0.05 * random.normal(size=(50, 90)) + 2 * heights[:, None] * np.exp(
        -(((t - 0.7) / 0.03) ** 2)
    )
    model = FunctionalMeanFieldRegressor("mfld", encoder=kind, **SMALL).fit(
        X[:40], heights[:40]
    )
    assert model.encoder_name_ == kind
    assert model.encoder_errors_ is None
    assert model.score(X[40:], heights[40:]) > 0.8
    times, effects = model.part_effects(X[40:], num_parts=11)
    assert times[np.abs(effects).mean(0).argmax()] == pytest.approx(0.7)
    with pytest.raises(
        ValueError, match=f"encoder='{kind}' has neither weight functions nor slopes"
    ):
        model.weight_functions()
    with pytest.warns(UnlikeTrainingWarning):
        model.predict(1000 * X[40:])
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict(X), model.predict(X))


@pytest.mark.slow
def test_the_order_of_two_bumps_is_seen_by_signatures():
    random, t = np.random.default_rng(0), np.linspace(0, 1, 100)
    places, labels = (
        np.sort(random.uniform(0.1, 0.9, size=(80, 2)), axis=1),
        np.arange(80) % 2,
    )
    one, other = (np.exp(-(((t - places[:, [k]]) / 0.03) ** 2)) for k in (0, 1))
    X = np.where(
        labels[:, None], one - other, other - one
    )  # up, then down, or the other way round, anywhere
    model = FunctionalMeanFieldClassifier(
        "mfld", encoder="signatures", **SMALL | {"num_steps": 100}
    ).fit(X[:60], labels[:60])
    assert model.score(X[60:], labels[60:]) >= 0.95
