"""Three steps from low to high, of the viridis family, that are seen on light paper and on dark."""

LOW_TO_HIGH = ("#46307E", "#1F8A8C", "#6FB93C")
DARK_LOW_TO_HIGH = ("#A692E0", "#2FB8B0", "#C5E34D")
IN_THE_DARK = dict(zip(LOW_TO_HIGH, DARK_LOW_TO_HIGH, strict=True))
