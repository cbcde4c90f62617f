/* SPDX-License-Identifier: MIT */
/*
 * The encoders still give the bytes that were checked in, to the last one. With
 * --write DIR it writes them instead: for a new version of the format, never to
 * make this test pass.
 */
#include "tests/support/check.h"

#include "golden_image.h"

static struct golden_file files[GOLDEN_FILES];

static FILE *file_open(const char *dir, const char *name, const char *mode) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, mode);
    if (file == NULL)
        perror(path);
    return file;
}

static void test_bytes(void **state) {
    const char *dir = *state;
    golden_image_make(files);
    for (int i = 0; i < GOLDEN_FILES; i++) {
        static uint8_t bytes[GOLDEN_SEGMENT_SIZE + 1];
        FILE *file = file_open(dir, files[i].name, "rb");
        assert_non_null(file);
        size_t size = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        assert_int_equal(size, files[i].size);
        for (size_t at = 0; at < size; at++)
            check_that(bytes[at] == files[i].bytes[at],
                       "%s, offset %04zX: %02X is %02X now", files[i].name, at,
                       bytes[at], files[i].bytes[at]);
    }
}

static int image_write(const char *dir) {
    golden_image_make(files);
    for (int i = 0; i < GOLDEN_FILES; i++) {
        FILE *file = file_open(dir, files[i].name, "wb");
        if (file == NULL)
            return 1;
        size_t count = fwrite(files[i].bytes, 1, files[i].size, file);
        if (fclose(file) != 0 || count != files[i].size) {
            perror(files[i].name);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "--write") == 0)
        return image_write(argv[2]);
    if (argc != 2) {
        fprintf(stderr, "usage: golden_test [--write] DIR\n");
        return 16;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_bytes, argv[1]),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
