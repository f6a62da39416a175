"""Arora and Goyal 2023: what a falling loss must do to combinations of skills."""
