/* SPDX-License-Identifier: MIT */
/*
 * What walput reads: lines and blobs that arrive in pieces of any size, the
 * largest that may be, one byte more, ends in the middle, and being stopped.
 */
#include "tests/support/check.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "fsck/walput_input.h"

/* A writer at the other end of a pipe, which gives @piece bytes at a time. */
struct feed {
    const char *bytes;
    size_t size, piece;
    int fd;
};

static void *feed_run(void *argument) {
    struct feed *feed = argument;
    for (size_t at = 0; at < feed->size;) {
        size_t left = feed->size - at;
        ssize_t count = write(feed->fd, feed->bytes + at,
                              left < feed->piece ? left : feed->piece);
        if (count <= 0)
            break;
        at += (size_t)count;
    }
    close(feed->fd);
    return NULL;
}

/* Reads all records of @bytes, and puts them into @out as "size:bytes,". The
 * last result tells why it ended. */
static enum dwal__input_result read_all(const void *bytes, size_t size,
                                        size_t piece, bool framed,
                                        uint32_t size_max, char *out,
                                        char error[160]) {
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    int stop_fd = eventfd(0, 0);
    struct feed feed = {
        .bytes = bytes, .size = size, .piece = piece, .fd = fds[1]};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, feed_run, &feed), 0);
    struct dwal__input input;
    struct dwal__blob blob = {0};
    assert_true(dwal__input_begin(&input, fds[0], stop_fd, framed, size_max));
    enum dwal__input_result result;
    char *at = out;
    while ((result = dwal__input_next(&input, &blob)) == DWAL__INPUT_RECORD) {
        at += sprintf(at, "%u:", blob.size);
        if (blob.size > 0)
            memcpy(at, blob.bytes, blob.size);
        at += blob.size;
        *at++ = ',';
    }
    *at = '\0';
    if (error != NULL)
        memcpy(error, input.error, sizeof input.error);
    close(fds[0]);
    pthread_join(thread, NULL);
    dwal__input_release(&input);
    free(blob.bytes);
    close(stop_fd);
    return result;
}

static void test_lines(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"\n", "0:,"},
        {"a", "1:a,"},
        {"a\n", "1:a,"},
        {"a\n\n", "1:a,0:,"},
        {"a\nbb\nccc", "1:a,2:bb,3:ccc,"},
        {"\n\n\n", "0:,0:,0:,"},
        {"with\rreturn\r\n", "12:with\rreturn\r,"},
    };
    char out[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (size_t piece = 1; piece < 5; piece++) {
            enum dwal__input_result result = read_all(
                cases[i].in, strlen(cases[i].in), piece, false, 100, out, NULL);
            assert_int_equal(result, DWAL__INPUT_END);
            assert_string_equal(out, cases[i].out);
        }
}

static void test_lines_may_hold_zeros(void **state) {
    (void)state;
    char out[64];
    assert_int_equal(read_all("a\0b\n\0\n", 6, 100, false, 100, out, NULL),
                     DWAL__INPUT_END);
    assert_memory_equal(out, "3:a\0b,1:\0,", 11);
}

static void test_largest_line(void **state) {
    (void)state;
    char out[256], error[160];
    for (size_t piece = 1; piece < 12; piece++) {
        assert_int_equal(
            read_all("12345678\n1\n", 11, piece, false, 8, out, NULL),
            DWAL__INPUT_END);
        assert_string_equal(out, "8:12345678,1:1,");
        assert_int_equal(
            read_all("1\n123456789\n", 12, piece, false, 8, out, error),
            DWAL__INPUT_ERROR);
        assert_string_equal(out, "1:1,");
        assert_non_null(strstr(error, "record 2 "));
    }
}

