-- Takes an entry out of the journal, after PostgreSQL has committed what became of it.
-- ARGV: id. Returns 1, or 0 when it was gone already.
return remove(ARGV[1])
