/* SPDX-License-Identifier: MIT */
/*
 * A log as a service, in one thread with epoll: each line that a client sends is
 * a record, and is answered with "lsn N" once it is durable, in the order of the
 * lines. SIGTERM and SIGINT end it: what was taken is made durable, and what was
 * not answered, the client does not know.
 *
 * The thread never sleeps in the log. Who sends faster than the disk writes is
 * not read from: neither memory here nor in the log grows.
 *
 *     epoll_server DIRECTORY [PORT]       on 127.0.0.1; 0 or none: any port
 */
#include <dwal.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINE_SIZE_MAX 4096 /* with its newline */
#define REPLY_SIZE_MAX 32
#define REPLIES_MAX 64 /* of one client, that it was not sent yet */
#define EVENTS_MAX 64
#define COMPLETIONS_MAX 64

struct client {
    int fd;             /* -1: gone */
    uint32_t interest;  /* what epoll looks for */
    bool ended;         /* it sends no more */
    bool waits;         /* the log had no room for its next line */
    unsigned under_way; /* lines of it that are not durable yet */
    size_t in_size, out_size;
    struct client *previous, *next;
    char in[LINE_SIZE_MAX];
    char out[REPLIES_MAX * REPLY_SIZE_MAX];
};

static struct dwal *log_handle;
static int loop, listener, signals, log_events;
static struct client
    *clients;               /* those that are here, or have lines under way */
static struct client *gone; /* to be freed behind this round of events */
static unsigned waiting;    /* clients that wait for room */
static bool deaf;           /* no descriptor was left for one more client */
static bool stop;
static int status;

__attribute__((noreturn, format(printf, 1, 2))) static void
die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("epoll_server: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void check(bool good, const char *what) {
    if (!good)
        die("%s: %s", what, strerror(errno));
}

/* The log has failed: what is not answered by now is not known. */
static void log_failed(void) {
    struct dwal_error error;
    if (dwal_failure(log_handle, &error) == DWAL_OK)
        return;
    fprintf(stderr, "epoll_server: %s\n", error.text);
    status = 1;
    stop = true;
}

/* ---- clients ---- */

static void watch(int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    check(epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) == 0, "epoll_ctl");
}

/* Looks for new clients, or does not: there is no descriptor for one. */
static void listener_watch(bool on) {
    struct epoll_event event = {.events = on ? EPOLLIN : 0,
                                .data.ptr = &listener};
    check(epoll_ctl(loop, EPOLL_CTL_MOD, listener, &event) == 0, "epoll_ctl");
    deaf = !on;
}

static void client_new(int fd) {
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL) {
        close(fd);
        return;
    }
    client->fd = fd;
    client->interest = EPOLLIN;
    client->next = clients;
    if (clients != NULL)
        clients->previous = client;
    clients = client;
    watch(fd, client);
}

/* Ends the connection; the memory stays while lines are under way, which name
 * it, and while events of this round may. */
static void client_end(struct client *client) {
    if (client->fd >= 0)
        close(client->fd); /* leaves the loop by that */
    client->fd = -1;
    if (deaf)
        listener_watch(true);
    waiting -= client->waits;
    client->waits = false;
    if (client->under_way > 0)
        return;
    if (client->previous != NULL)
        client->previous->next = client->next;
    else
        clients = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    client->next = gone;
    gone = client;
}

/* False: it is gone. */
static bool client_read(struct client *client) {
    ssize_t got = recv(client->fd, client->in + client->in_size,
                       sizeof client->in - client->in_size, 0);
    if (got > 0)
        client->in_size += (size_t)got;
    if (got == 0)
        client->ended = true;
    if (got >= 0 || errno == EAGAIN || errno == EINTR)
        return true;
    client_end(client);
    return false;
}

