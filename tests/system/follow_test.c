/* SPDX-License-Identifier: MIT */
/*
 * Readers that follow a writer at full speed, on real files: one that knows
 * only what the log's watermarks prove, one that is told. The writer has
 * several batches on their way, written in pieces and in any order; it rotates,
 * trims, and uses files again. Whatever the readers meet, they must see every
 * record once, in order and unchanged, but for those that were trimmed before
 * they came; and at the end, when the writer is gone, the last one.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "format/bytes.h"
#include "recover/reader.h"
#include "tests/support/batch_maker.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"

#define BLOCK 512u
#define SEGMENT_SIZE (128 * 1024u)
#define BATCH_SIZE_MAX (32 * 1024u)
#define LSN_LAST 30000u
#define IN_FLIGHT_MAX 4
#define SEGMENTS_KEPT 4 /* behind the one that is written */

/* ---- the writer ---- */

/* A batch on its way, or written and waiting for one before it. */
struct flight {
    uint8_t *bytes;
    size_t size;
    uint64_t offset;
    uint64_t last_lsn;
    bool written;
};

struct writer {
    struct dwal__disk *disk;
    int dir;
    int lock;
    int handle; /* of the current segment */
    struct dwal__uuid uuid;
    uint64_t random;

    struct dwal__segment_header segment; /* current */
    struct dwal__segment_header next;    /* prepared */
    uint64_t offset;                     /* where the next batch goes */
    uint32_t link;
    uint64_t lsn; /* the last one given */
    uint64_t trim_lsn;
    uint64_t lowest;        /* number of the oldest file */
    uint64_t last_lsns[64]; /* of a segment, by its number modulo 64 */
    bool trim_due;
    struct flight flights[IN_FLIGHT_MAX];
    int flight_count;

    pthread_mutex_t mutex; /* guards the two below, for the reader inside */
    struct dwal__watermark durable;
    uint64_t first_lsn;
    atomic_bool done;

    /* What the readers have seen; the writer waits for the slower one, but for
     * when it sprints: then they are left behind what is trimmed. */
    atomic_uint_fast64_t seen[2];
    uint64_t sprint_lsn; /* up to here */
};

static void must(bool good, const char *what) {
    if (good)
        return;
    fprintf(stderr, "writer: %s\n", what);
    abort();
}

/* The payload of an LSN: anybody can tell what it has to be. */
static uint32_t payload_make(uint64_t lsn, uint8_t *bytes) {
    uint64_t state = lsn;
    uint32_t size = (uint32_t)(check_random(&state) % 2000);
    uint8_t first = (uint8_t)check_random(&state);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(first + i * 7);
    return size;
}

/* SPEC 11.1: under a spare name, then renamed. A file that is there under
 * @spare is used again: its old batches stay in it. */
