/* SPDX-License-Identifier: MIT */
/*
 * One node of a raft cluster on libdwal-raft, for cluster_test.py: its state is
 * the list of all commands so far, each of which is a number.
 *
 * usage: node DIR ID PORT PORT PORT
 *
 * Node i listens for the others on the i-th port, and for clients on the socket
 * DIR/client, where a line is a request:
 *   put N SIZE   appends N, in a command of SIZE bytes: "ok N" once it is
 *                committed and applied, or "no N CODE"
 *   state        "state S APPLIED", S is libraft's
 *   list         "list N N …"
 * SIGTERM ends it.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "dwal_raft.h"

#define NODES 3

static struct uv_loop_s loop;
static struct raft_uv_transport transport;
static struct raft_io io;
static struct raft_fsm fsm;
static struct raft raft;

static void die(const char *what, const char *text) {
    fprintf(stderr, "node: %s: %s\n", what, text);
    exit(1);
}

static void *room(size_t size) {
    void *bytes = raft_malloc(size);
    if (bytes == NULL)
        die("malloc", "out of memory");
    return bytes;
}

/* ---- the state ---- */

static struct {
    uint64_t *numbers;
    size_t count, size;
} list;

static void list_add(uint64_t number) {
    if (list.count == list.size) {
        list.size = list.size == 0 ? 1024 : 2 * list.size;
        list.numbers = realloc(list.numbers, list.size * sizeof *list.numbers);
        if (list.numbers == NULL)
            die("list", "out of memory");
    }
    list.numbers[list.count++] = number;
}

static int fsm_apply(struct raft_fsm *self, const struct raft_buffer *buffer,
                     void **result) {
    uint64_t number;
    (void)self;
    if (buffer->len < sizeof number)
        return RAFT_MALFORMED;
    memcpy(&number, buffer->base, sizeof number);
    list_add(number);
    *result = NULL;
    return 0;
}

static int fsm_snapshot(struct raft_fsm *self, struct raft_buffer *buffers[],
                        unsigned *count) {
    (void)self;
    size_t size = list.count * sizeof *list.numbers;
    *buffers = room(sizeof **buffers);
    (*buffers)->base = room(size == 0 ? 1 : size);
    (*buffers)->len = size;
    if (size > 0)
        memcpy((*buffers)->base, list.numbers, size);
    *count = 1;
    return 0;
}

static int fsm_restore(struct raft_fsm *self, struct raft_buffer *buffer) {
    (void)self;
    list.count = 0;
    for (size_t at = 0; at + sizeof(uint64_t) <= buffer->len;
         at += sizeof(uint64_t)) {
        uint64_t number;
        memcpy(&number, (const uint8_t *)buffer->base + at, sizeof number);
        list_add(number);
    }
    raft_free(buffer->base);
    return 0;
}

/* ---- clients ---- */

struct client {
    uv_pipe_t pipe;
    char line[256];
    size_t used;
    unsigned pending; /* puts and writes */
    bool closed;
};

struct put {
    struct raft_apply apply;
    struct client *client;
    uint64_t number;
};

struct answer {
    uv_write_t write;
    struct client *client;
    char *text;
};

static void client_release(struct client *client) {
    client->pending--;
    if (client->closed && client->pending == 0)
        free(client);
}

static void on_answered(uv_write_t *write, int status) {
    struct answer *answer = write->data;
    (void)status;
    client_release(answer->client);
    free(answer->text);
    free(answer);
}

/* Takes @text. */
static void client_answer(struct client *client, char *text) {
    struct answer *answer = calloc(1, sizeof *answer);
    if (client->closed || text == NULL || answer == NULL) {
        free(text);
        free(answer);
        return;
    }
    uv_buf_t buffer = uv_buf_init(text, (unsigned)strlen(text));
    answer->client = client;
    answer->text = text;
    answer->write.data = answer;
    client->pending++;
    if (uv_write(&answer->write, (uv_stream_t *)&client->pipe, &buffer, 1,
                 on_answered) != 0)
        on_answered(&answer->write, 0);
}

static void put_answer(struct client *client, uint64_t number, int status) {
    char text[64];
    if (status == 0)
        snprintf(text, sizeof text, "ok %llu\n", (unsigned long long)number);
    else
        snprintf(text, sizeof text, "no %llu %d\n", (unsigned long long)number,
                 status);
    client_answer(client, strdup(text));
}

static void on_applied(struct raft_apply *apply, int status, void *result) {
    struct put *put = apply->data;
    (void)result;
    put_answer(put->client, put->number, status);
    client_release(put->client);
    free(put);
}

static void client_put(struct client *client, uint64_t number, size_t size) {
    struct put *put = calloc(1, sizeof *put);
    /* libraft sends what is no multiple of 8 without the padding that it expects
     * to receive. */
    struct raft_buffer buffer = {.len = (size + 7) / 8 * 8};
    buffer.base = room(buffer.len);
    memset(buffer.base, (int)number, buffer.len);
    memcpy(buffer.base, &number, sizeof number);
    if (put == NULL)
        die("put", "out of memory");
    put->client = client;
    put->number = number;
    put->apply.data = put;
    int rv = raft_apply(&raft, &put->apply, &buffer, 1, on_applied);
    if (rv == 0) {
        client->pending++;
        return;
    }
    put_answer(client, number, rv);
    raft_free(buffer.base);
    free(put);
}

