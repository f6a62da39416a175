"""Zhang, Frei and Bartlett 2024, and Zhang et al. 2025: what does one layer learn?"""
