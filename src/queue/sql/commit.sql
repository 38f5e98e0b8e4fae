-- Ends the transaction that begin.sql opened.
COMMIT;
