/* SPDX-License-Identifier: MIT */
/*
 * Error codes and the error report, shared by every layer and installed beside
 * dwal.h, which includes it.
 *
 * A code never changes its value. The text of a report is one line, outermost
 * step first, with the remedy last:
 *
 *     open log /var/lib/x: segment 7: read header: short read at offset 0; ...
 */
#ifndef DWAL_ERROR_H
#define DWAL_ERROR_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is declared here is exported; all else is built hidden. */
#pragma GCC visibility push(default)

/* X(name, value, text) */
#define DWAL_ERROR_LIST(X)                                                    \
    X(DWAL_OK, 0, "success")                                                  \
    X(DWAL_EINVAL, -1, "invalid argument")                                    \
    X(DWAL_ENOMEM, -2, "out of memory")                                       \
    X(DWAL_EAGAIN, -3, "the staging buffers stayed full; no LSN was given")   \
    X(DWAL_ETIMEDOUT, -4, "not durable yet; it may still become so")          \
    X(DWAL_EFAILED, -5, "the log has failed; the outcome is unknown")         \
    X(DWAL_ENOSPC, -6, "no space for a next segment; no LSN was given")       \
    X(DWAL_ENOENT, -7, "no log here")                                         \
    X(DWAL_EEXIST, -8, "a log is already here")                               \
    X(DWAL_EBUSY, -9, "the log is locked by another writer")                  \
    X(DWAL_ECORRUPT, -10, "acknowledged data is damaged or gone")             \
    X(DWAL_EIO, -11, "the disk refused an operation")                         \
    X(DWAL_EVERSION, -12, "the log needs a newer dwal")                       \
    X(DWAL_EUNSUPPORTED, -13, "the filesystem cannot do what was asked")      \
    X(DWAL_END, -14, "behind the last durable record")                        \
    X(DWAL_ETRIMMED, -15, "the record was trimmed")                           \
    X(DWAL_ECLOSED, -16, "the log is being closed")                           \
    X(DWAL_ECUT, -17, "the log was cut below this record")

enum dwal_code {
#define DWAL_X(name, value, text) name = value,
    DWAL_ERROR_LIST(DWAL_X)
#undef DWAL_X
};

#define DWAL_ERROR_TEXT_SIZE 384

/*
 * One failure, told whole. Filled only when a call fails; the caller owns it
 * and need not initialise it.
 */
struct dwal_error {
    int32_t code;     /* one of DWAL_E…, the value the call returned */
    int32_t os_errno; /* the errno behind it, or 0 */
    uint64_t segment; /* the segment concerned, or 0 */
    uint64_t offset;  /* the byte offset in that segment, when segment != 0 */
    char text[DWAL_ERROR_TEXT_SIZE]; /* one line, always terminated */
};

/* The fixed text of @code; never NULL. Any thread. */
const char *dwal_error_text(int code);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif
