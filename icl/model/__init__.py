"""The transformer: its configuration, its layers, and how one is built."""
