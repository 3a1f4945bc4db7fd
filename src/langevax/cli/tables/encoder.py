"""From columns to numbers: the same scikit-learn transformer at training and at prediction.

It is fitted on a tiny table made from the schema itself, so that nothing learned is stored but the schema's
JSON: the imputer's median of (m, missing) is m, and a column that never lacked a value gets no indicator.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from langevax.cli.tables.columns import Column

Names = dict[str, list[int]]


class Encoder:
    """Columns as a function from converted tables to a matrix of float64, with a name for each of its columns.

    Example:
        >>> columns = (Column("age", "numeric", True, fill=30.0), Column("sex", "categorical", False, None, ("f", "m")))
        >>> encoder = Encoder(columns)
        >>> encoder.names
        ('age', 'age missing', 'sex=f', 'sex=m')
        >>> encoder(pl.DataFrame({"age": [None, 40.0], "sex": ["m", "x"]})).tolist()
        [[30.0, 1.0, 0.0, 1.0], [40.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, columns: Sequence[Column]):
        self.numbers = [column for column in columns if column.kind != "categorical"]
        self.words = [column for column in columns if column.kind == "categorical"]
        imputer = SimpleImputer(strategy="median", add_indicator=True)
        categories: Any = [_categories(column) for column in self.words]
        one_hot = OneHotEncoder(categories=categories, handle_unknown="ignore", sparse_output=False)
        parts = [("numbers", imputer, self.numbers), ("words", one_hot, self.words)]
        self.transformer = ColumnTransformer(
            [(name, part, [column.name for column in columns]) for name, part, columns in parts if columns]
        )
        self.transformer.fit(self._tiny())
        self.names = tuple(name for _, name in self._inputs())

    def __call__(self, frame: pl.DataFrame) -> np.ndarray:
        return np.asarray(self.transformer.transform(frame), np.float64)

    @property
    def groups(self) -> Names:
        """Of each table column, the places of its inputs in the matrix."""
        groups: Names = {}
        for place, (column, _) in enumerate(self._inputs()):
            groups.setdefault(column.name, []).append(place)
        return groups

    @property
    def quantities(self) -> tuple[int, ...]:
        """Places of the inputs that are quantities; the others are indicators."""
        return tuple(range(len(self.numbers)))

    def _inputs(self) -> list[tuple[Column, str]]:
        numbers = [(column, column.name) for column in self.numbers]
        indicators = [(column, f"{column.name} missing") for column in self.numbers if column.missing]
        categories = [
            (column, f"{column.name} missing" if word is None else f"{column.name}={word}")
            for column in self.words
            for word in _categories(column)
        ]
        return numbers + indicators + categories

    def _tiny(self) -> pl.DataFrame:
        """Two rows: the fill values, and the same with what training lacked missing."""
        numbers = {c.name: pl.Series([c.fill, None if c.missing else c.fill], dtype=pl.Float64) for c in self.numbers}
        words = {c.name: pl.Series([_categories(c)[0]] * 2, dtype=pl.String) for c in self.words}
        return pl.DataFrame(numbers | words)


def _categories(column: Column) -> list[str | None]:
    return [*column.categories, None] if column.missing else list(column.categories)
