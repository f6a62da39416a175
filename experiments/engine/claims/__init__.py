"""A claim is a number with an interval."""
