/* SPDX-License-Identifier: MIT */
/*
 * What the tools share: numbers, harmless text, messages, the progress bar,
 * and JSON. The clock is the test's.
 */
#include <locale.h>
#include <pty.h>
#include <time.h>
#include <unistd.h>

#include "fsck/cli.h"
#include "fsck/json.h"
#include "tests/support/check.h"

static struct timespec now;

int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time) {
    (void)clock;
    *time = now;
    return 0;
}

/* ---- standard error, as a terminal ---- */

static int terminal = -1, saved = -1;

static int terminal_setup(void **state) {
    (void)state;
    int slave;
    struct winsize size = {.ws_row = 24, .ws_col = 100};
    if (openpty(&terminal, &slave, NULL, NULL, &size) != 0)
        return -1;
    saved = dup(STDERR_FILENO);
    dup2(slave, STDERR_FILENO);
    close(slave);
    setenv("TERM", "xterm", 1);
    return 0;
}

static int terminal_teardown(void **state) {
    (void)state;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(terminal);
    return 0;
}

/* What was printed since the last call; "" if nothing. A terminal hands it on
 * in its own time, so a mark behind it says when it is all there. */
static const char *terminal_read(void) {
    static char text[4096];
    size_t size = 0;
    assert_int_equal(write(STDERR_FILENO, "#", 1), 1);
    do {
        ssize_t got = read(terminal, text + size, sizeof text - 1 - size);
        assert_true(got > 0);
        size += (size_t)got;
    } while (text[size - 1] != '#');
    text[size - 1] = '\0';
    return text;
}

static void progress(void **state) {
    (void)state;
    now = (struct timespec){100, 0};
    dwal__cli_progress_begin("reading");
    dwal__cli_progress_update(1 << 20, 100 << 20);
    now.tv_nsec = 999999999;
    dwal__cli_progress_update(2 << 20, 100 << 20);
    assert_string_equal(terminal_read(), ""); /* not worth it */
    now = (struct timespec){102, 0};
    dwal__cli_progress_update(50 << 20, 100 << 20);
    assert_string_equal(terminal_read(),
                        "\rdwal: reading  50%  50 MiB of 100 MiB  25 MiB/s  "
                        "0:02 left\033[K");
    now.tv_nsec = 99999999;
    dwal__cli_progress_update(60 << 20, 100 << 20);
    assert_string_equal(terminal_read(), "");
    dwal__cli_error("%s", "no\n\033[2J");
    assert_string_equal(terminal_read(), "\r\033[Kdwal: no\\n\\x1b[2J\r\n");
    now = (struct timespec){200, 0};
    dwal__cli_progress_update(100, 50); /* more than was expected */
    assert_non_null(strstr(terminal_read(), "100%"));
    dwal__cli_progress_end();
    assert_string_equal(terminal_read(), "\r\033[K");
    dwal__cli_progress_update(1, 2);
    dwal__cli_progress_disable();
    dwal__cli_progress_begin("reading");
    now = (struct timespec){300, 0};
    dwal__cli_progress_update(1, 2);
    assert_string_equal(terminal_read(), "");
}

static void numbers(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value; /* UINT64_MAX: refused */
    } rows[] = {
        {"0", 0},
        {"10", 10},
        {"0x10", 16},
        {"0XfF", 255},
        {"010", 10},
        {"999", 999},
        {"1000", UINT64_MAX},
        {"", UINT64_MAX},
        {" 1", UINT64_MAX},
        {"1 ", UINT64_MAX},
        {"-1", UINT64_MAX},
        {"+1", UINT64_MAX},
        {"0x", UINT64_MAX},
        {"0x-1", UINT64_MAX},
        {"1e3", UINT64_MAX},
        {"18446744073709551616", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = UINT64_MAX;
        bool good = dwal__cli_number("--x", rows[i].text, 0, 999, &value);
        check_that(value == rows[i].value && good == (value != UINT64_MAX),
                   "\"%s\"", rows[i].text);
    }
    terminal_read();
    uint64_t value = 7;
    assert_false(dwal__cli_number("--x", "0", 1, 2, &value));
    assert_int_equal(value, 7);
    assert_string_equal(terminal_read(), "dwal: --x: 0 is not within 1 to 2\r\n"
                                         "Try 'dwal --help'.\r\n");
}

