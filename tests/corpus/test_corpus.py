"""Every public entry point with every kind of wrong value: a call is right, or one sentence says what to pass.

A case replaces one argument of a valid call. It holds if the call agrees with the one on plain values, or if it is
refused by langevax itself in one line that names the argument, or by scikit-learn's validation of parameters and
tables, in its words.
"""

import importlib
import inspect
import re
import traceback
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest

import langevax
from tests.corpus.entries import ENTRIES, RECEIVED
from tests.corpus.values import equal, refused
from tools.census import public_names

PACKAGE = str(Path(langevax.__file__).parent)
VALIDATION = (
    "sklearn/utils/_param_validation.py",
    "sklearn/utils/validation.py",
    "sklearn/utils/multiclass.py",
)
LEAKS = re.compile(r"np\.(str_|int64|float64|float32|bool_)\(|<object object|Traceback")
NUMPYS = re.compile(r"could not convert|float\(\) argument|setting an array element")
"""Beginnings of NumPy's sentences, which name no argument."""
LONGEST = 900
FEWEST_CASES = 1000
FORMS_OF_LONG_CALLS = (
    "a list",
    "big-endian",
    "objects that are numbers",
    "a series with another index",
    "an array",
)
FORMS_OF_LONG_CALLS += (
    "a frame of pandas",
    "a frame of polars",
    "float16",
    "a float",
    "uint8",
    "a word of NumPy",
)
"""Equal values that calls of seconds are tried on: each is converted by a path of its own."""

pytestmark = pytest.mark.usefixtures("unchecked_types")


def cases(entry):
    """Yield (argument, label, value, must be refused)."""
    for name, (value, kind) in entry.arguments.items():
        pairs = [(*pair, True) for pair in refused(kind, value)] + [
            (*pair, False)
            for pair in equal(kind, value)
            if not entry.slow
            or (pair[0] in FORMS_OF_LONG_CALLS and name not in entry.tried_elsewhere)
        ]
        yield from (
            (name, *pair)
            for pair in pairs
            if f"{name} = {pair[0]}" not in entry.accepted
        )


def calls(entry, **replaced):
    arguments = {name: value for name, (value, _) in entry.arguments.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return entry.call(**{**entry.fixed, **arguments, **replaced})


def fault(entry, name, label, value, must_refuse, expected):
    """Return what is wrong with one case, or None."""
    try:
        answer = calls(entry, **{name: value})
    except Exception as error:
        return fault_of_refusal(error, name, entry.aliases.get(name, name))
    if must_refuse:
        return f"{name} = {label}: accepted silently"
    if not same(answer, expected()):
        return f"{name} = {label}: another answer than on the plain value"
    return None


def fault_of_refusal(error, name, alias):
    message = str(error)
    frames = traceback.extract_tb(error.__traceback__)
    last = next(
        (
            f
            for f in reversed(frames)
            if "jaxtyping" not in f.filename and "contextlib" not in f.filename
        ),
        frames[-1],
    )
    where = f"{Path(last.filename).name}:{last.lineno}"
    if not (last.filename.startswith(PACKAGE) or last.filename.endswith(VALIDATION)):
        return f"raw {type(error).__name__} from {where}: {message[:90]!r}"
    if not isinstance(
        error, TypeError | ValueError | OSError | KeyError
    ) or NUMPYS.match(message):
        return f"raw {type(error).__name__} from {where}: {message[:90]!r}"
    if last.filename.endswith(VALIDATION):
        return None
    if not re.search(rf"(?<![a-z]){re.escape(alias)}(?![a-z])", message):
        return f"does not name {alias}: {message[:120]!r} from {where}"
    if LEAKS.search(message) or "\n" in message.strip() or len(message) > LONGEST:
        return f"not one plain sentence: {message[:120]!r} from {where}"
    return None


def same(answer, expected):
    """Return whether two answers agree up to rounding of single precision."""
    a, b = jax.tree.leaves(answer), jax.tree.leaves(expected)
    if len(a) != len(b):
        return False
    for left, right in zip(a, b, strict=True):
        if callable(left) or isinstance(left, str):
            if left != right:
                return False
        elif (
            jax.dtypes.issubdtype(getattr(left, "dtype", None), jax.dtypes.prng_key)
            if hasattr(left, "dtype")
            else False
        ):
            continue
        elif not np.allclose(
            np.asarray(left, float),
            np.asarray(right, float),
            rtol=2e-3,
            atol=1e-4,
            equal_nan=True,
        ):
            return False
    return True


def faults(name):
    entry, memory = ENTRIES[name], []

    def expected():
        if not memory:
            memory.append(calls(entry))
        return memory[0]

    tried = list(cases(entry))
    sentences = [
        f"{argument} = {label}: {what}"
        for argument, label, value, must_refuse in tried
        if (what := fault(entry, argument, label, value, must_refuse, expected))
    ]
    return sentences


@pytest.mark.parametrize("name", [n for n, entry in ENTRIES.items() if not entry.slow])
def test_a_wrong_value_is_named_and_an_equal_one_is_right(name):
    sentences = faults(name)
    assert not sentences, "\n".join(sentences)


@pytest.mark.slow
@pytest.mark.mostly_compiling
@pytest.mark.parametrize("name", [n for n, entry in ENTRIES.items() if entry.slow])
def test_a_wrong_value_of_a_long_call_is_named_and_an_equal_one_is_right(name):
    sentences = faults(name)
    assert not sentences, "\n".join(sentences)


def callables():
    """Return the public names that can be called, each once, under its shortest path."""
    paths_of = {}
    for space, names in public_names().items():
        module = importlib.import_module(space)
        for name in names:
            value = getattr(module, name)
            if callable(value) and not inspect.ismodule(value):
                paths_of.setdefault(id(value), []).append(
                    f"{space}.{name}".replace("langevax.problems.", "langevax.")
                )
    return [
        min(paths, key=lambda path: (path.count("."), path))
        for paths in paths_of.values()
    ]


def test_every_public_name_has_cases_or_is_received():
    names = set(callables())
    assert names - ENTRIES.keys() - RECEIVED.keys() == set(), (
        "give these an entry in tests/corpus/entries.py"
    )
    assert (ENTRIES.keys() | RECEIVED.keys()) - names == set(), "these are not public"
    assert not ENTRIES.keys() & RECEIVED.keys()


@pytest.mark.slow
def test_the_corpus_is_large():
    assert sum(len(list(cases(entry))) for entry in ENTRIES.values()) >= FEWEST_CASES
