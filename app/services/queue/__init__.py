"""Everything about Celery: broker, transports, messages and the dispatcher."""
