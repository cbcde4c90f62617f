/* SPDX-License-Identifier: MIT */
/* The arguments of the programs here: --name VALUE, or --name alone. */
#ifndef DWAL_TESTS_REALFS_ARGUMENTS_H
#define DWAL_TESTS_REALFS_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

/* One of the three is set: where the value goes. */
struct argument {
    const char *name; /* NULL ends a table */
    uint64_t *number;
    const char **text;
    bool *flag;
};

/* False if something is not in @table, or no number where one is wanted. */
bool arguments_parse(char **argv, const struct argument *table);

#endif
