"""Classifiers: what they are, their versions and the names of those."""
