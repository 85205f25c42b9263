"""The database: engine, tables and repositories."""
