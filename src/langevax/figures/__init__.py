"""Figures on one theme: arrays in, figures out."""
