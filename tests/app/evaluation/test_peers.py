"""The peers choose their settings inside `fit`, quietly, on whatever rows they are given."""

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.model_selection import cross_val_score

from langevax.app.evaluation.peers import (
    MAX_KERNEL_ROWS,
    MAX_SEARCHED_COLUMNS,
    Peer,
    peers,
)

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
        peer.fit(INPUTS[:80], targets[:80])
        assert peer.score(INPUTS[80:], targets[80:]) > enough, name
        assert peer.note_ == peer.note
        assert peer.note


def test_peers_are_what_scikit_learn_takes_them_for():
    assert all(is_regressor(peer) for peer in peers("regression").values())
    assert all(is_classifier(peer) for peer in peers("classification").values())
    assert (
        cross_val_score(peers("classification")["linear"], INPUTS, CLASSES, cv=2).min()
        > 0.6
    )


@pytest.mark.slow
def test_classes_of_one_row_and_tiny_tables_are_evaluated():
    rare = np.where(np.arange(120) == 7, 9, CLASSES)
    for peer in peers("classification").values():
        assert peer.fit(INPUTS, rare).predict(INPUTS).shape == (120,)
    for task, targets in (
        ("regression", NUMBERS),
        ("classification", np.array([0, 1, 0, 1, 1])),
    ):
        for name, peer in peers(task).items():
            peer.fit(INPUTS[:5], targets[:5])
            assert peer.grid is None or "too few rows" in peer.note_, name


def test_a_kernel_machine_reports_that_it_learned_from_a_subsample():
    assert peers("regression")["kernel machine"].max_rows == MAX_KERNEL_ROWS
    peer = Peer(peers("regression")["linear"].estimator, note="n", max_rows=50).fit(
        INPUTS, NUMBERS
    )
    assert peer.note_ == "n; on 50 of the rows"


def test_trees_and_networks_are_not_searched_over_on_very_many_columns():
    wide = [
        name
        for name, peer in peers("regression").items()
        if peer.max_columns == MAX_SEARCHED_COLUMNS
    ]
    assert wide == ["MLP", "boosted trees"]
    peer = peers("regression")["boosted trees"].set_params(max_columns=2)
    assert peer.fit(INPUTS[:, :2], NUMBERS).note_ == peer.note
    assert (
        peer.fit(INPUTS[:, :3], NUMBERS).note_
        == "no search on so many columns: the defaults"
    )


@pytest.mark.slow
def test_peers_are_the_same_from_the_same_seed():
    first, again = (
        peers("regression", 3)["MLP"].fit(INPUTS[:40], NUMBERS[:40]) for _ in range(2)
    )
    np.testing.assert_array_equal(first.predict(INPUTS), again.predict(INPUTS))


@pytest.mark.slow
def test_peers_chosen_by_log_loss_have_probabilities_of_rare_classes_too():
    rare = np.where(np.arange(120) % 60 == 7, 9, CLASSES)  # two rows, too few for folds
    for targets in (CLASSES, rare):
        for name in ("linear", "kernel machine", "boosted trees"):
            peer = peers("classification", 0, "log loss")[name].fit(INPUTS, targets)
            p = peer.predict_proba(INPUTS)
            np.testing.assert_allclose(p.sum(1), 1)
            np.testing.assert_array_equal(peer.classes_, np.unique(targets))
            own = p[np.arange(120), np.searchsorted(peer.classes_, targets)]
            assert -np.log(np.maximum(own, 1e-4)).mean() < 0.75, name


def test_a_peer_fitted_again_keeps_its_settings():
    peer = peers("regression")["kernel machine"].fit(INPUTS[:80], NUMBERS[:80])
    again = peer.refitted(INPUTS[40:], NUMBERS[40:])
    assert again.regressor_[-1].get_params() == peer.chosen_.regressor_[-1].get_params()
    assert np.abs(again.predict(INPUTS) - peer.predict(INPUTS)).max() > 0


def test_a_package_that_cannot_be_imported_is_named_and_left_out(tmp_path, monkeypatch):
    (tmp_path / "catboost.py").write_text("import a_dependency_that_is_missing")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(
        UserWarning,
        match="CatBoost is installed and cannot be imported .*a_dependency_that_is_missing",
    ):
        assert "CatBoost" not in peers("regression")
