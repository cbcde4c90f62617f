/* SPDX-License-Identifier: MIT */
/*
 * Recovery when memory runs out: each allocation in turn fails, and the outcome
 * is DWAL_ENOMEM with nothing left behind, or what it would have been anyway.
 */
#include <errno.h>

#include "tests/support/recovered.h"

#define BLOCK 512u
#define SEGMENT (4096 * BLOCK)

static long left = -1; /* allocations that succeed; < 0: all do */

static bool refused(void) {
    if (left < 0)
        return false;
    return left-- == 0;
}

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size) {
    return refused() ? NULL : __real_malloc(size);
}

void *__real_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_realloc(void *old, size_t size) {
    return refused() ? NULL : __real_realloc(old, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text) {
    return refused() ? NULL : __real_strdup(text);
}

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size) {
    return refused() ? NULL : __real_calloc(count, size);
}

int __real_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size) {
    return refused() ? ENOMEM : __real_posix_memalign(memory, alignment, size);
}

/* Segments, spares, names of all kinds, metadata, a batch that is larger than
 * what is read at once. */
static void log_make(struct logbuild *log) {
    logbuild_init(log, BLOCK, SEGMENT);
    struct logbuild_segment *one = logbuild_segment(log, 1, 0);
    struct logbuild_segment *two = logbuild_segment(log, 2, 1);
    logbuild_segment(log, 3, 2);
    logbuild_start(log, one, NULL);
    logbuild_records(log, one, 2, 700000);
    struct dwal__start start = logbuild_after(one);
    start.metadata = (const uint8_t *)"vote";
    start.metadata_size = 4;
    logbuild_start(log, two, &start);
    logbuild_records(log, two, 1, 1500000);
}

static void test_every_allocation(void **state) {
    (void)state;
    struct logbuild log;
    struct recovered result = {0};
    struct imagedisk image;
    log_make(&log);
    imagedisk_init(&image, &log);
    image.others[0] = "0000000000000009.spare";
    image.others[1] = "notes";
    unsigned failures = 0;
    for (long allowed = 0;; allowed++) {
        assert_true(allowed < 1000);
        left = allowed;
        recovered_run(&result, &image, UINT64_MAX, allowed % 2 == 0);
        bool used_up = left < 0;
        left = -1;
        if (result.code == DWAL_OK) {
            recovered_check(&result, "clean", 3);
            if (!used_up)
                break; /* none of them failed */
            continue;  /* one that it can do without */
        }
        assert_int_equal(result.code, DWAL_ENOMEM);
        assert_int_equal(result.error.code, DWAL_ENOMEM);
        assert_null(result.recovery.segments);
        failures++;
    }
    assert_true(failures >= 8);
    recovered_release(&result);
    logbuild_free(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
