"""What happened, kept: keys, a row for each leg of a stream, the audit chain. SQLite, or PostgreSQL by URL."""
