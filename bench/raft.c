/* SPDX-License-Identifier: MIT */
/*
 * Appends through libraft's raft_io, by the storage of adapters/raft and by
 * libraft's own: one thread with an event loop, a number of requests of one entry
 * outstanding, each of which is followed by the next from within its callback, as
 * raft does it. Latency is from the call to the callback.
 */
#include <stdlib.h>
#include <string.h>

#include "../fsck/cli.h"
#include "../src/histogram.h"
#include "device.h"
#include "dwal_raft.h"
#include "scratch.h"
#include "usage.h"

#define OUTSTANDING_MAX 1024u

struct asked {
    bool dwal;
    uint64_t outstanding;
    uint64_t bs;
    uint64_t runtime_ms; /* after as long a beginning, of which 1 s at most */
};

struct bench {
    struct uv_loop_s loop;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_entry entry;
    int64_t begin, end; /* of what is measured */
    uint64_t records;
    unsigned running;
    bool stopping, closed;
    int failed; /* code of libraft */
    struct dwal__histogram latency;
    struct request {
        struct raft_io_append append;
        struct bench *bench;
        int64_t start;
    } requests[OUTSTANDING_MAX];
};

static void request_begin(struct request *request);

static void on_append(struct raft_io_append *append, int status) {
    struct request *request = append->data;
    struct bench *bench = request->bench;
    int64_t now = dwal__bench_now_ns();
    bench->running--;
    if (status != 0 && bench->failed == 0)
        bench->failed = status;
    if (now >= bench->begin && now < bench->end) {
        bench->records++;
        if (request->start >= bench->begin)
            dwal__histogram_add(&bench->latency,
                                (uint64_t)(now - request->start));
    }
    if (now < bench->end && bench->failed == 0 && !bench->stopping)
        request_begin(request);
}

static void request_begin(struct request *request) {
    struct bench *bench = request->bench;
    request->start = dwal__bench_now_ns();
    int rv = bench->io.append(&bench->io, &request->append, &bench->entry, 1,
                              on_append);
    if (rv == 0)
        bench->running++;
    else
        bench->failed = rv;
}

static void on_closed(struct raft_io *io) {
    struct bench *bench = io->data;
    bench->closed = true;
}

/* An empty node in @folder, ready for appends. */
static bool node_open(struct bench *bench, const struct asked *asked,
                      const char *folder) {
    raft_term term;
    raft_id vote;
    struct raft_snapshot *snapshot;
    raft_index start;
    struct raft_entry *entries;
    size_t count;
    struct raft_io *io = &bench->io;
    io->data = bench;
    bool good =
        uv_loop_init(&bench->loop) == 0 &&
        raft_uv_tcp_init(&bench->transport, &bench->loop) == 0 &&
        (asked->dwal ? dwal_raft_init : raft_uv_init)(io, &bench->loop, folder,
                                                      &bench->transport) == 0 &&
        io->init(io, 1, "127.0.0.1:9001") == 0 &&
        io->load(io, &term, &vote, &snapshot, &start, &entries, &count) == 0 &&
        io->set_term(io, 1) == 0;
    if (!good)
        dwal__cli_error("%s", io->errmsg);
    return good;
}

static void node_close(struct bench *bench, const struct asked *asked) {
    bench->io.close(&bench->io, on_closed);
    while (!bench->closed)
        uv_run(&bench->loop, UV_RUN_ONCE);
    (asked->dwal ? dwal_raft_close : raft_uv_close)(&bench->io);
    raft_uv_tcp_close(&bench->transport);
    uv_run(&bench->loop, UV_RUN_NOWAIT);
    uv_loop_close(&bench->loop);
}

