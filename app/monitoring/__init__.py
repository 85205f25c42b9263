"""What the service counts of itself, for Prometheus. Names and meanings: docs/monitoring.md."""
