"""Tests with the packages that train models with optimizers, themselves: ``make test-ecosystem``.

They lie outside of tests/ so that ``make test`` needs none of these packages. Here nothing is skipped: a package that
is missing is an error.
"""