static bool run(struct bench *bench, const struct asked *asked) {
    int64_t runtime = (int64_t)asked->runtime_ms * 1000000;
    bench->begin =
        dwal__bench_now_ns() + (runtime < 1000000000 ? runtime : 1000000000);
    bench->end = bench->begin + runtime;
    for (unsigned i = 0; i < asked->outstanding && bench->failed == 0; i++) {
        bench->requests[i].bench = bench;
        bench->requests[i].append.data = &bench->requests[i];
        request_begin(&bench->requests[i]);
    }
    while (bench->running > 0) {
        bench->stopping = dwal__cli_cancelled();
        uv_run(&bench->loop, UV_RUN_ONCE);
    }
    if (bench->failed != 0)
        dwal__cli_error("append: %s: %s", raft_strerror(bench->failed),
                        bench->io.errmsg);
    return bench->failed == 0 && !bench->stopping;
}

static bool measure(struct bench *bench, const struct asked *asked,
                    const char *folder) {
    uint8_t *bytes = malloc(asked->bs);
    bool good = bytes != NULL && node_open(bench, asked, folder);
    if (good) {
        memset(bytes, 0x5a, asked->bs);
        bench->entry =
            (struct raft_entry){.term = 1,
                                .type = RAFT_COMMAND,
                                .buf = {.base = bytes, .len = asked->bs}};
        good = run(bench, asked);
        node_close(bench, asked);
    }
    free(bytes);
    return good;
}

static void print(const struct bench *bench, const struct asked *asked,
                  const struct dwal__device *device) {
    static const double percents[] = {50, 99, 99.9, 100};
    static const char *const names[] = {"p50", "p99", "p99.9", "max"};
    struct dwal__json json;
    dwal__json_begin(&json, stdout, "bench-raft");
    dwal__json_string(&json, "name", asked->dwal ? "dwal-raft" : "libraft");
    dwal__json_u64(&json, "outstanding", asked->outstanding);
    dwal__json_u64(&json, "bs", asked->bs);
    dwal__json_u64(&json, "records", bench->records);
    dwal__json_double(&json, "records_per_s",
                      (double)bench->records * 1e3 / (double)asked->runtime_ms);
    dwal__json_object_open(&json, "latency_us");
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++)
        dwal__json_double(
            &json, names[i],
            (double)dwal__histogram_percentile(&bench->latency, percents[i]) /
                1e3);
    dwal__json_object_close(&json);
    dwal__device_json(device, &json);
    dwal__json_end(&json);
}

static bool asked_parse(int argc, char **argv, struct asked *asked) {
    if (argc != 6 || (strcmp(argv[1], "dwal-raft") != 0 &&
                      strcmp(argv[1], "libraft") != 0)) {
        dwal__cli_usage("dwal-raft|libraft OUTSTANDING BYTES MILLISECONDS DIR; "
                        "nothing else");
        return false;
    }
    asked->dwal = strcmp(argv[1], "dwal-raft") == 0;
    return dwal__cli_number("OUTSTANDING", argv[2], 1, OUTSTANDING_MAX,
                            &asked->outstanding) &&
           dwal__cli_number("BYTES", argv[3], 1, 1 << 20, &asked->bs) &&
           dwal__cli_number("MILLISECONDS", argv[4], 1, 3600000,
                            &asked->runtime_ms);
}

int main(int argc, char **argv) {
    char folder[PATH_MAX];
    struct asked asked;
    struct dwal__device device;
    dwal__cli_begin("bench-raft", argv);
    if (!asked_parse(argc, argv, &asked))
        return dwal__cli_end(DWAL__EXIT_USAGE);
    struct bench *bench = calloc(1, sizeof *bench);
    if (bench == NULL || !dwal__scratch_make(argv[5], folder)) {
        free(bench);
        return dwal__cli_end(DWAL__EXIT_ERROR);
    }
    dwal__device_look(&device, folder);
    bool good = measure(bench, &asked, folder);
    good = dwal__scratch_remove(folder) && good;
    if (good)
        print(bench, &asked, &device);
    free(bench);
    return dwal__cli_end(good ? DWAL__EXIT_CLEAN : DWAL__EXIT_ERROR);
}
