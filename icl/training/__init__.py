"""How a transformer is trained, kept and found again."""
