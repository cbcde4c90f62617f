/* SPDX-License-Identifier: MIT */
/*
 * Codes and texts: what the log tells becomes a code of libraft and one line in
 * io->errmsg with the place, the cause and the remedy. A failure of the log is
 * final, and from then on the one answer to everything.
 */
#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Codes of the log, those of libraft, and what can be done where the log's own
 * text does not say it. */
static const struct {
    int code, raft_code;
    const char *remedy;
} problems[] = {
    {DWAL_EINVAL, RAFT_INVALID, ""},
    {DWAL_ENOMEM, RAFT_NOMEM, ""},
    {DWAL_EAGAIN, RAFT_IOERR, ""},
    {DWAL_EFAILED, RAFT_IOERR, "start the node again; "},
    {DWAL_ENOSPC, RAFT_NOSPACE, "free some space; "},
    {DWAL_ENOENT, RAFT_CORRUPT,
     "the log is gone: restore it, or join anew with an empty directory; "},
    {DWAL_EBUSY, RAFT_BUSY, ""},
    {DWAL_ECORRUPT, RAFT_CORRUPT, "run walfsck on it; "},
    {DWAL_EVERSION, RAFT_MALFORMED, ""},
    {DWAL_END, RAFT_CORRUPT, "run walfsck on it; "},
    {DWAL_ECLOSED, RAFT_CANCELED, ""},
};

int dwal_raft__problem_tell(struct raft_io *io, int code, const char *format,
                            ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(io->errmsg, sizeof io->errmsg, format, arguments);
    va_end(arguments);
    return code;
}

int dwal_raft__problem_log(struct dwal_raft__store *store, const char *what,
                           const struct dwal_error *error) {
    int code = RAFT_IOERR;
    const char *remedy = "";
    for (size_t i = 0; i < sizeof problems / sizeof problems[0]; i++)
        if (problems[i].code == error->code) {
            code = problems[i].raft_code;
            remedy = problems[i].remedy;
        }
    /* The remedy first: the line is short, and the log's text, which names the
     * place, long. */
    return dwal_raft__problem_tell(store->io, code, "%s: %s%s", what, remedy,
                                   error->text);
}

int dwal_raft__problem_inner(struct dwal_raft__store *store, const char *what,
                             int code) {
    return dwal_raft__problem_tell(store->io, code, "%s: %s", what,
                                   store->inner.errmsg[0] != '\0'
                                       ? store->inner.errmsg
                                       : raft_strerror(code));
}

int dwal_raft__problem_final(struct dwal_raft__store *store, int code) {
    if (store->failed == 0) {
        store->failed = code;
        memcpy(store->failed_text, store->io->errmsg,
               sizeof store->failed_text);
    }
    memcpy(store->io->errmsg, store->failed_text, sizeof store->failed_text);
    return store->failed;
}
