"""Bai, Chen, Wang, Xiong and Mei 2023: which algorithm is chosen in the context?"""
