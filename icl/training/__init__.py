"""Training of transformers, and the checkpoints by which they are found again."""
