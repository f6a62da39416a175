"""Lee et al. 2023: teaching arithmetic to small transformers."""
