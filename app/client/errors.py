"""What ends a command with a message and exit status 1 instead of a traceback."""


class CommandError(Exception):
    """The message is for the person at the terminal."""
