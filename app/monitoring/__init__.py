"""Metrics of the service for Prometheus; docs/operations.md explains each."""
