"""What stands between the service and hostile input."""
