/* SPDX-License-Identifier: MIT */
/*
 * The application's metadata: a small blob that is replaced as a whole.
 *
 * Invariants: a blob is told by dwal_meta_get once it is durable, and not
 * before; the start of each segment carries the newest one that was appended
 * before it (place.c), so that trims and cuts take none away. Of two that are
 * set at the same time the one whose record stands later is the newer one.
 */
#include <string.h>

#include "log.h"

static_assert(DWAL_META_SIZE_MAX == DWAL__METADATA_SIZE_MAX, "SPEC 9");

void dwal__metadata_publish(struct dwal *log, const struct dwal__batch *batch) {
    pthread_mutex_lock(&log->metadata_lock);
    log->metadata_durable.size = batch->metadata_size;
    memcpy(log->metadata_durable.bytes, batch->bytes + batch->metadata_offset,
           batch->metadata_size);
    pthread_mutex_unlock(&log->metadata_lock);
}

static int metadata_commit(struct dwal *log, const void *data, size_t size,
                           struct dwal_error *error) {
    int code = dwal__ready(log, error);
    if (code != DWAL_OK)
        return code;
    struct dwal__blob blob = {.size = (uint32_t)size};
    if (size > 0)
        memcpy(blob.bytes, data, size);
    struct dwal__need need = {.kind = DWAL__NEED_SYSTEM,
                              .room = dwal__record_room(blob.size),
                              .records = 1,
                              .type = DWAL__SYSTEM_METADATA,
                              .metadata = &blob};
    return dwal__commit_system(log, &need, error);
}

int dwal_meta_set(struct dwal *log, const void *data, size_t size,
                  struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    if (size > DWAL_META_SIZE_MAX || (data == NULL && size > 0))
        return dwal__error_set(error, DWAL_EINVAL, 0,
                               "%s: metadata of %zu bytes%s; at most %u are "
                               "possible",
                               log->path, size,
                               data == NULL ? ", data is NULL" : "",
                               DWAL_META_SIZE_MAX);
    dwal__caller_enter(log);
    code = metadata_commit(log, data, size, error);
    dwal__caller_leave(log);
    return code;
}

int dwal_meta_get(struct dwal *log, void *data, size_t size, size_t *used,
                  struct dwal_error *error) {
    int code = dwal__handle_check(log, error);
    if (code != DWAL_OK)
        return code;
    pthread_mutex_lock(&log->metadata_lock);
    size_t held = log->metadata_durable.size;
    bool fits = held <= size && (data != NULL || held == 0);
    if (fits && held > 0)
        memcpy(data, log->metadata_durable.bytes, held);
    pthread_mutex_unlock(&log->metadata_lock);
    if (used != NULL)
        *used = held;
    if (fits)
        return DWAL_OK;
    return dwal__error_set(error, DWAL_EINVAL, 0,
                           "%s: the metadata has %zu bytes, there is room for "
                           "%zu; DWAL_META_SIZE_MAX is always enough",
                           log->path, held, data == NULL ? 0 : size);
}
