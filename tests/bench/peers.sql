-- Where the peers of bench-peers store what they are given: the tables that gradingd has, in a schema of their own, and
-- one for the cheapest form.

CREATE SCHEMA peer;

CREATE TABLE peer.line_ratings (LIKE line_ratings INCLUDING ALL);
CREATE TABLE peer.grading_sessions (LIKE grading_sessions INCLUDING ALL) WITH (fillfactor = 70);

CREATE TABLE peer.results (
	session_id uuid NOT NULL,
	batch      integer NOT NULL,
	result     json NOT NULL,
	PRIMARY KEY (session_id, batch)
);
