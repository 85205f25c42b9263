"""What a machine can take: a model with few constants, measured, and checked against more load."""
