"""Guards against hostile input: keys, archives, and URLs that the service calls."""
