"""Panwar, Ahuja and Goyal 2023: does in-context learning follow the Bayes predictor?"""
