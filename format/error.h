/* SPDX-License-Identifier: MIT */
/*
 * Filling a struct dwal_error. The source sets it, each caller on the way out
 * may put its own step in front. All functions accept @error == NULL.
 */
#ifndef DWAL_FORMAT_ERROR_H
#define DWAL_FORMAT_ERROR_H

#include "dwal_error.h"

/* Sets @error and returns @code. @os_errno may be 0. The format is printf's. */
int dwal__error_set(struct dwal_error *error, int code, int os_errno,
                    const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, and names the place. */
int dwal__error_set_at(struct dwal_error *error, int code, int os_errno,
                       uint64_t segment, uint64_t offset, const char *format,
                       ...) __attribute__((format(printf, 6, 7)));

/* Puts "step: " in front of the text. Returns error->code, or @code if NULL. */
int dwal__error_step(struct dwal_error *error, int code, const char *format,
                     ...) __attribute__((format(printf, 3, 4)));

#endif
