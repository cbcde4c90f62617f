/* SPDX-License-Identifier: MIT */
/*
 * Error reports. Owns nothing; keeps one promise: the text of a report is
 * always one terminated line, however long its parts are.
 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *dwal_error_text(int code) {
    switch (code) {
#define DWAL_X(name, value, text)                                             \
    case name:                                                                \
        return text;
        DWAL_ERROR_LIST(DWAL_X)
#undef DWAL_X
    default:
        return "unknown error code";
    }
}

__attribute__((format(printf, 4, 0))) static void
error_fill(struct dwal_error *error, int code, int os_errno, const char *format,
           va_list arguments) {
    error->code = code;
    error->os_errno = os_errno;
    error->segment = 0;
    error->offset = 0;
    int used = vsnprintf(error->text, sizeof error->text, format, arguments);
    if (used < 0 || os_errno == 0 || (size_t)used >= sizeof error->text)
        return;
    snprintf(error->text + used, sizeof error->text - (size_t)used, ": %s",
             strerror(os_errno));
}

int dwal__error_set(struct dwal_error *error, int code, int os_errno,
                    const char *format, ...) {
    if (error == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    error_fill(error, code, os_errno, format, arguments);
    va_end(arguments);
    return code;
}

int dwal__error_set_at(struct dwal_error *error, int code, int os_errno,
                       uint64_t segment, uint64_t offset, const char *format,
                       ...) {
    if (error == NULL)
        return code;
    va_list arguments;
    va_start(arguments, format);
    error_fill(error, code, os_errno, format, arguments);
    va_end(arguments);
    error->segment = segment;
    error->offset = offset;
    return code;
}

int dwal__error_step(struct dwal_error *error, int code, const char *format,
                     ...) {
    if (error == NULL)
        return code;
    char inner[DWAL_ERROR_TEXT_SIZE];
    memcpy(inner, error->text, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    if (used < 0 || (size_t)used >= sizeof error->text)
        return error->code;
    /* What does not fit is cut at the end: the innermost step. */
    if (snprintf(error->text + used, sizeof error->text - (size_t)used, ": %s",
                 inner) < 0)
        error->text[used] = '\0';
    return error->code;
}
