"""Emergence: is the jump in the model or in the metric?

Srivastava et al. 2022 (BIG-bench, arXiv 2206.04615), Wei et al. 2022 (arXiv 2206.07682)
and Schaeffer et al. 2023 (arXiv 2304.15004).
"""
