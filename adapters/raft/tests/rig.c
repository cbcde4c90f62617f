/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <dirent.h>

#include "tests/support/check.h"

unsigned rig_space_wait_ms = 60000;

void rig_options(struct dwal_options *options) {
    dwal_options_init(options);
    options->segment_size = 256 << 10;
    options->queue_bytes_max = 1 << 20;
    options->mark_delay_ms = 0;
    options->sync = DWAL_SYNC_DSYNC; /* not measured at each start */
}

int rig_try_init(struct rig *rig, const char *dir,
                 const struct dwal_options *log) {
    struct dwal_options small;
    struct dwal_raft_options options;
    *rig = (struct rig){.dir = dir};
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    assert_int_equal(raft_uv_tcp_init(&rig->transport, &rig->loop), 0);
    rig_options(&small);
    dwal_raft_options_init(&options);
    options.log = log != NULL ? log : &small;
    options.space_wait_ms = rig_space_wait_ms;
    int rv = dwal_raft_init_with(&rig->io, &rig->loop, dir, &rig->transport,
                                 &options);
    if (rv == 0)
        rv = rig->io.init(&rig->io, 1, "127.0.0.1:9001");
    return rv;
}

void rig_init(struct rig *rig, const char *dir,
              const struct dwal_options *log) {
    if (rig_try_init(rig, dir, log) != 0)
        fail_msg("init: %s", rig->io.errmsg);
}

int rig_try_load(struct rig *rig) {
    return rig->io.load(&rig->io, &rig->term, &rig->voted_for, &rig->snapshot,
                        &rig->start_index, &rig->entries, &rig->count);
}

void rig_load(struct rig *rig) {
    if (rig_try_load(rig) != 0)
        fail_msg("load: %s", rig->io.errmsg);
}

void rig_start(struct rig *rig, const char *dir, raft_term term) {
    rig_init(rig, dir, NULL);
    rig_load(rig);
    if (rig->term == 0 && term != 0)
        assert_int_equal(rig->io.set_term(&rig->io, term), 0);
}

/* As libraft does it: a batch with the last entry that is in it. */
static void loaded_free(struct rig *rig) {
    for (size_t i = 0; i < rig->count; i++)
        if (i + 1 == rig->count ||
            rig->entries[i].batch != rig->entries[i + 1].batch)
            raft_free(rig->entries[i].batch);
    raft_free(rig->entries);
    if (rig->snapshot != NULL) {
        raft_configuration_close(&rig->snapshot->configuration);
        raft_free(rig->snapshot->bufs[0].base);
        raft_free(rig->snapshot->bufs);
        raft_free(rig->snapshot);
    }
    rig->entries = NULL;
    rig->snapshot = NULL;
    rig->count = 0;
}

void rig_turn(struct rig *rig) {
    uv_run(&rig->loop, UV_RUN_ONCE);
}

void rig_until(struct rig *rig, const bool *done) {
    while (!*done)
        rig_turn(rig);
}

static void on_closed(struct raft_io *io) {
    struct rig *rig = io->data;
    rig->closed = true;
}

void rig_close_begin(struct rig *rig) {
    rig->io.data = rig;
    rig->io.close(&rig->io, on_closed);
}

static void handle_close(uv_handle_t *handle, void *argument) {
    (void)argument;
    uv_close(handle, NULL);
}

void rig_drop(struct rig *rig) {
    loaded_free(rig);
    /* Without io->close, libraft's own backend leaves its timer in the loop. */
    uv_walk(&rig->loop, handle_close, NULL);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    dwal_raft_close(&rig->io);
    raft_uv_tcp_close(&rig->transport);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
}

