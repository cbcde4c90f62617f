/* SPDX-License-Identifier: MIT */
/*
 * Records as a table, as JSON, as they are, and in hexadecimal. Nothing that an
 * application wrote reaches a terminal as it is, but for --raw, which is asked
 * for.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "../format/bytes.h"
#include "cli.h"
#include "dump.h"
#include "json.h"

/* Columns of a payload that is shown where there is no terminal. */
#define PREVIEW_COLUMNS 200u
#define PREVIEW_COLUMNS_MIN 16u
#define PREVIEW_COLUMNS_MAX 1000u

static struct {
    struct dwal__dump_widths widths;
    int type, tenant, shard, size; /* widths; they grow */
    bool titled;
    unsigned columns; /* of the terminal; 0: there is none */
} table;

/* ---- system records ---- */

static const char *system_name(const struct dwal__record *record,
                               char text[16]) {
    const char *name = dwal__system_type_name(record->type);
    if (name != NULL)
        return name;
    snprintf(text, 16, "0x%04x", record->type);
    return text;
}

static void start_text(const struct dwal__start *start, char *text,
                       size_t size) {
    char after[96] = "the first segment";
    if (start->previous_segment != 0)
        snprintf(after, sizeof after,
                 "after segment %" PRIu64 " at %" PRIu64 ", LSN %" PRIu64 "%s",
                 start->previous_segment, start->previous_end,
                 start->previous_lsn,
                 (start->flags & DWAL__START_CUT) != 0 ? ", cut" : "");
    snprintf(
        text, size,
        "%s%s%s; trimmed up to LSN %" PRIu64 ", metadata %" PRIu32 " bytes",
        after, (start->flags & DWAL__START_RESET) != 0 ? ", reset" : "",
        (start->flags & DWAL__START_LOST) != 0 ? ", what follows it is lost"
                                               : "",
        start->trim_lsn, start->metadata_size);
}

/* What it says, in words; returns how many bytes. The batch was checked, so a
 * start decodes. */
static size_t system_text(const struct dwal__record *record, char *text,
                          size_t size) {
    struct dwal__start start;
    text[0] = '\0';
    if (record->type == DWAL__SYSTEM_TRIM)
        snprintf(text, size, "up to LSN %" PRIu64, dwal__get64(record->data));
    else if (record->type == DWAL__SYSTEM_METADATA)
        snprintf(text, size, "%" PRIu32 " bytes", record->size);
    else if (record->type == DWAL__SYSTEM_START &&
             dwal__start_decode(record->data, record->size, &start) ==
                 DWAL__FAULT_NONE)
        start_text(&start, text, size);
    return strlen(text);
}

static void system_json(struct dwal__json *json,
                        const struct dwal__record *record) {
    struct dwal__start start;
    if (record->type == DWAL__SYSTEM_TRIM)
        dwal__json_u64(json, "trim_lsn", dwal__get64(record->data));
    if (record->type != DWAL__SYSTEM_START ||
        dwal__start_decode(record->data, record->size, &start) !=
            DWAL__FAULT_NONE)
        return;
    dwal__json_u64(json, "previous_segment", start.previous_segment);
    dwal__json_u64(json, "previous_end", start.previous_end);
    dwal__json_u64(json, "previous_lsn", start.previous_lsn);
    dwal__json_bool(json, "cut", (start.flags & DWAL__START_CUT) != 0);
    dwal__json_bool(json, "reset", (start.flags & DWAL__START_RESET) != 0);
    dwal__json_bool(json, "lost", (start.flags & DWAL__START_LOST) != 0);
    dwal__json_u64(json, "trim_lsn", start.trim_lsn);
}

/* ---- the table ---- */

static void table_begin(const struct dwal__dump_options *options,
                        struct dwal__dump_widths widths) {
    if (options->decoder != NULL)
        dwal__decoder_begin(options);
    table.widths = widths;
    table.type = options->system ? 8 : 4;
    table.tenant = 6;
    table.shard = 5;
    table.size = 6;
    table.columns = dwal__cli_columns(stdout, 0);
}

