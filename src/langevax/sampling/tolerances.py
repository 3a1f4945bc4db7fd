"""Values that several files of this package share, one for each idea."""

MAX_RHAT = 1.01
"""R-hat above which chains disagree (Vehtari et al., Bayesian Analysis 2021)."""
MIN_ESS = 100
"""Effective draws, or round trips between temperatures, below which a result is doubted."""
NEAR_MODE = 0.05
"""Error of a mode, in standard deviations of the normal law there, at which a search for it ends."""
UNINFORMED = 0.01
"""Share of the prior's precision below which a direction is left to the prior."""
LEAST_WEIGHT = 0.01
"""Weight of a mode below which it is left out."""
SMALLEST_BATCH = 32
"""Rows of a batch, fewer of which would save nothing."""
PROBED_ROWS = 512
"""Rows from which the noise of batches is estimated."""
MAX_PARETO_K = 0.7
"""Shape of a tail from which means of draws do not settle (Vehtari et al., JMLR 2024)."""
CONFIDENCE = 0.95
"""Of the bounds by which a tolerance is judged, for all numbers at once."""
