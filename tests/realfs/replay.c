/* SPDX-License-Identifier: MIT */
/*
 * Replays a disk's log of writes: rebuilds the disk as a crash at each position
 * may have left it, mounts it, lets the filesystem and then the log recover,
 * and compares with what had been promised (verify.h).
 *
 * A state is a position, a way (image.h), and for the random way a number that
 * all is drawn from. The positions are those before each write, which see all
 * promises that were made while the disk looked like this, and those before
 * each flush.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "arguments.h"
#include "image.h"
#include "promise.h"
#include "stage.h"
#include "verify.h"

#define FAILURES_MAX 5
#define GO_ON_EVERY 32 /* one state of so many is gone on with */

struct state {
    size_t position;
    enum image_way way;
    uint64_t draw;
};

static struct {
    const char *program;
    const char *log;
    const char *filesystem;
    uint64_t size;
    uint64_t seed;
    uint64_t states; /* wanted; 0: each position once in each way */
    unsigned part, parts;
    struct state single; /* if way is not NULL: only this one */
    const char *way;
    const char *directory; /* compare this instead of replaying */
    const char *successor; /* write a log that goes on from the state */
    const char *keep;      /* write the image of the state */
} replay;

static struct {
    uint64_t states, ways[3], torn, absent, gone_on, refused, failed;
    uint64_t acked_max;
} counts;

static struct writelog_view view;
static struct promises promises;
static struct image image;
static struct stage stage;

static void die(const char *what, int error) {
    fprintf(stderr, "realfs_replay: %s: %s\n", what, strerror(error));
    exit(2);
}

/* ---- which states ---- */

static bool is_write(size_t position) {
    return position < view.count && view.entries[position].size > 0;
}

static bool is_flush(size_t position) {
    return position < view.count &&
           (view.entries[position].flags & WRITELOG_FLUSH) != 0;
}

/* Behind the mark "begin": before, the filesystem was being made. */
static size_t position_first(void) {
    for (size_t i = 0; i < view.count; i++)
        if (view.entries[i].text_size == 5 &&
            memcmp(view.entries[i].text, "begin", 5) == 0)
            return i + 1;
    return 0;
}

/* Calls @visit for all states of all positions, each random one @repeats
 * times. Stops when it returns false. */
static void states_walk(unsigned repeats, bool (*visit)(struct state state)) {
    size_t unflushed = 0;
    bool going = true;
    for (size_t p = 0; p <= view.count && going; p++) {
        bool end = p == view.count;
        if (p >= position_first() && (end || is_write(p) || is_flush(p))) {
            if (end || is_write(p))
                going = visit((struct state){p, IMAGE_PREFIX, 0});
            if (going && unflushed > 0 && (end || is_flush(p)))
                going = visit((struct state){p, IMAGE_FLUSHED, 0});
            for (unsigned i = 0; going && unflushed > 0 && i < repeats; i++)
                going = visit((struct state){
                    p, IMAGE_RANDOM,
                    identity_mix(replay.seed ^ identity_mix(p * 1000 + i))});
        }
        unflushed = is_flush(p) ? 0 : unflushed + (is_write(p) ? 1 : 0);
    }
}

static struct {
    uint64_t all, seen;
    unsigned random;
} walk;

static bool state_count(struct state state) {
    walk.all++;
    walk.random += state.way == IMAGE_RANDOM ? 1 : 0;
    return true;
}

/* ---- one state ---- */

static void command_print(struct state state, const char *text) {
    fprintf(stderr, "FAILED at position %zu, %s", state.position,
            image_way_names[state.way]);
    if (state.way == IMAGE_RANDOM)
        fprintf(stderr, " (%" PRIu64 ")", state.draw);
    fprintf(
        stderr,
        ": %s\n  again: %s --log %s --fs %s --size %" PRIu64 " --seed %" PRIu64
        " --position %zu --way %s --draw %" PRIu64 " [--keep IMAGE]\n",
        text, replay.program, replay.log, replay.filesystem, replay.size,
        replay.seed, state.position, image_way_names[state.way], state.draw);
}

static void state_compose(struct state state) {
    image_advance(&image, state.position);
    promises_advance(&promises, state.position);
    int result = image_compose(&image, state.way, state.draw, &stage.target);
    if (result != 0)
        die("compose a state", -result);
}