static void sizes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        uint64_t value; /* UINT64_MAX: refused */
    } rows[] = {
        {"4096", 4096},
        {"64K", 65536},
        {"64k", 65536},
        {"64KiB", 65536},
        {"1MB", 1 << 20},
        {"2g", UINT64_C(2) << 30},
        {"0x10M", 16 << 20},
        {"1T", UINT64_C(1) << 40},
        {"16777216T", UINT64_MAX},
        {"1P", UINT64_MAX},
        {"M", UINT64_MAX},
        {"1 M", UINT64_MAX},
        {"1.5M", UINT64_MAX},
        {"1Mx", UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t value = UINT64_MAX;
        bool good =
            dwal__cli_size("--x", rows[i].text, 0, UINT64_MAX - 1, &value);
        check_that(value == rows[i].value && good == (value != UINT64_MAX),
                   "\"%s\"", rows[i].text);
    }
    static const struct {
        uint64_t size;
        const char *text;
    } texts[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1 KiB"},
                 {1536, "1.5 KiB"},
                 {2047, "1.9 KiB"},
                 {64 << 20, "64 MiB"},
                 {UINT64_MAX, "15.9 EiB"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[DWAL__SIZE_TEXT];
        dwal__cli_size_text(texts[i].size, text);
        assert_string_equal(text, texts[i].text);
    }
}

/* ---- text ---- */

static void escaping(void **state) {
    (void)state;
    static const struct {
        const char *in;
        size_t columns;
        const char *out;
    } rows[] = {
        {"plain", 10, "plain"},
        {"a\\b", 10, "a\\\\b"},
        {"\n\r\t\a\x7f", 40, "\\n\\r\\t\\x07\\x7f"},
        {"\033]0;x\007", 40, "\\x1b]0;x\\x07"},
        {"\xC2\x9B", 40, "\\xc2\\x9b"},          /* CSI, in one character */
        {"\xE2\x80\xAE", 40, "\\xe2\\x80\\xae"}, /* right-to-left override */
        {"\xE2\x80\x8B", 40, "\\xe2\\x80\\x8b"}, /* zero width */
        {"\xC3\xBC\xE4\xB8\xAD", 3, "\xC3\xBC\xE4\xB8\xAD"},
        {"\xC3", 40, "\\xc3"}, /* cut off */
        {"\xC0\x80", 40, "\\xc0\\x80"},
        {"0123456789", 10, "0123456789"},
        {"0123456789x", 10, "012345678\xE2\x80\xA6"},
        {"01234567\n9", 10, "01234567\xE2\x80\xA6"},
        {"\xE4\xB8\xAD\xE4\xB8\xAD\xE4\xB8\xAD", 4, "\xE4\xB8\xAD\xE2\x80\xA6"},
        {"abc", 0, ""},
        {"abc", 1, "\xE2\x80\xA6"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[256];
        size_t used = dwal__cli_escape(rows[i].in, strlen(rows[i].in),
                                       rows[i].columns, out);
        check_that(strcmp(out, rows[i].out) == 0, "row %zu: %s", i, out);
        assert_true(used <= rows[i].columns);
    }
    char out[16];
    dwal__cli_escape("a\0b", 3, 16, out);
    assert_string_equal(out, "a\\x00b");
    char time[DWAL__TIME_TEXT];
    dwal__cli_time_text(UINT64_C(951782400000001999), time);
    assert_string_equal(time, "2000-02-29T00:00:00.000001Z");
    dwal__cli_time_text(0, time);
    assert_string_equal(time, "-");
    dwal__cli_time_text(UINT64_MAX, time);
    assert_string_equal(time, "2554-07-21T23:34:33.709551Z");
}

/* Characters that terminals obey, or that reorder or hide text: written out
 * once more, independent of the code that is tested. */
static bool drives(uint32_t c) {
    static const uint32_t others[] = {
        0x00AD, 0x061C, 0x200B, 0x200C, 0x200D, 0x200E, 0x200F,
        0x2028, 0x2029, 0x202A, 0x202B, 0x202C, 0x202D, 0x202E,
        0x2060, 0x2066, 0x2067, 0x2068, 0x2069, 0xFEFF, 0xE0001};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (c == others[i])
            return true;
    return c < 0x20 || (c >= 0x7F && c <= 0x9F);
}

static size_t utf8_put(uint32_t c, char *out) {
    size_t size = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = size; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3F));
    static const uint8_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
    out[0] = (char)(marks[size] | c);
    return size;
}

/* Every character of Unicode: none that drives a terminal comes through, in
 * text or in JSON, and in ASCII all that prints does. */
static void every_character(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char in[8], out[64], *text;
        size_t size;
        if (c >= 0xD800 && c <= 0xDFFF)
            continue;
        size_t length = utf8_put(c, in);
        in[length] = '\0';
        dwal__cli_escape(in, length, 15, out);
        bool through = strstr(out, in) != NULL && length > 0 && out[0] != '\0';
        if (drives(c) && c != 0)
            check_that(!through, "text: U+%04X", (unsigned)c);
        if (c >= 0x20 && c < 0x7F)
            check_that(through, "text: U+%04X is gone", (unsigned)c);
        if (!drives(c))
            continue;
        FILE *stream = open_memstream(&text, &size);
        struct dwal__json json = {.stream = stream};
        dwal__json_text(&json, "a", in, length);
        fclose(stream);
        for (size_t i = 0; i < size; i++)
            check_that((uint8_t)text[i] >= 0x20 && (uint8_t)text[i] < 0x7F,
                       "JSON: U+%04X", (unsigned)c);
        free(text);
    }
}

