/* SPDX-License-Identifier: MIT */
/*
 * Which row of recover/decide.c decides about a log: its index and its name, a
 * line for each directory; "-" where none was asked for (SPEC 8). Rows of one
 * name are told apart by nothing else. Without arguments: all rows.
 */
#include <stdio.h>
#include <string.h>

#include "recover/recover.h"

const struct dwal__decision *__real_dwal__decide(struct dwal__facts facts);
const struct dwal__decision *__wrap_dwal__decide(struct dwal__facts facts);

static const struct dwal__decision *decision; /* the last one */

const struct dwal__decision *__wrap_dwal__decide(struct dwal__facts facts) {
    decision = __real_dwal__decide(facts);
    return decision;
}

static void row_print(const struct dwal__decision *row) {
    printf("%td %s\n", row - dwal__decisions, row->name);
}

static int log_decide(const char *path) {
    struct dwal__disk *disk = dwal__disk_kernel();
    struct dwal__recovery recovery;
    memset(&recovery, 0, sizeof recovery);
    int dir = disk->ops->dir_open(disk, path);
    if (dir < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(-dir));
        return 1;
    }
    struct dwal__recover_options options = {
        .disk = disk, .dir = dir, .verify_bytes = UINT64_MAX};
    decision = NULL;
    dwal__recover(&options, &recovery, NULL);
    if (decision != NULL)
        row_print(decision);
    else
        puts("-");
    dwal__recovery_release(&recovery);
    disk->ops->close(disk, dir);
    return 0;
}

int main(int argc, char **argv) {
    int status = 0;
    for (unsigned i = 0; argc == 1 && i < dwal__decision_count; i++)
        row_print(&dwal__decisions[i]);
    for (int i = 1; i < argc; i++)
        status |= log_decide(argv[i]);
    return status;
}
