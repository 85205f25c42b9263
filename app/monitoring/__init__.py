"""Metrics of the service for Prometheus; docs/monitoring.md explains each."""
