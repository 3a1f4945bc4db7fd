"""Bayesian regression and classification with a function as the unknown, by Langevin dynamics in a kernel's eigenbasis.

To read in this order: `estimators`, `space` (the basis and its prior), `evidence` (the choice of kernel and noise),
`preconditioning` and `sampling` (the chains), `diagnostics`.
"""
