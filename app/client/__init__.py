"""A client of the service, shared by the commands, the comparison and the demo."""
