"""Training rows and held-out rows: classes in equal shares, rows that belong together on one side."""

from collections.abc import Container, Mapping

import numpy as np
import polars as pl
from sklearn.model_selection import train_test_split

from langevax.app.errors import BadInput, count, enumerated, listing
from langevax.app.tables.columns import IDENTIFIER, ReadColumn
from langevax.app.tables.records import Decision, option
from langevax.app.tables.styles import as_words, stands_for_missing
from langevax.app.tables.targets import TargetColumn
from langevax.sklearn.folds import FEWEST_GROUPS, folds_of

HELD_OUT = 0.2
"""Share of the rows."""


def row_groups(
    column: str | None,
    table: pl.DataFrame,
    rows: np.ndarray,
    fewest: int = 3,
) -> tuple[np.ndarray | None, list[str]]:
    """Return (row,) the group of each row with a target, None without --group, and notes."""
    if column is None:
        return None, []
    words = as_words(table[column])[rows.tolist()]
    unknown = (words.is_null() | stands_for_missing(words)).to_numpy()
    codes = np.unique(words.fill_null("").to_numpy(), return_inverse=True)[1]
    codes[unknown] = len(codes) + np.arange(unknown.sum())
    codes = np.unique(codes, return_inverse=True)[1]
    number = int(codes.max()) + 1
    notes = []
    if number < fewest:
        raise BadInput(
            f"--group {column!r} has {count(number, 'value')}; training, folds and "
            f"hold-out need at least {fewest} groups of rows: name another column, or "
            "leave --group out."
        )
    if number == len(rows):
        raise BadInput(
            f"--group {column!r} has another value in each row; leave it out, or use "
            "--drop."
        )
    if unknown.any():
        notes.append(
            f"{count(int(unknown.sum()), 'row')} without {column!r}: each is a group "
            "of its own."
        )
    if number < FEWEST_GROUPS:
        notes.append(
            f"{number} groups are few: scores and intervals rest on as few independent "
            "observations."
        )
    return codes, notes


