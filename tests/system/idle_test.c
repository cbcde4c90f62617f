/* SPDX-License-Identifier: MIT */
/*
 * What a log does not do: anything while it is idle, and fill the page cache.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "src/dwal.h"
#include "tests/support/check.h"
#include "tests/support/tempdir.h"
#include "tests/support/testlog.h"

#define TMPFS 0x01021994

static struct dwal *marking_open(const char *path, uint64_t segment_size,
                                 int submit) {
    struct dwal_options options = log_options(segment_size);
    options.submit = submit;
    options.mark_delay_ms = 5;
    options.slow_io_ms = 20; /* a deadline that is looked at once more */
    return log_open(path, &options);
}

/* Times that threads of this process other than the caller gave up or lost
 * the processor: every wake-up ends with one. */
static unsigned long switches_of_others(void) {
    unsigned long sum = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[256];
        if (entry->d_name[0] == '.' || atoi(entry->d_name) == gettid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *status = fopen(path, "r");
        if (status == NULL)
            continue;
        while (fgets(line, sizeof line, status) != NULL) {
            unsigned long count;
            if (sscanf(line, "voluntary_ctxt_switches: %lu", &count) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %lu", &count) == 1)
                sum += count;
        }
        fclose(status);
    }
    closedir(tasks);
    return sum;
}

/* Once its mark is written, an idle log wakes nobody up. Two seconds are the
 * observation, four hundred times the delay of the mark. */
static void test_idle_does_nothing(void **state) {
    struct dwal *logs[8];
    struct dwal_error error;
    char path[4200];
    for (int i = 0; i < 8; i++) {
        int fd;
        snprintf(path, sizeof path, "%s/%d", (const char *)*state, i);
        logs[i] = marking_open(path, 1 << 20, i % 2);
        if (i >= 4) /* with a thread that keeps deadlines for an event loop */
            log_done(dwal_event_fd(logs[i], &fd, &error), &error);
        struct dwal_record record = {.data = "x", .size = 1};
        if (i < 6) /* two are only opened */
            assert_int_equal(dwal_commit(logs[i], &record, NULL, NULL),
                             DWAL_OK);
    }
    /* Marks and segments ahead are being made: until nothing changes. */
    unsigned long before, after = switches_of_others();
    int tries = 0;
    do {
        before = after;
        usleep(200000);
        after = switches_of_others();
    } while (before != after && ++tries < 100);
    usleep(2000000);
    assert_int_equal(switches_of_others(), after);
    for (int i = 0; i < 8; i++)
        assert_int_equal(dwal_close(logs[i], NULL), DWAL_OK);
}

/* Pages of @path that are in the page cache. */
static size_t pages_cached(const char *path) {
    int handle = open(path, O_RDONLY);
    struct stat status;
    assert_true(handle >= 0 && fstat(handle, &status) == 0);
    if (status.st_size == 0) {
        close(handle);
        return 0;
    }
    size_t size = (size_t)status.st_size;
    size_t pages = (size + 4095) / 4096, cached = 0;
    unsigned char *present = malloc(pages);
    void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, handle, 0);
    assert_true(map != MAP_FAILED && mincore(map, size, present) == 0);
    for (size_t i = 0; i < pages; i++)
        cached += present[i] & 1;
    munmap(map, size);
    free(present);
    close(handle);
    return cached;
}

static void test_page_cache_stays_out(void **state) {
    struct statfs filesystem;
    assert_int_equal(statfs(*state, &filesystem), 0);
    if (filesystem.f_type == TMPFS) {
        print_message("skipped: %s is on tmpfs, whose files are the page "
                      "cache; set TMPDIR\n",
                      (const char *)*state);
        skip();
    }
    struct dwal *log = marking_open(*state, 4 << 20, 0);
    static uint8_t payload[60000];
    struct dwal_record record = {.data = payload, .size = sizeof payload};
    for (int i = 0; i < 500; i++)
        assert_int_equal(dwal_append(log, &record, NULL, NULL), DWAL_OK);
    assert_int_equal(dwal_wait(log, 500, -1, NULL), DWAL_OK);
    struct dwal_cursor *cursor;
    assert_int_equal(dwal_cursor_open(*state, NULL, &cursor, NULL), DWAL_OK);
    for (int i = 0; i < 500; i++)
        assert_int_equal(dwal_cursor_next(cursor, &record, NULL), DWAL_OK);
    dwal_cursor_close(cursor);
    assert_int_equal(dwal_close(log, NULL), DWAL_OK);
    /* And opened once more, which reads everything. */
    assert_int_equal(dwal_close(marking_open(*state, 4 << 20, 0), NULL),
                     DWAL_OK);
    size_t cached = 0;
    DIR *dir = opendir(*state);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[4500];
        snprintf(path, sizeof path, "%s/%s", (const char *)*state,
                 entry->d_name);
        if (strstr(entry->d_name, ".wal") != NULL)
            cached += pages_cached(path);
    }
    closedir(dir);
    /* 30 MB were written and read; none of it through the cache. */
    assert_int_equal(cached, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_does_nothing, tempdir_setup,
                                        tempdir_teardown),
        cmocka_unit_test_setup_teardown(test_page_cache_stays_out,
                                        tempdir_setup, tempdir_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