/* Every byte, alone and in pairs, in the middle of text: what comes out of it
 * is printable ASCII, or a character that came in whole. */
static void every_pair_of_bytes(void **state) {
    (void)state;
    for (unsigned pair = 0; pair < 0x10000; pair++) {
        char in[4] = {'a', (char)(pair >> 8), (char)pair, 'z'}, out[80];
        dwal__cli_escape(in, sizeof in, 19, out);
        assert_int_equal(out[0], 'a');
        for (const char *at = out; *at != '\0'; at++) {
            uint8_t byte = (uint8_t)*at;
            bool whole = byte >= 0xC3 && byte <= 0xDF && (at[1] & 0xC0) == 0x80;
            bool blank = byte == 0xC2 && (uint8_t)at[1] >= 0xA0;
            if (whole || blank)
                at++;
            else
                check_that(byte >= 0x20 && byte < 0x7F, "%04x", pair);
        }
    }
}

/* ---- JSON ---- */

static void json(void **state) {
    (void)state;
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    struct dwal__json json;
    dwal__json_begin(&json, stream, "k");
    dwal__json_u64(&json, "a", UINT64_MAX);
    dwal__json_bool(&json, "b", true);
    dwal__json_null(&json, "c");
    dwal__json_string(&json, "d", NULL);
    dwal__json_string(&json, "e", "\"\\\n\r\t\b\f\x01\x7f\xC3\xBC");
    dwal__json_text(&json, "f", "x\0\xFF\xC3(\xED\xA0\x80\xF4\x90\x80\x80", 12);
    dwal__json_array_open(&json, "g");
    dwal__json_u64(&json, NULL, 1);
    dwal__json_object_open(&json, NULL);
    dwal__json_object_close(&json);
    dwal__json_array_close(&json);
    dwal__json_object_open(&json, "h");
    dwal__json_u64(&json, "i", 0);
    dwal__json_object_close(&json);
    dwal__json_bool(&json, "j", false);
    dwal__json_end(&json);
    fclose(stream);
#define BAD "\xEF\xBF\xBD"
    assert_string_equal(
        text, "{\"kind\":\"k\",\"a\":18446744073709551615,\"b\":true,"
              "\"c\":null,\"d\":null,"
              "\"e\":\"\\\"\\\\\\n\\r\\t\\b\\f\\u0001\\u007f\xC3\xBC\","
              "\"f\":\"x\\u0000" BAD BAD "(" BAD BAD BAD BAD BAD BAD BAD "\","
              "\"g\":[1,{}],\"h\":{\"i\":0},\"j\":false}\n");
    free(text);
}

/* RFC 4648, section 10; and more than one buffer of it. */
static void base64(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xFB\xFF\xBF", "+/+/"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64] = "", expected[64];
        FILE *stream = fmemopen(out, sizeof out, "w");
        struct dwal__json json = {.stream = stream};
        dwal__json_base64(&json, "x", rows[i][0], strlen(rows[i][0]));
        fclose(stream);
        snprintf(expected, sizeof expected, "\"x\":\"%s\"", rows[i][1]);
        assert_string_equal(out, expected);
    }
    char *text;
    size_t size;
    uint8_t zeros[3001] = {0};
    FILE *stream = open_memstream(&text, &size);
    struct dwal__json json = {.stream = stream};
    dwal__json_base64(&json, NULL, zeros, sizeof zeros);
    fclose(stream);
    assert_int_equal(size, 1 + 4004 + 1);
    assert_int_equal(strspn(text + 1, "A"), 4002);
    assert_string_equal(text + 1 + 4002, "==\"");
    free(text);
}

#define TERMINAL(name)                                                         \
    cmocka_unit_test_setup_teardown(name, terminal_setup, terminal_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TERMINAL(numbers),
        TERMINAL(sizes),
        cmocka_unit_test(escaping),
        cmocka_unit_test(every_character),
        cmocka_unit_test(every_pair_of_bytes),
        cmocka_unit_test(json),
        cmocka_unit_test(base64),
        TERMINAL(progress),
    };
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) {
        printf("skipped: there is no locale C.UTF-8\n");
        return 77;
    }
    return cmocka_run_group_tests_name("cli", tests, NULL, NULL);
}
