"""Properties that hold for all inputs: row files, weights, partitions, batches and schedules."""

import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from langevax.data import open_rows, partitions, write_rows
from langevax.gradients import batches
from langevax.optimize import Geometric, Logarithmic
from langevax.problems.blocks import normalised_weights

quick = settings(max_examples=60, deadline=None, derandomize=True)
finite = st.floats(-1e30, 1e30, width=32)
keys = st.integers(0, 2**31 - 1).map(jax.random.key)
matrices = arrays.arrays(
    st.sampled_from([np.float32, np.float64, np.int32, np.uint8, np.bool_]),
    arrays.array_shapes(min_dims=1, max_dims=3, max_side=6),
    elements={"allow_nan": False, "allow_infinity": False},
)


@settings(quick, max_examples=25)
@given(values=matrices, cuts=st.lists(st.integers(0, 6), max_size=3))
def test_a_row_file_returns_what_was_written_in_any_parts(values, cuts):
    places = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    blocks = ({"x": values[start:stop]} for start, stop in pairwise(places))
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "t.rows", blocks, dtype=None)
        rows = open_rows(Path(folder) / "t.rows")
        rows.check()
        np.testing.assert_array_equal(rows.numpy("x"), values)


@quick
@given(
    weights=arrays.arrays(
        np.float64, st.integers(1, 50), elements=st.floats(0, 1e6)
    ).filter(lambda w: w.sum() > 1e-3)
)
def test_weights_have_mean_one_and_keep_their_ratios(weights):
    scaled = np.asarray(
        normalised_weights(weights, len(weights), np.float32), np.float64
    )
    np.testing.assert_allclose(scaled.mean(), 1, rtol=1e-5)
    np.testing.assert_allclose(
        scaled * weights.sum(), weights * len(weights), rtol=1e-5, atol=1e-30
    )


@quick
@given(num_rows=st.integers(1, 60), data=st.data(), key=keys)
def test_each_row_belongs_to_one_client(num_rows, data, key):
    num_clients = data.draw(st.integers(1, num_rows))
    parts = partitions.evenly(num_rows, num_clients, key=key)
    assert len(parts) == num_clients
    assert Counter(np.concatenate(parts).tolist()) == Counter(range(num_rows))
    assert min(map(len, parts)) >= 1


@quick
@given(size=st.integers(1, 40), key=keys)
def test_a_permutation_visits_every_component_once(size, key):
    places = jnp.arange(64, dtype=jnp.int32) % size
    visited = np.asarray(batches.permuted(key, places, jnp.int32(size)))[:size]
    assert sorted(visited.tolist()) == list(range(size))


@quick
@given(
    hot=st.floats(1e-3, 1e3),
    ratio=st.floats(1e-3, 1.0),
    num_steps=st.integers(1, 10_000),
    step=st.integers(0, 20_000),
)
def test_schedules_stay_between_their_ends(hot, ratio, num_steps, step):
    temperature = float(Geometric(hot, hot * ratio, num_steps)(step))
    assert hot * ratio * (1 - 1e-4) <= temperature <= hot * (1 + 1e-4)
    if step >= num_steps:
        np.testing.assert_allclose(temperature, hot * ratio, rtol=1e-4)
    assert (
        0
        < float(Logarithmic(hot)(step + 1))
        <= float(Logarithmic(hot)(step)) * (1 + 1e-6)
    )
