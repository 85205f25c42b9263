"""`accrue advise`: the table and the picture of what was measured."""
