/* SPDX-License-Identifier: MIT */
/*
 * What the parts of a report are made of. The invariant: no byte that comes
 * from a disk or a command line reaches a terminal unescaped.
 */
#include "print_parts.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void dwal__print_line(enum dwal__cli_style style, const char *format, ...) {
    char text[8192];
    char shown[4 * sizeof text];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    dwal__cli_message_escape(text, shown);
    dwal__cli_progress_erase();
    printf("%s%s%s\n", dwal__cli_style(stdout, style), shown,
           dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
}

void dwal__print_word(const char *path, char word[DWAL__PRINT_WORD_SIZE]) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789_./+:@%,=-";
    if (path[0] != '\0' && strspn(path, plain) == strlen(path)) {
        snprintf(word, DWAL__PRINT_WORD_SIZE, "%s", path);
        return;
    }
    size_t used = 0;
    word[used++] = '\'';
    for (; *path != '\0' && used < DWAL__PRINT_WORD_SIZE - 6; path++) {
        if (*path == '\'') {
            memcpy(word + used, "'\\''", 4);
            used += 4;
        } else {
            word[used++] = *path;
        }
    }
    word[used++] = '\'';
    word[used] = '\0';
}

bool dwal__print_lost(const struct dwal__recovery *recovery) {
    return dwal__recovery_settled(recovery) &&
           (recovery->facts.bits & DWAL__FACT_EVIDENCE_BEYOND) != 0;
}

void dwal__print_range(struct dwal__json *json, const char *name, bool present,
                       uint64_t from, uint64_t to) {
    if (!present || from > to) {
        dwal__json_null(json, name);
        return;
    }
    dwal__json_object_open(json, name);
    dwal__json_u64(json, "from", from);
    if (to == UINT64_MAX)
        dwal__json_null(json, "to");
    else
        dwal__json_u64(json, "to", to);
    dwal__json_object_close(json);
}

enum dwal__print_mends dwal__print_mends(const struct dwal__check *check) {
    const struct dwal__repair_plan *plan = check->plan;
    if (plan == NULL || plan->patches == 0)
        return DWAL__MENDS_NOTHING;
    return plan->lost_from > plan->lost_to ? DWAL__MENDS_ALL : DWAL__MENDS_SOME;
}
