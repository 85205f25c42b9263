"""Uploads: labelled images, in every form in which they can be sent."""
