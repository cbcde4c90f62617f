/* SPDX-License-Identifier: MIT */
#include "recovered.h"

static void finding_note(void *argument, const struct dwal__finding *finding) {
    struct recovered *result = argument;
    assert_true((unsigned)finding->kind < DWAL__FINDING_COUNT);
    result->kinds[finding->kind]++;
    if (result->finding_count == RECOVERED_FINDINGS_MAX)
        return;
    struct dwal__finding *kept = &result->findings[result->finding_count++];
    *kept = *finding;
    kept->name = NULL; /* the bytes are the caller's */
}

void recovered_release(struct recovered *result) {
    if (result->free)
        dwal__recovery_release(&result->recovery);
    result->free = false;
}

void recovered_run(struct recovered *result, struct imagedisk *image,
                   uint64_t verify_bytes, bool sync) {
    recovered_release(result);
    memset(result, 0, sizeof *result);
    struct dwal__recover_options options = {
        .disk = &image->disk,
        .sync = sync,
        .verify_bytes = verify_bytes,
        .hooks = {.argument = result, .finding = finding_note}};
    result->code = dwal__recover(&options, &result->recovery, &result->error);
    result->free = true;
    assert_int_equal(image->open_handles, 0);
}

void recovered_log(struct recovered *result, const struct logbuild *log) {
    struct imagedisk image;
    imagedisk_init(&image, log);
    recovered_run(result, &image, UINT64_MAX, false);
}

void recovered_check(const struct recovered *result, const char *row,
                     uint64_t durable_lsn) {
    if (result->code != DWAL_OK)
        fail_msg("expected row %s, got code %d: %s", row, result->code,
                 result->error.text);
    const struct dwal__recovery *recovery = &result->recovery;
    if (strcmp(recovery->decision->name, row) != 0 ||
        recovery->durable_lsn != durable_lsn)
        fail_msg("expected row %s at LSN %llu, got %s at %llu, end %llu:%llu, "
                 "watermark %llu at %llu:%llu",
                 row, (unsigned long long)durable_lsn, recovery->decision->name,
                 (unsigned long long)recovery->durable_lsn,
                 (unsigned long long)recovery->end.segment,
                 (unsigned long long)recovery->end.offset,
                 (unsigned long long)recovery->watermark.lsn,
                 (unsigned long long)recovery->watermark.position.segment,
                 (unsigned long long)recovery->watermark.position.offset);
}

const struct dwal__finding *recovered_finding(const struct recovered *result,
                                              enum dwal__finding_kind kind) {
    for (unsigned i = 0; i < result->finding_count; i++)
        if (result->findings[i].kind == kind)
            return &result->findings[i];
    fail_msg("no finding of kind %d", (int)kind);
    return NULL;
}

void recovered_all(struct recovered *result, const struct logbuild *log,
                   const char *row, uint64_t durable_lsn) {
    static const uint64_t verify[] = {0, 1, 4096, UINT64_MAX};
    for (unsigned i = 0; i < 8; i++) {
        struct imagedisk image;
        imagedisk_init(&image, log);
        image.direct_refused = (i & 1) != 0;
        recovered_run(result, &image, verify[i / 2], i % 4 == 0);
        recovered_check(result, row, durable_lsn);
    }
}

int recovered_setup(void **state, uint32_t block_size, uint64_t segment_size) {
    struct recovered_fixture *fixture = calloc(1, sizeof *fixture);
    assert_non_null(fixture);
    logbuild_init(&fixture->log, block_size, segment_size);
    *state = fixture;
    return 0;
}

int recovered_teardown(void **state) {
    struct recovered_fixture *fixture = *state;
    recovered_release(&fixture->result);
    logbuild_free(&fixture->log);
    free(fixture);
    return 0;
}
