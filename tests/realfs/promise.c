/* SPDX-License-Identifier: MIT */
/* Reads the marks of work.c, and hands them out in the order of their moments;
 * a mark may have reached the disk's log later than others that it precedes. */
#include "promise.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { OPENED, ACK, DURABLE, ASKED, TRIMMED, CLOSED, KINDS };

static const char *const names[KINDS] = {"opened", "ack",     "durable",
                                         "asked",  "trimmed", "closed"};

struct promise {
    enum kind kind;
    uint64_t at;
    size_t order; /* in the disk's log */
    uint64_t lsn;
    uint32_t count;
    uint32_t life;
    uint32_t thread;
    uint64_t number;
};

static bool mark_parse(const struct writelog_entry *entry,
                       struct promise *promise) {
    char text[WRITELOG_TEXT_MAX + 1], name[16];
    memcpy(text, entry->text, entry->text_size);
    text[entry->text_size] = '\0';
    *promise = (struct promise){.kind = KINDS};
    int fields = sscanf(text,
                        "%15s %" SCNu64 " %" SCNu64 " %" SCNu32 " %" SCNu32
                        " %" SCNu32 " %" SCNu64,
                        name, &promise->at, &promise->lsn, &promise->count,
                        &promise->life, &promise->thread, &promise->number);
    static const int wanted[KINDS] = {2, 7, 3, 3, 3, 2};
    for (int i = 0; i < KINDS; i++)
        if (fields == wanted[i] && strcmp(name, names[i]) == 0)
            promise->kind = (enum kind)i;
    return promise->kind != KINDS;
}

static int by_moment(const void *left, const void *right) {
    const struct promise *a = left, *b = right;
    if (a->at != b->at)
        return a->at < b->at ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

int promises_load(struct promises *promises, const struct writelog_view *view) {
    *promises = (struct promises){0};
    promises->marks = calloc(view->count + 1, sizeof *promises->marks);
    if (promises->marks == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < view->count; i++) {
        struct promise *promise = &promises->marks[promises->count];
        if ((view->entries[i].flags & WRITELOG_MARK) == 0 ||
            !mark_parse(&view->entries[i], promise))
            continue; /* a write, or a mark of somebody else */
        promise->order = i;
        uint64_t last = promise->lsn + promise->count;
        if (last > promises->lsn_max)
            promises->lsn_max = last;
        promises->count++;
    }
    qsort(promises->marks, promises->count, sizeof *promises->marks, by_moment);
    promises->records =
        calloc(promises->lsn_max + 1, sizeof *promises->records);
    return promises->records != NULL ? 0 : -ENOMEM;
}

void promises_free(struct promises *promises) {
    free(promises->marks);
    free(promises->records);
}

static void raise_to(uint64_t *value, uint64_t least) {
    if (*value < least)
        *value = least;
}

static void ack_take(struct promises *promises, const struct promise *promise) {
    for (uint32_t i = 0; i < promise->count; i++) {
        promises->acked += promises->records[promise->lsn + i].known ? 0 : 1;
        promises->records[promise->lsn + i] =
            (struct promise_record){.known = true,
                                    .life = promise->life,
                                    .thread = promise->thread,
                                    .number = promise->number + i};
    }
    raise_to(&promises->durable, promise->lsn + promise->count - 1);
}

void promises_advance(struct promises *promises, uint64_t position) {
    for (; promises->next < promises->count; promises->next++) {
        const struct promise *promise = &promises->marks[promises->next];
        if (promise->at > position)
            break;
        switch (promise->kind) {
        case OPENED:
            promises->opened = true;
            break;
        case ACK:
            ack_take(promises, promise);
            break;
        case DURABLE:
            raise_to(&promises->durable, promise->lsn);
            break;
        case ASKED:
            raise_to(&promises->asked, promise->lsn);
            break;
        case TRIMMED:
            raise_to(&promises->trimmed, promise->lsn);
            break;
        default:
            break;
        }
        promises->closed = promise->kind == CLOSED;
    }
}

static int mark_append(struct writelog *log, const char *text) {
    return writelog_append(log,
                           &(struct writelog_entry){.flags = WRITELOG_MARK,
                                                    .text = text,
                                                    .text_size = strlen(text)});
}

static int number_append(struct writelog *log, enum kind kind, uint64_t lsn) {
    char text[64];
    if (lsn == 0)
        return 0;
    snprintf(text, sizeof text, "%s 0 %" PRIu64, names[kind], lsn);
    return mark_append(log, text);
}

int promises_carry(const struct promises *promises, struct writelog *log) {
    int result = promises->opened ? mark_append(log, "opened 0") : 0;
    if (result == 0)
        result = number_append(log, DURABLE, promises->durable);
    if (result == 0)
        result = number_append(log, ASKED, promises->asked);
    if (result == 0)
        result = number_append(log, TRIMMED, promises->trimmed);
    for (uint64_t lsn = 1; result == 0 && lsn < promises->lsn_max; lsn++) {
        const struct promise_record *record = &promises->records[lsn];
        char text[128];
        if (!record->known)
            continue;
        snprintf(text, sizeof text,
                 "ack 0 %" PRIu64 " 1 %" PRIu32 " %" PRIu32 " %" PRIu64, lsn,
                 record->life, record->thread, record->number);
        result = mark_append(log, text);
    }
    return result;
}
