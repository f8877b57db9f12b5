-- Takes entries out of the journal, after PostgreSQL has committed what became of them.
-- ARGV: ids.
for _, id in ipairs(ARGV) do remove(id) end
