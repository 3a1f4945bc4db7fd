"""Laws written to a file and read back, for the same model and data alone."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import langevax
from langevax.predictive_law import PredictiveWarning, law_file
from tests.predictive_law.cases import (
    COUNTS,
    draws_of,
    log_likelihood,
    log_prior,
    table,
)
from tests.predictive_law.grids import solve
from tests.sentences import refuses

MODEL = log_prior, log_likelihood, COUNTS


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    draws = draws_of(solve(*table(COUNTS), 1.0).weights, 64)[:, 0]
    options = {
        "key": jax.random.key(0),
        "draws": draws,
        "num_particles": 16,
        "num_folds": None,
        "posterior_shares": (1.0,),
    }
    law = langevax.predictive(*MODEL, **options)
    path = tmp_path_factory.mktemp("law") / "folder" / "law.safetensors"
    law.save(path)
    return path, law


def test_a_law_is_the_same_after_reading(file):
    path, law = file
    again = langevax.predictive_law.load(path, *MODEL, start=jnp.array(0.0))
    np.testing.assert_array_equal(again.points, law.points)
    np.testing.assert_array_equal(again.positions, law.positions)
    for field in dataclasses.fields(law.path):
        np.testing.assert_array_equal(
            getattr(again.path, field.name), getattr(law.path, field.name)
        )
    assert repr(again) == repr(law)
    np.testing.assert_array_equal(again.log_score(COUNTS), law.log_score(COUNTS))


def test_another_model_and_damaged_files_are_refused(file, tmp_path):
    path, _ = file
    damaged = tmp_path / "damaged"
    damaged.write_bytes(path.read_bytes()[:-100])
    one = jnp.array(0.0)
    cases = [
        (
            (path, log_prior, lambda m, y: 1.1 * log_likelihood(m, y), COUNTS),
            one,
            "",
        ),
        (
            (path, lambda m: 50 * log_prior(m), log_likelihood, COUNTS),
            one,
            "",
        ),
        (
            (
                path,
                log_prior,
                log_likelihood,
                COUNTS + 1e-4 * (np.arange(len(COUNTS)) == 3),
            ),
            one,
            "",
        ),
        (
            (path, log_prior, log_likelihood, COUNTS + 1),
            one,
            "",
        ),
        (
            (path, log_prior, log_likelihood, COUNTS[:9]),
            one,
            "1 40",
        ),
        ((path, *MODEL), None, "start"),
        ((tmp_path / "none", *MODEL), one, ""),
        ((damaged, *MODEL), one, ""),
    ]
    for arguments, start, facts in cases:
        with refuses(ValueError, facts):
            langevax.predictive_law.load(*arguments, start=start)


def archive_of(path, file, **changed):
    """Write a law as langevax wrote it before it saved the prior."""
    saved = law_file.read(path)
    arrays = {name: getattr(saved, name) for name in ("points", "log_likelihoods")}
    arrays |= {"method": saved.method, "seconds": saved.seconds}
    arrays |= {f"path_{name}": one for name, one in vars(saved.path).items()}
    arrays |= {"format": law_file.ARCHIVE_FORMAT} | changed
    np.savez_compressed(file, **arrays)
    return file


def test_laws_of_the_format_before_are_read_with_a_warning(file, tmp_path):
    path, law = file
    former = archive_of(path, tmp_path / "law.npz")
    load = langevax.predictive_law.load
    with pytest.warns(PredictiveWarning, match="another prior cannot be refused"):
        again = load(former, *MODEL, start=jnp.array(0.0))
    assert repr(again) == repr(law)
    content = former.read_bytes()
    cases = [
        archive_of(path, tmp_path / "other.npz", format="1"),
        archive_of(path, tmp_path / "bomb.npz", points=np.zeros((16, 10**6))),
        archive_of(path, tmp_path / "ragged.npz", points=np.zeros((15, 1))),
        archive_of(path, tmp_path / "text.npz", points=np.full((16, 1), "a")),
        tmp_path / "packed.npz",
    ]
    at = content.rindex(b"points.npy")
    cases[-1].write_bytes(content[: at - 36] + b"\x63\0" + content[at - 34 :])
    for damaged in cases:
        with refuses(ValueError, ""):
            load(damaged, *MODEL, start=jnp.array(0.0))
