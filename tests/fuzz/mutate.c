/* SPDX-License-Identifier: MIT */
/*
 * The mutations. A file that ends in .wal is taken for a segment, whatever it
 * holds: where its batches would stand follows from the block size in its
 * header. Nothing here has to be right, only to get far.
 */
#include "mutate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/batch.h"
#include "format/bytes.h"
#include "format/crc.h"
#include "tests/support/random.h"

#define AT(type, field) offsetof(struct dwal__##type##_bytes, field)

static const uint8_t batch_magic[4] = {0xD7, 0x42, 0x41, 0x54};

static uint64_t random_state;

static uint64_t random_next(void) {
    return check_random(&random_state);
}

/* 0 to @count - 1. */
static size_t random_below(size_t count) {
    return count > 0 ? (size_t)(random_next() % count) : 0;
}

static bool random_percent(unsigned share) {
    return random_next() % 100 < share;
}

/* ---- making checksums right ---- */

static size_t block_size_of(const uint8_t *bytes, size_t size) {
    size_t block = size >= DWAL__SEGMENT_HEADER_SIZE
                       ? dwal__get32(bytes + AT(segment_header, block_size))
                       : 0;
    return block >= DWAL__BLOCK_SIZE_MIN && block <= DWAL__BLOCK_SIZE_MAX &&
                   dwal__is_power_of_two(block)
               ? block
               : DWAL__BLOCK_SIZE_MIN;
}

static void segment_seal(uint8_t *bytes) {
    dwal__put32(bytes + AT(segment_header, crc),
                dwal__crc32(0, bytes + 12, DWAL__SEGMENT_HEADER_SIZE - 12));
}

/* The records of a batch, of which @size bytes are there; returns the
 * digest. */
static uint32_t records_seal(uint8_t *batch, size_t size) {
    size_t end = dwal__get64(batch + AT(batch_header, size));
    uint32_t left = dwal__get32(batch + AT(batch_header, record_count));
    uint32_t digest = 0;
    size_t at = DWAL__BATCH_HEADER_SIZE;
    if (end > size)
        end = size;
    while (left-- > 0 && at <= end && end - at >= DWAL__RECORD_HEADER_SIZE) {
        size_t payload = dwal__get32(batch + at + AT(record_header, size));
        if (payload > end - at - DWAL__RECORD_HEADER_SIZE)
            break;
        uint32_t crc = dwal__crc32(0, batch + at + 4,
                                   DWAL__RECORD_HEADER_SIZE - 4 + payload);
        dwal__put32(batch + at, crc);
        digest = dwal__digest(digest, &crc, 1);
        at += (size_t)dwal__record_room((uint32_t)payload);
    }
    return digest;
}

void mutate_seal(uint8_t *bytes, size_t size) {
    if (size < DWAL__SEGMENT_HEADER_SIZE)
        return;
    size_t block = block_size_of(bytes, size);
    segment_seal(bytes);
    uint32_t link = dwal__get32(bytes + AT(segment_header, crc));
    for (size_t at = block;
         at < size && size - at >= DWAL__BATCH_HEADER_SIZE;) {
        uint8_t *batch = bytes + at;
        size_t step = block;
        if (memcmp(batch, batch_magic, sizeof batch_magic) == 0) {
            size_t whole = dwal__get64(batch + AT(batch_header, size));
            if (whole <= size - at)
                step = dwal__align_up(whole > 0 ? whole : 1, block);
            dwal__put32(batch + AT(batch_header, digest),
                        records_seal(batch, size - at));
            dwal__put32(batch + AT(batch_header, link), link);
            link = dwal__crc32(0, batch + 8, DWAL__BATCH_HEADER_SIZE - 8);
            dwal__put32(batch + 4, link);
        }
        at += step;
    }
}

/* ---- fields ---- */

struct field {
    uint16_t offset;
    uint8_t size;
};

static const struct field segment_fields[] = {
    {12, 2}, {16, 4}, {20, 4}, {28, 4}, {32, 8}, {48, 8},
    {56, 8}, {56, 8}, {64, 8}, {72, 8}, {80, 8}, {96, 8}};
