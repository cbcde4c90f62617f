/* SPDX-License-Identifier: MIT */
/* Makes a node on an installed libdwal-raft, and starts it once more: with its
 * term. */
#include <dwal_raft.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void on_closed(struct raft_io *io) {
    *(int *)io->data = 1;
}

static raft_term start(const char *dir, raft_term set) {
    struct uv_loop_s loop;
    struct raft_uv_transport transport;
    struct raft_io io;
    struct raft_snapshot *snapshot;
    struct raft_entry *entries;
    raft_term term;
    raft_id vote;
    raft_index first;
    size_t count;
    int closed = 0;
    io.data = &closed;
    if (uv_loop_init(&loop) != 0 || raft_uv_tcp_init(&transport, &loop) != 0 ||
        dwal_raft_init(&io, &loop, dir, &transport) != 0 ||
        io.init(&io, 1, "127.0.0.1:9001") != 0 ||
        io.load(&io, &term, &vote, &snapshot, &first, &entries, &count) != 0 ||
        (set != 0 && io.set_term(&io, set) != 0)) {
        fprintf(stderr, "%s\n", io.errmsg);
        exit(1);
    }
    io.close(&io, on_closed);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    dwal_raft_close(&io);
    raft_uv_tcp_close(&transport);
    uv_run(&loop, UV_RUN_NOWAIT);
    uv_loop_close(&loop);
    return term;
}

int main(int argc, char **argv) {
    if (argc != 2 || mkdir(argv[1], 0777) != 0)
        return 2;
    start(argv[1], 7);
    printf("term %llu\n", start(argv[1], 0));
    return 0;
}
