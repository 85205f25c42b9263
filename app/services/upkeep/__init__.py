"""Background maintenance: retention, sweeps, manifests, and reindexing from them."""
