"""`accrue demo`: a real service learns classes step by step, with and without a memory."""
