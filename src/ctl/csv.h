/*
 * Fields of comma-separated values (RFC 4180), safe to be opened in a spreadsheet. What is said to a
 * customer is text of others: a spreadsheet would take a cell that begins with "=" for a formula,
 * and a formula may send what is beside it to somebody.
 */
#ifndef CSV_H
#define CSV_H

#include "base/buf.h"

#define CSV_LINE_END "\r\n"

/*
 * Appends text as a field, quoted where it must be. An apostrophe goes before a text whose first
 * character makes a formula of it (= + - @, also their full-width forms, a tab, an end of line), which is how
 * spreadsheets mark text. Ends of lines become a line feed; bytes that are not UTF-8, and control
 * characters but tab and line feed, become U+FFFD, as in a terminal they would be orders.
 */
void csv_text(struct buf *out, const char *text);

#endif
