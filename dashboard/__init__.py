"""Pages and read endpoints. Each is a view of PostgreSQL as of one moment; nothing here judges or delivers."""
