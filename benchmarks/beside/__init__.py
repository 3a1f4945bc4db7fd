"""One table of every task beside what else one would use: `python -m benchmarks.beside`.

A file of `benchmarks` declares its tasks as `CASES` (`case.py`): ours, the peers, and the floor, each a function that
makes a run of so many steps. A case is timed in a process of its own, where candidates take turns (`measure.py`), and
the memory of each candidate is read in one more, both under a time limit (`children.py`).
The result is a `Line`, from which ratios, and whether an aim is met, are derived; `table.py` shows
lines, and `__main__.py` is the command.
"""
