"""Messy files, each with what it must be read as: `python -m benchmarks messy` reads them all."""