static void client_list(struct client *client) {
    char *text = malloc(16 + 21 * list.count);
    if (text == NULL)
        die("list", "out of memory");
    size_t at = (size_t)sprintf(text, "list");
    for (size_t i = 0; i < list.count; i++)
        at += (size_t)sprintf(text + at, " %llu",
                              (unsigned long long)list.numbers[i]);
    strcpy(text + at, "\n");
    client_answer(client, text);
}

static void client_request(struct client *client, const char *line) {
    unsigned long long number, size;
    char text[64];
    if (sscanf(line, "put %llu %llu", &number, &size) == 2 && size > 0) {
        client_put(client, number, (size_t)size);
    } else if (strcmp(line, "list") == 0) {
        client_list(client);
    } else {
        snprintf(text, sizeof text, "state %d %llu\n", raft_state(&raft),
                 raft_last_applied(&raft));
        client_answer(client, strdup(text));
    }
}

static void on_client_closed(uv_handle_t *handle) {
    struct client *client = handle->data;
    client->closed = true;
    client->pending++;
    client_release(client);
}

static void on_room(uv_handle_t *handle, size_t size, uv_buf_t *buffer) {
    struct client *client = handle->data;
    (void)size;
    *buffer = uv_buf_init(client->line + client->used,
                          (unsigned)(sizeof client->line - client->used));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer) {
    struct client *client = stream->data;
    (void)buffer;
    if (got < 0) {
        uv_close((uv_handle_t *)stream, on_client_closed);
        return;
    }
    client->used += (size_t)got;
    char *end;
    while ((end = memchr(client->line, '\n', client->used)) != NULL) {
        size_t size = (size_t)(end - client->line) + 1;
        *end = '\0';
        client_request(client, client->line);
        client->used -= size;
        memmove(client->line, client->line + size, client->used);
    }
    if (client->used == sizeof client->line)
        die("client", "a line is too long");
}

static void on_connection(uv_stream_t *server, int status) {
    struct client *client = calloc(1, sizeof *client);
    if (status != 0 || client == NULL)
        die("client", "no connection");
    uv_pipe_init(&loop, &client->pipe, 0);
    client->pipe.data = client;
    if (uv_accept(server, (uv_stream_t *)&client->pipe) != 0 ||
        uv_read_start((uv_stream_t *)&client->pipe, on_room, on_read) != 0)
        die("client", "no connection");
}

static void clients_listen(const char *dir) {
    static uv_pipe_t server;
    char path[4096];
    snprintf(path, sizeof path, "%s/client", dir);
    unlink(path);
    uv_pipe_init(&loop, &server, 0);
    if (uv_pipe_bind(&server, path) != 0 ||
        uv_listen((uv_stream_t *)&server, 16, on_connection) != 0)
        die(path, "cannot listen");
}

/* ---- the node ---- */

static void on_raft_closed(struct raft *self) {
    (void)self;
    dwal_raft_close(&io);
    raft_uv_tcp_close(&transport);
    exit(0);
}

static void on_term(uv_signal_t *handle, int number) {
    (void)number;
    uv_signal_stop(handle);
    raft_close(&raft, on_raft_closed);
}

static void node_init(const char *dir, raft_id id, char **ports) {
    struct dwal_options log;
    struct dwal_raft_options options;
    struct raft_configuration configuration;
    char addresses[NODES][32];
    raft_configuration_init(&configuration);
    for (unsigned i = 0; i < NODES; i++) {
        snprintf(addresses[i], sizeof addresses[i], "127.0.0.1:%s", ports[i]);
        if (raft_configuration_add(&configuration, i + 1, addresses[i],
                                   RAFT_VOTER) != 0)
            die("configuration", addresses[i]);
    }
    dwal_options_init(&log);
    log.segment_size = 256 << 10;
    dwal_raft_options_init(&options);
    options.log = &log;
    if (raft_uv_tcp_init(&transport, &loop) != 0 ||
        dwal_raft_init_with(&io, &loop, dir, &transport, &options) != 0)
        die("init", io.errmsg);
    raft_uv_set_connect_retry_delay(dwal_raft_inner(&io), 50);
    if (raft_init(&raft, &io, &fsm, id, addresses[id - 1]) != 0)
        die("init", raft_errmsg(&raft));
    raft_set_election_timeout(&raft, 250);
    raft_set_heartbeat_timeout(&raft, 50);
    raft_set_snapshot_threshold(&raft, 100);
    raft_set_snapshot_trailing(&raft, 30);
    raft_set_pre_vote(&raft, true);
    int rv = raft_bootstrap(&raft, &configuration);
    if (rv != 0 && rv != RAFT_CANTBOOTSTRAP)
        die("bootstrap", io.errmsg);
    if (raft_start(&raft) != 0)
        die("start", raft_errmsg(&raft));
    raft_configuration_close(&configuration);
}

int main(int argc, char **argv) {
    static uv_signal_t term;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    if (argc != 3 + NODES)
        die("usage", "node DIR ID PORT PORT PORT");
    fsm = (struct raft_fsm){.version = 1,
                            .apply = fsm_apply,
                            .snapshot = fsm_snapshot,
                            .restore = fsm_restore};
    if (uv_loop_init(&loop) != 0)
        die("loop", "init");
    node_init(argv[1], (raft_id)atoi(argv[2]), argv + 3);
    clients_listen(argv[1]);
    uv_signal_init(&loop, &term);
    uv_signal_start(&term, on_term, SIGTERM);
    uv_run(&loop, UV_RUN_DEFAULT);
    return 1;
}
