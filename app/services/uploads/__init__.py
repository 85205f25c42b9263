"""Uploads: labelled images, from whatever form they are sent in."""
