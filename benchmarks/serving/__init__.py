"""What one ``POST /predict`` costs the server, against the bare forward and beside peers."""
