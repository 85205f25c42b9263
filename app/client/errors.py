"""The error that ends a command with a message and exit status 1, without a traceback."""


class CommandError(Exception):
    """Its message tells the user what is wrong and what to do."""
