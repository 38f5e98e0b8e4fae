-- How many such deaths it makes when the CPU was in the job as the worker was killed from outside.
5
