/* SPDX-License-Identifier: MIT */
/*
 * The search for one flipped bit. Checksums leave few places to look at: a
 * header is small enough to try each of its bits; in a record, the difference
 * between the CRC that is stored and the one that is computed names the bit.
 * Invariant: a bit is reported only after the whole batch was checked with that
 * bit put right, and the bytes are left as they were.
 */
#include "flip.h"

#include "bytes.h"
#include "crc.h"

#define SECTOR_SIZE 512u
#define HEADER_BITS (8 * DWAL__BATCH_HEADER_SIZE)
#define CRC_POLYNOMIAL 0xEDB88320u /* SPEC 3.2, reflected */

/* The batch under examination. @at is the record that is not valid. */
struct search {
    const struct dwal__flip_place *place;
    struct dwal__batch_header header; /* with the bit put right */
    uint8_t *bytes;
    size_t at;
};

static void bit_flip(uint8_t *bytes, uint64_t bit) {
    bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
}

/* SPEC 5.3, but for what lies behind the header. */
static bool header_fits(const struct dwal__batch_header *header,
                        const struct dwal__flip_place *place) {
    return header->link == place->link &&
           (place->first_lsn == 0 || header->first_lsn == place->first_lsn);
}

/*
 * The header as it stands at @bytes, or with the one bit put right that makes
 * it readable. Sets *@bit to that bit's number, or to HEADER_BITS if there was
 * nothing to put right. The CRC tells any two single flips apart, so the first
 * that fits is the only one.
 */
static bool header_find(const uint8_t *bytes,
                        const struct dwal__flip_place *place,
                        struct dwal__batch_header *header, unsigned *bit) {
    uint8_t copy[DWAL__BATCH_HEADER_SIZE];
    memcpy(copy, bytes, sizeof copy);
    enum dwal__fault fault = dwal__batch_header_decode(
        copy, sizeof copy, place->segment, place->offset, header);
    *bit = HEADER_BITS;
    if (fault == DWAL__FAULT_NONE)
        return header_fits(header, place);
    if (fault != DWAL__FAULT_CRC && fault != DWAL__FAULT_MAGIC)
        return false; /* all of it was meant so, or nothing was written */
    for (*bit = 0; *bit < HEADER_BITS; ++*bit) {
        bit_flip(copy, *bit);
        fault = dwal__batch_header_decode(copy, sizeof copy, place->segment,
                                          place->offset, header);
        bit_flip(copy, *bit);
        if (fault == DWAL__FAULT_NONE)
            return header_fits(header, place);
    }
    return false;
}

/* SPEC 5.3, all of it. */
static bool batch_valid(const struct search *search,
                        struct dwal__batch_fault *where) {
    struct dwal__batch_summary summary;
    enum dwal__fault fault =
        dwal__batch_check(search->bytes, &search->header,
                          search->place->segment->block_size, &summary, where);
    if (fault != DWAL__FAULT_NONE)
        return false;
    return search->place->first_lsn != 0 ||
           dwal__start_fits(&summary.start, search->header.first_lsn);
}

/* True if the batch is valid with bit @bit, counted from its beginning, put
 * right, and something of that bit's sector was ever written: a sector that is
 * missing may have held a single one. */
static bool flip_explains(const struct search *search, uint64_t bit,
                          struct dwal__flip *flip) {
    const uint8_t *sector = search->bytes + bit / 8 / SECTOR_SIZE * SECTOR_SIZE;
    if (dwal__zero_run(sector, SECTOR_SIZE) == SECTOR_SIZE)
        return false;
    struct dwal__batch_fault where;
    bit_flip(search->bytes, bit);
    bool valid = batch_valid(search, &where);
    bit_flip(search->bytes, bit);
    if (valid) {
        flip->offset = search->place->offset + bit / 8;
        flip->bit = (unsigned)(bit % 8);
    }
    return valid;
}

/*
 * The bit of @size bytes whose change makes the difference @difference in their
 * CRC: its number from the beginning, or UINT64_MAX. The CRC is linear, so a
 * bit makes the same difference whatever the others are: the polynomial for the
 * last bit, and one step of the shift register more for each bit before it.
 */
