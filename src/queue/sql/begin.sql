-- Opens the transaction in which a claim is held by locks and settled; see hold.sql.
BEGIN;
