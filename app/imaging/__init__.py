"""Images: what is stored of a file's bytes, and the pixels decoded from it."""
