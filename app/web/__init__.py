"""The web page: its files, read once, as the API sends them."""
