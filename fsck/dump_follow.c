/* SPDX-License-Identifier: MIT */
/*
 * Waiting at the end of a log for more. A new segment, a retired one and a
 * writer that leaves show in the directory, and inotify tells of them at once.
 * The blocks that a writer fills do not: the kernel raises no event for
 * asynchronous I/O. So while somebody writes the log the wait is bounded, and
 * grows the longer nothing comes; with nobody there it is inotify's, since a
 * writer makes a segment before it appends (SPEC 11.5).
 */
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "cli.h"
#include "dump.h"

/* With nobody there: inotify sees what this machine does, and no more. */
#define WAIT_MS_NOBODY 10000

void dwal__follow_begin(struct dwal__follow *follow,
                        const struct dwal__dump *dump) {
    dwal__pause_reset(&follow->pause);
    follow->notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (follow->notify >= 0 &&
        inotify_add_watch(follow->notify, dump->options->path,
                          IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE |
                              IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF) < 0) {
        close(follow->notify);
        follow->notify = -1;
    }
    dwal__cli_signals_patient();
}

void dwal__follow_end(struct dwal__follow *follow) {
    if (follow->notify >= 0)
        close(follow->notify);
    follow->notify = -1;
}

void dwal__follow_moved(struct dwal__follow *follow) {
    dwal__pause_reset(&follow->pause);
}

static void events_drain(int notify) {
    char events[4096] __attribute__((aligned(8)));
    while (read(notify, events, sizeof events) > 0)
        continue;
}

/* How long to wait at most, for this time. */
static int wait_next(struct dwal__follow *follow,
                     const struct dwal__dump *dump) {
    if (!dwal__reader_live(dump->reader))
        return follow->notify >= 0 ? WAIT_MS_NOBODY : DWAL__PAUSE_MS_MAX;
    return dwal__pause_next(&follow->pause);
}

bool dwal__follow_wait(struct dwal__follow *follow,
                       const struct dwal__dump *dump) {
    /* No event asked of standard output: who left it is told all the same. */
    struct pollfd fds[] = {{.fd = dwal__cli_cancel_fd(), .events = POLLIN},
                           {.fd = follow->notify, .events = POLLIN},
                           {.fd = STDOUT_FILENO}};
    fflush(stdout);
    if (!dwal__cli_output_good())
        return false;
    int wait_ms = wait_next(follow, dump);
    if (poll(fds, sizeof fds / sizeof fds[0], wait_ms) <= 0)
        return !dwal__cli_cancelled();
    if ((fds[1].revents & POLLIN) != 0) {
        events_drain(follow->notify);
        dwal__pause_reset(&follow->pause);
    }
    if ((fds[2].revents & (POLLERR | POLLHUP)) != 0) {
        dwal__cli_output_lost();
        return false;
    }
    return !dwal__cli_cancelled();
}
