"""Closed forms: stationary laws, exact moments, log-Sobolev constants, rates, bounds, step sizes and risks."""