static const struct field batch_fields[] = {
    {8, 8},  {16, 8}, {24, 8}, {32, 8}, {32, 8}, {40, 8}, {40, 8}, {48, 4},
    {52, 4}, {56, 8}, {64, 8}, {72, 8}, {80, 4}, {84, 4}, {96, 4}, {100, 4}};
/* Of a record, and behind it of a start or a trim point. */
static const struct field record_fields[] = {
    {4, 4},  {8, 8},  {16, 2}, {16, 2}, {18, 2}, {28, 4}, {32, 8}, {40, 8},
    {48, 8}, {56, 4}, {60, 4}, {64, 8}, {72, 4}, {76, 4}, {32, 8}};

static uint64_t near_value(uint64_t old) {
    static const uint64_t edges[] = {
        0,       1,          2,          127,       128,        160,
        512,     4096,       131071,     131072,    UINT32_MAX, INT64_MAX,
        1 << 20, UINT64_MAX, 0x8001,     0x8002,    0x8003,     0x0004,
        0x0005,  0x8004,     1ull << 40, 1ull << 63};
    switch (random_below(6)) {
    case 0:
        return edges[random_below(sizeof edges / sizeof edges[0])];
    case 1:
        return old ^ UINT64_C(1) << random_below(64);
    case 2:
        return random_next();
    case 3:
        return random_below(16);
    default:
        return old +
               (uint64_t)random_below(17) * (random_percent(30) ? 64 : 1) - 8;
    }
}

static void field_change(uint8_t *at, size_t room, const struct field *fields,
                         size_t count) {
    struct field field = fields[random_below(count)];
    if ((size_t)field.offset + field.size > room)
        return;
    uint8_t bytes[8] = {0};
    memcpy(bytes, at + field.offset, field.size);
    dwal__put64(bytes, near_value(dwal__get64(bytes)));
    memcpy(at + field.offset, bytes, field.size);
}

#define FIELD_CHANGE(at, room, fields)                                         \
    field_change(at, room, fields, sizeof fields / sizeof fields[0])

/* The offset of some batch, or of the end of the batches. */
static size_t batch_pick(const uint8_t *bytes, size_t size) {
    size_t block = block_size_of(bytes, size);
    size_t found = block, seen = 0;
    for (size_t at = block; at < size && size - at >= DWAL__BATCH_HEADER_SIZE;
         at += block)
        if (memcmp(bytes + at, batch_magic, sizeof batch_magic) == 0 &&
            random_below(++seen) == 0)
            found = at;
    return found;
}

/* The offset of some record in the batch at @bytes. */
static size_t record_pick(const uint8_t *bytes, size_t size) {
    size_t at = DWAL__BATCH_HEADER_SIZE;
    for (unsigned i = (unsigned)random_below(5); i > 0; i--) {
        if (at >= size || size - at < DWAL__RECORD_HEADER_SIZE)
            break;
        size_t room = (size_t)dwal__record_room(
            dwal__get32(bytes + at + AT(record_header, size)));
        if (room > size - at)
            break;
        at += room;
    }
    return at;
}

static void segment_field(uint8_t *bytes, size_t size) {
    size_t at = batch_pick(bytes, size);
    if (random_percent(15) && size >= DWAL__SEGMENT_HEADER_SIZE)
        FIELD_CHANGE(bytes, size, segment_fields);
    else if (at < size && random_percent(50))
        FIELD_CHANGE(bytes + at, size - at, batch_fields);
    else if (at < size) {
        size_t record = record_pick(bytes + at, size - at);
        if (record < size - at)
            FIELD_CHANGE(bytes + at + record, size - at - record,
                         record_fields);
    }
}

/* ---- blocks ---- */

static void block_change(uint8_t *to, size_t to_size, const uint8_t *from,
                         size_t from_size) {
    size_t unit = random_percent(80) ? DWAL__BLOCK_SIZE_MIN : 8;
    size_t length = unit * (1 + random_below(8));
    size_t a = random_below(to_size / unit) * unit;
    size_t b = random_below(from_size / unit) * unit;
    if (length > to_size - a)
        length = to_size - a;
    if (random_percent(30)) {
        memset(to + a, 0, length);
        return;
    }
    if (length > from_size - b)
        length = from_size - b;
    memmove(to + a, from + b, length);
}

