"""The capacity of a machine: a model with few measured constants, checked against larger loads."""
