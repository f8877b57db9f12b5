-- Takes entries out of the journal, after PostgreSQL has committed what became of them.
-- ARGV: ids. Returns how many were there.
local there = 0
for _, id in ipairs(ARGV) do there = there + remove(id) end
return there