static uint64_t crc_bit_locate(uint32_t difference, uint64_t size) {
    uint32_t single = CRC_POLYNOMIAL;
    for (uint64_t bit = 8 * size; bit-- > 0;) {
        if (single == difference)
            return bit;
        single = single >> 1 ^ ((single & 1) != 0 ? CRC_POLYNOMIAL : 0);
    }
    return UINT64_MAX;
}

/* A flip in the CRC field changes one bit of the difference; one in the payload
 * or the other fields is located by it. */
static bool record_content_find(const struct search *search,
                                struct dwal__flip *flip) {
    uint8_t *record = search->bytes + search->at;
    uint32_t size = dwal__get32(record + 4);
    uint64_t covered = DWAL__RECORD_HEADER_SIZE - 4 + (uint64_t)size;
    if (dwal__record_room(size) > search->header.size - search->at)
        return false;
    uint32_t difference =
        dwal__crc32(0, record + 4, covered) ^ dwal__get32(record);
    if (difference == 0)
        return false;
    if ((difference & (difference - 1)) == 0)
        return flip_explains(search,
                             8 * (uint64_t)search->at +
                                 (unsigned)__builtin_ctz(difference),
                             flip);
    uint64_t bit = crc_bit_locate(difference, covered);
    return bit != UINT64_MAX &&
           flip_explains(search, 8 * ((uint64_t)search->at + 4) + bit, flip);
}

/* A flip in the size field moves the end of what the CRC covers, so each of its
 * bits is tried. */
static bool record_size_find(const struct search *search,
                             struct dwal__flip *flip) {
    const uint8_t *record = search->bytes + search->at;
    uint32_t size = dwal__get32(record + 4);
    for (unsigned i = 0; i < 32; i++) {
        uint32_t other = size ^ (uint32_t)1 << i;
        if (dwal__record_room(other) <= search->header.size - search->at &&
            flip_explains(search, 8 * ((uint64_t)search->at + 4) + i, flip))
            return true;
    }
    return false;
}

/* The first bit that is set in what should be zeros, from @at to @end. A second
 * one is found when the batch is checked with this one put right. */
static bool padding_find(const struct search *search, uint64_t at, uint64_t end,
                         struct dwal__flip *flip) {
    uint64_t byte = at + dwal__zero_run(search->bytes + at, end - at);
    if (byte == end)
        return false;
    unsigned bit = (unsigned)__builtin_ctz(search->bytes[byte]);
    return flip_explains(search, 8 * byte + bit, flip);
}

/* All records before the one that is not valid are, so the flip is in it; or,
 * if all of them are, in the padding of the batch. */
static bool batch_find(struct search *search, struct dwal__flip *flip) {
    struct dwal__batch_fault where = {.fault = DWAL__FAULT_LSN};
    if (batch_valid(search, &where) || where.fault == DWAL__FAULT_LSN)
        return false;
    search->at = where.offset - search->place->offset;
    uint64_t padded =
        dwal__align_up(search->header.size, search->place->segment->block_size);
    if (!where.in_record)
        return where.fault == DWAL__FAULT_PADDING &&
               padding_find(search, search->header.size, padded, flip);
    switch (where.fault) {
    case DWAL__FAULT_PADDING: {
        uint32_t size = dwal__get32(search->bytes + search->at + 4);
        uint64_t used = search->at + DWAL__RECORD_HEADER_SIZE + size;
        return padding_find(search, used, search->at + dwal__record_room(size),
                            flip);
    }
    case DWAL__FAULT_RECORD_CRC:
    case DWAL__FAULT_RECORD_SIZE:
        return record_content_find(search, flip) ||
               record_size_find(search, flip);
    default:
        return false; /* checksums are right: all of it was meant so */
    }
}

uint64_t dwal__flip_extent(const uint8_t *block,
                           const struct dwal__flip_place *place) {
    struct dwal__batch_header header;
    unsigned bit;
    if (!header_find(block, place, &header, &bit))
        return 0;
    return dwal__align_up(header.size, place->segment->block_size);
}

bool dwal__flip_find(uint8_t *bytes, const struct dwal__flip_place *place,
                     struct dwal__flip *flip) {
    struct search search = {.place = place, .bytes = bytes};
    unsigned bit;
    if (!header_find(bytes, place, &search.header, &bit))
        return false;
    return bit < HEADER_BITS ? flip_explains(&search, bit, flip)
                             : batch_find(&search, flip);
}
