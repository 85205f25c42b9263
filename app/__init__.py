"""The HTTP service, the command line, and what service and worker share."""
