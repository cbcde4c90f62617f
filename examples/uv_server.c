/* SPDX-License-Identifier: MIT */
/*
 * The service of epoll_server.c with libuv: each line that a client sends is a
 * record, and is answered with "lsn N" once it is durable, in the order of the
 * lines. SIGTERM and SIGINT end it.
 *
 * What is special to the log is in "the log" below: its descriptor is watched
 * with uv_poll, which is closed before the log.
 *
 *     uv_server DIRECTORY [PORT]          on 127.0.0.1; 0 or none: any port
 */
#include <dwal.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define LINE_SIZE_MAX 4096 /* with its newline */
#define REPLY_SIZE_MAX 32
#define REPLIES_MAX 64 /* of one client, that it was not sent yet */
#define COMPLETIONS_MAX 64
#define BACKLOG 128

struct client {
    uv_tcp_t tcp; /* first: its address is the client's */
    uv_write_t write;
    bool writing, reading, ended;
    bool closing;       /* the connection ends */
    bool closed;        /* … has ended: freed with its last line */
    bool waits;         /* the log had no room for its next line */
    unsigned under_way; /* lines of it that are not durable yet */
    size_t in_size, out_size, sent_size;
    struct client *previous, *next;
    char in[LINE_SIZE_MAX];
    char out[REPLIES_MAX * REPLY_SIZE_MAX];  /* replies to be sent … */
    char sent[REPLIES_MAX * REPLY_SIZE_MAX]; /* … and on their way */
};

static struct dwal *log_handle;
static uv_loop_t loop;
static uv_tcp_t listener;
static uv_poll_t log_poll;
static uv_signal_t signals[2];
static struct client *clients;
static unsigned waiting; /* clients that wait for room */
static bool stop;
static int status;

__attribute__((noreturn, format(printf, 1, 2))) static void
die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("uv_server: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void check(int result, const char *what) {
    if (result < 0)
        die("%s: %s", what, uv_strerror(result));
}

static void client_end(struct client *client);

/* Closes all there is, after which uv_run returns. */
static void loop_stop(void) {
    if (stop)
        return;
    stop = true;
    uv_close((uv_handle_t *)&listener, NULL);
    uv_close((uv_handle_t *)&log_poll, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    for (struct client *client = clients; client != NULL; client = client->next)
        client_end(client);
}

/* The log has failed: what is not answered by now is not known. */
static void log_failed(void) {
    struct dwal_error error;
    if (dwal_failure(log_handle, &error) == DWAL_OK)
        return;
    fprintf(stderr, "uv_server: %s\n", error.text);
    status = 1;
    loop_stop();
}

/* ---- clients ---- */

/* Once the connection has ended and no line is under way, which names it. */
static void client_free(struct client *client) {
    if (!client->closed || client->under_way > 0)
        return;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    free(client);
}

static void on_closed(uv_handle_t *handle) {
    struct client *client = (struct client *)handle;
    client->closed = true;
    client_free(client);
}

static void client_end(struct client *client) {
    waiting -= client->waits;
    client->waits = false;
    if (client->closing)
        return;
    client->closing = true;
    uv_close((uv_handle_t *)&client->tcp, on_closed);
}

static void client_go(struct client *client);

static void on_written(uv_write_t *write, int result) {
    struct client *client = write->data;
    client->writing = false;
    if (result < 0)
        client_end(client);
    client_go(client);
}

/* One write at a time, of all replies that there are. */
static void client_send(struct client *client) {
    if (client->writing || client->out_size == 0)
        return;
    memcpy(client->sent, client->out, client->out_size);
    uv_buf_t buffer = uv_buf_init(client->sent, (unsigned)client->out_size);
    client->out_size = 0;
    client->write.data = client;
    client->writing = true;
    if (uv_write(&client->write, (uv_stream_t *)&client->tcp, &buffer, 1,
                 on_written) < 0) {
        client->writing = false;
        client_end(client);
    }
}

/* There will be a place for the reply of one more line. */
static bool reply_fits(const struct client *client) {
    return client->under_way <
           (sizeof client->out - client->out_size) / REPLY_SIZE_MAX;
}

/* Appends one line. False: not now, or never. */
static bool line_append(struct client *client, const char *line, size_t size) {
    struct dwal_error error;
    struct dwal_record record = {.data = line, .size = (uint32_t)size};
    int code = dwal_append_async(log_handle, &record, 1, client, NULL, &error);
    if (code == DWAL_OK) {
        client->under_way++;
        return true;
    }
    if (code == DWAL_EAGAIN) {
        client->waits = true;
        waiting++;
        return false;
    }
    /* A full disk costs this client its connection; it may try again later. A
     * log that has failed ends all. */
    fprintf(stderr, "uv_server: %s\n", error.text);
    client_end(client);
    log_failed();
    return false;
}

/* Appends the lines that are whole. */
static void client_lines(struct client *client) {
    size_t done = 0;
    char *end;
    while (reply_fits(client) &&
           (end = memchr(client->in + done, '\n', client->in_size - done)) !=
               NULL) {
        size_t size = (size_t)(end - client->in) - done;
        if (!line_append(client, client->in + done, size))
            break;
        done += size + 1;
    }
    client->in_size -= done;
    memmove(client->in, client->in + done, client->in_size);
}

static void on_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer) {
    struct client *client = (struct client *)handle;
    (void)wanted;
    *buffer = uv_buf_init(client->in + client->in_size,
                          (unsigned)(sizeof client->in - client->in_size));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer) {
    struct client *client = (struct client *)stream;
    (void)buffer;
    if (got > 0)
        client->in_size += (size_t)got;
    else if (got == UV_EOF)
        client->ended = true;
    else if (got < 0)
        client_end(client);
    client_go(client);
}

