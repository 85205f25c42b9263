"""What keeps the service tidy: retention, the sweep, manifests."""