static void table_title(void) {
    if (table.titled)
        return;
    table.titled = true;
    printf("%s%*s %*s %*s %*s %*s %*s %*s  %s%s\n",
           dwal__cli_style(stdout, DWAL__STYLE_BOLD), table.widths.lsn, "LSN",
           table.widths.segment, "SEGMENT", table.widths.offset, "OFFSET",
           table.type, "TYPE", table.tenant, "TENANT", table.shard, "SHARD",
           table.size, "SIZE", "PAYLOAD",
           dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
}

/* Writes @value right-aligned; a width that was too small stays larger, so that
 * the rows below are aligned again. */
static char *number_put(char *at, int *width, uint64_t value) {
    char digits[20];
    int count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    if (*width < count)
        *width = count;
    for (int i = count; i < *width; i++)
        *at++ = ' ';
    while (count > 0)
        *at++ = digits[--count];
    *at++ = ' ';
    return at;
}

static char *text_put(char *at, int width, const char *text) {
    return at + sprintf(at, "%*s ", width, text);
}

static size_t preview_columns(size_t used) {
    if (table.columns == 0)
        return PREVIEW_COLUMNS;
    size_t left = table.columns > used ? table.columns - used : 0;
    return left < PREVIEW_COLUMNS_MIN   ? PREVIEW_COLUMNS_MIN
           : left > PREVIEW_COLUMNS_MAX ? PREVIEW_COLUMNS_MAX
                                        : left;
}

static bool table_item(const struct dwal__dump_options *options,
                       const struct dwal__reader_item *item) {
    const struct dwal__record *record = &item->record;
    bool system = record->lsn == 0;
    char row[512], preview[4 * PREVIEW_COLUMNS_MAX + 1], name[16], text[256];
    char *at = row;
    const char *shown = system ? text : (const char *)record->data;
    size_t shown_size = record->size;
    if (system)
        shown_size = system_text(record, text, sizeof text);
    else if (options->decoder != NULL)
        shown = dwal__decoder_answer(item, &shown_size);
    if (shown == NULL && options->decoder != NULL)
        return false;
    table_title();
    at = system ? text_put(at, table.widths.lsn, "-")
                : number_put(at, &table.widths.lsn, record->lsn);
    at = number_put(at, &table.widths.segment, item->segment);
    at = number_put(at, &table.widths.offset, item->offset);
    at = system ? text_put(at, table.type, system_name(record, name))
                : number_put(at, &table.type, record->type);
    at = system ? text_put(at, table.tenant, "-")
                : number_put(at, &table.tenant, record->tenant);
    at = system ? text_put(at, table.shard, "-")
                : number_put(at, &table.shard, record->shard);
    at = number_put(at, &table.size, record->size);
    *at++ = ' ';
    *at = '\0';
    const char *style = system ? dwal__cli_style(stdout, DWAL__STYLE_DIM) : "";
    dwal__cli_escape(shown, shown_size, preview_columns((size_t)(at - row)),
                     preview);
    fputs_unlocked(style, stdout);
    fwrite_unlocked(row, 1, (size_t)(at - row), stdout);
    fputs_unlocked(preview, stdout);
    if (style[0] != '\0')
        fputs(dwal__cli_style(stdout, DWAL__STYLE_PLAIN), stdout);
    putc_unlocked('\n', stdout);
    return true;
}

/* ---- JSON ---- */

void dwal__record_json(struct dwal__json *json, FILE *stream,
                       const struct dwal__reader_item *item) {
    const struct dwal__record *record = &item->record;
    char name[16];
    if (record->lsn != 0) {
        dwal__json_begin(json, stream, "record");
        dwal__json_u64(json, "lsn", record->lsn);
        dwal__json_u64(json, "type", record->type);
        dwal__json_u64(json, "flags", record->flags);
        dwal__json_u64(json, "tenant", record->tenant);
        dwal__json_u64(json, "shard", record->shard);
    } else {
        dwal__json_begin(json, stream, "system");
        dwal__json_string(json, "type", system_name(record, name));
        system_json(json, record);
    }
    dwal__json_u64(json, "size", record->size);
    dwal__json_u64(json, "segment", item->segment);
    dwal__json_u64(json, "offset", item->offset);
    dwal__json_base64(json, "payload", record->data, record->size);
}

static void json_begin(const struct dwal__dump_options *options,
                       struct dwal__dump_widths widths) {
    (void)widths;
    if (options->decoder != NULL)
        dwal__decoder_begin(options);
}

static bool json_item(const struct dwal__dump_options *options,
                      const struct dwal__reader_item *item) {
    struct dwal__json json;
    const char *answer = NULL;
    size_t size;
    if (options->decoder != NULL && item->record.lsn != 0) {
        answer = dwal__decoder_answer(item, &size);
        if (answer == NULL)
            return false;
    }
    dwal__record_json(&json, stdout, item);
    if (answer != NULL)
        dwal__json_text(&json, "decoded", answer, size);
    dwal__json_end(&json);
    return true;
}

static int decoded_end(const struct dwal__dump_options *options) {
    return options->decoder != NULL ? dwal__decoder_end() : DWAL__EXIT_CLEAN;
}

/* ---- payloads ---- */

static bool raw_item(const struct dwal__dump_options *options,
                     const struct dwal__reader_item *item) {
    fwrite_unlocked(item->record.data, 1, item->record.size, stdout);
    if (options->lines)
        putc_unlocked('\n', stdout);
    return true;
}

static char *byte_put(char *at, uint8_t byte) {
    static const char digits[] = "0123456789abcdef";
    *at++ = digits[byte >> 4];
    *at++ = digits[byte & 15];
    *at++ = ' ';
    return at;
}

/* 16 bytes as hexdump -C shows them: offset, bytes, characters. */
static void hex_line(const uint8_t *bytes, size_t offset, size_t count) {
    char line[128];
    char *at = line + sprintf(line, "%08zx  ", offset);
    for (size_t i = 0; i < 16; i++) {
        if (i < count)
            at = byte_put(at, bytes[offset + i]);
        else
            at += sprintf(at, "   ");
        if (i == 7)
            *at++ = ' ';
    }
    *at++ = ' ';
    *at++ = '|';
    for (size_t i = 0; i < count; i++) {
        uint8_t c = bytes[offset + i];
        *at++ = c >= 0x20 && c < 0x7F ? (char)c : '.';
    }
    *at++ = '|';
    *at++ = '\n';
    fwrite_unlocked(line, 1, (size_t)(at - line), stdout);
}

static bool hex_item(const struct dwal__dump_options *options,
                     const struct dwal__reader_item *item) {
    (void)options;
    const struct dwal__record *record = &item->record;
    char name[16];
    fputs(dwal__cli_style(stdout, DWAL__STYLE_BOLD), stdout);
    if (record->lsn != 0)
        printf("LSN %" PRIu64 "  type %u  flags 0x%04x  tenant %" PRIu32
               "  shard %" PRIu32,
               record->lsn, record->type, record->flags, record->tenant,
               record->shard);
    else
        printf("%s", system_name(record, name));
    printf("  size %" PRIu32 "  segment %" PRIu64 "  offset %" PRIu64 "%s\n",
           record->size, item->segment, item->offset,
           dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
    for (size_t at = 0; at < record->size; at += 16)
        hex_line(record->data, at,
                 record->size - at < 16 ? record->size - at : 16);
    return true;
}

const struct dwal__dump_printer *dwal__dump_records(enum dwal__dump_form form) {
    static const struct dwal__dump_printer printers[] = {
        [DWAL__DUMP_TABLE] = {table_begin, table_item, dwal__decoder_failed,
                              decoded_end},
        [DWAL__DUMP_JSON] = {json_begin, json_item, dwal__decoder_failed,
                             decoded_end},
        [DWAL__DUMP_RAW] = {.item = raw_item},
        [DWAL__DUMP_HEX] = {.item = hex_item}};
    return &printers[form];
}
