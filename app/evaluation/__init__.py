"""An evaluation of a version as people read it: tables on the terminal, and a picture."""