static void segment_prepare(struct writer *w, uint64_t number, uint64_t spare) {
    static uint8_t zeros[SEGMENT_SIZE];
    uint8_t block[BLOCK];
    char from[DWAL__NAME_SIZE], to[DWAL__NAME_SIZE];
    const struct dwal__disk_ops *ops = w->disk->ops;
    w->next = (struct dwal__segment_header){.block_size = BLOCK,
                                            .uuid = w->uuid,
                                            .number = number,
                                            .previous = w->segment.number,
                                            .epoch = 1,
                                            .salt = check_random(&w->random),
                                            .segment_size = SEGMENT_SIZE};
    w->next.crc = dwal__segment_header_encode(&w->next, block);
    dwal__spare_name(spare != 0 ? spare : number, from);
    dwal__segment_name(number, to);
    int handle = ops->open(w->disk, w->dir, from,
                           spare != 0 ? DWAL__OPEN_WRITE
                                      : DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    must(handle >= 0, "open a spare");
    if (spare == 0)
        must(ops->write(w->disk, handle, zeros, SEGMENT_SIZE, 0) > 0, "zeros");
    must(ops->write(w->disk, handle, block, BLOCK, 0) == BLOCK, "header");
    ops->close(w->disk, handle);
    must(ops->rename(w->disk, w->dir, from, to) == 0, "rename");
}

/* SPEC 11.7: renamed before it is written again. */
static void segment_retire(struct writer *w, uint64_t number) {
    char from[DWAL__NAME_SIZE], to[DWAL__NAME_SIZE];
    dwal__segment_name(number, from);
    dwal__spare_name(number, to);
    must(w->disk->ops->rename(w->disk, w->dir, from, to) == 0, "retire");
}

static void durable_set(struct writer *w, uint64_t offset, uint64_t lsn) {
    pthread_mutex_lock(&w->mutex);
    w->durable = (struct dwal__watermark){lsn, {w->segment.number, offset}};
    pthread_mutex_unlock(&w->mutex);
}

/* Writes one batch that is on its way, in two pieces; then as many as are
 * written in a row are durable. */
static void flight_write(struct writer *w, int index) {
    const struct dwal__disk_ops *ops = w->disk->ops;
    struct flight *flight = &w->flights[index];
    size_t half = flight->size / BLOCK / 2 * BLOCK;
    must(ops->write(w->disk, w->handle, flight->bytes + half,
                    flight->size - half, flight->offset + half) > 0,
         "write");
    if (half > 0)
        must(ops->write(w->disk, w->handle, flight->bytes, half,
                        flight->offset) > 0,
             "write");
    flight->written = true;
    while (w->flight_count > 0 && w->flights[0].written) {
        struct flight landed = w->flights[0];
        durable_set(w, landed.offset + landed.size, landed.last_lsn);
        w->flight_count--;
        memmove(w->flights, w->flights + 1,
                (size_t)w->flight_count * sizeof w->flights[0]);
        w->flights[w->flight_count] = (struct flight){.bytes = landed.bytes};
    }
}

static void flights_land(struct writer *w) {
    while (w->flight_count > 0) {
        int index = (int)(check_random(&w->random) % (unsigned)w->flight_count);
        if (!w->flights[index].written)
            flight_write(w, index);
    }
}

static struct batch_maker batch_start(struct writer *w) {
    struct batch_maker maker;
    if (w->flight_count == IN_FLIGHT_MAX)
        flights_land(w);
    size_t room = SEGMENT_SIZE - w->offset;
    batch_begin(&maker, w->flights[w->flight_count].bytes,
                room < BATCH_SIZE_MAX ? room : BATCH_SIZE_MAX, &w->segment,
                w->offset, w->lsn + 1);
    maker.header.link = w->link;
    maker.header.watermark = w->durable; /* as it is when it is sealed */
    return maker;
}

static void batch_send(struct writer *w, struct batch_maker *maker) {
    struct flight *flight = &w->flights[w->flight_count++];
    flight->size = batch_seal(maker);
    flight->offset = w->offset;
    flight->last_lsn = w->lsn;
    flight->written = false;
    w->offset += flight->size;
    w->link = maker->header.crc;
    uint64_t dice = check_random(&w->random);
    if (dice % 2 == 0)
        flight_write(w, w->flight_count - 1);
    else if (dice % 8 == 1)
        flights_land(w);
}

/* A new segment. All before it has landed, so its start says what is
 * durable. */
static void rotate(struct writer *w) {
    uint8_t bytes[DWAL__START_SIZE_MAX];
    flights_land(w);
    w->last_lsns[w->segment.number % 64] = w->lsn;
    struct dwal__start start = {.previous_segment = w->segment.number,
                                .previous_end = w->offset,
                                .previous_lsn = w->lsn,
                                .previous_link = w->link,
                                .trim_lsn = w->trim_lsn};
    if (w->segment.number == 0)
        start = (struct dwal__start){0};
    else
        w->disk->ops->close(w->disk, w->handle);
    w->segment = w->next;
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(w->segment.number, name);
    w->handle = w->disk->ops->open(w->disk, w->dir, name, DWAL__OPEN_WRITE);
    must(w->handle >= 0, "open the segment");
    uint64_t spare = 0;
    if (w->trim_lsn > 0 && w->last_lsns[w->lowest % 64] <= w->trim_lsn) {
        spare = w->lowest++;
        segment_retire(w, spare);
    }
    segment_prepare(w, w->segment.number + 1, spare);
    w->offset = BLOCK;
    w->link = w->segment.crc;
    struct batch_maker maker = batch_start(w);
    batch_add_system(&maker, DWAL__SYSTEM_START, bytes,
                     dwal__start_encode(&start, bytes));
    batch_send(w, &maker);
    w->trim_due = true;
}

/* Says that all but the newest segments are no longer needed. */
static void trim(struct writer *w) {
    uint8_t bytes[DWAL__TRIM_SIZE];
    w->trim_due = false;
    if (w->segment.number <= SEGMENTS_KEPT ||
        SEGMENT_SIZE - w->offset < BATCH_SIZE_MAX)
        return;
    uint64_t lsn = w->last_lsns[(w->segment.number - SEGMENTS_KEPT) % 64];
    dwal__put64(bytes, lsn);
    struct batch_maker maker = batch_start(w);
    batch_add_system(&maker, DWAL__SYSTEM_TRIM, bytes, sizeof bytes);
    batch_send(w, &maker);
    flights_land(w); /* it is durable before anything is retired */
    w->trim_lsn = lsn;
    pthread_mutex_lock(&w->mutex);
    w->first_lsn = lsn + 1;
    pthread_mutex_unlock(&w->mutex);
}

static void append(struct writer *w) {
    static uint8_t payload[2000];
    if (SEGMENT_SIZE - w->offset < BATCH_SIZE_MAX)
        rotate(w);
    else if (w->trim_due && check_random(&w->random) % 4 == 0)
        trim(w);
    struct batch_maker maker = batch_start(w);
    unsigned count = 1 + (unsigned)(check_random(&w->random) % 8);
    for (unsigned i = 0; i < count && w->lsn < LSN_LAST; i++) {
        w->lsn++;
        uint32_t size = payload_make(w->lsn, payload);
        batch_add(&maker, (struct dwal__record){.data = payload, .size = size});
    }
    batch_send(w, &maker);
}

#define LAG_MAX 100
#define SPRINT 3000

static void pace(struct writer *w) {
    if (w->lsn < w->sprint_lsn)
        return;
    if (check_random(&w->random) % 512 == 0)
        w->sprint_lsn = w->lsn + SPRINT;
    for (int i = 0; i < 2; i++)
        while (atomic_load(&w->seen[i]) + LAG_MAX < w->durable.lsn)
            sched_yield();
}

static void *writer_run(void *argument) {
    struct writer *w = argument;
    while (w->lsn < LSN_LAST) {
        append(w);
        pace(w);
    }
    flights_land(w);
    w->disk->ops->close(w->disk, w->handle);
    w->disk->ops->close(w->disk, w->lock);
    atomic_store(&w->done, true);
    return NULL;
}

static void writer_open(struct writer *w, const char *path) {
    uint8_t lock[DWAL__LOCK_SIZE];
    w->disk = dwal__disk_kernel();
    const struct dwal__disk_ops *ops = w->disk->ops;
    w->random = check_seed(1);
    pthread_mutex_init(&w->mutex, NULL);
    w->first_lsn = 1;
    w->lowest = 1;
    for (int i = 0; i < IN_FLIGHT_MAX; i++)
        w->flights[i].bytes = malloc(BATCH_SIZE_MAX);
    w->dir = ops->dir_open(w->disk, path);
    must(w->dir >= 0, "open the directory");
    check_fill(&w->random, w->uuid.bytes, sizeof w->uuid.bytes);
    dwal__lock_encode(&w->uuid, lock);
    w->lock = ops->open(w->disk, w->dir, DWAL__LOCK_NAME,
                        DWAL__OPEN_WRITE | DWAL__OPEN_CREATE);
    must(w->lock >= 0, "make LOCK");
    must(ops->write(w->disk, w->lock, lock, sizeof lock, 0) > 0, "write LOCK");
    must(ops->lock(w->disk, w->lock, DWAL__LOCK_FILE) == 0, "lock");
    segment_prepare(w, 1, 0);
    rotate(w);
}

static void writer_close(struct writer *w) {
    for (int i = 0; i < IN_FLIGHT_MAX; i++)
        free(w->flights[i].bytes);
    w->disk->ops->close(w->disk, w->dir);
    pthread_mutex_destroy(&w->mutex);
}

static void writer_durable(void *argument, struct dwal__watermark *watermark,
                           uint64_t *first_lsn) {
    struct writer *w = argument;
    pthread_mutex_lock(&w->mutex);
    *watermark = w->durable;
    *first_lsn = w->first_lsn;
    pthread_mutex_unlock(&w->mutex);
}

/* ---- the readers ---- */

struct follower {
    struct writer *writer;
    bool inside;
    uint64_t last_lsn;
    bool sought; /* the next one may be any */
    uint64_t count, gaps, ends;
    char failure[512]; /* "": none */
};

static bool item_right(struct follower *f,
                       const struct dwal__reader_item *item) {
    uint8_t payload[2000];
    const struct dwal__record *record = &item->record;
    uint32_t size = payload_make(record->lsn, payload);
    bool next =
        f->sought ? record->lsn > f->last_lsn : record->lsn == f->last_lsn + 1;
    if (next && record->size == size &&
        memcmp(record->data, payload, size) == 0)
        return true;
    snprintf(f->failure, sizeof f->failure,
             "LSN %llu of %u bytes behind LSN %llu is wrong",
             (unsigned long long)record->lsn, record->size,
             (unsigned long long)f->last_lsn);
    return false;
}

/* True as long as there is something to do. */
static bool follow(struct follower *f, struct dwal__reader *reader) {
    struct dwal__reader_item item;
    struct dwal_error error;
    bool done = atomic_load(&f->writer->done);
    int code = dwal__reader_next(reader, &item, &error);
    if (code == DWAL_OK) {
        if (!item_right(f, &item))
            return false;
        f->last_lsn = item.record.lsn;
        f->sought = false;
        f->count++;
        atomic_store(&f->writer->seen[f->inside], f->last_lsn);
        return true;
    }
    if (code == DWAL_END) {
        f->ends++;
        sched_yield();
        return !done;
    }
    if (code == DWAL_ETRIMMED) {
        code = dwal__reader_seek(reader, 0, &error);
        f->gaps++;
        f->sought = true;
    }
    if (code != DWAL_OK)
        snprintf(f->failure, sizeof f->failure, "code %d: %.400s", code,
                 error.text);
    return code == DWAL_OK;
}

static void *follower_run(void *argument) {
    struct follower *f = argument;
    struct dwal__reader_options options = {.disk = f->writer->disk,
                                           .dir = f->writer->dir};
    if (f->inside) {
        options.durable = writer_durable;
        options.durable_argument = f->writer;
    }
    struct dwal__reader *reader;
    struct dwal_error error;
    int code = dwal__reader_open(&options, &reader, &error);
    if (code != DWAL_OK) {
        snprintf(f->failure, sizeof f->failure, "open: %.400s", error.text);
    } else {
        f->sought = true;
        while (follow(f, reader))
            continue;
        dwal__reader_close(reader);
    }
    atomic_store(&f->writer->seen[f->inside], UINT64_MAX / 2);
    return NULL;
}

static void followed(void **state) {
    struct writer writer = {0};
    struct follower followers[] = {{.writer = &writer},
                                   {.writer = &writer, .inside = true}};
    pthread_t threads[3];
    writer_open(&writer, *state);
    assert_int_equal(pthread_create(&threads[2], NULL, writer_run, &writer), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, follower_run, &followers[i]), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        struct follower *f = &followers[i];
        print_message("%s: %llu records, %llu times trimmed away, %llu times "
                      "at the end\n",
                      f->inside ? "inside" : "outside",
                      (unsigned long long)f->count, (unsigned long long)f->gaps,
                      (unsigned long long)f->ends);
        if (f->failure[0] != '\0')
            fail_msg("%s", f->failure);
        assert_int_equal(f->last_lsn, LSN_LAST);
    }
    writer_close(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(followed, tempdir_setup,
                                        tempdir_teardown),
    };
    return cmocka_run_group_tests_name("follow", tests, NULL, NULL);
}
