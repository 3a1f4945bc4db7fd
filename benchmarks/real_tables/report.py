"""The report of a file of results, as Markdown: scores, mean ranks, paired differences, processor time, coverage.

A score of a table is the mean over the folds that all methods with a result on the table share. Ranks are taken over
tables of at most 5,000 rows where all ranked methods finished; a method that takes few tables is ranked apart, with all
the others on its tables. Two mean ranks differ where they are further apart than Nemenyi's critical difference. Bounds
of mean differences are by the bias-corrected accelerated bootstrap over tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import bootstrap, rankdata, studentized_range

from benchmarks import results
from benchmarks.real_tables.methods import METHODS, OURS
from benchmarks.real_tables.tables import TABLES
from benchmarks.results import Record

Scores = dict[str, dict[str, float]]
"""Of each table, by method."""

MAX_TRAINING_ROWS = 4000  # of a table of 5,000
BROAD = 0.9  # share of the tables on which a method must have finished to be ranked with the others
TIMED_AGAINST = "realmlp"


@dataclass(frozen=True)
class Metric:
    """A score of the report."""

    key: str
    label: str
    higher: bool = False

    def gain(self, ours: float, theirs: float) -> float:
        """Return by how much ours is better."""
        return ours - theirs if self.higher else theirs - ours


METRICS = (
    Metric("r2", "R2", higher=True),
    Metric("log_loss", "log loss"),
    Metric("ece", "calibration error"),
)


def read(path: Path) -> list[Record]:
    """Return the last record of each (table, fold, method)."""
    return results.last(path, lambda r: (r["table"], r["fold"], r["method"]))


def means(records: Iterable[Record], key: str) -> Scores:
    """Return means over the folds that a table's methods share."""
    folds: dict[str, dict[str, dict[int, float]]] = {}
    for record in records:
        if key in record and record["table"] in TABLES and record["method"] in METHODS:
            folds.setdefault(record["table"], {}).setdefault(record["method"], {})[
                record["fold"]
            ] = record[key]
    scores: Scores = {}
    for table, by_method in folds.items():
        shared = set.intersection(*(set(values) for values in by_method.values()))
        if shared:
            scores[table] = {
                method: float(np.mean([values[fold] for fold in shared]))
                for method, values in by_method.items()
            }
    return {table: scores[table] for table in TABLES if table in scores}


def ranked_tables(records: Iterable[Record]) -> set[str]:
    """Return the names of the tables that are not too large to be ranked."""
    return {record["table"] for record in records if record["n"] <= MAX_TRAINING_ROWS}


def broad(scores: Scores) -> list[str]:
    """Return the methods that finished on most tables."""
    counts = {name: sum(name in row for row in scores.values()) for name in METHODS}
    most = max(counts.values(), default=0)
    return [name for name, count in counts.items() if count and count >= BROAD * most]


def mean_ranks(
    scores: Scores, methods: Sequence[str], higher: bool
) -> tuple[dict[str, float], int]:
    """Return mean ranks over the tables with scores of all the methods, 1 the best, and the number of those tables."""
    rows = [row for row in scores.values() if all(method in row for method in methods)]
    if not rows or not methods:
        return {}, 0
    values = np.array([[row[method] for method in methods] for row in rows])
    ranks = rankdata(-values if higher else values, axis=1)
    return dict(zip(methods, ranks.mean(0).tolist(), strict=True)), len(rows)


def critical_difference(methods: int, tables: int) -> float:
    """Return Nemenyi's critical difference of mean ranks, at 5 %.

    Example:
        >>> round(critical_difference(10, 1) / np.sqrt(10 * 11 / 6), 3)
        3.164
    """
    quantile = studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(methods * (methods + 1) / (6 * tables)))


def bounds(gains: np.ndarray) -> tuple[float, float]:
    """Return 95 % bounds of the mean over tables; NaN for fewer than five."""
    if len(gains) < 5 or np.ptp(gains) == 0:
        return float("nan"), float("nan")
    interval = bootstrap(
        (gains,), np.mean, n_resamples=9999, rng=np.random.default_rng(0)
    ).confidence_interval
    return float(interval.low), float(interval.high)


