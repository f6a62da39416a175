"""Figures: what one is, and how it is run, kept and drawn."""
