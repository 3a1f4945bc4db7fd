"""Programs of functions that read a number by name, which changes later."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.problems import tracing

SCALE, CALLS, T = 1.0, 0, 5.0


def slope():
    return SCALE


def of_global(x, row):
    return SCALE * x * row


def of_another_function(x, row):
    return jax.vmap(lambda y: slope() * y)(x * row[None])[0]


def of_attribute(x, row):
    global CALLS
    CALLS += 1  # a counter is not a number of the loss
    return jnp.sum((x * row)[None].T)


@eqx.filter_jit
def value(problem):
    return problem.value(jnp.array(2.0))


@pytest.mark.parametrize(
    "loss", [of_global, of_another_function, functools.partial(of_global)]
)
def test_a_number_that_changes_changes_the_loss(loss, monkeypatch):
    rows = jnp.ones(3)
    assert value(langevax.FiniteSum(loss, rows)) == 2
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert value(langevax.FiniteSum(loss, rows)) == 6
    target = langevax.posterior(None, loss, rows, prior_precision=1.0)
    assert value(target.problem) == -6
    monkeypatch.setitem(globals(), "SCALE", 4.0)
    assert (
        value(langevax.posterior(None, loss, rows, prior_precision=1.0).problem) == -8
    )


def test_a_number_of_an_enclosing_function_that_changes_changes_the_loss():
    scale = np.ones(2)
    loss = lambda x, row: scale.sum() * x * row
    assert value(langevax.FiniteSum(loss, jnp.ones(3))) == 4
    scale = np.full(2, 2.0)
    assert value(langevax.FiniteSum(loss, jnp.ones(3))) == 8
    assert value(langevax.Function(lambda x: scale[0] * x)) == 4


def test_programs_are_kept_where_no_number_of_the_loss_changes(monkeypatch):
    cleared = []
    langevax.FiniteSum(of_global, jnp.ones(3))
    monkeypatch.setattr(jax, "clear_caches", lambda: cleared.append(1))
    for number in range(3):
        monkeypatch.setitem(
            globals(), "T", float(number)
        )  # x.T reads an attribute, not this
        langevax.FiniteSum(of_attribute, jnp.ones(3)).value(jnp.array(1.0))
        langevax.FiniteSum(of_global, jnp.ones(3))
    assert not cleared
    assert CALLS == 3
    monkeypatch.setitem(globals(), "SCALE", 1.5)
    tracing.forget_old_numbers(of_global)
    assert cleared == [1]