def printed(records: Sequence[Record]) -> str:
    """Return the whole report."""
    finished = [record for record in records if "error" not in record]
    small = ranked_tables(finished)
    parts = [scores_part(finished, metric) for metric in METRICS[:2]]
    parts += [ranks_part(finished, metric, small) for metric in METRICS]
    parts += [
        differences_part(finished, small),
        worse_than_linear(finished),
        seconds_part(finished, small),
    ]
    parts += [coverage_part(finished), failures_part(records)]
    return "\n\n".join(part for part in parts if part)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [f"| {' | '.join(row)} |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def scores_part(records: Sequence[Record], metric: Metric) -> str:
    """Scores by table and method, the best one bold; held-out tables are marked."""
    scores = means(records, metric.key)
    methods = [name for name in METHODS if any(name in row for row in scores.values())]
    shapes = {record["table"]: f"{record['n']:,} x {record['d']}" for record in records}
    rows = []
    for table, row in scores.items():
        best = (max if metric.higher else min)(row.values(), default=None)
        cells = [_cell(row.get(name), row.get(name) == best) for name in methods]
        rows.append(
            [table + (" *" if TABLES[table].held_out else ""), shapes[table], *cells]
        )
    if not rows:
        return ""
    head = ["", "training rows x columns", *(METHODS[name].label for name in methods)]
    return f"### {metric.label.capitalize()} by table\n\n{markdown(head, rows)}"


def _cell(value: float | None, best: bool) -> str:
    if value is None:
        return ""
    return f"**{value:.3f}**" if best else f"{value:.3f}"


def ranks_part(records: Sequence[Record], metric: Metric, small: set[str]) -> str:
    """Mean ranks over all tables, over the open and over the held-out ones; then of methods that take few tables."""
    scores = {
        table: row
        for table, row in means(records, metric.key).items()
        if table in small
    }
    methods = broad(scores)
    sets = {
        "all": scores,
        "open": {
            table: row for table, row in scores.items() if not TABLES[table].held_out
        },
        "held out": {
            table: row for table, row in scores.items() if TABLES[table].held_out
        },
    }
    if any(not part for part in sets.values()):
        sets = {"all": scores}
    columns = {
        name: mean_ranks(part, methods, metric.higher) for name, part in sets.items()
    }
    if len(methods) < 2 or not columns["all"][1]:
        return ""
    ranks = columns["all"][0]
    rows = [
        [
            METHODS[name].label,
            *(f"{column.get(name, np.nan):.2f}" for column, _ in columns.values()),
        ]
        for name in sorted(methods, key=ranks.__getitem__)
    ]
    rows.append(
        [
            "critical difference",
            *(_difference(len(methods), tables) for _, tables in columns.values()),
        ]
    )
    head = ["", *(f"{name}, {tables} tables" for name, (_, tables) in columns.items())]
    parts = [f"### Mean ranks by {metric.label}\n\n{markdown(head, rows)}"]
    for name, method in METHODS.items():
        few = {table: row for table, row in scores.items() if name in row}
        if method.max_rows is None or name in methods or not few:
            continue
        apart, tables = mean_ranks(few, [*methods, name], metric.higher)
        if tables:
            listed = ", ".join(
                f"{METHODS[key].label} {rank:.2f}"
                for key, rank in sorted(apart.items(), key=_second)
            )
            difference = _difference(len(apart), tables)
            parts.append(
                f"Tables that {method.label} takes, {tables} (critical difference {difference}): {listed}."
            )
    return "\n\n".join(parts)


def _difference(methods: int, tables: int) -> str:
    return f"{critical_difference(methods, tables):.2f}" if tables else ""


def _second(pair: tuple[str, float]) -> float:
    return pair[1]


def differences_part(records: Sequence[Record], small: set[str]) -> str:
    """Return how much better ours is than each peer: wins, and means with bounds over tables."""
    rows = []
    for metric in METRICS:
        scores = {
            table: row
            for table, row in means(records, metric.key).items()
            if table in small and OURS in row
        }
        for name in METHODS:
            gains = np.array(
                [
                    metric.gain(row[OURS], row[name])
                    for row in scores.values()
                    if name in row
                ]
            )
            if name == OURS or not len(gains):
                continue
            low, high = bounds(gains)
            interval = "" if np.isnan(low) else f"{low:+.3f} to {high:+.3f}"
            numbers = [
                f"{(gains > 0).sum()} of {len(gains)}",
                f"{np.median(gains):+.3f}",
                f"{gains.mean():+.3f}",
            ]
            rows.append([metric.label, METHODS[name].label, *numbers, interval])
    if not rows:
        return ""
    head = ["score", "beside", "better on", "median", "mean", "95 % of the mean"]
    return (
        f"### By how much langevax is better, paired by table\n\n{markdown(head, rows)}"
    )


def worse_than_linear(records: Sequence[Record]) -> str:
    """Tables on which ours is worse than the linear model by two paired standard errors over at least three folds."""
    values = {(r["table"], r["fold"], r["method"]): r for r in records}
    compared, worse = 0, []
    for table in TABLES:
        for metric in METRICS[:2]:
            folds = [
                fold for name, fold, method in values if (name, method) == (table, OURS)
            ]
            pairs = [
                (
                    values.get((table, fold, OURS), {}),
                    values.get((table, fold, "linear"), {}),
                )
                for fold in folds
            ]
            gains = [
                metric.gain(ours[metric.key], peer[metric.key])
                for ours, peer in pairs
                if metric.key in peer
            ]
            if len(gains) < 3 or not all(metric.key in ours for ours, _ in pairs):
                continue
            compared += 1
            error = np.std(gains, ddof=1) / np.sqrt(len(gains))
            if np.mean(gains) < -2 * error:
                worse.append(f"{table} (by {-np.mean(gains):.3f} ± {error:.3f})")
    if not compared:
        return ""
    listed = ", ".join(worse) if worse else "none"
    return f"Worse than the linear model by two paired standard errors over folds, of {compared} tables: {listed}."


def seconds_part(records: Sequence[Record], small: set[str]) -> str:
    """Processor seconds of a fit, compiling included: medians over tables, and over those of RealMLP on the same."""
    scores = {
        table: row for table, row in means(records, "cpu_s").items() if table in small
    }
    rows = []
    for name, method in METHODS.items():
        seconds = [row[name] for row in scores.values() if name in row]
        ratios = [
            row[name] / row[TIMED_AGAINST]
            for row in scores.values()
            if name in row and TIMED_AGAINST in row
        ]
        if seconds:
            share = f"{np.median(ratios):.3g}" if ratios else ""
            rows.append(
                [
                    method.label,
                    f"{np.median(seconds):.3g}",
                    f"{np.max(seconds):.3g}",
                    share,
                ]
            )
    if not rows:
        return ""
    head = ["", "median", "largest", f"median over {METHODS[TIMED_AGAINST].label}'s"]
    return f"### Processor seconds of a fit, user and system\n\n{markdown(head, rows)}"


def coverage_part(records: Sequence[Record]) -> str:
    """Coverage of intervals at 90 %, of methods that have them."""
    rows = []
    for name, method in METHODS.items():
        coverage = [
            row[name] for row in means(records, "coverage").values() if name in row
        ]
        widths = [row[name] for row in means(records, "width").values() if name in row]
        if coverage:
            numbers = [
                np.mean(coverage),
                np.min(coverage),
                np.max(coverage),
                np.median(widths),
            ]
            rows.append(
                [
                    method.label,
                    str(len(coverage)),
                    *(f"{number:.3f}" for number in numbers),
                ]
            )
    if not rows:
        return ""
    head = [
        "",
        "tables",
        "mean",
        "smallest",
        "largest",
        "median width, in standard deviations of the target",
    ]
    return f"### Coverage of 90 % intervals\n\n{markdown(head, rows)}"


def failures_part(records: Sequence[Record]) -> str:
    """Fits that ended in an error."""
    failed = [
        f"- {r['table']}, fold {r['fold']}, {r['method']}: {r['error']}"
        for r in records
        if "error" in r
    ]
    return "\n".join(["Failed fits:", "", *failed]) if failed else ""
