"""Everything that is Celery's: broker, transports, messages and the dispatcher."""
