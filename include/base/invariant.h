/*
 * What must be true of a struct between two turns. Looked at in builds with sanitizers (the
 * Makefile sets CHECK_INVARIANTS with SANITIZE); elsewhere the expression is compiled and never
 * evaluated. A child that breaks one says which and ends; the integration tests fail on that.
 */
#ifndef INVARIANT_H
#define INVARIANT_H

#ifdef CHECK_INVARIANTS
#include "base/log.h"
#define CHECKS_INVARIANTS 1
#define INVARIANT(true_of_it) \
	((true_of_it) ? (void)0 \
		      : fatal("broken invariant (%s:%d): %s", __FILE__, __LINE__, #true_of_it))
#else
#define CHECKS_INVARIANTS 0
#define INVARIANT(true_of_it) ((void)(0 && (true_of_it)))
#endif

#endif
