"""Intervals, correlations, paired and clustered tests: plain functions of arrays and tables."""

ALPHA = 0.05  # level of significance
INTERVAL = (2.5, 97.5)  # percentiles
