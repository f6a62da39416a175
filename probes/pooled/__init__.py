"""Probes that pool tokens: the estimator, and how many are fitted at once."""
