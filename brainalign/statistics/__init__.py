"""Intervals, correlations, paired and clustered tests: plain functions of arrays and tables."""