/* Header and batches say what belongs to this place: what was copied here from
 * elsewhere becomes part of the segment. */
static void place_right(uint8_t *bytes, size_t size) {
    if (size < DWAL__SEGMENT_HEADER_SIZE)
        return;
    size_t block = block_size_of(bytes, size);
    uint64_t number = dwal__get64(bytes + AT(segment_header, number));
    uint64_t salt = dwal__get64(bytes + AT(segment_header, salt));
    dwal__put64(bytes + AT(segment_header, segment_size), size);
    for (size_t at = block; at < size && size - at >= DWAL__BATCH_HEADER_SIZE;
         at += block) {
        uint8_t *batch = bytes + at;
        if (memcmp(batch, batch_magic, sizeof batch_magic) != 0)
            continue;
        dwal__put64(batch + AT(batch_header, segment), number);
        dwal__put64(batch + AT(batch_header, salt), salt);
        dwal__put64(batch + AT(batch_header, offset), at);
        size_t record = record_pick(batch, size - at);
        if (record < size - at &&
            size - at - record >= DWAL__RECORD_HEADER_SIZE)
            dwal__put32(batch + record + AT(record_header, salt),
                        (uint32_t)salt);
    }
}

/* ---- files ---- */

static bool is_segment(const struct folder_file *file) {
    size_t length = strlen(file->name);
    return length > 4 && strcmp(file->name + length - 4, ".wal") == 0;
}

static void name_any(char name[FOLDER_NAME_MAX + 1]) {
    static const char *const names[] = {"LOCK",
                                        "0.wal",
                                        "walfsck-repair.wal",
                                        "walfsck.tmp",
                                        "LOCK.lost",
                                        "0000000000000001.wal.lost",
                                        "readme",
                                        "LOCK.new",
                                        "ffffffffffffffff.wal",
                                        "000000000000000A.wal",
                                        "7fffffffffffffff.wal",
                                        "0000000000000000.wal",
                                        "7ffffffffffffffe.spare"};
    if (random_percent(75))
        snprintf(name, FOLDER_NAME_MAX, "%016x.%s", (unsigned)random_below(9),
                 random_percent(90) ? "wal" : "spare");
    else
        strcpy(name, names[random_below(sizeof names / sizeof names[0])]);
}

/* The number in the header becomes that of the name. */
static void number_right(struct folder_file *file) {
    uint64_t number;
    if (file->size >= DWAL__SEGMENT_HEADER_SIZE &&
        dwal__name_parse(file->name, &number) == DWAL__NAME_SEGMENT)
        dwal__put64(file->bytes + AT(segment_header, number), number);
}

static void file_copy(struct folder *folder, size_t from) {
    char name[FOLDER_NAME_MAX + 1];
    size_t size = folder->files[from].size;
    uint8_t *bytes = malloc(size > 0 ? size : 1);
    if (bytes == NULL)
        return;
    memcpy(bytes, folder->files[from].bytes, size);
    name_any(name);
    if (random_percent(40))
        folder_remove(folder, from);
    struct folder_file *copy = folder_add(folder, name, size);
    if (copy != NULL) {
        memcpy(copy->bytes, bytes, size);
        if (random_percent(70))
            number_right(copy);
    }
    free(bytes);
}

static void file_resize(struct folder *folder, size_t index) {
    struct folder_file old = folder->files[index];
    size_t size = random_below(4) == 0 ? random_below(old.size + 1)
                                       : (1 + random_below(40)) * 512;
    uint8_t *bytes = malloc(old.size > 0 ? old.size : 1);
    if (bytes == NULL)
        return;
    memcpy(bytes, old.bytes, old.size);
    struct folder_file *file = folder_add(folder, old.name, size);
    if (file != NULL) {
        memcpy(file->bytes, bytes, size < old.size ? size : old.size);
        if (random_percent(50) && size >= DWAL__SEGMENT_HEADER_SIZE)
            dwal__put64(file->bytes + AT(segment_header, segment_size), size);
    }
    free(bytes);
}

