-- The publisher has carried what moved up to a minute ago. Where another host's says so of a later
-- moment, that stands.
PREPARE caught_up AS
INSERT INTO grading_channels AS c (name, caught_up_at)
VALUES ('mirror', now() - interval '1 minute')
ON CONFLICT (name) DO UPDATE SET caught_up_at = greatest(c.caught_up_at, excluded.caught_up_at);
