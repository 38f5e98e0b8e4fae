/* Whole small files, as a configuration names them. */
#ifndef FILE_H
#define FILE_H

#include "base/buf.h"
#include "base/err.h"

/*
 * Appends the regular file at path to out, whose cap is the file's. `what` names it in messages
 * ("API key file"). Returns 0, or -1 and err (ERR_CONFIG). Never blocks on a FIFO or a device.
 */
int file_read(const char *path, const char *what, struct buf *out, struct err *err);

#endif
