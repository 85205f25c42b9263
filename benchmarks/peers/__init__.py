"""Other servers with the same network. Their code runs in environments of their own."""
