/* SPDX-License-Identifier: MIT */
/*
 * The decision table against SPEC 7.7: every combination of facts, each held
 * by exactly one row, that row the first of SPEC's that holds, and every row of
 * SPEC there and reachable. SPEC.md itself is read.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "recover/decide.h"

#define COMBINATIONS (1u << DWAL__FACT_COUNT)
#define ROWS_MAX 32

struct spec_row {
    char name[64];
    char verdict[32];
};

static struct spec_row spec_rows[ROWS_MAX];
static unsigned spec_row_count;

/* "| name | facts | verdict: … |" of the table below "7.7 **Decision.**". */
static void spec_row_add(const char *line) {
    struct spec_row row;
    if (sscanf(line, "| %63[a-z-] | %*[^|] | %31[a-z]", row.name,
               row.verdict) != 2)
        return;
    if (strcmp(row.name, "row") == 0 || strchr(row.name, '-') == row.name)
        return;
    assert_true(spec_row_count < ROWS_MAX);
    spec_rows[spec_row_count++] = row;
}

static int spec_read(void **state) {
    (void)state;
    const char *source = getenv("DWAL_SOURCE_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/SPEC.md", source != NULL ? source : ".");
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char line[8192];
    int inside = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "7.7 ", 4) == 0)
            inside = 1;
        else if (strncmp(line, "7.8 ", 4) == 0)
            inside = 0;
        else if (inside)
            spec_row_add(line);
    }
    fclose(file);
    return 0;
}

static unsigned rows_holding(uint32_t bits) {
    unsigned count = 0;
    for (unsigned i = 0; i < dwal__decision_count; i++)
        count += (bits & dwal__decisions[i].mask) == dwal__decisions[i].value;
    return count;
}

static void test_exactly_one_row(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < COMBINATIONS; bits++)
        if (rows_holding(bits) != 1)
            fail_msg("facts %03x: %u rows hold", bits, rows_holding(bits));
}

/* SPEC 7.7 as it is written: from the top, the first whose facts hold. */
static const char *spec_decision(uint32_t bits) {
    bool lock = bits & DWAL__FACT_LOCK;
    bool segments = bits & DWAL__FACT_SEGMENTS;
    bool live = bits & DWAL__FACT_LIVE_END;
    if (bits & DWAL__FACT_READ_ERROR)
        return "unreadable";
    if (!lock && !segments)
        return "no-log";
    if (!lock && !(bits & (DWAL__FACT_HEADERS | DWAL__FACT_BAD_STRUCTURE)))
        return "interrupted-creation";
    if (!lock || (bits & DWAL__FACT_BAD_STRUCTURE))
        return "bad-structure";
    if (!segments)
        return "lost-files";
    if (bits & DWAL__FACT_EVIDENCE_BEYOND)
        return "lost-records";
    if (bits & DWAL__FACT_MISSING_SEGMENT)
        return "missing-segment";
    if (live && !(bits & DWAL__FACT_SUCCESSOR))
        return "missing-successor";
    if (bits & DWAL__FACT_BAD_HEAD)
        return "torn-open";
    if (bits & DWAL__FACT_LEFT_OVER)
        return "torn";
    if (!live)
        return "empty";
    return bits & DWAL__FACT_CLOSED ? "closed" : "clean";
}

static void test_as_spec_reads(void **state) {
    (void)state;
    for (uint32_t bits = 0; bits < COMBINATIONS; bits++) {
        struct dwal__facts facts = {bits};
        const struct dwal__decision *row = dwal__decide(facts);
        if (strcmp(row->name, spec_decision(bits)) != 0)
            fail_msg("facts %03x: row %s, SPEC says %s", bits, row->name,
                     spec_decision(bits));
    }
}

static void test_every_spec_row_is_reachable(void **state) {
    (void)state;
    assert_int_equal(spec_row_count, 13);
    for (unsigned r = 0; r < spec_row_count; r++) {
        unsigned reached = 0;
        for (uint32_t bits = 0; bits < COMBINATIONS; bits++) {
            struct dwal__facts facts = {bits};
            const struct dwal__decision *row = dwal__decide(facts);
            if (strcmp(row->name, spec_rows[r].name) != 0)
                continue;
            reached++;
            assert_string_equal(dwal__verdict_name(row->verdict),
                                spec_rows[r].verdict);
        }
        if (reached == 0)
            fail_msg("SPEC row %s is never decided", spec_rows[r].name);
    }
}

static void test_every_row_is_in_spec(void **state) {
    (void)state;
    unsigned spec = 0; /* the rows keep SPEC's order */
    for (unsigned i = 0; i < dwal__decision_count; i++) {
        const struct dwal__decision *row = &dwal__decisions[i];
        while (spec < spec_row_count &&
               strcmp(row->name, spec_rows[spec].name) != 0)
            spec++;
        if (spec == spec_row_count)
            fail_msg("row %s is not in SPEC 7.7, or not in its place",
                     row->name);
        assert_true((row->value & ~row->mask) == 0);
        assert_true(row->text[0] != '\0' && row->remedy[0] != '\0');
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exactly_one_row),
        cmocka_unit_test(test_as_spec_reads),
        cmocka_unit_test(test_every_spec_row_is_reachable),
        cmocka_unit_test(test_every_row_is_in_spec),
    };
    return cmocka_run_group_tests(tests, spec_read, NULL);
}
