/* SPDX-License-Identifier: MIT */
/*
 * A life of a real writer, for damage_hunt.py, which kills it: appends,
 * commits, trims, rotates, and tells what was acknowledged, a line each,
 * written only once it is durable:
 *
 *     a LSN    all records up to this one
 *     t LSN    the records up to this one are trimmed
 *
 * What a record holds follows from its LSN alone, so that whoever knows the LSN
 * can tell whether it is the right one: type LSN % 7, tenant LSN, shard LSN /
 * 5, and bytes that begin with the LSN in decimal and go on with it in a
 * pattern.
 *
 * usage: live_log DIR SEED STEPS
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/dwal.h"
#include "tests/support/random.h"

#define PAYLOAD_MAX 12000
#define BATCH_MAX 6

static uint64_t random_state;

static uint64_t random_next(void) {
    return check_random(&random_state);
}

static void must(int code, const char *what, const struct dwal_error *error) {
    if (code == DWAL_OK)
        return;
    fprintf(stderr, "live_log: %s: %s\n", what, error->text);
    exit(1);
}

static void tell(char kind, uint64_t lsn) {
    printf("%c %" PRIu64 "\n", kind, lsn);
    fflush(stdout);
}

/* The size is mostly small, now and then several blocks. */
static struct dwal_record record_of(uint64_t lsn, char bytes[PAYLOAD_MAX]) {
    static const uint32_t sizes[] = {0,   7,   30,   100,
                                     300, 900, 5000, PAYLOAD_MAX};
    uint32_t size = sizes[lsn * 2654435761u % 8];
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64 " ", lsn);
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = i < strlen(text) ? text[i] : (char)(lsn * 31 + i * 7);
    return (struct dwal_record){.data = bytes,
                                .size = size,
                                .type = (uint16_t)(lsn % 7),
                                .tenant = (uint32_t)lsn,
                                .shard = (uint32_t)(lsn / 5)};
}

static void append(struct dwal *log, uint64_t *next) {
    static char bytes[BATCH_MAX][PAYLOAD_MAX];
    struct dwal_record records[BATCH_MAX];
    struct dwal_error error;
    size_t count = 1 + random_next() % BATCH_MAX;
    for (size_t i = 0; i < count; i++)
        records[i] = record_of(*next + i, bytes[i]);
    uint64_t lsn;
    must(dwal_append_batch(log, records, count, &lsn, &error), "append",
         &error);
    if (lsn != *next)
        exit(2);
    *next += count;
}

static void step(struct dwal *log, uint64_t *next) {
    struct dwal_error error;
    switch (random_next() % 24) {
    case 0:
        must(dwal_rotate(log, &error), "rotate", &error);
        break;
    case 1: {
        uint64_t last = dwal_durable_lsn(log), back = random_next() % 60;
        if (last > back) {
            must(dwal_trim(log, last - back + 1, &error), "trim", &error);
            tell('t', last - back);
        }
        break;
    }
    case 2:
    case 3:
    case 4:
    case 5:
    case 6:
        if (*next > 1)
            must(dwal_wait(log, *next - 1, -1, &error), "wait", &error);
        break;
    default:
        append(log, next);
        break;
    }
    tell('a', dwal_durable_lsn(log));
}

static struct dwal *log_open(const char *path) {
    struct dwal_options options;
    struct dwal_error error;
    struct dwal *log;
    dwal_options_init(&options);
    dwal_options_preset(&options, (int)(random_next() % 3));
    options.create = DWAL_CREATE_IF_ABSENT;
    options.segment_size = 65536u << random_next() % 2;
    options.block_size = 4096;
    options.sync = (int)(random_next() % 3);
    options.mark_delay_ms = random_next() % 2 == 0 ? 1 : 0;
    options.in_flight_max = 1 + (uint32_t)(random_next() % 8);
    must(dwal_open(path, &options, &log, &error), "open", &error);
    return log;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: live_log DIR SEED STEPS\n");
        return 16;
    }
    random_state = strtoull(argv[2], NULL, 0);
    long steps = strtol(argv[3], NULL, 0);
    struct dwal *log = log_open(argv[1]);
    struct dwal_error error;
    uint64_t next = dwal_durable_lsn(log) + 1;
    tell('a', next - 1);
    for (long i = 0; i < steps; i++)
        step(log, &next);
    must(dwal_close(log, &error), "close", &error);
    tell('a', next - 1);
    return 0;
}
