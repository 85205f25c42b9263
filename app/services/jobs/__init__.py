"""Jobs as clients see them: their state, events and end."""
