"""The tree for both lines of ArviZ: `InferenceData` of 0.x is an abstract mapping whose groups are attributes."""

import sys
import types
from collections.abc import Mapping
from importlib import metadata

import jax
import jax.numpy as jnp
import pytest
import xarray

import langevax
from langevax.run.datatree import datatree_type


class InferenceData(Mapping):
    pass


@pytest.fixture
def install(monkeypatch):
    """Pretend that this version of ArviZ is installed."""

    def pretend(version):
        monkeypatch.setattr(metadata, "version", lambda name: version)
        monkeypatch.setitem(
            sys.modules, "arviz", types.SimpleNamespace(InferenceData=InferenceData)
        )

    datatree_type.cache_clear()
    yield pretend
    datatree_type.cache_clear()


def tree_of_a_run():
    langevin = langevax.Langevin(step_size=0.1, temperature=1.0)
    problem = langevax.Function(lambda x: jnp.sum(x["a"] ** 2))
    options = {
        "key": jax.random.key(0),
        "num_steps": 6,
        "num_chains": 2,
        "record_every": 2,
    }
    return langevax.simulate(
        langevin, problem, {"a": jnp.zeros(3)}, **options
    ).to_datatree()


def test_the_old_line_takes_the_tree_for_its_own(install):
    install("0.23.4")
    tree = tree_of_a_run()
    assert isinstance(tree, InferenceData)
    assert isinstance(tree, xarray.DataTree)
    assert isinstance(tree.posterior, xarray.Dataset)
    assert tree.posterior["a"].shape == (2, 3, 3)
    assert tree.groups() == ["posterior", "sample_stats"]
    assert tree.groups == ("/", "/posterior", "/sample_stats")
    assert isinstance(tree["posterior"], xarray.DataTree)


def test_the_new_line_takes_a_plain_tree(install):
    install("1.0.0")
    tree = tree_of_a_run()
    assert type(tree) is xarray.DataTree
    assert isinstance(tree.posterior, xarray.DataTree)
