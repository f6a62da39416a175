"""Fu et al. 2024: do transformers run a second-order optimiser in their layers?"""
