"""Comparing ways to answer in a user's taste: the paper's protocol, and its users' own.

`cases` says what is asked and what a method is; all else stands on it.
"""
