"""Von Oswald et al. 2023, "Transformers learn in-context by gradient descent".

ICML 2023, arXiv 2212.07677.
"""
