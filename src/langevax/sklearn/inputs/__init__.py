"""Curves and graphs as columns, by scikit-learn transformers."""
