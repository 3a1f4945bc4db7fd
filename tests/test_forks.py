"""In a process that was forked after JAX started, models predict, and what needs JAX is refused in a sentence."""

import json
import os
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, signal, sys, warnings
import jax, jax.numpy as jnp, numpy as np
import langevax
from langevax import spaces
from langevax.sklearn import MeanFieldClassifier, MeanFieldRegressor, load

warnings.simplefilter("ignore", RuntimeWarning)  # JAX's own, of the fork
X = np.random.default_rng(0).normal(size=(24, 2))
file = sys.argv[1]
options = {"num_particles": 16, "temperature": 0.1, "random_state": 0}
number = MeanFieldRegressor(**options).fit(X, X[:, 0])
label = MeanFieldClassifier(**options).fit(X, X[:, 0] > 0)
number.save(file)
before = number.predict(X)
key, place = jax.random.key(0), jnp.zeros(2)
rows = jnp.asarray(X, jnp.float32)
problem = langevax.FiniteSum(lambda w, row: jnp.sum((w - row) ** 2), rows)
basis = spaces.Cosine(8)
prior = spaces.GaussianPrior(basis, spaces.spectra.matern(basis, length_scale=0.3))
calls = {
    "predict": lambda: np.array_equal(number.predict(X), before),
    "load": lambda: np.array_equal(load(file).predict(X), before),
    "predict_proba": lambda: label.predict_proba(X).shape,
    "value": lambda: problem.value(place),
    "gradient_at": lambda: problem.gradient_at(place, np.arange(2)),
    "fit": lambda: MeanFieldRegressor(**options).fit(X, X[:, 0]),
    "simulate": lambda: langevax.simulate(
        langevax.Langevin(0.1), problem, place, key=key, num_steps=2
    ),
    "inverse_problem": lambda: langevax.inverse_problem(
        lambda values: values[::4], np.ones(2), noise=0.1, prior=prior
    ),
}
for name, call in calls.items():
    if os.fork() == 0:
        signal.alarm(60)  # a call that hangs ends the child without a line
        try:
            said = str(call())
        except RuntimeError as error:
            said = str(error)
        print(json.dumps([name, said]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks")
def test_a_forked_process_predicts_and_refuses_the_rest(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "model.safetensors")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    said = dict(map(json.loads, answer.stdout.splitlines()))
    assert said.pop("predict") == said.pop("load") == "True"
    assert said.pop("predict_proba") == "(24, 2)"
    assert set(said) == {"value", "gradient_at", "fit", "simulate", "inverse_problem"}
    for sentence in said.values():
        assert sentence.startswith("this process was forked")
