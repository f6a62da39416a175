"""How a batch becomes tokens, and where predictions are read."""
