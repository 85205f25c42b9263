"""The database: engine, tables, and a repository a resource."""
