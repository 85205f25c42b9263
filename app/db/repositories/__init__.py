"""Every query of the service, one module a resource. Nothing here commits."""
