/* SPDX-License-Identifier: MIT */
/*
 * dqlite-node: one node of a dqlite cluster, by dqlite's public interface alone.
 * Nothing in it knows of dwal: which storage it stands on is decided by what is
 * preloaded when it is started (shim.c).
 *
 * Prints "ready" once clients can connect, ends with 0 at SIGTERM or SIGINT, and
 * dies with the process that started it, so that a test leaves none behind.
 */
#include <dqlite.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

enum { EXIT_USAGE = 16 };

struct settings {
    dqlite_node_id id;
    const char *address;
    const char *directory;
    unsigned latency_ms;         /* the election timeout is 15 times that */
    unsigned snapshot_threshold; /* entries from one snapshot to the next */
    unsigned snapshot_trailing;  /* entries that are kept behind one */
    bool recover;                /* first become the only node of the cluster */
};

static const char usage[] =
    "usage: dqlite-node [OPTION]... ID ADDRESS DIR\n"
    "One dqlite node: a number above 0 (1 begins a cluster), HOST:PORT, and\n"
    "the directory for its data. Ends at SIGTERM.\n"
    "  --latency=MS       of the network; sets the timeouts (default 20)\n"
    "  --threshold=N      entries between snapshots (default 1024)\n"
    "  --trailing=N       entries kept behind a snapshot (default 8192)\n"
    "  --recover          the others are lost: go on alone, with what is "
    "here\n";

static int usage_fail(const char *what, const char *value) {
    fprintf(stderr, "dqlite-node: %s: %s\n%s", what, value, usage);
    return EXIT_USAGE;
}

/* A number from 1 to @max. */
static bool number_read(const char *text, unsigned long long max,
                        unsigned long long *number) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-' ||
        value < 1 || value > max)
        return false;
    *number = value;
    return true;
}

static int settings_read(struct settings *settings, int argc, char **argv) {
    static const struct option options[] = {
        {"latency", required_argument, NULL, 'l'},
        {"threshold", required_argument, NULL, 's'},
        {"trailing", required_argument, NULL, 't'},
        {"recover", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0}};
    unsigned long long number;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == '?')
            return usage_fail("wrong option", argv[optind - 1]);
        settings->recover |= option == 'r';
        if (option == 'r')
            continue;
        if (!number_read(optarg, 3600 * 1000, &number))
            return usage_fail("not a number in range", optarg);
        if (option == 'l')
            settings->latency_ms = (unsigned)number;
        if (option == 's')
            settings->snapshot_threshold = (unsigned)number;
        if (option == 't')
            settings->snapshot_trailing = (unsigned)number;
    }
    if (argc - optind != 3)
        return usage_fail("wrong arguments", "three are needed");
    if (!number_read(argv[optind], UINT64_MAX, &number))
        return usage_fail("not an ID", argv[optind]);
    settings->id = number;
    settings->address = argv[optind + 1];
    settings->directory = argv[optind + 2];
    return 0;
}

/* Makes this node the cluster. By a node object of its own, in the same process,
 * as programs do it. */
static int cluster_recover(const struct settings *settings) {
    dqlite_node *node;
    int code = dqlite_node_create(settings->id, settings->address,
                                  settings->directory, &node);
    if (code != 0)
        return code;
    struct dqlite_node_info_ext self = {
        .size = sizeof self,
        .id = settings->id,
        .address = (uint64_t)(uintptr_t)settings->address};
    code = dqlite_node_recover_ext(node, &self, 1);
    dqlite_node_destroy(node);
    return code;
}

/* Configures @node and starts it; says where it failed. */
static const char *node_start(dqlite_node *node,
                              const struct settings *settings) {
    if (dqlite_node_set_bind_address(node, settings->address) != 0)
        return "bind its address";
    if (dqlite_node_set_network_latency_ms(node, settings->latency_ms) != 0)
        return "set the network latency";
    if (dqlite_node_set_snapshot_params(node, settings->snapshot_threshold,
                                        settings->snapshot_trailing) != 0)
        return "set the snapshot parameters";
    if (dqlite_node_start(node) != 0)
        return "start";
    return NULL;
}

int main(int argc, char **argv) {
    struct settings settings = {.latency_ms = 20,
                                .snapshot_threshold = 1024,
                                .snapshot_trailing = 8192};
    int status = settings_read(&settings, argc, argv);
    if (status != 0)
        return status;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN); /* dqlite writes to peers that may have died */

    /* Before the first thread, so that all of them leave these to sigwait. */
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);

    int code = settings.recover ? cluster_recover(&settings) : 0;
    if (code != 0) {
        fprintf(stderr, "dqlite-node %llu: cannot recover: code %d\n",
                settings.id, code);
        return EXIT_FAILURE;
    }
    dqlite_node *node;
    code = dqlite_node_create(settings.id, settings.address, settings.directory,
                              &node);
    if (code != 0) {
        fprintf(stderr,
                "dqlite-node %llu: cannot create the node in %s: code %d\n",
                settings.id, settings.directory, code);
        return EXIT_FAILURE;
    }
    const char *failed = node_start(node, &settings);
    if (failed != NULL) {
        /* dqlite has no way back from here but the end of the process. */
        fprintf(stderr, "dqlite-node %llu: cannot %s: %s\n", settings.id,
                failed, dqlite_node_errmsg(node));
        return EXIT_FAILURE;
    }
    puts("ready");
    fflush(stdout);

    int number;
    sigwait(&ends, &number);
    code = dqlite_node_stop(node);
    if (code != 0)
        fprintf(stderr, "dqlite-node %llu: stop: %s\n", settings.id,
                dqlite_node_errmsg(node));
    dqlite_node_destroy(node);
    return code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
