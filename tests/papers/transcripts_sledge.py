"""SLEDGE and the estimators it is compared with, in plain NumPy: every entry of a table is written at every step.

Nothing here knows the library. `gradient(x, indices)` is the mean of component gradients over `indices`; `entries[j]`
are the components of entry j of a table, which counts in a mean as many. `draws[t]` are the entries drawn at step t,
`noises[t]` what is added to the position after it. All return the iterates, start included, along axis 0.
"""

import numpy as np


class Entries:
    """An entry's gradient is the mean of its components', and their number its weight."""

    def __init__(self, gradient, entries):
        self.gradient, self.entries = gradient, entries

    def __len__(self):
        return len(self.entries)

    def __call__(self, j, x):
        return self.gradient(x, np.array(self.entries[j]))

    def mean(self, table):
        return np.average(
            table, axis=0, weights=[len(members) for members in self.entries]
        )


def sledge(gradient, entries, start, step_size, draws, noises):
    """SLEDGE, Oko, Akiyama, Murata, Suzuki (OPT 2022), the table written out."""
    F = Entries(gradient, entries)
    x = np.array(start, float)
    iterates = [x]
    y = np.array([F(j, x) for j in range(len(F))])
    v = F.mean(y)
    x_previous, x = x, x - step_size * v + noises[0]
    iterates.append(x)
    for t in range(1, len(noises)):
        g = {j: F(j, x) for j in draws[t]}
        h = {j: F(j, x_previous) for j in draws[t]}
        delta = np.mean([g[j] - h[j] for j in draws[t]], axis=0)
        for j in range(len(F)):
            y[j] = g[j] if j in g else y[j] + delta
        v = F.mean(y)
        x_previous, x = x, x - step_size * v + noises[t]
        iterates.append(x)
    return np.array(iterates)


def storm(gradient, start, step_size, momentum, draws, noises):
    """STORM, Cutkosky and Orabona (NeurIPS 2019), with a constant weight of the fresh batch."""
    x = np.array(start, float)
    v = gradient(x, draws[0])
    x_previous, x = x, x - step_size * v + noises[0]
    iterates = [np.array(start, float), x]
    for t in range(1, len(noises)):
        v = gradient(x, draws[t]) + (1 - momentum) * (
            v - gradient(x_previous, draws[t])
        )
        x_previous, x = x, x - step_size * v + noises[t]
        iterates.append(x)
    return np.array(iterates)
