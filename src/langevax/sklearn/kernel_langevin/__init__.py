"""Bayesian regression and classification with a function as the unknown, drawn in the eigenbasis of a kernel.

To read in this order: `estimators`, `space` (the basis and its prior), `evidence` (the choice of kernel and noise), `sampling`
(the draws), `preconditioning`.
"""
