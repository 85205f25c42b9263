"""Classifiers, their versions, and the aliases of those."""
