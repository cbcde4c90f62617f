/* SPDX-License-Identifier: MIT */
/*
 * Error reports: the values and texts that callers rely on, the order of the
 * steps, and texts that are longer than their place.
 */
#include "tests/support/check.h"

#include <errno.h>

#include "format/error.h"

/* Values never change: they are in programs that were linked long ago. */
static void test_values(void **state) {
    (void)state;
    static const int values[] = {DWAL_OK,       DWAL_EINVAL,       DWAL_ENOMEM,
                                 DWAL_EAGAIN,   DWAL_ETIMEDOUT,    DWAL_EFAILED,
                                 DWAL_ENOSPC,   DWAL_ENOENT,       DWAL_EEXIST,
                                 DWAL_EBUSY,    DWAL_ECORRUPT,     DWAL_EIO,
                                 DWAL_EVERSION, DWAL_EUNSUPPORTED, DWAL_END,
                                 DWAL_ETRIMMED, DWAL_ECLOSED,      DWAL_ECUT};
    int count = sizeof values / sizeof values[0];
    for (int i = 0; i < count; i++) {
        assert_int_equal(values[i], -i);
        assert_true(strlen(dwal_error_text(-i)) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(dwal_error_text(-i), dwal_error_text(-j));
    }
    assert_non_null(dwal_error_text(1));
    assert_non_null(dwal_error_text(-9999));
}

static void test_steps(void **state) {
    (void)state;
    struct dwal_error error;
    memset(&error, 0xEE, sizeof error);
    assert_int_equal(
        dwal__error_set_at(&error, DWAL_EIO, EIO, 7, 512, "read %s", "header"),
        DWAL_EIO);
    assert_int_equal(dwal__error_step(&error, DWAL_EIO, "segment %d", 7),
                     DWAL_EIO);
    assert_int_equal(dwal__error_step(&error, DWAL_EIO, "open log"), DWAL_EIO);
    assert_string_equal(error.text, "open log: segment 7: read header: "
                                    "Input/output error");
    assert_int_equal(error.code, DWAL_EIO);
    assert_int_equal(error.os_errno, EIO);
    assert_true(error.segment == 7 && error.offset == 512);
    assert_int_equal(dwal__error_set(&error, DWAL_EINVAL, 0, "no"),
                     DWAL_EINVAL);
    assert_string_equal(error.text, "no");
    assert_true(error.segment == 0 && error.offset == 0);
    assert_int_equal(error.os_errno, 0);
}

static void test_no_report_wanted(void **state) {
    (void)state;
    assert_int_equal(dwal__error_set(NULL, DWAL_EIO, EIO, "x"), DWAL_EIO);
    assert_int_equal(dwal__error_set_at(NULL, DWAL_EBUSY, 0, 1, 2, "x"),
                     DWAL_EBUSY);
    assert_int_equal(dwal__error_step(NULL, DWAL_END, "x"), DWAL_END);
}

static void test_long_texts_are_cut(void **state) {
    (void)state;
    char name[1000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    struct dwal_error error;
    dwal__error_set(&error, DWAL_EIO, EIO, "%s", name);
    assert_int_equal(strlen(error.text), DWAL_ERROR_TEXT_SIZE - 1);
    dwal__error_step(&error, DWAL_EIO, "outermost");
    assert_int_equal(strlen(error.text), DWAL_ERROR_TEXT_SIZE - 1);
    assert_memory_equal(error.text, "outermost: nnn", 14);
    dwal__error_step(&error, DWAL_EIO, "%s", name);
    assert_int_equal(strlen(error.text), DWAL_ERROR_TEXT_SIZE - 1);
    /* One byte of room left, then none. */
    for (int room = 0; room < 4; room++) {
        dwal__error_set(&error, DWAL_EIO, EIO, "%.*s",
                        DWAL_ERROR_TEXT_SIZE - 1 - room, name);
        assert_in_range(strlen(error.text), DWAL_ERROR_TEXT_SIZE - 1 - room,
                        DWAL_ERROR_TEXT_SIZE - 1);
    }
}

static void test_fault_texts(void **state) {
    (void)state;
    for (int i = DWAL__FAULT_NONE; i <= DWAL__FAULT_DIGEST; i++) {
        const char *text = dwal__fault_text((enum dwal__fault)i);
        assert_true(text != NULL && strlen(text) > 1);
    }
    assert_string_equal(dwal__fault_text((enum dwal__fault)999), "?");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_no_report_wanted),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_fault_texts),
    };
    return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
