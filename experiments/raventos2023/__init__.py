"""Raventós, Paul, Chen and Ganguli 2023: how many tasks make a learner general?"""
