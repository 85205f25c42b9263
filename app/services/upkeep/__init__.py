"""Upkeep: retention, the sweep, manifests and the health check."""
