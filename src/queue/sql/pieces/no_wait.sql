-- Nobody waits until the commit is on disk.
(SELECT set_config('synchronous_commit', 'off', true)) AS no_wait,
