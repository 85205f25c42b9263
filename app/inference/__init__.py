"""Prediction: loaded versions, and the batches that requests become."""
