/* SPDX-License-Identifier: MIT */
/*
 * libdwal-raft-shim: puts a program that calls raft_uv_init on dwal, unchanged.
 *
 *     LD_PRELOAD=libdwal-raft-shim.so PROGRAM
 *
 * For engines that make their raft_io themselves and offer no hook, as dqlite
 * does: it replaces the functions that libraft exports for its libuv backend by
 * ones of libdwal-raft, and names libraft's own as the inner backend. A program
 * that can call dwal_raft_init needs nothing of this.
 *
 * Environment: DWAL_RAFT_SEGMENT_SIZE, bytes of each segment file to be made.
 * What the log has to tell goes to standard error, a line each.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dwal_raft.h"

#define EXPORT __attribute__((visibility("default")))

/* libraft's own function @name, which the one here hides. */
static void *next(const char *name) {
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL) {
        fprintf(stderr, "dwal-raft-shim: no %s behind this library: %s\n", name,
                dlerror());
        abort();
    }
    return function;
}

static void log_print(void *argument, int level, const char *text) {
    (void)argument;
    fprintf(stderr, "dwal %s: %s\n",
            level == DWAL_LOG_WARNING ? "warning" : "notice", text);
}

static int environment_read(struct dwal_options *options) {
    const char *text = getenv("DWAL_RAFT_SEGMENT_SIZE");
    if (text == NULL)
        return 0;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
        return RAFT_INVALID;
    options->segment_size = value;
    return 0;
}

/* ---- texts that would be lost ---- */

/* The adapter's own functions, the same for each io. raft_bootstrap, raft_recover
 * and, where a program gives up its raft object with it, raft_init drop the text
 * of an error; so it is told here. */
static struct raft_io adapter;

static int tell(const struct raft_io *io, int code) {
    if (code != 0 && code != RAFT_CANTBOOTSTRAP)
        fprintf(stderr, "dwal-raft-shim: %s\n", io->errmsg);
    return code;
}

static int init_tell(struct raft_io *io, raft_id id, const char *address) {
    return tell(io, adapter.init(io, id, address));
}

static int bootstrap_tell(struct raft_io *io,
                          const struct raft_configuration *configuration) {
    return tell(io, adapter.bootstrap(io, configuration));
}

static int recover_tell(struct raft_io *io,
                        const struct raft_configuration *configuration) {
    return tell(io, adapter.recover(io, configuration));
}

static void io_wrap(struct raft_io *io) {
    adapter.init = io->init;
    adapter.bootstrap = io->bootstrap;
    adapter.recover = io->recover;
    io->init = init_tell;
    io->bootstrap = bootstrap_tell;
    io->recover = recover_tell;
}

/* ---- what is replaced ---- */

EXPORT int raft_uv_init(struct raft_io *io, struct uv_loop_s *loop,
                        const char *dir, struct raft_uv_transport *transport) {
    struct dwal_options log;
    struct dwal_raft_options options;
    dwal_options_init(&log);
    log.log = log_print;
    log.verify_bytes = 0; /* load reads everything, as without options */
    int code = environment_read(&log);
    if (code != 0) {
        snprintf(io->errmsg, sizeof io->errmsg,
                 "DWAL_RAFT_SEGMENT_SIZE is not a number of bytes");
        return tell(io, code);
    }
    dwal_raft_options_init(&options);
    options.log = &log;
    /* POSIX promises what ISO C does not: a function's address fits. */
    *(void **)&options.inner_init = next("raft_uv_init");
    *(void **)&options.inner_close = next("raft_uv_close");
    code = dwal_raft_init_with(io, loop, dir, transport, &options);
    if (code == 0)
        io_wrap(io);
    return tell(io, code);
}

EXPORT void raft_uv_close(struct raft_io *io) {
    dwal_raft_close(io);
}

/* ---- settings: of the inner backend, or told that they mean nothing ---- */

EXPORT int raft_uv_set_snapshot_compression(struct raft_io *io,
                                            bool compressed) {
    int (*set)(struct raft_io *, bool);
    *(void **)&set = next("raft_uv_set_snapshot_compression");
    return set(dwal_raft_inner(io), compressed);
}

EXPORT void raft_uv_set_connect_retry_delay(struct raft_io *io,
                                            unsigned msecs) {
    void (*set)(struct raft_io *, unsigned);
    *(void **)&set = next("raft_uv_set_connect_retry_delay");
    set(dwal_raft_inner(io), msecs);
}

EXPORT void raft_uv_set_tracer(struct raft_io *io, struct raft_tracer *tracer) {
    void (*set)(struct raft_io *, struct raft_tracer *);
    *(void **)&set = next("raft_uv_set_tracer");
    set(dwal_raft_inner(io), tracer);
}

static void meaningless(const char *what) {
    fprintf(stderr,
            "dwal-raft-shim: %s says nothing to a log of dwal: ignored\n",
            what);
}

EXPORT void raft_uv_set_block_size(struct raft_io *io, size_t size) {
    (void)io, (void)size;
    meaningless("raft_uv_set_block_size");
}

EXPORT void raft_uv_set_segment_size(struct raft_io *io, size_t size) {
    (void)io, (void)size;
    meaningless("raft_uv_set_segment_size (see DWAL_RAFT_SEGMENT_SIZE)");
}

/* Damage is reported and never cut away, whatever this is set to. */
EXPORT void raft_uv_set_auto_recovery(struct raft_io *io, bool flag) {
    (void)io;
    if (flag)
        meaningless("raft_uv_set_auto_recovery");
}
