"""The peers choose their settings inside `fit`, quietly, on whatever rows they are given."""

import numpy as np
import pytest

from langevax.app.evaluation.peers import Peer, peers

RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(120, 3)) * [1, 10, 100] + [0, 5, -1000]
NUMBERS = 1000 + 50 * np.tanh(INPUTS[:, 0]) + INPUTS[:, 1] + RANDOM.normal(size=120)
CLASSES = (NUMBERS > 1005).astype(int) + (NUMBERS > 1040)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "targets", "enough"),
    [("regression", NUMBERS, 0.8), ("classification", CLASSES, 0.7)],
)
def test_every_peer_learns_from_unscaled_columns_and_says_how(task, targets, enough):
    for name, peer in peers(task).items():
        model, note = peer.fit(INPUTS[:80], targets[:80])
        assert model.score(INPUTS[80:], targets[80:]) > enough, name
        assert note == peer.note
        assert note


@pytest.mark.slow
def test_classes_of_one_row_and_tiny_tables_are_evaluated():
    rare = np.where(np.arange(120) == 7, 9, CLASSES)
    for peer in peers("classification").values():
        model, _ = peer.fit(INPUTS, rare)
        assert model.predict(INPUTS).shape == (120,)
    for task, targets in (
        ("regression", NUMBERS),
        ("classification", np.array([0, 1, 0, 1, 1])),
    ):
        for name, peer in peers(task).items():
            _, note = peer.fit(INPUTS[:5], targets[:5])
            assert peer.grid is None or "too few rows" in note, name


def test_a_kernel_machine_reports_that_it_learned_from_a_subsample():
    assert peers("regression")["kernel machine"].max_rows == 5000
    linear = peers("regression")["linear"].estimator
    _, note = Peer(linear, note="n", max_rows=50).fit(INPUTS, NUMBERS)
    assert note == "n; on 50 of the rows"


def test_trees_are_not_searched_over_on_very_many_columns():
    searched = {
        name for name, peer in peers("regression", wide=True).items() if peer.grid
    }
    assert searched == {"linear", "kernel machine"}


@pytest.mark.slow
def test_peers_are_the_same_from_the_same_seed():
    first, again = (
        peers("regression", 3)["random forest"].fit(INPUTS[:40], NUMBERS[:40])[0]
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.predict(INPUTS), again.predict(INPUTS))


@pytest.mark.slow
def test_peers_have_probabilities_of_rare_classes_too():
    rare = np.where(np.arange(120) % 60 == 7, 9, CLASSES)  # two rows, too few for folds
    for targets in (CLASSES, rare):
        for name in ("linear", "kernel machine", "boosted trees"):
            model, _ = peers("classification")[name].fit(INPUTS, targets)
            p = model.predict_proba(INPUTS)
            np.testing.assert_allclose(p.sum(1), 1)
            np.testing.assert_array_equal(model.classes_, np.unique(targets))
            own = p[np.arange(120), np.searchsorted(model.classes_, targets)]
            assert -np.log(np.maximum(own, 1e-4)).mean() < 0.75, name


def test_a_peer_fitted_again_keeps_its_settings():
    peer = peers("regression")["kernel machine"]
    model, _ = peer.fit(INPUTS[:80], NUMBERS[:80])
    again = peer.refit(model, INPUTS[40:], NUMBERS[40:])
    assert again.regressor_[-1].get_params() == model.regressor_[-1].get_params()
    assert np.abs(again.predict(INPUTS) - model.predict(INPUTS)).max() > 0
