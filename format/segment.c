/* SPDX-License-Identifier: MIT */
/*
 * Segment headers, file names and the LOCK text, to and from bytes (SPEC 4).
 * Keeps the rule that nothing of a header is used before its CRC is right.
 */
#include "segment.h"

#include <assert.h>
#include <stdio.h>

#include "bytes.h"
#include "crc.h"

#define AT(field) offsetof(struct dwal__segment_header_bytes, field)

/* SPEC 4.2. The high bit and the line ends show a transfer as text. */
static const uint8_t segment_magic[8] = {0x89, 'D',  'W',  'A',
                                         'L',  '\r', '\n', 0x1A};

int dwal__position_compare(struct dwal__position a, struct dwal__position b) {
    if (a.segment != b.segment)
        return a.segment < b.segment ? -1 : 1;
    if (a.offset != b.offset)
        return a.offset < b.offset ? -1 : 1;
    return 0;
}

bool dwal__segment_sizes_valid(uint64_t block_size, uint64_t segment_size) {
    return dwal__is_power_of_two(block_size) &&
           block_size >= DWAL__BLOCK_SIZE_MIN &&
           block_size <= DWAL__BLOCK_SIZE_MAX &&
           segment_size % block_size == 0 &&
           segment_size / block_size >= DWAL__SEGMENT_BLOCKS_MIN &&
           segment_size <= DWAL__SEGMENT_SIZE_MAX;
}

uint32_t dwal__segment_header_encode(const struct dwal__segment_header *header,
                                     uint8_t *block) {
    assert(dwal__segment_sizes_valid(header->block_size, header->segment_size));
    assert(header->number > header->previous);
    memset(block, 0, header->block_size);
    memcpy(block + AT(magic), segment_magic, sizeof segment_magic);
    dwal__put16(block + AT(version), DWAL__FORMAT_VERSION);
    dwal__put16(block + AT(header_size), DWAL__SEGMENT_HEADER_SIZE);
    dwal__put32(block + AT(features_incompatible),
                header->features_incompatible);
    dwal__put32(block + AT(features_read_only), header->features_read_only);
    dwal__put32(block + AT(features_compatible), header->features_compatible);
    dwal__put32(block + AT(block_size), header->block_size);
    memcpy(block + AT(uuid), header->uuid.bytes, DWAL__UUID_SIZE);
    dwal__put64(block + AT(number), header->number);
    dwal__put64(block + AT(previous), header->previous);
    dwal__put64(block + AT(epoch), header->epoch);
    dwal__put64(block + AT(salt), header->salt);
    dwal__put64(block + AT(segment_size), header->segment_size);
    dwal__put64(block + AT(created_ns), header->created_ns);
    uint32_t crc = dwal__crc32(0, block + AT(version),
                               DWAL__SEGMENT_HEADER_SIZE - AT(version));
    dwal__put32(block + AT(crc), crc);
    return crc;
}

static void segment_header_load(const uint8_t *bytes,
                                struct dwal__segment_header *header) {
    header->features_incompatible =
        dwal__get32(bytes + AT(features_incompatible));
    header->features_read_only = dwal__get32(bytes + AT(features_read_only));
    header->features_compatible = dwal__get32(bytes + AT(features_compatible));
    header->block_size = dwal__get32(bytes + AT(block_size));
    memcpy(header->uuid.bytes, bytes + AT(uuid), DWAL__UUID_SIZE);
    header->number = dwal__get64(bytes + AT(number));
    header->previous = dwal__get64(bytes + AT(previous));
    header->epoch = dwal__get64(bytes + AT(epoch));
    header->salt = dwal__get64(bytes + AT(salt));
    header->segment_size = dwal__get64(bytes + AT(segment_size));
    header->created_ns = dwal__get64(bytes + AT(created_ns));
    header->crc = dwal__get32(bytes + AT(crc));
}

/* SPEC 4.2 [header-valid], in its order. */
enum dwal__fault
dwal__segment_header_decode(const uint8_t *bytes, size_t size,
                            struct dwal__segment_header *header) {
    if (size < DWAL__SEGMENT_HEADER_SIZE)
        return DWAL__FAULT_SHORT;
    if (memcmp(bytes + AT(magic), segment_magic, sizeof segment_magic) != 0)
        return DWAL__FAULT_MAGIC;
    uint32_t crc = dwal__crc32(0, bytes + AT(version),
                               DWAL__SEGMENT_HEADER_SIZE - AT(version));
    if (crc != dwal__get32(bytes + AT(crc)))
        return DWAL__FAULT_CRC;
    segment_header_load(bytes, header);
    if (dwal__get16(bytes + AT(version)) != DWAL__FORMAT_VERSION ||
        header->features_incompatible != 0)
        return DWAL__FAULT_VERSION;
    if (dwal__get16(bytes + AT(header_size)) != DWAL__SEGMENT_HEADER_SIZE ||
        !dwal__segment_sizes_valid(header->block_size, header->segment_size) ||
        header->number == 0 || header->number > DWAL__NUMBER_MAX ||
        header->number <= header->previous || header->epoch == 0)
        return DWAL__FAULT_FIELD;
    if (dwal__zero_run(bytes + AT(reserved), 32) != 32)
        return DWAL__FAULT_RESERVED;
    return DWAL__FAULT_NONE;
}

