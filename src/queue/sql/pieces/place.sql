-- Where the job g stands in the order of claims.
g.id, g.priority, g.available_at, g.turn::int AS turn
