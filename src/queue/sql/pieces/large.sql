-- From so many bytes on, as it is stored, a job's data is read one job at a time: to unpack it may
-- take half a second.
1048576
