"""What lists and polls cost with a full database."""
