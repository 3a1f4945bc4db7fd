"""Learning coefficients of parameters as libraries hold them, of rows of a file, and of runs that go on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.data import open_rows, write_rows

pytestmark = pytest.mark.slow

X = np.float32(np.random.default_rng(0).normal(size=(200, 3)) * [1.0, 3.0, 0.3])
OPTIONS = {
    "key": jax.random.key(0),
    "localization": 1.0,
    "run": langevax.Run(progress=False),
    "num_samples": 100,
    "num_warmup": 100,
}
TEMPERATURE = np.log(200) / 200
S = np.linalg.eigvalsh(X.T.astype(float) @ X / len(X))
EXACT = np.sum(S / (S + TEMPERATURE)) / 2
"""Of the squared outputs of a linear layer at zero."""


def of_equinox():
    layer = eqx.nn.Linear(3, 1, use_bias=False, key=jax.random.key(0))
    return eqx.tree_at(
        lambda a: a.weight, layer, jnp.zeros((1, 3))
    ), lambda model, row: model(row)[0]


def of_flax_linen():
    from flax import linen

    layer = linen.Dense(1, use_bias=False, kernel_init=linen.initializers.zeros)
    return layer.init(jax.random.key(0), X), lambda params, row: layer.apply(
        params, row
    )[0]


def of_flax_nnx():
    from flax import nnx

    layer = nnx.Linear(
        3, 1, use_bias=False, kernel_init=nnx.initializers.zeros, rngs=nnx.Rngs(0)
    )
    graph, params = nnx.split(layer)
    return params, lambda params, row: nnx.merge(graph, params)(row)[0]


def of_haiku():
    hk = pytest.importorskip("haiku")
    apply = hk.without_apply_rng(
        hk.transform(lambda x: hk.Linear(1, with_bias=False, w_init=jnp.zeros)(x))
    )
    return apply.init(jax.random.key(0), X), lambda params, row: apply.apply(
        params, row
    )[0]


@pytest.mark.parametrize("library", [of_equinox, of_flax_linen, of_flax_nnx, of_haiku])
def test_parameters_of_a_library_are_taken_as_they_are(library):
    params, predict = library()
    loss = lambda params, row: predict(params, row) ** 2 / 2
    result = langevax.learning_coefficient(loss, params, jnp.asarray(X), **OPTIONS)
    assert result.num_parameters == 3
    assert result.value == pytest.approx(EXACT, rel=2e-3)
    assert jax.tree.structure(result.params) == jax.tree.structure(
        eqx.filter(params, eqx.is_array)
    )


def test_rows_of_a_file_are_used_where_they_lie(tmp_path):
    write_rows(tmp_path / "x.rows", [{"x": X[:120]}, {"x": X[120:]}])
    rows = open_rows(tmp_path / "x.rows")["x"]
    loss = lambda w, row: (row @ w) ** 2 / 2
    result = langevax.learning_coefficient(loss, jnp.zeros(3), rows, **OPTIONS)
    assert result.num_rows == 200
    assert result.value == pytest.approx(EXACT, rel=2e-3)


def test_a_run_that_goes_on_has_the_draws_of_one_that_was_not_interrupted(tmp_path):
    loss = lambda w, row: (row @ w) ** 2 / 2
    call = loss, jnp.zeros(3), jnp.asarray(X)
    whole = langevax.learning_coefficient(*call, **OPTIONS)
    file = tmp_path / "chains.npz"
    first = {"run": langevax.Run(checkpoint=file), "num_samples": 40}
    langevax.learning_coefficient(*call, **OPTIONS | first)
    again = {"run": langevax.Run(checkpoint=file, resume=True)}
    result = langevax.learning_coefficient(*call, **OPTIONS | again)
    np.testing.assert_array_equal(result.trace, whole.trace)
    assert result.value == whole.value
