-- For claimed_rows.sql: each job that a CTE `due` has locked, and of the CTE `claimed` what became
-- of it. A trigger that returns NULL passes over a row without an error: then it has no claim.
due LEFT JOIN claimed c ON c.id = due.id