/* Longer than the buffer, and with a newline right at its edges. */
static void test_long_lines(void **state) {
    (void)state;
    size_t sizes[] = {DWAL__INPUT_BUFFER_SIZE - 1, DWAL__INPUT_BUFFER_SIZE,
                      DWAL__INPUT_BUFFER_SIZE + 1,
                      3 * DWAL__INPUT_BUFFER_SIZE + 7};
    char *in = malloc(1 << 20), *out = malloc(1 << 21);
    assert_true(in != NULL && out != NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        memset(in, 'x', sizes[i]);
        memcpy(in + sizes[i], "\nend", 4);
        assert_int_equal(
            read_all(in, sizes[i] + 4, 1 << 20, false, UINT32_MAX, out, NULL),
            DWAL__INPUT_END);
        char head[32];
        int size = snprintf(head, sizeof head, "%zu:", sizes[i]);
        assert_memory_equal(out, head, size);
        assert_memory_equal(out + size, in, sizes[i]);
        assert_string_equal(out + (size_t)size + sizes[i], ",3:end,");
    }
    free(in);
    free(out);
}

static void test_blobs(void **state) {
    (void)state;
    static const char in[] = "\3\0\0\0a\nc\0\0\0\0\5\0\0\0\0\0\0\0\1";
    char out[64];
    for (size_t piece = 1; piece < 8; piece++) {
        assert_int_equal(read_all(in, sizeof in - 1, piece, true, 5, out, NULL),
                         DWAL__INPUT_END);
        assert_memory_equal(out, "3:a\nc,0:,5:\0\0\0\0\1,", 18);
    }
}

static void test_blob_cut_short(void **state) {
    (void)state;
    static const char in[] = "\1\0\0\0a\4\0\0\0wxyz";
    char out[64], error[160];
    for (size_t size = 6; size < 13; size++) {
        assert_int_equal(read_all(in, size, 3, true, 100, out, error),
                         DWAL__INPUT_ERROR);
        assert_string_equal(out, "1:a,");
        assert_non_null(strstr(error, "ends inside record 2"));
    }
    assert_int_equal(read_all(in, 13, 3, true, 100, out, NULL),
                     DWAL__INPUT_END);
    assert_string_equal(out, "1:a,4:wxyz,");
}

/* A length that is not believed: nothing is allocated for it. */
static void test_blob_too_large(void **state) {
    (void)state;
    char out[64], error[160];
    assert_int_equal(
        read_all("\xFF\xFF\xFF\xFF....", 8, 8, true, 1 << 20, out, error),
        DWAL__INPUT_ERROR);
    assert_string_equal(out, "");
    assert_non_null(strstr(error, "record 1 "));
    assert_non_null(strstr(error, "1048576"));
}

static void test_stop(void **state) {
    (void)state;
    int fds[2], stop_fd = eventfd(1, 0); /* readable from the start */
    assert_int_equal(pipe(fds), 0);
    struct dwal__input input;
    struct dwal__blob blob = {0};
    assert_true(dwal__input_begin(&input, fds[0], stop_fd, false, 100));
    assert_int_equal(dwal__input_next(&input, &blob), DWAL__INPUT_STOPPED);
    dwal__input_release(&input);
    free(blob.bytes);
    close(fds[0]);
    close(fds[1]);
    close(stop_fd);
}

static void test_read_error(void **state) {
    (void)state;
    int stop_fd = eventfd(0, 0);
    struct dwal__input input;
    struct dwal__blob blob = {0};
    int dir = 0;
    FILE *self = fopen("/", "r"); /* opens, but cannot be read */
    assert_non_null(self);
    dir = fileno(self);
    assert_true(dwal__input_begin(&input, dir, stop_fd, false, 100));
    assert_int_equal(dwal__input_next(&input, &blob), DWAL__INPUT_ERROR);
    assert_non_null(strstr(input.error, "Is a directory"));
    dwal__input_release(&input);
    free(blob.bytes);
    fclose(self);
    close(stop_fd);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* a reader that stops early is part of it */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_may_hold_zeros),
        cmocka_unit_test(test_largest_line),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_blobs),
        cmocka_unit_test(test_blob_cut_short),
        cmocka_unit_test(test_blob_too_large),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_read_error),
    };
    return cmocka_run_group_tests_name("walput_input", tests, NULL, NULL);
}
