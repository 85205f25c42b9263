"""Prediction: loaded versions, and micro-batching of requests."""
