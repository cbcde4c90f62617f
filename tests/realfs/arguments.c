/* SPDX-License-Identifier: MIT */
/* Reads the arguments of a program by a table. */
#include "arguments.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool number_parse(const char *text, uint64_t *number) {
    char *end;
    errno = 0;
    *number = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

bool arguments_parse(char **argv, const struct argument *table) {
    for (char **at = argv + 1; *at != NULL; at++) {
        const struct argument *argument = table;
        while (argument->name != NULL && strcmp(argument->name, *at) != 0)
            argument++;
        if (argument->name == NULL)
            return false;
        if (argument->flag != NULL) {
            *argument->flag = true;
            continue;
        }
        if (*++at == NULL)
            return false;
        if (argument->text != NULL)
            *argument->text = *at;
        else if (!number_parse(*at, argument->number))
            return false;
    }
    return true;
}
