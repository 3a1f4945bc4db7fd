"""Laws of several seeds side by side: where they agree, where they do not, and what is refused."""

from types import SimpleNamespace

import numpy as np

from langevax.predictive_law.agreement import agreement
from tests.sentences import refuses, tells


def law(share=0.1, fit=-1.5, error=0.01, gain=0.4, shares=(1.0, 0.1), rows=40, size=2):
    """What `agreement` reads of a law: only at the share 0.1 are score, error and gain those given."""
    is_here = np.array(shares) == 0.1
    path = SimpleNamespace(
        bayes_share=np.array(shares),
        fit=np.where(is_here, fit, -9.0),
        fit_error=np.where(is_here, error, 9.0),
        gain=np.where(is_here, gain, 0.0),
        scores=np.zeros((len(shares), rows)),
    )
    return SimpleNamespace(bayes_share=share, path=path, points=np.zeros((64, size)))


def test_laws_agree_up_to_three_standard_errors_of_their_difference():
    """0.01 and 0.02 have a difference of 0.0224."""
    for apart, agree in ((0.066, True), (0.068, False)):
        both = agreement(law(), [law(fit=-1.5 + apart, error=0.02)])
        assert both.agree is agree
    assert not agreement(
        law(), [law(fit=-1.45), law(fit=-1.55)]
    ).agree  # each is near the first, not near the other
    assert agreement(
        law(error=0.0), [law(fit=-1.5009, error=0.0)]
    ).agree  # a thousandth of a nat is nothing
    assert not agreement(law(error=0.0), [law(fit=-1.5011, error=0.0)]).agree


def test_they_are_compared_at_the_share_of_the_first_and_the_sentence_has_what_each_chose():
    both = agreement(
        law(),
        [law(1.0, fit=-1.49), law(0.1, fit=-1.51, gain=0.5, shares=(1.0, 0.5, 0.1))],
    )
    tells(str(both), "3 0.1 -1.500 -1.490 -1.510 0.01 0.400 0.500 1")
    assert str(agreement(law(), [law()])).endswith("; all chose a share of 0.1.")
    assert str(agreement(law(), [law(fit=-1.7)])).startswith(
        "Laws of 2 seeds differ: at a share of 0.1 of Bayes they score their rows by -1.500 and -1.700 nats, further "
        "apart than their errors of 0.01 allow."
    )


def test_laws_that_cannot_be_compared_are_refused():
    for others, facts in (
        ([], ""),
        ([3], "2 3"),
        ([law(size=3)], "2"),
        ([law(rows=39)], "40 39"),
        (
            [law(1.0, shares=(1.0, 0.2))],
            "1.0 0.2 0.1 bayes_shares",
        ),
    ):
        with refuses(ValueError, facts):
            agreement(law(), others)
