"""The use cases. They own the transaction and know nothing of FastAPI."""
