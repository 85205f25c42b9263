"""Benchmarks; their committed results are in results/."""
