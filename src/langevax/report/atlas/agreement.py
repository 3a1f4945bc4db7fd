"""What the studies of a page have in common, and which of them were measured otherwise."""

from collections import Counter
from collections.abc import Mapping

from langevax.report.atlas.contents import Found

UNKNOWN = "not recorded"


def facts(found: Found) -> dict[str, str]:
    """With what a study was measured, as words."""
    asked = {name: str(found.config[name]) for name in ("size", "seed") if name in found.config}
    changed = ", ".join(f"{name}={value}" for name, value in found.settings.items())
    return asked | {"settings": changed or "as they are"} | {name: str(each) for name, each in found.versions.items()}


def usual(studies: Mapping[str, Found]) -> dict[str, str]:
    """Each fact as most studies have it; of two that are as many, that of the earlier study.

    Example:
        >>> usual({"a": Found(True, "", config={"seed": 0}), "b": Found(True, "", config={"seed": 0})})
        {'seed': '0', 'settings': 'as they are'}
    """
    told = [facts(found) for found in studies.values()]
    names = dict.fromkeys(name for each in told for name in each)
    return {name: Counter(each.get(name, UNKNOWN) for each in told).most_common(1)[0][0] for name in names}


def differences(studies: Mapping[str, Found]) -> dict[str, dict[str, tuple[str, str]]]:
    """By study, the facts in which it differs: its own, and the usual one. Studies that differ in none are left out."""
    common, differ = usual(studies), {}
    for name, found in studies.items():
        own = facts(found)
        other = {fact: (own.get(fact, UNKNOWN), value) for fact, value in common.items()}
        differ[name] = {fact: pair for fact, pair in other.items() if pair[0] != pair[1]}
    return {name: other for name, other in differ.items() if other}


def told(other: Mapping[str, tuple[str, str]]) -> str:
    """Differences of one study in words.

    Example:
        >>> told({"seed": ("1", "0"), "jax": ("0.10.0", "0.10.1")})
        'seed 1 where others have 0, jax 0.10.0 where others have 0.10.1'
    """
    return ", ".join(f"{fact} {own} where others have {common}" for fact, (own, common) in other.items())