/* What to wait for next; who has nothing to come any more is let go. */
static void client_rest(struct client *client) {
    bool line = memchr(client->in, '\n', client->in_size) != NULL;
    bool full = client->in_size == sizeof client->in;
    bool silent = client->under_way == 0 && client->out_size == 0 &&
                  !client->writing && !line;
    if ((client->ended && silent) || (full && !line)) {
        client_end(client); /* or its line is too long */
        return;
    }
    bool reads =
        !client->ended && !client->waits && !full && reply_fits(client);
    if (reads == client->reading)
        return;
    client->reading = reads;
    if (reads)
        check(uv_read_start((uv_stream_t *)&client->tcp, on_room, on_read),
              "uv_read_start");
    else
        uv_read_stop((uv_stream_t *)&client->tcp);
}

/* Goes on with a client, after anything that concerns it. */
static void client_go(struct client *client) {
    if (!client->closing)
        client_send(client);
    if (!client->closing && !client->waits)
        client_lines(client);
    if (!client->closing)
        client_rest(client);
}

static void on_connection(uv_stream_t *server, int result) {
    if (result < 0)
        return; /* that one is gone already */
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        die("out of memory");
    check(uv_tcp_init(&loop, &client->tcp), "uv_tcp_init");
    client->next = clients;
    if (clients != NULL)
        clients->previous = client;
    clients = client;
    if (uv_accept(server, (uv_stream_t *)&client->tcp) < 0)
        client_end(client);
    client_go(client);
}

/* ---- the log ---- */

static void completion_take(const struct dwal_completion *done) {
    struct client *client = done->context;
    client->under_way--;
    if (client->closing || done->code != DWAL_OK)
        return;
    client->out_size +=
        (size_t)snprintf(client->out + client->out_size, REPLY_SIZE_MAX,
                         "lsn %" PRIu64 "\n", done->lsn);
}

/* Goes on with those who were named, and frees who was waited for; the last
 * entry of a client is the one at which it may be freed. */
static void completions_go(const struct dwal_completion *done, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct client *client = done[i].context;
        bool later = false;
        for (size_t j = i + 1; j < count && !later; j++)
            later = done[j].context == client;
        if (later)
            continue;
        client_go(client);
        client_free(client);
    }
}

static void log_reap(void) {
    struct dwal_completion done[COMPLETIONS_MAX];
    struct dwal_error error;
    size_t count;
    do {
        if (dwal_reap(log_handle, done, COMPLETIONS_MAX, &count, &error) !=
            DWAL_OK)
            die("%s", error.text);
        for (size_t i = 0; i < count; i++)
            completion_take(&done[i]);
        completions_go(done, count);
    } while (count == COMPLETIONS_MAX);
}

/* The descriptor is readable: outcomes, perhaps room, or the end. */
static void on_log(uv_poll_t *poll, int result, int events) {
    (void)poll;
    (void)events;
    check(result, "uv_poll");
    log_reap();
    for (struct client *client = clients, *next;
         client != NULL && waiting > 0 && !stop; client = next) {
        next = client->next;
        if (!client->waits)
            continue;
        client->waits = false;
        waiting--;
        client_go(client);
    }
    log_failed();
}

/* ---- begin and end ---- */

static void on_signal(uv_signal_t *handle, int number) {
    (void)handle;
    (void)number;
    loop_stop();
}

static void log_begin(const char *path) {
    struct dwal_options options;
    struct dwal_error error;
    int fd;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    if (dwal_open(path, &options, &log_handle, &error) != DWAL_OK ||
        dwal_event_fd(log_handle, &fd, &error) != DWAL_OK)
        die("%s", error.text);
    check(uv_poll_init(&loop, &log_poll, fd), "uv_poll_init");
    check(uv_poll_start(&log_poll, UV_READABLE, on_log), "uv_poll_start");
}

static void listen_begin(const char *text) {
    char *end;
    long port = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || port < 0 || port > UINT16_MAX)
        die("%s is no port", text);
    struct sockaddr_in address;
    int size = sizeof address;
    check(uv_ip4_addr("127.0.0.1", (int)port, &address), "uv_ip4_addr");
    check(uv_tcp_init(&loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0),
          "uv_tcp_bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection),
          "uv_listen");
    check(uv_tcp_getsockname(&listener, (struct sockaddr *)&address, &size),
          "uv_tcp_getsockname");
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
}

int main(int argc, char **argv) {
    static const int numbers[2] = {SIGTERM, SIGINT};
    struct dwal_error error;
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: uv_server DIRECTORY [PORT]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    check(uv_loop_init(&loop), "uv_loop_init");
    for (int i = 0; i < 2; i++) {
        check(uv_signal_init(&loop, &signals[i]), "uv_signal_init");
        check(uv_signal_start(&signals[i], on_signal, numbers[i]),
              "uv_signal_start");
    }
    log_begin(argv[1]);
    listen_begin(argc > 2 ? argv[2] : "0");
    uv_run(&loop, UV_RUN_DEFAULT);
    /* log_poll is closed by now. */
    if (dwal_close(log_handle, &error) != DWAL_OK) {
        fprintf(stderr, "uv_server: %s\n", error.text);
        status = 1;
    }
    check(uv_loop_close(&loop), "uv_loop_close");
    while (clients != NULL) { /* whose last lines nobody was told of */
        struct client *next = clients->next;
        free(clients);
        clients = next;
    }
    return status;
}