bool dwal__segment_padding_check(const uint8_t *block,
                                 const struct dwal__segment_header *header) {
    size_t size = header->block_size - DWAL__SEGMENT_HEADER_SIZE;
    return dwal__zero_run(block + DWAL__SEGMENT_HEADER_SIZE, size) == size;
}

void dwal__segment_name(uint64_t number, char name[DWAL__NAME_SIZE]) {
    snprintf(name, DWAL__NAME_SIZE, "%016llx.wal", (unsigned long long)number);
}

void dwal__spare_name(uint64_t number, char name[DWAL__NAME_SIZE]) {
    snprintf(name, DWAL__NAME_SIZE, "%016llx.spare",
             (unsigned long long)number);
}

/* The value of @digits lower-case hex digits; false if any is not one. */
static bool hex_parse(const char *text, int digits, uint64_t *value) {
    uint64_t sum = 0;
    for (int i = 0; i < digits; i++) {
        char c = text[i];
        if (c >= '0' && c <= '9')
            sum = sum << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            sum = sum << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *value = sum;
    return true;
}

enum dwal__name_kind dwal__name_parse(const char *name, uint64_t *number) {
    size_t length = strlen(name);
    if (strcmp(name, DWAL__LOCK_NAME) == 0)
        return DWAL__NAME_LOCK;
    bool wal = length >= 4 && strcmp(name + length - 4, ".wal") == 0;
    bool spare = length >= 6 && strcmp(name + length - 6, ".spare") == 0;
    uint64_t value = 0;
    size_t digits = length - (wal ? 4u : spare ? 6u : 0u);
    bool numbered = digits == 16 && hex_parse(name, 16, &value) &&
                    value != 0 && value <= DWAL__NUMBER_MAX;
    if (wal && !numbered)
        return DWAL__NAME_BAD;
    if (!wal && !(spare && numbered))
        return DWAL__NAME_OTHER;
    *number = value;
    return wal ? DWAL__NAME_SEGMENT : DWAL__NAME_SPARE;
}

void dwal__uuid_text(const struct dwal__uuid *uuid,
                     char text[DWAL__UUID_TEXT_SIZE]) {
    const uint8_t *b = uuid->bytes;
    snprintf(text, DWAL__UUID_TEXT_SIZE,
             "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
             "%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
             b[11], b[12], b[13], b[14], b[15]);
}

/* SPEC 4.3: "dwal lock 1 ", the UUID, " ", the CRC of all that, "\n". */
#define LOCK_TEXT "dwal lock 1 "
#define LOCK_CRC_AT (sizeof LOCK_TEXT - 1 + 36 + 1)
static_assert(LOCK_CRC_AT + 8 + 1 == DWAL__LOCK_SIZE, "lock size");

void dwal__lock_encode(const struct dwal__uuid *uuid,
                       uint8_t bytes[DWAL__LOCK_SIZE]) {
    char line[DWAL__LOCK_SIZE + 1];
    char uuid_text[DWAL__UUID_TEXT_SIZE];
    dwal__uuid_text(uuid, uuid_text);
    snprintf(line, sizeof line, LOCK_TEXT "%s ", uuid_text);
    uint32_t crc = dwal__crc32(0, line, LOCK_CRC_AT);
    snprintf(line + LOCK_CRC_AT, sizeof line - LOCK_CRC_AT, "%08x\n", crc);
    memcpy(bytes, line, DWAL__LOCK_SIZE);
}

enum dwal__fault dwal__lock_decode(const uint8_t *bytes, size_t size,
                                   struct dwal__uuid *uuid) {
    if (size != DWAL__LOCK_SIZE)
        return DWAL__FAULT_SHORT;
    struct dwal__uuid found;
    const char *text = (const char *)bytes + sizeof LOCK_TEXT - 1;
    for (int i = 0, at = 0; i < DWAL__UUID_SIZE; i++, at += 2) {
        uint64_t value;
        if (i == 4 || i == 6 || i == 8 || i == 10)
            at++; /* a dash, or so the comparison below will see to */
        if (!hex_parse(text + at, 2, &value))
            return DWAL__FAULT_FIELD;
        found.bytes[i] = (uint8_t)value;
    }
    /* The line has one spelling, so comparing with it checks all of it. */
    uint8_t expected[DWAL__LOCK_SIZE];
    dwal__lock_encode(&found, expected);
    if (memcmp(bytes, expected, DWAL__LOCK_SIZE) != 0)
        return DWAL__FAULT_CRC;
    *uuid = found;
    return DWAL__FAULT_NONE;
}