/* Runs on the mounted state. Every so many go on, chosen by their draw. */
static bool mounted_verify(struct state state, char text[VERIFY_TEXT_SIZE]) {
    char dir[128];
    struct verify_found found;
    snprintf(dir, sizeof dir, "%s/log", stage.mountpoint);
    if (!verify_log(dir, &promises, &found, text))
        return false;
    counts.torn += found.torn ? 1 : 0;
    counts.absent += found.present ? 0 : 1;
    uint64_t luck = identity_mix(state.draw ^ state.position ^ replay.seed);
    if (!found.present || luck % GO_ON_EVERY != 0)
        return true;
    counts.gone_on++;
    return verify_go_on(dir, &promises, &found, text);
}

static void state_verify(struct state state) {
    char text[VERIFY_TEXT_SIZE] = "";
    state_compose(state);
    int result = stage_mount(&stage);
    if (result != 0) {
        counts.refused++;
        snprintf(text, sizeof text, "the filesystem cannot be mounted: %s",
                 strerror(-result));
        command_print(state, text);
        return;
    }
    bool good = mounted_verify(state, text);
    result = stage_unmount(&stage);
    if (result != 0)
        die("unmount a state", -result);
    counts.states++;
    counts.ways[state.way]++;
    if (!good) {
        counts.failed++;
        command_print(state, text);
    }
}

/* ---- all of them ---- */

/* Takes every so many of them to come to the wanted number, spread evenly, and
 * of these the part that is ours. */
static bool state_visit(struct state state) {
    uint64_t wanted = replay.states != 0 ? replay.states : walk.all;
    uint64_t index = walk.seen++;
    uint64_t before = index * wanted / walk.all;
    if (wanted < walk.all && before == (index + 1) * wanted / walk.all)
        return true;
    if (before * replay.parts / wanted != replay.part)
        return true;
    state_verify(state);
    return counts.failed + counts.refused < FAILURES_MAX;
}

static void all_verify(void) {
    states_walk(1, state_count);
    unsigned repeats = 1;
    if (replay.states > walk.all && walk.random > 0)
        repeats += (unsigned)((replay.states - walk.all) / walk.random + 1);
    walk.all += (uint64_t)walk.random * (repeats - 1);
    if (replay.states > walk.all)
        replay.states = walk.all;
    states_walk(repeats, state_visit);
}

static void counts_print(double seconds) {
    printf("{\"states\": %" PRIu64 ", \"prefix\": %" PRIu64
           ", \"flushed\": %" PRIu64 ", \"random\": %" PRIu64
           ", \"torn\": %" PRIu64 ", \"absent\": %" PRIu64
           ", \"gone_on\": %" PRIu64 ", \"acked\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"failed\": %" PRIu64
           ", \"entries\": %zu, \"seconds\": %.2f}\n",
           counts.states, counts.ways[0], counts.ways[1], counts.ways[2],
           counts.torn, counts.absent, counts.gone_on, promises.acked,
           counts.refused, counts.failed, view.count, seconds);
}

/* ---- other uses ---- */

/* A log whose beginning makes the disk of the composed state, and repeats what
 * had been promised: for a disk that goes on from there. */
static int successor_write(void) {
    struct writelog log;
    int result = writelog_create(&log, replay.successor, view.sector_size);
    uint64_t begin = 0;
    for (uint64_t at = 0; result == 0 && at <= stage.size; at += IMAGE_PAGE) {
        static const uint8_t zeros[IMAGE_PAGE];
        bool data = at < stage.size &&
                    memcmp(stage.target.bytes + at, zeros, IMAGE_PAGE) != 0;
        if ((!data || at - begin >= 32 * IMAGE_PAGE) && at > begin)
            result = writelog_append(
                &log,
                &(struct writelog_entry){.offset = begin,
                                         .size = at - begin,
                                         .data = stage.target.bytes + begin});
        if (!data)
            begin = at + IMAGE_PAGE;
        else if (at - begin >= 32 * IMAGE_PAGE)
            begin = at;
    }
    if (result == 0)
        result = writelog_append(
            &log, &(struct writelog_entry){.flags = WRITELOG_FLUSH});
    if (result == 0)
        result = promises_carry(&promises, &log);
    if (result == 0)
        result = writelog_append(
            &log, &(struct writelog_entry){
                      .flags = WRITELOG_MARK, .text = "begin", .text_size = 5});
    writelog_close(&log);
    return result;
}

