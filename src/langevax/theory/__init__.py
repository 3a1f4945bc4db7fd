"""Closed forms: stationary laws, exact moments, rates, bounds, step sizes and risks. They import nothing else of langevax."""