static void files_change(struct folder *folder) {
    size_t index = random_below(folder->count);
    char name[FOLDER_NAME_MAX + 1];
    switch (random_below(4)) {
    case 0:
        folder_remove(folder, index);
        break;
    case 1:
        file_copy(folder, index);
        break;
    case 2:
        file_resize(folder, index);
        break;
    default:
        name_any(name);
        if (folder_find(folder, name) == NULL)
            strcpy(folder->files[index].name, name);
        break;
    }
}

/* ---- whole inputs ---- */

static void bytes_flip(uint8_t *bytes, size_t size) {
    for (size_t i = 1 + random_below(3); size > 0 && i > 0; i--)
        bytes[random_below(size)] ^= (uint8_t)(1u << random_below(8));
}

static void file_mutate(struct folder_file *file,
                        const struct folder_file *from, mutate_bytes *bytes) {
    if (file->size == 0)
        return;
    switch (random_below(5)) {
    case 0:
        if (bytes != NULL) {
            size_t at = random_below(file->size);
            size_t some = 1 + random_below(64);
            some = some < file->size - at ? some : file->size - at;
            bytes(file->bytes + at, some, some);
        } else {
            bytes_flip(file->bytes, file->size);
        }
        break;
    case 1:
        if (from->size > 0)
            block_change(file->bytes, file->size, from->bytes, from->size);
        break;
    default:
        segment_field(file->bytes, file->size);
        break;
    }
}

static void folder_repair(struct folder *folder) {
    bool place = random_percent(40);
    if (random_percent(15))
        return;
    for (size_t i = 0; i < folder->count; i++) {
        struct folder_file *file = &folder->files[i];
        if (!is_segment(file) || random_percent(5))
            continue;
        if (place)
            place_right(file->bytes, file->size);
        mutate_seal(file->bytes, file->size);
    }
}

size_t mutate_folder(uint8_t *input, size_t size, size_t max, uint64_t seed,
                     mutate_bytes *bytes) {
    random_state = seed;
    if (bytes != NULL && random_percent(10))
        return bytes(input, size, max);
    struct folder folder;
    folder_read(&folder, input, size);
    if (random_percent(10))
        folder.choice = (uint8_t)random_next();
    for (size_t i = 1 + random_below(4); folder.count > 0 && i > 0; i--) {
        if (random_percent(12))
            files_change(&folder);
        if (folder.count > 0)
            file_mutate(&folder.files[random_below(folder.count)],
                        &folder.files[random_below(folder.count)], bytes);
    }
    folder_repair(&folder);
    size = folder_write(&folder, input, max);
    folder_release(&folder);
    return size;
}

size_t mutate_cross(const uint8_t *one, size_t one_size, const uint8_t *two,
                    size_t two_size, uint8_t *out, size_t max, uint64_t seed) {
    struct folder folder, other;
    random_state = seed;
    folder_read(&folder, one, one_size);
    folder_read(&other, two, two_size);
    for (size_t i = 0; i < other.count; i++) {
        const struct folder_file *from = &other.files[i];
        if (random_percent(60))
            continue;
        struct folder_file *file = folder_add(&folder, from->name, from->size);
        if (file != NULL)
            memcpy(file->bytes, from->bytes, from->size);
    }
    size_t size = folder_write(&folder, out, max);
    folder_release(&folder);
    folder_release(&other);
    return size;
}

size_t mutate_segment(uint8_t *input, size_t size, size_t max, uint64_t seed,
                      mutate_bytes *bytes) {
    random_state = seed;
    if (bytes != NULL && random_percent(25))
        size = bytes(input, size, max);
    for (size_t i = 1 + random_below(3); size > 0 && i > 0; i--) {
        if (random_percent(15))
            block_change(input, size, input, size);
        else if (random_percent(20))
            bytes_flip(input, size);
        else
            segment_field(input, size);
    }
    if (random_percent(40))
        place_right(input, size);
    if (random_percent(85))
        mutate_seal(input, size);
    return size;
}
