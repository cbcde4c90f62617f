/* SPDX-License-Identifier: MIT */
/*
 * A cell shows the worst of what it covers: damage, then what is torn, then the
 * header; otherwise what covers most of it. It is drawn as soon as it is full,
 * so that the size of a file costs no memory.
 */
#include "dump_cells.h"

#include <inttypes.h>
#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../format/segment.h"
#include "cli.h"

#define LABEL_COLUMNS 26u
#define COLUMNS_MIN 40ul
#define COLUMNS_MAX 1000ul

struct look {
    const char *name; /* in JSON */
    const char *ascii;
    const char *utf8;
    enum dwal__cli_style style;
    const char *meaning;
};

static const struct look looks[DWAL__CELL_COUNT] = {
    [DWAL__CELL_HEADER] = {"header", "H", "\xE2\x96\x8C", DWAL__STYLE_BOLD,
                           "header"},
    [DWAL__CELL_BATCH] = {"batches", "#", "\xE2\x96\x88", DWAL__STYLE_GREEN,
                          "batches"},
    [DWAL__CELL_PADDING] = {"padding", "+", "\xE2\x96\x92", DWAL__STYLE_GREEN,
                            "mostly padding behind batches"},
    [DWAL__CELL_TRIMMED] = {"trimmed", "_", "\xE2\x96\x81", DWAL__STYLE_DIM,
                            "trimmed"},
    [DWAL__CELL_HIDDEN] = {"hidden", "%", "\xE2\x96\x91", DWAL__STYLE_YELLOW,
                           "whole batches that the log does not reach"},
    [DWAL__CELL_FREE] = {"free", ".", "\xC2\xB7", DWAL__STYLE_DIM, "free"},
    [DWAL__CELL_STALE] = {"stale", "~", "~", DWAL__STYLE_DIM,
                          "stale: from an older use of the file"},
    [DWAL__CELL_TORN] = {"torn", "?", "?", DWAL__STYLE_YELLOW,
                         "torn: behind the end of the log"},
    [DWAL__CELL_DAMAGED] = {"damaged", "X", "\xE2\x9C\x97", DWAL__STYLE_RED,
                            "damaged"},
};

static const char *glyph(enum dwal__cell kind) {
    static int utf8 = -1;
    if (utf8 < 0)
        utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    return utf8 ? looks[kind].utf8 : looks[kind].ascii;
}

static void glyph_put(enum dwal__cell kind) {
    fputs(dwal__cli_style(stdout, looks[kind].style), stdout);
    fputs(glyph(kind), stdout);
    fputs(dwal__cli_style(stdout, DWAL__STYLE_PLAIN), stdout);
}

/* Of the terminal; without one, as COLUMNS says. */
static unsigned columns_find(void) {
    const char *text = getenv("COLUMNS");
    unsigned long columns = dwal__cli_columns(stdout, 0);
    if (columns == 0 && text != NULL)
        columns = strtoul(text, NULL, 10);
    if (columns == 0)
        columns = 80;
    if (columns < COLUMNS_MIN)
        columns = COLUMNS_MIN;
    return (unsigned)(columns < COLUMNS_MAX ? columns : COLUMNS_MAX);
}

/* ---- one file ---- */

static uint64_t divide_up(uint64_t value, uint64_t divisor) {
    return value / divisor + (value % divisor != 0);
}

/* A cell covers whole blocks. */
static void scale_set(struct dwal__cells *cells, uint64_t size,
                      uint32_t block_size) {
    uint64_t wished = cells->cell_size;
    cells->width = columns_find() - LABEL_COLUMNS - 1;
    if (wished == 0)
        wished = cells->json ? 1 : divide_up(size, cells->width);
    cells->cell = divide_up(wished, block_size) * block_size;
    if (cells->cell_min == 0 || cells->cell < cells->cell_min)
        cells->cell_min = cells->cell;
    if (cells->cell > cells->cell_max)
        cells->cell_max = cells->cell;
}

static void json_begin(struct dwal__json *json, uint64_t number,
                       const char *state) {
    char name[DWAL__NAME_SIZE];
    dwal__segment_name(number, name);
    dwal__json_begin(json, stdout, "map");
    dwal__json_u64(json, "segment", number);
    dwal__json_string(json, "file", name);
    dwal__json_string(json, "state", state);
}

void dwal__cells_begin(struct dwal__cells *cells, uint64_t number,
                       const char *state, uint64_t size, uint32_t block_size) {
    scale_set(cells, size, block_size);
    cells->size = size;
    cells->column = 0;
    cells->at = cells->range_from = 0;
    cells->range_kind = DWAL__CELL_HEADER; /* what every file begins with */
    memset(cells->bytes, 0, sizeof cells->bytes);
    memset(cells->sums, 0, sizeof cells->sums);
    if (!cells->json) {
        printf("%16" PRIu64 " %-8s ", number, state);
        return;
    }
    json_begin(&cells->object, number, state);
    dwal__json_u64(&cells->object, "size", size);
    dwal__json_u64(&cells->object, "block_size", block_size);
    dwal__json_u64(&cells->object, "cell_size", cells->cell);
    dwal__json_array_open(&cells->object, "ranges");
}

