"""`accrue doctor`: checks an installation, one module for each group of checks."""
