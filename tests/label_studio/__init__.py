"""A project of a real Label Studio that predicts with a classifier and teaches it."""
