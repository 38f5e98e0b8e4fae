/* Cuts SQL text into statements, for what the server takes one at a time only. Pure. */
#ifndef SQL_SPLIT_H
#define SQL_SPLIT_H

#include <stddef.h>

/*
 * The next statement at *sql, without what stands before it (blanks, comments, empty statements)
 * and without its semicolon; *len is its length. Advances *sql behind it. NULL when there is none
 * left. Semicolons in strings, quoted identifiers, $tag$ bodies, comments and parentheses do not
 * count; BEGIN ATOMIC bodies are not known.
 */
const char *sql_split_next(const char **sql, size_t *len);

#endif
