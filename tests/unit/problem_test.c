/* SPDX-License-Identifier: MIT */
/*
 * The problem table: its order, its sections, its names, the table in SPEC 10,
 * and what is said about a case. The argument is the path of SPEC.md.
 */
#include "tests/support/check.h"

#include <ctype.h>

#include "fsck/problem.h"
#include "recover/repair.h"

static char *spec; /* all of SPEC.md */

static char *file_read(const char *path) {
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    ssize_t length = getdelim(&text, &size, '\0', stream);
    fclose(stream);
    return length > 0 ? text : NULL;
}

static void numbers_rise(void **state) {
    (void)state;
    for (size_t i = 1; i < DWAL__PROBLEM_COUNT; i++)
        check_that(dwal__problems[i - 1].number < dwal__problems[i].number,
                   "%s", dwal__problems[i].name);
}

/* Numbers that were given stay what they are. A row is added here when it is
 * added to the table, and never changed. */
static void numbers_stay(void **state) {
    (void)state;
    static const struct {
        unsigned number;
        const char *name;
    } given[] = {{101, "lock-missing"},      {102, "lock-bad"},
                 {103, "name-bad"},          {104, "file-unreadable"},
                 {105, "segments-lost"},     {106, "repair-unfinished"},
                 {107, "required-missing"},  {201, "header-bad"},
                 {202, "header-number"},     {203, "header-uuid"},
                 {204, "file-size"},         {301, "segment-missing"},
                 {302, "successor-missing"}, {303, "chain-broken"},
                 {304, "batch-bad"},         {305, "evidence-beyond"},
                 {401, "tail-torn"},         {402, "tail-bad-head"},
                 {403, "tail-flipped"},      {901, "segment-dead"},
                 {902, "segment-unused"},    {903, "spare"},
                 {904, "other-file"},        {905, "repair-left"},
                 {906, "lost-stated"}};
    assert_int_equal(sizeof given / sizeof given[0], DWAL__PROBLEM_COUNT);
    for (size_t i = 0; i < DWAL__PROBLEM_COUNT; i++) {
        assert_int_equal(dwal__problems[i].number, given[i].number);
        assert_string_equal(dwal__problems[i].name, given[i].name);
    }
}

/* A name is the identifier, in small letters and with hyphens. */
static void names_are_identifiers(void **state) {
    (void)state;
    static const char *const identifiers[] = {
#define PROBLEM(number, id, name, severity, repair, section, text, remedy) #id,
#include "fsck/problem.def"
#undef PROBLEM
    };
    for (size_t i = 0; i < DWAL__PROBLEM_COUNT; i++) {
        const char *name = dwal__problems[i].name;
        assert_int_equal(strlen(name), strlen(identifiers[i]));
        for (size_t at = 0; name[at] != '\0'; at++)
            check_that(name[at] == (identifiers[i][at] == '_'
                                        ? '-'
                                        : tolower(identifiers[i][at])),
                       "%s", name);
    }
}

/* True if SPEC.md has a line that begins with @text. */
static bool spec_line(const char *from, const char *text) {
    size_t length = strlen(text);
    for (const char *at = from; at != NULL; at = strchr(at, '\n')) {
        at += at != from;
        if (strncmp(at, text, length) == 0)
            return true;
        if (at != from && strncmp(at, "## ", 3) == 0)
            return false;
    }
    return false;
}

/* "7.6": a line that begins with "7.6 ", or item 6 of the list in section 7. */
static bool section_exists(const char *section) {
    char heading[32], line[32];
    int major = atoi(section);
    snprintf(heading, sizeof heading, "\n## %d ", major);
    const char *at = strstr(spec, heading);
    if (at == NULL)
        return false;
    const char *dot = strchr(section, '.');
    if (dot == NULL)
        return true;
    snprintf(line, sizeof line, "%s ", section);
    if (spec_line(at + 1, line))
        return true;
    snprintf(line, sizeof line, "%s. ", dot + 1);
    return spec_line(at + 1, line);
}

static void sections_exist(void **state) {
    (void)state;
    assert_true(section_exists("1"));
    assert_true(section_exists("11.2"));
    assert_false(section_exists("99"));
    assert_false(section_exists("7.99"));
    for (size_t i = 0; i < DWAL__PROBLEM_COUNT; i++)
        check_that(section_exists(dwal__problems[i].section), "%s: SPEC %s",
                   dwal__problems[i].name, dwal__problems[i].section);
}

/* SPEC 10 has these lines, in this order and no others. */
static void table_is_in_spec(void **state) {
    (void)state;
    char *table = NULL;
    size_t size;
    FILE *stream = open_memstream(&table, &size);
    fputs("| number | name | severity | repaired by | section | what is wrong "
          "|\n|---|---|---|---|---|---|\n",
          stream);
    for (size_t i = 0; i < DWAL__PROBLEM_COUNT; i++) {
        const struct dwal__problem *row = &dwal__problems[i];
        fprintf(stream, "| %u | %s | %s | %s | %s | %s |\n", row->number,
                row->name, dwal__severity_name(row->severity),
                dwal__permit_name(row->permit), row->section, row->text);
    }
    fputs("\n", stream);
    fclose(stream);
    bool found = strstr(spec, table) != NULL;
    if (!found)
        fprintf(stderr, "SPEC 10 should have this table:\n\n%s", table);
    free(table);
    assert_true(found);
}

