/* SPDX-License-Identifier: MIT */
/*
 * Text for people: untrusted bytes made harmless, sizes, times. What may reach
 * a terminal as it is: characters that the locale calls printable and that take
 * a column of their own. Everything else, control characters of both kinds,
 * direction marks, zero-width characters, broken sequences, is spelled out.
 */
#include "cli.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <wchar.h>
#include <wctype.h>

/* One character, or one byte that is none, made ready to print. */
struct shown {
    size_t taken;   /* bytes of the input */
    size_t columns; /* on a terminal */
    size_t size;    /* of @text */
    char text[16];
};

static void shown_byte(struct shown *shown, uint8_t byte) {
    static const char plain[] = "\n\r\t";
    static const char letter[] = "nrt";
    const char *at = byte == 0 ? NULL : strchr(plain, byte);
    if (at != NULL)
        snprintf(shown->text, sizeof shown->text, "\\%c", letter[at - plain]);
    else
        snprintf(shown->text, sizeof shown->text, "\\x%02x", byte);
    shown->taken = 1;
    shown->size = strlen(shown->text);
    shown->columns = shown->size;
}

bool dwal__cli_misleading(uint32_t c) {
    return (c >= 0x7F && c <= 0x9F) || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
           (c >= 0xE0000 && c <= 0xE0FFF) || c == 0x00AD || c == 0x061C ||
           c == 0xFEFF;
}

static void shown_next(struct shown *shown, const uint8_t *bytes, size_t size) {
    if (bytes[0] >= 0x20 && bytes[0] < 0x7F) {
        shown->text[0] = (char)bytes[0];
        shown->taken = shown->columns = shown->size = 1;
        return;
    }
    wchar_t character;
    mbstate_t state;
    memset(&state, 0, sizeof state);
    size_t taken = bytes[0] < 0x80 ? 0
                                   : mbrtowc(&character, (const char *)bytes,
                                             size < 8 ? size : 8, &state);
    if (taken == 0 || taken > 8 || !iswprint((wint_t)character) ||
        wcwidth(character) < 1 || dwal__cli_misleading((uint32_t)character)) {
        shown_byte(shown, bytes[0]);
        return;
    }
    memcpy(shown->text, bytes, taken);
    shown->taken = shown->size = taken;
    shown->columns = (size_t)wcwidth(character);
}

/* "…" takes one column where the locale has it. */
static const char *ellipsis(size_t *columns) {
    char bytes[MB_LEN_MAX];
    mbstate_t state;
    memset(&state, 0, sizeof state);
    bool has = wcrtomb(bytes, 0x2026, &state) == 3 &&
               memcmp(bytes, "\xE2\x80\xA6", 3) == 0;
    *columns = has ? 1 : 3;
    return has ? "\xE2\x80\xA6" : "...";
}

size_t dwal__cli_escape(const void *data, size_t size, size_t columns,
                        char *out) {
    const uint8_t *bytes = data;
    size_t dots_columns;
    const char *dots = ellipsis(&dots_columns);
    size_t used = 0, at = 0, end = 0;
    size_t cut_used = 0, cut_end = 0; /* where the dots would still fit */
    while (at < size) {
        struct shown shown;
        shown_next(&shown, bytes + at, size - at);
        if (bytes[at] == '\\') {
            memcpy(shown.text, "\\\\", 2);
            shown.columns = shown.size = 2;
        }
        if (used + shown.columns > columns)
            break;
        memcpy(out + end, shown.text, shown.size);
        end += shown.size;
        used += shown.columns;
        at += shown.taken;
        if (used + dots_columns <= columns) {
            cut_used = used;
            cut_end = end;
        }
    }
    if (at < size && cut_used + dots_columns <= columns) {
        memcpy(out + cut_end, dots, strlen(dots));
        end = cut_end + strlen(dots);
        used = cut_used + dots_columns;
    }
    out[end] = '\0';
    return used;
}

void dwal__cli_message_escape(const char *text, char *out) {
    const uint8_t *bytes = (const uint8_t *)text;
    size_t size = strlen(text);
    for (size_t at = 0; at < size;) {
        struct shown shown;
        shown_next(&shown, bytes + at, size - at);
        memcpy(out, shown.text, shown.size);
        out += shown.size;
        at += shown.taken;
    }
    *out = '\0';
}

void dwal__cli_size_text(uint64_t size, char text[DWAL__SIZE_TEXT]) {
    static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    unsigned unit = 0;
    while (unit < 6 && size >> (10 * unit) >= 1024)
        unit++;
    uint64_t whole = size >> (10 * unit);
    uint64_t rest = unit == 0 ? 0 : size & ((UINT64_C(1) << (10 * unit)) - 1);
    unsigned tenth =
        unit == 0 ? 0 : (unsigned)((rest >> (10 * (unit - 1))) * 10 / 1024);
    if (rest == 0 || whole >= 100)
        snprintf(text, DWAL__SIZE_TEXT, "%" PRIu64 " %s", whole, units[unit]);
    else
        snprintf(text, DWAL__SIZE_TEXT, "%" PRIu64 ".%u %s", whole, tenth,
                 units[unit]);
}

void dwal__cli_time_text(uint64_t ns, char text[DWAL__TIME_TEXT]) {
    time_t seconds = (time_t)(ns / 1000000000u);
    struct tm parts;
    char date[24];
    if (ns == 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0) {
        snprintf(text, DWAL__TIME_TEXT, "-");
        return;
    }
    snprintf(text, DWAL__TIME_TEXT, "%s.%06uZ", date,
             (unsigned)(ns % 1000000000u / 1000u));
}
