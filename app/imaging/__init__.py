"""From an image's bytes to what is stored of it, and to pixels."""
