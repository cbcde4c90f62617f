/* SPDX-License-Identifier: MIT */
/*
 * CRC-32, SPEC 3.2. Every library that format/crc.c can stand on and that is
 * installed here is compiled in under a name of its own (see CMakeLists.txt)
 * and compared with the definition, written out bit by bit: a log must be
 * readable whichever of them wrote it.
 */
#include "tests/support/check.h"

#include "format/crc.h"

#define LIBRARY(name)                                                          \
    uint32_t dwal__crc32_##name(uint32_t crc, const void *data, size_t size);  \
    const char *dwal__crc32_library_##name(void);                              \
    bool dwal__crc32_self_test_##name(void);
LIBRARY(zlib)
#ifdef TEST_CRC_isal
LIBRARY(isal)
#endif
#ifdef TEST_CRC_libdeflate
LIBRARY(libdeflate)
#endif
#undef LIBRARY

static const struct library {
    uint32_t (*crc32)(uint32_t crc, const void *data, size_t size);
    const char *(*name)(void);
    bool (*self_test)(void);
} libraries[] = {
#define LIBRARY(name)                                                          \
    {                                                                          \
        dwal__crc32_##name, dwal__crc32_library_##name,                        \
            dwal__crc32_self_test_##name                                       \
    }
    {dwal__crc32, dwal__crc32_library, dwal__crc32_self_test}, /* the built */
    LIBRARY(zlib),
#ifdef TEST_CRC_isal
    LIBRARY(isal),
#endif
#ifdef TEST_CRC_libdeflate
    LIBRARY(libdeflate),
#endif
};
#define LIBRARY_COUNT (sizeof libraries / sizeof libraries[0])

/* SPEC 3.2 to the letter: 0x04C11DB7 reflected is 0xEDB88320. */
static uint32_t crc_by_definition(uint32_t crc, const uint8_t *bytes,
                                  size_t size) {
    crc = ~crc;
    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static void test_known_answers(void **state) {
    (void)state;
    uint8_t ramp[256];
    for (size_t i = 0; i < sizeof ramp; i++)
        ramp[i] = (uint8_t)i;
    for (size_t i = 0; i < LIBRARY_COUNT; i++) {
        const struct library *library = &libraries[i];
        print_message("%s\n", library->name());
        assert_int_equal(library->crc32(0, "", 0), 0x00000000u);
        assert_int_equal(library->crc32(0, "123456789", 9), 0xCBF43926u);
        assert_int_equal(library->crc32(0, ramp, 256), 0x29058C73u);
        assert_true(library->self_test());
    }
}

/* Every length around the strides of vector code, from every alignment. */
static void test_lengths_and_alignments(void **state) {
    (void)state;
    static uint8_t bytes[64 + 1100];
    uint64_t random = check_seed(1);
    check_fill(&random, bytes, sizeof bytes);
    for (size_t i = 0; i < LIBRARY_COUNT; i++)
        for (size_t size = 0; size <= 1100; size++) {
            const uint8_t *at = bytes + (size * 7 + i) % 64;
            uint32_t expected = crc_by_definition(0, at, size);
            check_that(libraries[i].crc32(0, at, size) == expected,
                       "%s, %zu bytes", libraries[i].name(), size);
        }
}

/* Continuing gives the same as all at once, wherever it is split, and from any
 * value; the libraries can be mixed. */
static void test_continues(void **state) {
    (void)state;
    static uint8_t bytes[5000];
    uint64_t random = check_seed(2);
    check_fill(&random, bytes, sizeof bytes);
    for (int round = 0; round < 300; round++) {
        const struct library *first =
            &libraries[check_random(&random) % LIBRARY_COUNT];
        const struct library *second =
            &libraries[check_random(&random) % LIBRARY_COUNT];
        size_t size = check_random(&random) % sizeof bytes;
        size_t split = size > 0 ? check_random(&random) % size : 0;
        uint32_t begin = (uint32_t)check_random(&random);
        uint32_t crc = first->crc32(begin, bytes, split);
        crc = second->crc32(crc, bytes + split, size - split);
        check_that(crc == crc_by_definition(begin, bytes, size),
                   "%zu bytes split at %zu, %s then %s", size, split,
                   first->name(), second->name());
    }
}

static void test_large(void **state) {
    (void)state;
    size_t size = 3 * 1024 * 1024 + 5;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    uint64_t random = check_seed(3);
    check_fill(&random, bytes, size);
    uint32_t expected = crc_by_definition(0, bytes, size);
    for (size_t i = 0; i < LIBRARY_COUNT; i++)
        assert_int_equal(libraries[i].crc32(0, bytes, size), expected);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),
        cmocka_unit_test(test_lengths_and_alignments),
        cmocka_unit_test(test_continues),
        cmocka_unit_test(test_large),
    };
    return cmocka_run_group_tests_name("crc", tests, NULL, NULL);
}
