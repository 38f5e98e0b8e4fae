-- Between the alternatives of one line, which travel as one text: an array of arrays has no ragged
-- edge. No rating holds this character. queue_join() writes the same one.
E'\x1f'
