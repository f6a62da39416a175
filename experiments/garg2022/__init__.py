"""Garg, Tsipras, Liang and Valiant 2022: which functions are learnt in context?"""
