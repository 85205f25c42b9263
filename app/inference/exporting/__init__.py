"""Versions as files that other programs predict with."""
