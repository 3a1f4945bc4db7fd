"""Folds of rows: the copies of one row in different folds, the rows of one group in the same."""

import warnings
from typing import Any

import numpy as np
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
)

from langevax import checks

FEWEST_GROUPS = (
    10  # with fewer, scores and intervals rest on too few independent observations
)

Folds = list[tuple[np.ndarray, np.ndarray]]
"""(places of the rows that train, places of those left out) of each fold."""


def folds_of(
    size: int,
    num_folds: int,
    labels: np.ndarray | None = None,
    parts: np.ndarray | None = None,
    groups: np.ndarray | None = None,
    random_state: int = 0,
) -> Folds:
    """Return the folds of `size` rows; classes have equal shares in each, where every class has enough rows.

    Args:
        size: rows.
        num_folds: at most; fewer where there are fewer rows or groups.
        labels: (size,) places of classes; None for numbers.
        parts: (size,) how many parts a row is one of; they follow each other, and are in different folds.
        groups: (size,) rows of one group are in the same fold.
        random_state: of the order of the rows.

    Example:
        >>> groups = np.array([0, 0, 1, 1, 2, 2])
        >>> [groups[held].tolist() for _, held in folds_of(6, 5, groups=groups)]
        [[2, 2], [1, 1], [0, 0]]
    """
    rows = np.zeros(size)
    options = {"shuffle": True, "random_state": random_state}
    sizes = np.bincount([] if labels is None else labels)
    enough = labels is not None and np.min(sizes[sizes > 0]) >= num_folds
    if groups is not None:
        number = min(num_folds, len(np.unique(groups)))
        splitter = (
            StratifiedGroupKFold(number, **options)
            if enough
            else GroupKFold(number, **options)
        )
        return list(splitter.split(rows, labels, groups))
    if parts is not None and np.any(parts > 1):
        order = np.arange(size) if labels is None else np.argsort(labels, kind="stable")
        fold = np.empty(size, int)
        fold[order] = np.arange(size) % num_folds
        return [
            (np.flatnonzero(fold != f), np.flatnonzero(fold == f))
            for f in range(min(num_folds, size))
        ]
    if enough:
        return list(StratifiedKFold(num_folds, **options).split(rows, labels))
    return list(KFold(min(num_folds, size), **options).split(rows))


def group_codes(groups: Any, num_rows: int, weights: np.ndarray | None) -> np.ndarray:
    """Return (n,) the place of each row's group among all, as they appear; raise where there are not two.

    >>> group_codes(list("bacdefghijb"), 11, None)
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    >>> group_codes(["b", "b", "b"], 3, None)
    Traceback (most recent call last):
    ...
    ValueError: groups holds one group only, 'b'; pass one entry for each row that says which rows belong together.
    """
    entries = np.asarray(groups, dtype=object)
    if entries.shape != (num_rows,):
        raise ValueError(
            f"groups has shape {entries.shape}, and X has {num_rows} rows; pass one "
            "entry for each row."
        )
    codes: dict[Any, int] = {}
    for place, entry in enumerate(entries.tolist()):
        if entry is None or entry != entry:
            raise ValueError(
                f"groups[{place}] is {entry}; name a group for each row, one of its "
                "own where none is known."
            )
        codes.setdefault(entry, len(codes))
    each = np.array([codes[entry] for entry in entries.tolist()])
    used = each if weights is None else each[weights > 0]
    if len(np.unique(used)) < 2:
        raise ValueError(
            f"groups holds one group only, {checks.shown(next(iter(codes)))}; pass one "
            "entry for each row that says which rows belong together."
        )
    if (number := len(np.unique(used))) < FEWEST_GROUPS:
        warnings.warn(
            f"groups holds {number} groups: scores and intervals rest on as few "
            "independent observations.",
            stacklevel=4,
        )
    return each
