"""The corpus of wrong arguments, counted."""

from collections import Counter

from tools.torture.counts import Counts


def add_corpus(counts: Counts) -> None:
    """Count the cases of the corpus: each is right, or refused in a sentence that names the argument."""
    from tests.corpus.entries import ENTRIES
    from tests.corpus.test_corpus import cases, faults

    for name, entry in ENTRIES.items():
        sentences = faults(name)
        outcomes = Counter(
            "silent" if "silently" in s or "another answer" in s else "raw"
            for s in sentences
        )
        counts.add(
            "wrong arguments", "held", number=len(list(cases(entry))) - outcomes.total()
        )
        for sentence in sentences:
            kind = (
                "silent"
                if "silently" in sentence or "another answer" in sentence
                else "raw"
            )
            counts.add("wrong arguments", kind, f"{name}: {sentence}")
