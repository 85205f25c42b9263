"""Every query of the service, one module for each subject. Repositories never commit."""
