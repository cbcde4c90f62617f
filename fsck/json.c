/* SPDX-License-Identifier: MIT */
/*
 * JSON output. Keeps one promise: whatever bytes go in, a line that comes out
 * is valid JSON in valid UTF-8, and no terminal obeys it.
 */
#include "json.h"

#include <math.h>
#include <string.h>

#include "cli.h"

static void put(struct dwal__json *json, const char *text, size_t size) {
    fwrite_unlocked(text, 1, size, json->stream);
}

static void put_text(struct dwal__json *json, const char *text) {
    put(json, text, strlen(text));
}

/* The comma, the name and the colon before a value. */
static void member(struct dwal__json *json, const char *name) {
    if (json->comma)
        put(json, ",", 1);
    json->comma = true;
    if (name == NULL)
        return;
    put(json, "\"", 1);
    put_text(json, name);
    put(json, "\":", 2);
}

void dwal__json_begin(struct dwal__json *json, FILE *stream, const char *kind) {
    json->stream = stream;
    json->comma = false;
    put(json, "{", 1);
    dwal__json_string(json, "kind", kind);
}

void dwal__json_end(struct dwal__json *json) {
    put(json, "}\n", 2);
}

void dwal__json_u64(struct dwal__json *json, const char *name, uint64_t value) {
    char digits[20];
    size_t at = sizeof digits;
    member(json, name);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    put(json, digits + at, sizeof digits - at);
}

void dwal__json_double(struct dwal__json *json, const char *name,
                       double value) {
    if (!isfinite(value)) {
        dwal__json_null(json, name);
        return;
    }
    char digits[32];
    member(json, name);
    /* LC_NUMERIC stays "C" in the tools, so the point is a point; and %g with
     * six digits gives what JSON calls a number. */
    snprintf(digits, sizeof digits, "%.6g", value);
    put_text(json, digits);
}

void dwal__json_bool(struct dwal__json *json, const char *name, bool value) {
    member(json, name);
    put_text(json, value ? "true" : "false");
}

void dwal__json_null(struct dwal__json *json, const char *name) {
    member(json, name);
    put_text(json, "null");
}

/* The size of the well-formed UTF-8 sequence at @bytes, 0 if there is none:
 * neither overlong forms, nor surrogates, nor beyond U+10FFFF. */
static size_t utf8_size(const uint8_t *bytes, size_t size) {
    uint8_t first = bytes[0];
    if (first < 0x80)
        return 1;
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || size < length)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((bytes[i] & 0xC0) != 0x80)
            return 0;
    if ((first == 0xE0 && bytes[1] < 0xA0) ||
        (first == 0xED && bytes[1] > 0x9F) ||
        (first == 0xF0 && bytes[1] < 0x90) ||
        (first == 0xF4 && bytes[1] > 0x8F))
        return 0;
    return length;
}

/* One character that cannot stand for itself. */
static void put_escaped(struct dwal__json *json, uint8_t c) {
    static const char plain[] = "\"\\\n\r\t\b\f";
    static const char letter[] = "\"\\nrtbf";
    const char *at = c == 0 ? NULL : strchr(plain, c);
    char text[8];
    if (at != NULL)
        snprintf(text, sizeof text, "\\%c", letter[at - plain]);
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    put_text(json, text);
}

/* The character of a well-formed sequence of @length bytes. */
static uint32_t utf8_load(const uint8_t *bytes, size_t length) {
    uint32_t c = length == 1 ? bytes[0] : bytes[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++)
        c = c << 6 | (bytes[i] & 0x3Fu);
    return c;
}

/* A character that must not reach a terminal: legal in JSON as it is, and the
 * same when it is spelled out. */
static void put_code(struct dwal__json *json, uint32_t c) {
    char text[16];
    if (c < 0x10000)
        snprintf(text, sizeof text, "\\u%04x", (unsigned)c);
    else
        snprintf(text, sizeof text, "\\u%04x\\u%04x",
                 (unsigned)(0xD7C0 + (c >> 10)),
                 (unsigned)(0xDC00 + (c & 0x3FF)));
    put_text(json, text);
}

void dwal__json_text(struct dwal__json *json, const char *name,
                     const void *text, size_t size) {
    const uint8_t *bytes = text;
    member(json, name);
    put(json, "\"", 1);
    size_t plain = 0; /* bytes before @at that can go out as they are */
    size_t at = 0;
    while (at < size) {
        uint8_t c = bytes[at];
        size_t length = utf8_size(bytes + at, size - at);
        uint32_t character = utf8_load(bytes + at, length > 0 ? length : 1);
        bool misleading = length > 0 && dwal__cli_misleading(character);
        if (length > 0 && c >= 0x20 && c != '"' && c != '\\' && !misleading) {
            at += length;
            plain += length;
            continue;
        }
        put(json, (const char *)bytes + at - plain, plain);
        plain = 0;
        if (length == 0)
            put_text(json, "\xEF\xBF\xBD");
        else if (misleading)
            put_code(json, character);
        else
            put_escaped(json, c);
        at += length > 0 ? length : 1;
    }
    put(json, (const char *)bytes + at - plain, plain);
    put(json, "\"", 1);
}

void dwal__json_string(struct dwal__json *json, const char *name,
                       const char *value) {
    if (value == NULL)
        dwal__json_null(json, name);
    else
        dwal__json_text(json, name, value, strlen(value));
}

/* RFC 4648, with padding: 1 to 3 bytes to 4 characters. */
static void base64_group(const uint8_t *bytes, size_t size, char out[4]) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = (uint32_t)bytes[0] << 16;
    if (size > 1)
        bits |= (uint32_t)bytes[1] << 8;
    if (size > 2)
        bits |= bytes[2];
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = size > 1 ? alphabet[bits >> 6 & 63] : '=';
    out[3] = size > 2 ? alphabet[bits & 63] : '=';
}

void dwal__json_base64(struct dwal__json *json, const char *name,
                       const void *data, size_t size) {
    const uint8_t *bytes = data;
    char out[1024];
    size_t used = 0;
    member(json, name);
    put(json, "\"", 1);
    for (size_t at = 0; at < size; at += 3) {
        base64_group(bytes + at, size - at < 3 ? size - at : 3, out + used);
        used += 4;
        if (used == sizeof out) {
            put(json, out, used);
            used = 0;
        }
    }
    put(json, out, used);
    put(json, "\"", 1);
}

static void group_open(struct dwal__json *json, const char *name,
                       const char *bracket) {
    member(json, name);
    put(json, bracket, 1);
    json->comma = false;
}

static void group_close(struct dwal__json *json, const char *bracket) {
    put(json, bracket, 1);
    json->comma = true;
}

void dwal__json_object_open(struct dwal__json *json, const char *name) {
    group_open(json, name, "{");
}

void dwal__json_object_close(struct dwal__json *json) {
    group_close(json, "}");
}

void dwal__json_array_open(struct dwal__json *json, const char *name) {
    group_open(json, name, "[");
}

void dwal__json_array_close(struct dwal__json *json) {
    group_close(json, "]");
}
