"""Other servers and libraries at the same work. Their code runs in environments of their own."""
