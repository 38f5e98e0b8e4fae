-- A job that was held when its worker died, but in which the worker was not: it may be the cause or
-- not. It goes back free of charge so many times (the later times after a while of its own:
-- suspected.sql); from then on its attempts count. Counted in `result`.
10
