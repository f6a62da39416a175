"""What a figure is, and how it is run, kept and drawn."""
