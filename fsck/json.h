/* SPDX-License-Identifier: MIT */
/*
 * JSON output, one object a line, written as it is made: nothing is collected
 * and nothing allocated. Errors of the stream show in the stream.
 *
 *     struct dwal__json json;
 *     dwal__json_begin(&json, stdout, "summary");
 *     dwal__json_u64(&json, "durable_lsn", lsn);
 *     dwal__json_end(&json);
 *
 * writes {"kind":"summary","durable_lsn":17} and a newline.
 */
#ifndef DWAL_FSCK_JSON_H
#define DWAL_FSCK_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct dwal__json {
    FILE *stream;
    bool comma; /* one goes before the next value */
};

/* Opens the object of a line; its first member is "kind". */
void dwal__json_begin(struct dwal__json *json, FILE *stream, const char *kind);
/* Closes it and ends the line. */
void dwal__json_end(struct dwal__json *json);

/* Members. @name is one of our own, plain ASCII; NULL inside an array. */
void dwal__json_u64(struct dwal__json *json, const char *name, uint64_t value);
/* In decimal, with six digits of precision; null if it is not finite. */
void dwal__json_double(struct dwal__json *json, const char *name, double value);
void dwal__json_bool(struct dwal__json *json, const char *name, bool value);
void dwal__json_null(struct dwal__json *json, const char *name);
/* Untrusted text; what is not UTF-8 becomes U+FFFD. NULL is null. */
void dwal__json_string(struct dwal__json *json, const char *name,
                       const char *value);
/* The same, of @size bytes, which may hold zeros. */
void dwal__json_text(struct dwal__json *json, const char *name,
                     const void *bytes, size_t size);
void dwal__json_base64(struct dwal__json *json, const char *name,
                       const void *bytes, size_t size);

void dwal__json_object_open(struct dwal__json *json, const char *name);
void dwal__json_object_close(struct dwal__json *json);
void dwal__json_array_open(struct dwal__json *json, const char *name);
void dwal__json_array_close(struct dwal__json *json);

#endif
