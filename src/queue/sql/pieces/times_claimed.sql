-- How often the job g was claimed. Up to the release before the one with times_claimed that was the
-- claim's number, and numbers out of the sequence are above all of these.
CASE WHEN g.claim < 1099511627776 THEN greatest(g.claim, g.times_claimed) ELSE g.times_claimed END