/* Sparse. */
static int image_write(void) {
    static const uint8_t zeros[IMAGE_PAGE];
    int fd = open(replay.keep, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && ftruncate(fd, (off_t)stage.size) == 0;
    for (uint64_t at = 0; good && at < stage.size; at += IMAGE_PAGE)
        if (memcmp(stage.target.bytes + at, zeros, IMAGE_PAGE) != 0)
            good = pwrite(fd, stage.target.bytes + at, IMAGE_PAGE, (off_t)at) ==
                   IMAGE_PAGE;
    int result = good ? 0 : -errno;
    if (fd >= 0 && close(fd) != 0 && result == 0)
        result = -errno;
    return result;
}

static void single_run(void) {
    int result = 0;
    if (replay.single.position > view.count)
        die("--position", ERANGE);
    if (replay.keep == NULL && replay.successor == NULL) {
        state_verify(replay.single);
        return;
    }
    state_compose(replay.single);
    if (replay.successor != NULL)
        result = successor_write();
    if (result == 0 && replay.keep != NULL)
        result = image_write();
    if (result != 0)
        die("write the state", -result);
}

/* The log in a directory, against all that was ever promised. */
static int directory_verify(void) {
    char text[VERIFY_TEXT_SIZE];
    struct verify_found found;
    promises_advance(&promises, UINT64_MAX);
    if (!verify_log(replay.directory, &promises, &found, text)) {
        fprintf(stderr, "FAILED: %s: %s\n", replay.directory, text);
        return 1;
    }
    printf("{\"row\": \"%s\", \"first\": %" PRIu64 ", \"durable\": %" PRIu64
           ", \"acked\": %" PRIu64 "}\n",
           found.row, found.first_lsn, found.durable_lsn, promises.acked);
    return 0;
}

/* ---- the command ---- */

static void usage(void) {
    fputs(
        "usage: realfs_replay --log LOG --fs TYPE --size BYTES [--seed N]\n"
        "         [--states N] [--part I/N]   check so many states\n"
        "         [--position P --way prefix|flushed|random --draw N]   one\n"
        "           [--keep IMAGE] [--successor LOG]   do not check, write it\n"
        "       realfs_replay --log LOG --directory DIR   check a log\n",
        stderr);
    exit(2);
}

static bool way_parse(void) {
    for (int i = 0; i < 3; i++)
        if (strcmp(replay.way, image_way_names[i]) == 0) {
            replay.single.way = (enum image_way)i;
            return true;
        }
    return false;
}

static void arguments_take(char **argv) {
    const char *part = "0/1";
    uint64_t position = 0;
    const struct argument arguments[] = {
        {.name = "--log", .text = &replay.log},
        {.name = "--fs", .text = &replay.filesystem},
        {.name = "--size", .number = &replay.size},
        {.name = "--seed", .number = &replay.seed},
        {.name = "--states", .number = &replay.states},
        {.name = "--part", .text = &part},
        {.name = "--position", .number = &position},
        {.name = "--way", .text = &replay.way},
        {.name = "--draw", .number = &replay.single.draw},
        {.name = "--directory", .text = &replay.directory},
        {.name = "--successor", .text = &replay.successor},
        {.name = "--keep", .text = &replay.keep},
        {0}};
    if (!arguments_parse(argv, arguments) || replay.log == NULL ||
        sscanf(part, "%u/%u", &replay.part, &replay.parts) != 2 ||
        replay.part >= replay.parts || (replay.way != NULL && !way_parse()))
        usage();
    replay.single.position = position;
    if (replay.directory == NULL &&
        (replay.filesystem == NULL || replay.size == 0 ||
         replay.size % IMAGE_PAGE != 0))
        usage();
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    const char *step;
    replay.program = argv[0];
    (void)argc;
    arguments_take(argv);
    int result = writelog_view_open(&view, replay.log);
    if (result != 0)
        die(replay.log, -result);
    result = promises_load(&promises, &view);
    if (result != 0)
        die("read the marks", -result);
    if (replay.directory != NULL)
        return directory_verify();
    /* xfs takes a block of its own whose first sector is new for new. */
    result = image_make(&image, &view, replay.size,
                        strcmp(replay.filesystem, "xfs") == 0);
    if (result != 0)
        die("memory for the image", -result);
    result = stage_make(&stage, replay.filesystem, replay.size,
                        view.sector_size, &step);
    if (result != 0)
        die(step, -result);
    double begin = now();
    if (replay.way != NULL)
        single_run();
    else
        all_verify();
    counts_print(now() - begin);
    stage_free(&stage);
    image_free(&image);
    promises_free(&promises);
    writelog_view_close(&view);
    return counts.failed + counts.refused == 0 ? 0 : 1;
}
