"""The claim on networks that read curves: it holds, its numbers have units, and each check can fail."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import functional_inputs
from functional_inputs import CLAIM
from langevax.meanfield import PSDCA
from tests.claims.failing import check_failing, check_holding

pytestmark = [pytest.mark.long, pytest.mark.mostly_compiling]


@pytest.fixture(scope="module")
def dataset():
    return CLAIM.run("small")


def test_the_claim_holds(dataset):
    check_holding(CLAIM, dataset)


def test_numbers_have_units(dataset):
    assert all(dataset[name].attrs["units"] for name in dataset.data_vars)
    assert {
        f"{name}_error" for name in ("dual_value", "gap", "acceptance", "cut_off")
    } <= set(dataset.data_vars)


def test_the_figure_has_labelled_axes(dataset):
    axes = CLAIM.figure(dataset).axes
    assert len(axes) == 2
    assert all(a.get_xlabel() and a.get_ylabel() for a in axes)


def changed(name, by, times=1.0, **where):
    """The dataset with something added to one variable, where the coordinates are these."""

    def change(dataset):
        array = dataset[name].copy(deep=True)
        array.loc[where] = times * array.loc[where] + by
        return dataset.assign({name: array})

    return change


OPTIMUM, OTHERS, GAP, CUT = (
    "certified optimum",
    "optima by other",
    "largest certified gap",
    "what cutting",
)
FLAT, LEAST, ONE, OWN = (
    "change of pCNL's",
    "least acceptance",
    "acceptance of MALA, one",
    "acceptance of MALA, own",
)
EULER, PASSES = "runs of explicit Euler", "spread of P-SDCA's"


@pytest.mark.parametrize(
    ("broken", "failing"),
    [
        (
            changed("dual_value", 0.02, learner=functional_inputs.ASCENT, modes=64),
            {OPTIMUM, OTHERS},
        ),
        (changed("dual_value", 0.02, learner="PDA, exponential"), {OTHERS}),
        (changed("dual_value", -0.02, learner="MFLD, exponential"), {OTHERS}),
        (changed("gap", 0.004, learner=functional_inputs.ASCENT, modes=8), {GAP}),
        (changed("gap", 0.004, learner="PDA, semi-implicit"), {GAP}),
        (changed("gap", np.inf, learner=functional_inputs.ASCENT, modes=64), {GAP}),
        (lambda d: d.assign(cut_off=d.cut_off + 0.01), {CUT}),
        (changed("acceptance", -0.15, proposal="pCNL", modes=64), {FLAT}),
        (changed("acceptance", -0.45, proposal="pCNL"), {LEAST, OWN}),
        (changed("acceptance", 0.5, proposal="MALA, one step", modes=64), {ONE}),
        (changed("acceptance", 0.5, proposal="MALA, own steps", modes=64), {OWN}),
        (lambda d: d.assign(settles_below=~d.settles_below), {EULER}),
        (lambda d: d.assign(settles_above=~d.settles_above), {EULER}),
        (
            changed(
                "evaluations", 0.0, 2.0, learner=functional_inputs.ASCENT, modes=64
            ),
            {PASSES},
        ),
        (
            changed("dual_value", np.nan, learner=functional_inputs.ASCENT),
            {OPTIMUM, OTHERS, GAP},
        ),
    ],
    ids=[
        "value",
        "value too high",
        "value too low",
        "gap",
        "gap of another",
        "not trusted",
        "cut-off",
        "pCNL",
        "pCNL that hardly moves",
        "MALA that is accepted",
        "MALA with own steps",
        "Euler below",
        "Euler above",
        "passes",
        "nothing measured",
    ],
)
def test_a_check_fails_alone(dataset, broken, failing):
    """Or with those that depend on the same number."""
    check_failing(CLAIM, broken(dataset), *failing)


def test_all_numbers_of_modes_see_the_same_curves():
    """Rows are beginnings of longer rows; the prior's variances are k^-2, and 1 of the bias, at the temperature."""
    few, many = functional_inputs.risk_of(8), functional_inputs.risk_of(64)
    np.testing.assert_array_equal(few.inputs, many.inputs[:, :8])
    np.testing.assert_array_equal(few.targets, many.targets)
    expected = np.append(np.arange(1.0, 9) ** -2, 1.0)
    np.testing.assert_allclose(
        functional_inputs.TEMPERATURE / np.asarray(few.precision), expected, rtol=1e-6
    )


def test_a_cut_off_that_matters_is_noticed():
    """From 2 modes to 1 at a dual of the second, against both partition functions by 200,000 draws of the prior."""
    dual = -0.5 * np.sign(functional_inputs.curves()[0][:, 1])
    change, error = functional_inputs.truncation(1, 2, dual, 500, 8, jax.random.key(0))
    rng, logs = np.random.default_rng(1), {}
    draws = rng.normal(size=(200_000, 3)) * [
        1.0,
        2 ** (-functional_inputs.DECAY / 2),
        1.0,
    ]
    for count in (1, 2):
        x = functional_inputs.curves()[0][:, :count]
        v = np.tanh(draws[:, :count] @ x.T + draws[:, -1:]) @ dual / len(dual)
        logs[count] = np.log(np.mean(np.exp(-v / functional_inputs.TEMPERATURE)))
    expected = -functional_inputs.TEMPERATURE * (logs[1] - logs[2])
    assert abs(change - expected) < 5 * error + 2e-4
    assert abs(expected) > 15 * error + 2e-3


def test_ascent_refreshes_by_pcnl():
    ascent = functional_inputs.learners(100)[functional_inputs.ASCENT][0]
    assert isinstance(ascent, PSDCA)
    assert ascent.proposal == "pcnl"


def test_eulers_limit_is_that_of_the_stiffest_mode():
    stiffest = float(jnp.max(functional_inputs.risk_of(64).precision))
    assert functional_inputs.euler_limit(64) == pytest.approx(2 / stiffest)
