"""First steps: sample a real posterior, then train a network on a real table, through one `simulate`.

Run it: `make demo`, or `python examples/first_steps.py`. It writes two figures into out/.
"""

from pathlib import Path

import jax
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import langevax as lx
from langevax.figures import charts, theme


def breast_cancer(file: Path) -> None:
    """The posterior of 31 coefficients given 569 patients, prior N(0, I): SVRG-LD against MALA."""
    table, labels = load_breast_cancer(return_X_y=True)
    X = np.column_stack([StandardScaler().fit_transform(table), np.ones(len(table))]).astype(np.float32)
    y, n = np.float32(2 * labels - 1), len(X)

    # a log posterior is a sum over rows, a problem the mean: so the temperature is 1/n, and the prior weighs 1/n
    posterior = lx.FiniteSum(lambda w, row: jax.nn.softplus(-row[1] * (row[0] @ w)), (X, y), precision=1 / n)
    curvature, directions = np.linalg.eigh(X.T @ X / (4 * n))
    problem = lx.affine(posterior, directions / np.sqrt(curvature + 1 / n))  # every direction at its own speed
    mala = lx.MALA(step_size=1.0, temperature=1 / n)
    svrg = lx.Langevin(step_size=0.05, temperature=1 / n, gradient=lx.gradients.SVRG(batch_size=8, period=100))

    def draw(name, algorithm, steps, every, seed):
        start, key = np.zeros(X.shape[1], np.float32), jax.random.key(seed)
        result = lx.simulate(algorithm, problem, start, key=key, num_steps=steps, num_chains=8, record_every=every)
        passes = result.trace.info["evaluations"][0] / n
        print(f"{name:<15} {steps:>6} steps of 8 chains, {passes[-1]:>6.0f} passes each, {result.seconds:4.1f} s")
        return np.asarray(problem.to_position(result.positions)), passes

    long_run = draw("MALA, long run", mala, 40_000, 20, seed=0)[0][:, 200:]
    mean, deviation = long_run.mean((0, 1)), long_run.std((0, 1))
    errors, spreads = {}, {}
    for name, algorithm, steps, every in (("MALA", mala, 1_000, 2), ("SVRG-LD", svrg, 27_000, 54)):
        draws, passes = draw(name, algorithm, steps, every, seed=1)
        so_far = np.cumsum(draws, 1) / np.arange(1, draws.shape[1] + 1)[:, None]
        errors[name] = passes, np.sqrt(np.mean(((so_far - mean) / deviation) ** 2, (0, 2)))
        late = draws[:, draws.shape[1] // 4 :]
        spreads[name] = late.mean((0, 1)), late.std((0, 1))

    figure, (left, right) = plt.subplots(1, 2)
    axes = {"xlabel": "passes over the 569 patients", "ylabel": "error of one chain's mean, in posterior sd"}
    charts.curves(left, errors, title="The same cost, a better posterior mean", **axes)
    axes = {"xlabel": "coefficient, long MALA run", "ylabel": "coefficient, mean ± sd"}
    charts.agreement(right, mean, spreads, title="Means and spreads agree", **axes)
    figure.savefig(file)


def diabetes(file: Path) -> None:
    """500 neurons 10 tanh(a) tanh(<w, x> + b) on 442 patients, 5-fold cross-validation, trained ever longer."""
    table, progression = load_diabetes(return_X_y=True)
    temperature, folds, scores = 0.06, KFold(5, shuffle=True, random_state=0), []
    mfld = lx.meanfield.MFLD(step_size=0.01, temperature=temperature)
    for train, test in folds.split(table):
        scaler = StandardScaler().fit(table[train])
        X, X_test = (np.float32(scaler.transform(table[part]) / np.sqrt(table.shape[1])) for part in (train, test))
        center, scale = progression[train].mean(), progression[train].std()
        y, y_test = (np.float32((progression[part] - center) / scale) for part in (train, test))

        network = lx.neurons.TanhTanh(scale=10.0)
        risk = lx.MeanFieldRisk(network, lx.losses.squared, X, y, precision=temperature)  # so the prior is N(0, I)
        start = risk.prior(temperature, num_particles=500)
        result = lx.simulate(mfld, risk, start, key=jax.random.key(0), num_steps=5_000, record_every=25)
        outputs = np.stack([risk.outputs(cloud, X_test) for cloud in result.positions])
        scores.append(1 - np.mean((outputs - y_test) ** 2, 1) / np.var(y_test))
    score, steps = np.mean(scores, 0), result.trace.steps
    ridge = cross_val_score(
        make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 25))), table, progression, cv=folds
    )
    print(f"diabetes, 5 folds: R2 {score[-100:].mean():.3f} over steps 2500..5000, RidgeCV {ridge.mean():.3f}")

    figure, (left, right) = plt.subplots(1, 2)
    left.semilogx(steps, score, color=theme.METHODS["MFLD"][0], marker="D", markevery=0.15, label="MFLD")
    left.axhline(ridge.mean(), color=theme.GREY, linestyle="-.", label="RidgeCV")
    left.set(
        xlabel="steps", ylabel="$R^2$ on held-out patients, 5 folds", ylim=(0, 0.6), title="No early stopping needed"
    )
    left.legend(loc="lower right")
    cloud = result.positions[-1]  # a particle is (a, w_1..w_10, b); body-mass index is w_3, serum measurement 5 is w_9
    pull = 10 * np.tanh(cloud[:, 0])
    axes = {"xlabel": "weight of body-mass index", "ylabel": "weight of serum measurement s5"}
    charts.particles(
        right, cloud[:, 3], cloud[:, 9], pull, pull_label="outer weight", title="The neurons it found", **axes
    )
    figure.savefig(file)


if __name__ == "__main__":
    out = Path("out")
    out.mkdir(exist_ok=True)
    with matplotlib.rc_context(theme.style()):
        breast_cancer(out / "breast_cancer.png")
        diabetes(out / "diabetes.png")
    print("figures: out/breast_cancer.png, out/diabetes.png")
