"""Measurements of speed and memory, never run as tests: `python -m benchmarks` prints every table."""