/* Every text is one line, and ends without a full stop: more may follow. */
static void texts_are_lines(void **state) {
    (void)state;
    for (size_t i = 0; i < DWAL__PROBLEM_COUNT; i++) {
        const struct dwal__problem *row = &dwal__problems[i];
        const char *texts[2] = {row->text, row->remedy};
        for (int side = 0; side < 2; side++) {
            size_t length = strlen(texts[side]);
            check_that(length > 0 && strchr(texts[side], '\n') == NULL &&
                           texts[side][length - 1] != '.' &&
                           strstr(texts[side], "  ") == NULL,
                       "%s", row->name);
        }
    }
}

/* What -p may do is never more than what -y may; a note needs no repair. */
static void permits_fit_severities(void **state) {
    (void)state;
    for (size_t i = 0; i < DWAL__PROBLEM_COUNT; i++) {
        const struct dwal__problem *row = &dwal__problems[i];
        bool preen = row->permit == DWAL__PERMIT_PREEN;
        check_that(preen == (row->severity == DWAL__SEVERITY_TORN), "%s",
                   row->name);
        if (row->severity == DWAL__SEVERITY_NOTE ||
            row->severity == DWAL__SEVERITY_FATAL)
            assert_int_equal(row->permit, DWAL__PERMIT_NEVER);
    }
}

static void check_text(struct dwal__finding finding, const char *name,
                       const char *end) {
    char text[DWAL__PROBLEM_TEXT_SIZE];
    const struct dwal__problem *row = dwal__problem_of(&finding);
    assert_string_equal(row->name, name);
    dwal__problem_text(row, &finding, text);
    size_t length = strlen(row->text);
    assert_int_equal(strncmp(text, row->text, length), 0);
    assert_string_equal(text + length, end);
}

static void findings_have_rows(void **state) {
    (void)state;
    for (int kind = 0; kind < DWAL__FINDING_COUNT; kind++) {
        struct dwal__finding finding = {.kind = (enum dwal__finding_kind)kind,
                                        .lsn_from = 1};
        assert_non_null(dwal__problem_of(&finding)->name);
    }
    check_text((struct dwal__finding){.kind = DWAL__FINDING_BATCH_BAD,
                                      .fault = DWAL__FAULT_CRC,
                                      .lsn_from = 12,
                                      .lsn_to = 14},
               "batch-bad", ": checksum mismatch; LSNs 12 to 14");
    check_text((struct dwal__finding){.kind = DWAL__FINDING_TAIL_TORN,
                                      .lsn_from = 15,
                                      .lsn_to = 15},
               "tail-torn", "; LSN 15");
    check_text((struct dwal__finding){.kind = DWAL__FINDING_TAIL_BAD_HEAD,
                                      .fault = DWAL__FAULT_FOREIGN,
                                      .lsn_from = 15,
                                      .lsn_to = UINT64_MAX},
               "tail-bad-head",
               ": bytes that are no batch of this segment; LSNs from 15 on");
    check_text((struct dwal__finding){.kind = DWAL__FINDING_SEGMENT_MISSING,
                                      .segment = 4,
                                      .other = 5,
                                      .lsn_from = 1},
               "segment-missing", ": 0000000000000005.wal");
    check_text((struct dwal__finding){.kind = DWAL__FINDING_FILE_UNREADABLE,
                                      .os_errno = 5,
                                      .lsn_from = 1},
               "file-unreadable", ": Input/output error");
}

static void names_tell_repairs(void **state) {
    (void)state;
    static const struct {
        enum dwal__finding_kind kind;
        const char *name;
        const char *row;
    } cases[] = {
        {DWAL__FINDING_NAME_BAD, "x.wal", "name-bad"},
        {DWAL__FINDING_NAME_BAD, DWAL__REPAIR_FLAG_NAME, "repair-unfinished"},
        {DWAL__FINDING_OTHER_FILE, "lost+found", "other-file"},
        {DWAL__FINDING_OTHER_FILE, "x.lost and found", "other-file"},
        {DWAL__FINDING_OTHER_FILE, "0000000000000001.wal.lost", "repair-left"},
        {DWAL__FINDING_OTHER_FILE, "LOCK.lost2", "repair-left"},
        {DWAL__FINDING_OTHER_FILE, "walfsck-1-2.undo", "repair-left"},
        {DWAL__FINDING_OTHER_FILE, "walfsck-.undone", "other-file"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct dwal__finding finding = {.kind = cases[i].kind,
                                        .name = cases[i].name};
        assert_string_equal(dwal__problem_of(&finding)->name, cases[i].row);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_rise),
        cmocka_unit_test(numbers_stay),
        cmocka_unit_test(names_are_identifiers),
        cmocka_unit_test(sections_exist),
        cmocka_unit_test(table_is_in_spec),
        cmocka_unit_test(texts_are_lines),
        cmocka_unit_test(permits_fit_severities),
        cmocka_unit_test(findings_have_rows),
        cmocka_unit_test(names_tell_repairs),
    };
    spec = file_read(argc > 1 ? argv[1] : "SPEC.md");
    if (spec == NULL) {
        fprintf(stderr, "usage: problem_test SPEC.md\n");
        return 1;
    }
    int failed = cmocka_run_group_tests_name("problem", tests, NULL, NULL);
    free(spec);
    return failed;
}
