"""What the commands, the benchmark and the demo share to speak to a service."""
