-- A plan is made while the tables are small, and kept: to read them in full is right then. Once thousands of executions
-- were there, each end of one read them all. What is on the way of every call goes by the indexes, whatever the tables
-- look like; the setting holds for the functions that these call, too.
ALTER FUNCTION execution_begin SET enable_seqscan = off;
ALTER FUNCTION execution_finish SET enable_seqscan = off;
ALTER FUNCTION ledger_admit SET enable_seqscan = off;
ALTER FUNCTION ledger_extend SET enable_seqscan = off;
ALTER FUNCTION ledger_settle SET enable_seqscan = off;