void dwal__cells_none(const struct dwal__cells *cells, uint64_t number,
                      const char *state, const char *why) {
    struct dwal__json json;
    if (!cells->json) {
        printf("%16" PRIu64 " %-8s %s\n", number, state, why);
        return;
    }
    json_begin(&json, number, state);
    dwal__json_string(&json, "text", why);
    dwal__json_end(&json);
}

static void range_end(struct dwal__cells *cells, uint64_t to) {
    struct dwal__json *json = &cells->object;
    if (to == cells->range_from)
        return;
    dwal__json_object_open(json, NULL);
    dwal__json_string(json, "what", looks[cells->range_kind].name);
    dwal__json_u64(json, "from", cells->range_from);
    dwal__json_u64(json, "to", to);
    dwal__json_object_close(json);
    cells->range_from = to;
}

static enum dwal__cell cell_kind(const struct dwal__cells *cells) {
    static const enum dwal__cell worst[] = {DWAL__CELL_DAMAGED, DWAL__CELL_TORN,
                                            DWAL__CELL_HEADER};
    enum dwal__cell most = DWAL__CELL_HEADER;
    for (size_t i = 0; i < sizeof worst / sizeof worst[0]; i++)
        if (cells->bytes[worst[i]] > 0)
            return worst[i];
    for (int kind = 0; kind < DWAL__CELL_COUNT; kind++)
        if (cells->bytes[kind] > cells->bytes[most])
            most = (enum dwal__cell)kind;
    /* JSON tells the padding in bytes. */
    return cells->json && most == DWAL__CELL_PADDING ? DWAL__CELL_BATCH : most;
}

/* The cell that ends at cells->at is full. */
static void cell_draw(struct dwal__cells *cells) {
    enum dwal__cell kind = cell_kind(cells);
    uint64_t from = (cells->at - 1) / cells->cell * cells->cell;
    memset(cells->bytes, 0, sizeof cells->bytes);
    if (cells->json) {
        if (kind != cells->range_kind)
            range_end(cells, from);
        cells->range_kind = kind;
        return;
    }
    if (cells->column == cells->width) {
        char offset[DWAL__SIZE_TEXT];
        dwal__cli_size_text(from, offset);
        printf("\n%*s ", (int)LABEL_COLUMNS - 1, offset);
        cells->column = 0;
    }
    glyph_put(kind);
    cells->column++;
}

void dwal__cells_add(struct dwal__cells *cells, enum dwal__cell kind,
                     uint64_t size) {
    cells->totals[kind] += size;
    cells->sums[kind] += size;
    while (size > 0) {
        uint64_t room = cells->cell - cells->at % cells->cell;
        uint64_t part = size < room ? size : room;
        cells->bytes[kind] += part;
        cells->at += part;
        size -= part;
        if (part == room || cells->at == cells->size)
            cell_draw(cells);
    }
}

void dwal__cells_end(struct dwal__cells *cells, const char *remark) {
    if (cells->json) {
        range_end(cells, cells->at);
        dwal__json_array_close(&cells->object);
        dwal__json_object_open(&cells->object, "bytes");
        for (int kind = 0; kind < DWAL__CELL_COUNT; kind++)
            dwal__json_u64(&cells->object, looks[kind].name, cells->sums[kind]);
        dwal__json_object_close(&cells->object);
        if (remark != NULL)
            dwal__json_string(&cells->object, "text", remark);
        dwal__json_end(&cells->object);
        return;
    }
    printf("%s%s\n", remark != NULL ? " " : "", remark != NULL ? remark : "");
}

/* ---- all of them ---- */

void dwal__cells_legend(const struct dwal__cells *cells) {
    char size[DWAL__SIZE_TEXT], max[DWAL__SIZE_TEXT];
    if (cells->json || cells->cell_max == 0)
        return;
    putchar('\n');
    for (int kind = 0; kind < DWAL__CELL_COUNT; kind++) {
        if (cells->totals[kind] == 0)
            continue;
        const char *meaning = looks[kind].meaning;
        if (kind == DWAL__CELL_TORN && cells->live)
            meaning = "written, and not yet known to be durable";
        dwal__cli_size_text(cells->totals[kind], size);
        fputs("  ", stdout);
        glyph_put((enum dwal__cell)kind);
        printf(" %10s  %s\n", size, meaning);
    }
    dwal__cli_size_text(cells->cell_min, size);
    dwal__cli_size_text(cells->cell_max, max);
    if (cells->cell_min == cells->cell_max)
        printf("A cell is %s.\n", size);
    else
        printf("A cell is %s to %s, so that each segment fills a row.\n", size,
               max);
}
