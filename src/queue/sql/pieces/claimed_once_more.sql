-- How often the job g was claimed, with this time.
(least(:times_claimed, 2147483646) + 1)::int