def split_rows(
    target: TargetColumn,
    test_size: float,
    seed: int,
    groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return training rows, held-out rows and notes; classes have equal shares where each has two rows or more.

    A class with a single row is used for training. No group has rows among both.
    """
    if groups is None:
        train, test, notes = _split_singly(target, test_size, seed)
    else:
        train, test, notes = _split_groups(target, test_size, seed, groups)
    if len(np.unique(target.values[train])) < 2:
        what = "class" if target.classes else "value of the target"
        raise BadInput(f"the training rows have a single {what}; pass another --seed.")
    return np.sort(train), np.sort(test), notes


def _split_singly(
    target: TargetColumn, test_size: float, seed: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return training rows, held-out rows and notes, where each row is on its own."""
    rows = np.arange(len(target.values))
    notes = []
    held_out = max(2, int(np.ceil(test_size * len(rows))))
    if not target.classes:
        split = train_test_split(rows, test_size=held_out, random_state=seed)
        return np.asarray(split[0]), np.asarray(split[1]), notes
    sizes = np.bincount(target.values, minlength=len(target.classes))
    single = sizes[target.values] == 1
    if single.any():
        names = [str(target.classes[i]) for i in np.flatnonzero(sizes == 1)]
        noun = "class" if len(names) == 1 else "classes"
        notes.append(
            f"The single row of {noun} {listing(names)} is used for training; no score "
            "covers it."
        )
    others = rows[~single]
    classes = target.values[~single]
    if min(held_out, len(others) - held_out) < len(np.unique(classes)):
        notes.append(
            f"Too few rows to hold out some of every class ({held_out}): split without "
            "regard to classes."
        )
        classes = None
    if len(others) - held_out < 2:
        raise BadInput(
            f"--target leaves {len(others) - held_out} rows to train on, beside "
            "classes of a single row; add rows."
        )
    train, test = train_test_split(
        others, test_size=held_out, random_state=seed, stratify=classes
    )
    return np.concatenate([train, rows[single]]), np.asarray(test), notes


def _split_groups(
    target: TargetColumn,
    test_size: float,
    seed: int,
    groups: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return training rows, held-out rows and notes; no group has rows among both."""
    labels = target.values if target.classes else None
    folds = folds_of(
        len(groups),
        max(2, round(1 / test_size)),
        labels,
        groups=groups,
        random_state=seed,
    )
    size = test_size * len(groups)
    train, test = min(folds, key=lambda fold: abs(len(fold[1]) - size))
    notes = []
    if labels is not None and len(absent := np.setdiff1d(labels[test], labels[train])):
        back = np.isin(groups, groups[test][np.isin(labels[test], absent)])
        train = np.union1d(np.flatnonzero(back), train)
        test = test[~back[test]]
        names = listing([str(target.classes[place]) for place in absent])
        notes.append(
            f"{names} would be among the held-out rows alone; these groups are used "
            "for training."
        )
    if len(test) < 2:
        raise BadInput(
            "--group leaves fewer than 2 rows to hold out; leave it out, or pass "
            "another --seed."
        )
    return train, test, notes


def of_repeated_names(
    readings: Mapping[str, ReadColumn],
    used: Container[str],
    fewest: int = 20,
    most: int = 2000,
    columns: int = 100,
) -> list[Decision]:
    """Return a warning where columns may name patients, sites or batches of which there are several rows.

    Rows of one value then agree in another column where neighbours in the order of the values do not: in the sex of a
    patient, not in the decade of a year. Or the name of the column says so. Names are words or whole numbers.

    Args:
        readings: of all columns.
        used: names of those that are inputs.
        fewest: pairs of rows that would differ by chance, ten times as many as do.
        most: rows, in the order of each column, that are looked at.
        columns: the same, from the first on.

    Example:
        >>> from langevax.app.tables.columns import read_columns
        >>> visits = [(f"P{7 * k % 50}", "fm"[7 * k % 50 % 3 % 2], k % 9) for k in range(150)]
        >>> frame = pl.DataFrame(visits, ["patient", "sex", "score"], orient="row")
        >>> of_repeated_names(read_columns(frame), ["patient"])[0].sentence[:61]
        "Several rows have the same 'patient' (then also 'sex'): if th"
    """
    names = list(readings)[:columns]
    frame = pl.DataFrame([readings[name].values.alias(name) for name in names])
    ranks = frame.unique(maintain_order=True).select(pl.all().rank("dense"))
    codes = ranks.fill_null(0).to_numpy()
    named: dict[str, str] = {}
    for place, name in enumerate(names):
        reading = readings[name]
        if name not in used or not (reading.whole or reading.kind == "categorical"):
            continue
        start = np.count_nonzero(codes[:, place] == 0)
        rows = codes[np.argsort(codes[:, place], kind="stable")[start : start + most]]
        differs = rows[1:] != rows[:-1]
        other = differs[:, place]
        values = 1 + other.sum()
        pairs = len(rows) - values
        if pairs < fewest or values < FEWEST_GROUPS:
            continue
        changes = differs[other].sum(0)
        by_chance = pairs * changes / other.sum()
        alike = by_chance >= np.maximum(fewest, 10 * differs[~other].sum(0))
        alike &= changes >= 2 * codes.max(0)  # not in the order of the values
        agreeing = [names[i] for i in np.flatnonzero(alike)]
        if agreeing:
            named[name] = f"{name!r} (then also {listing(agreeing)})"
        elif IDENTIFIER.fullmatch(name):
            named[name] = repr(name)
    if not named:
        return []
    sentence = (
        f"Several rows have the same {enumerated(named.values())}: if they are of one "
        "patient, site or batch, keep them on one side of every split with "
        f"{option('--group', next(iter(named)))}; otherwise scores are those of ones "
        "seen before."
    )
    return [Decision("warning", sentence)]


def copies_of(
    frame: pl.DataFrame, target: TargetColumn, many: float = 0.2
) -> list[str]:
    """Return what to say of rows that are equal in all columns, where they are more than some."""
    whole = frame.with_columns(pl.Series("target", target.values).alias(" target"))
    copies = whole.height - whole.n_unique()
    if copies <= many * whole.height:
        return []
    return [
        (
            f"{copies:,} of {count(whole.height, 'row')} are copies of others. All "
            "methods, the first one too, are scored on rows of which they saw copies, "
            "and look better than on new rows; remove the copies unless each is a row "
            "of its own."
        )
    ]
