/*
 * Sums, differences and products that stop at the end of their range: for numbers of rows and of
 * shared memory, which may be anything. Any process; pure.
 */
#ifndef SATURATE_H
#define SATURATE_H

#include <stdint.h>

static inline int64_t sat_add(int64_t a, int64_t b)
{
	int64_t sum;

	if (__builtin_add_overflow(a, b, &sum))
		return b < 0 ? INT64_MIN : INT64_MAX;
	return sum;
}

static inline int64_t sat_sub(int64_t a, int64_t b)
{
	int64_t difference;

	if (__builtin_sub_overflow(a, b, &difference))
		return b < 0 ? INT64_MAX : INT64_MIN;
	return difference;
}

static inline int64_t sat_mul(int64_t a, int64_t b)
{
	int64_t product;

	if (__builtin_mul_overflow(a, b, &product))
		return (a < 0) == (b < 0) ? INT64_MAX : INT64_MIN;
	return product;
}

/* Of counts, which are shown as int64_t: no sum is more than that holds. */
static inline uint64_t sat_count(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (__builtin_add_overflow(a, b, &sum) || sum > INT64_MAX)
		return INT64_MAX;
	return sum;
}

/* What a double holds, as far as an int64_t can; 0 for what is no number. */
static inline int64_t sat_from_double(double value)
{
	if (value >= 0x1p63)
		return INT64_MAX;
	if (value <= -0x1p63)
		return INT64_MIN;
	return value == value ? (int64_t)value : 0;
}

#endif