void rig_close(struct rig *rig) {
    if (!rig->closed)
        rig_close_begin(rig);
    rig_until(rig, &rig->closed);
    loaded_free(rig);
    dwal_raft_close(&rig->io);
    raft_uv_tcp_close(&rig->transport);
    uv_run(&rig->loop, UV_RUN_NOWAIT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
}

/* ---- appends ---- */

/* What the entry with @number consists of. */
static void bytes_fill(uint8_t *bytes, size_t size, uint64_t number) {
    memset(bytes, (int)number, size);
    memcpy(bytes, &number, size < sizeof number ? size : sizeof number);
}

static void on_appended(struct raft_io_append *request, int status) {
    struct rig_append *append = request->data;
    assert_false(append->done); /* once */
    append->done = true;
    append->status = status;
    append->order = ++append->rig->callbacks;
    if (status != 0)
        assert_int_not_equal(append->rig->io.errmsg[0], '\0');
}

struct rig_append *rig_append(struct rig *rig, raft_term term, unsigned count,
                              size_t size, uint64_t first, int *rv) {
    struct rig_append *append = calloc(1, sizeof *append);
    assert_non_null(append);
    append->rig = rig;
    append->request.data = append;
    append->count = count;
    append->entries = calloc(count, sizeof *append->entries);
    assert_non_null(append->entries);
    for (unsigned i = 0; i < count; i++) {
        struct raft_entry *entry = &append->entries[i];
        *entry = (struct raft_entry){.term = term, .type = RAFT_COMMAND};
        entry->buf.len = size;
        entry->buf.base = size == 0 ? NULL : malloc(size);
        if (size > 0) {
            assert_non_null(entry->buf.base);
            bytes_fill(entry->buf.base, size, first + i);
        }
    }
    unsigned before = rig->callbacks;
    int got = rig->io.append(&rig->io, &append->request, append->entries, count,
                             on_appended);
    assert_int_equal(rig->callbacks, before); /* never from inside */
    if (rv != NULL)
        *rv = got;
    else if (got != 0)
        fail_msg("append: %d: %s", got, rig->io.errmsg);
    return append;
}

void rig_append_free(struct rig_append *append) {
    for (unsigned i = 0; i < append->count; i++)
        free(append->entries[i].buf.base);
    free(append->entries);
    free(append);
}

void rig_append_wait(struct rig_append *append) {
    rig_until(append->rig, &append->done);
    if (append->status != 0)
        fail_msg("append: %d: %s", append->status, append->rig->io.errmsg);
    rig_append_free(append);
}

/* ---- snapshots ---- */

void rig_configuration(struct raft_configuration *configuration,
                       unsigned servers) {
    raft_configuration_init(configuration);
    for (unsigned id = 1; id <= servers; id++) {
        char address[32];
        snprintf(address, sizeof address, "127.0.0.1:%u", 9000 + id);
        assert_int_equal(
            raft_configuration_add(configuration, id, address, RAFT_VOTER), 0);
    }
}

static void on_put(struct raft_io_snapshot_put *request, int status) {
    struct rig_put *put = request->data;
    assert_false(put->done);
    put->done = true;
    put->status = status;
    put->order = ++put->rig->callbacks;
}

struct rig_put *rig_put(struct rig *rig, raft_term term, raft_index index,
                        unsigned trailing) {
    struct rig_put *put = calloc(1, sizeof *put);
    assert_non_null(put);
    put->rig = rig;
    put->request.data = put;
    put->snapshot = (struct raft_snapshot){.index = index,
                                           .term = term,
                                           .configuration_index = 1,
                                           .bufs = &put->buffer,
                                           .n_bufs = 1};
    rig_configuration(&put->snapshot.configuration, 3);
    put->buffer.base = malloc(sizeof index);
    put->buffer.len = sizeof index;
    memcpy(put->buffer.base, &index, sizeof index);
    unsigned before = rig->callbacks;
    if (rig->io.snapshot_put(&rig->io, trailing, &put->request, &put->snapshot,
                             on_put) != 0)
        fail_msg("snapshot_put: %s", rig->io.errmsg);
    assert_int_equal(rig->callbacks, before);
    return put;
}

void rig_put_free(struct rig_put *put) {
    raft_configuration_close(&put->snapshot.configuration);
    free(put->buffer.base);
    free(put);
}

void rig_put_wait(struct rig_put *put) {
    rig_until(put->rig, &put->done);
    if (put->status != 0)
        fail_msg("snapshot_put: %d: %s", put->status, put->rig->io.errmsg);
    rig_put_free(put);
}

/* ---- what was loaded ---- */

uint64_t rig_number(const struct raft_entry *entry) {
    uint64_t number = 0;
    memcpy(&number, entry->buf.base,
           entry->buf.len < sizeof number ? entry->buf.len : sizeof number);
    return number;
}

void rig_expect(const struct rig *rig, raft_index start, size_t count,
                const uint64_t *numbers) {
    assert_int_equal(rig->start_index, start);
    assert_int_equal(rig->count, count);
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = &rig->entries[i];
        assert_non_null(entry->batch); /* libraft frees by it */
        assert_int_equal(entry->type, RAFT_COMMAND);
        assert_int_equal(rig_number(entry), numbers[i]);
        for (size_t byte = sizeof(uint64_t); byte < entry->buf.len; byte++)
            assert_int_equal(((uint8_t *)entry->buf.base)[byte],
                             (uint8_t)numbers[i]);
    }
}

void rig_restart_expect(struct rig *rig, raft_index start, size_t count,
                        const uint64_t *numbers) {
    const char *dir = rig->dir;
    rig_close(rig);
    rig_start(rig, dir, 0);
    rig_expect(rig, start, count, numbers);
}

/* ---- damage ---- */

static bool file_flip(const char *path, const uint8_t *bytes, size_t size) {
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size_t length = (size_t)ftell(file);
    uint8_t *content = malloc(length);
    assert_non_null(content);
    rewind(file);
    assert_int_equal(fread(content, 1, length, file), length);
    uint8_t *found = memmem(content, length, bytes, size);
    if (found != NULL) {
        size_t offset = (size_t)(found - content) + size / 2;
        assert_int_equal(fseek(file, (long)offset, SEEK_SET), 0);
        assert_int_not_equal(fputc(content[offset] ^ 0x10, file), EOF);
    }
    free(content);
    assert_int_equal(fclose(file), 0);
    return found != NULL;
}

void rig_flip(const char *dir, const char *suffix, uint64_t number,
              size_t size) {
    uint8_t *bytes = malloc(size);
    unsigned flipped = 0;
    DIR *listing = opendir(dir);
    assert_non_null(bytes);
    assert_non_null(listing);
    bytes_fill(bytes, size, number);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        char path[8192];
        size_t length = strlen(entry->d_name);
        if (entry->d_name[0] == '.' || length < strlen(suffix) ||
            strcmp(entry->d_name + length - strlen(suffix), suffix) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
        flipped += file_flip(path, bytes, size);
    }
    closedir(listing);
    free(bytes);
    assert_int_equal(flipped, 1);
}