/* Sends what the connection takes. False: it is gone. */
static bool client_send(struct client *client) {
    if (client->out_size == 0)
        return true;
    ssize_t sent =
        send(client->fd, client->out, client->out_size, MSG_NOSIGNAL);
    if (sent >= 0) {
        client->out_size -= (size_t)sent;
        memmove(client->out, client->out + sent, client->out_size);
        return true;
    }
    if (errno == EAGAIN || errno == EINTR)
        return true;
    client_end(client);
    return false;
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
    fprintf(stderr, "epoll_server: %s\n", error.text);
    log_failed();
    client_end(client);
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

/* What to wait for next; who has nothing to come any more is let go. */
static void client_rest(struct client *client) {
    bool line = memchr(client->in, '\n', client->in_size) != NULL;
    bool full = client->in_size == sizeof client->in;
    bool silent = client->under_way == 0 && client->out_size == 0 && !line;
    if ((client->ended && silent) || (full && !line)) {
        client_end(client); /* or its line is too long */
        return;
    }
    uint32_t interest = 0;
    if (!client->ended && !client->waits && !full && reply_fits(client))
        interest |= EPOLLIN;
    if (client->out_size > 0)
        interest |= EPOLLOUT;
    if (interest == client->interest)
        return;
    struct epoll_event event = {.events = interest, .data.ptr = client};
    check(epoll_ctl(loop, EPOLL_CTL_MOD, client->fd, &event) == 0, "epoll_ctl");
    client->interest = interest;
}

/* Goes on with a client, after anything that concerns it. */
static void client_go(struct client *client) {
    if (client->fd < 0 || !client_send(client))
        return;
    if (!client->waits)
        client_lines(client);
    if (client->fd >= 0)
        client_rest(client);
}

static void client_event(struct client *client, uint32_t events) {
    if (client->fd < 0)
        return; /* earlier in this round */
    if ((events & EPOLLERR) != 0 ||
        (events & (EPOLLHUP | EPOLLIN)) == EPOLLHUP) {
        client_end(client);
        return;
    }
    if ((events & EPOLLIN) != 0 && !client_read(client))
        return;
    client_go(client);
}

/* ---- the log ---- */

static void completion_take(const struct dwal_completion *done) {
    struct client *client = done->context;
    client->under_way--;
    if (client->fd < 0)
        client_end(client); /* if that was its last line */
    else if (done->code == DWAL_OK)
        client->out_size +=
            (size_t)snprintf(client->out + client->out_size, REPLY_SIZE_MAX,
                             "lsn %" PRIu64 "\n", done->lsn);
}

/* Replies first, then one send for each client. */
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
        for (size_t i = 0; i < count; i++)
            client_go(done[i].context);
    } while (count == COMPLETIONS_MAX);
}

/* The descriptor is readable: outcomes, perhaps room, or the end. */
static void log_event(void) {
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

/* ---- the loop ---- */

static void accept_event(void) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        client_new(fd);
    else if (errno == EMFILE || errno == ENFILE)
        listener_watch(false);
    else
        check(errno == EAGAIN || errno == EINTR || errno == ECONNABORTED,
              "accept");
}

static void event_handle(const struct epoll_event *event) {
    if (event->data.ptr == &listener)
        accept_event();
    else if (event->data.ptr == &log_events)
        log_event();
    else if (event->data.ptr == &signals)
        stop = true;
    else
        client_event(event->data.ptr, event->events);
}

static void loop_run(void) {
    while (!stop) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(loop, events, EVENTS_MAX, -1);
        check(count >= 0 || errno == EINTR, "epoll_wait");
        for (int i = 0; i < count && !stop; i++)
            event_handle(&events[i]);
        while (gone != NULL) {
            struct client *next = gone->next;
            free(gone);
            gone = next;
        }
    }
}

/* ---- begin and end ---- */

static void log_begin(const char *path) {
    struct dwal_options options;
    struct dwal_error error;
    dwal_options_init(&options);
    options.create = DWAL_CREATE_IF_ABSENT;
    if (dwal_open(path, &options, &log_handle, &error) != DWAL_OK ||
        dwal_event_fd(log_handle, &log_events, &error) != DWAL_OK)
        die("%s", error.text);
    watch(log_events, &log_events);
}

static void listen_begin(const char *text) {
    char *end;
    long port = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || port < 0 || port > UINT16_MAX)
        die("%s is no port", text);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    check(listener >= 0, "socket");
    check(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0,
          "setsockopt");
    check(bind(listener, (struct sockaddr *)&address, size) == 0, "bind");
    check(listen(listener, SOMAXCONN) == 0, "listen");
    check(getsockname(listener, (struct sockaddr *)&address, &size) == 0,
          "getsockname");
    watch(listener, &listener);
    printf("listening on 127.0.0.1:%u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void signals_begin(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    check(sigprocmask(SIG_BLOCK, &set, NULL) == 0, "sigprocmask");
    signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    check(signals >= 0, "signalfd");
    watch(signals, &signals);
}

int main(int argc, char **argv) {
    struct dwal_error error;
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: epoll_server DIRECTORY [PORT]\n");
        return 2;
    }
    loop = epoll_create1(EPOLL_CLOEXEC);
    check(loop >= 0, "epoll_create1");
    signals_begin();
    log_begin(argv[1]);
    listen_begin(argc > 2 ? argv[2] : "0");
    loop_run();
    /* Its descriptor leaves the loop before it goes. */
    check(epoll_ctl(loop, EPOLL_CTL_DEL, log_events, NULL) == 0, "epoll_ctl");
    if (dwal_close(log_handle, &error) != DWAL_OK) {
        fprintf(stderr, "epoll_server: %s\n", error.text);
        status = 1;
    }
    return status;
}
