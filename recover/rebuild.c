/* SPDX-License-Identifier: MIT */
/*
 * Segment headers out of batches. The invariant: a header that is found here is
 * well-formed for its file (SPEC 4.2), and the segment's first batch follows
 * it.
 */
#include "rebuild.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../format/bytes.h"

#define HEADER_BITS (8 * DWAL__SEGMENT_HEADER_SIZE)
#define BATCH(field) offsetof(struct dwal__batch_header_bytes, field)
#define AT(field) offsetof(struct dwal__segment_header_bytes, field)

/* ---- from all batches ---- */

/* The salt of the batch header at @bytes, if one of segment @number stands
 * there. Its magic and CRC are checked by taking its own word for the salt. */
static bool salt_find(const uint8_t *bytes, uint64_t number, uint64_t offset,
                      uint64_t size, uint64_t *salt) {
    struct dwal__segment_header segment = {.number = number,
                                           .segment_size = size};
    struct dwal__batch_header batch;
    segment.salt = dwal__get64(bytes + BATCH(salt));
    if (dwal__get64(bytes + BATCH(segment)) != number ||
        dwal__batch_header_decode(bytes, DWAL__BATCH_HEADER_SIZE, &segment,
                                  offset, &batch) != DWAL__FAULT_NONE)
        return false;
    *salt = segment.salt;
    return true;
}

bool dwal__header_deduce(struct dwal__source *source, uint64_t number,
                         struct dwal__segment_header *header, int *error) {
    uint64_t boundaries = DWAL__BLOCK_SIZE_MAX;
    bool found = false;
    *header = (struct dwal__segment_header){.number = number};
    *error = 0;
    for (uint64_t at = DWAL__BLOCK_SIZE_MIN;
         at + DWAL__BATCH_HEADER_SIZE <= source->size;
         at += DWAL__BLOCK_SIZE_MIN) {
        const uint8_t *bytes;
        uint64_t salt;
        *error = dwal__source_get(source, at, DWAL__BATCH_HEADER_SIZE, &bytes);
        if (*error != 0)
            return false;
        if (!salt_find(bytes, number, at, source->size, &salt) ||
            (found && salt != header->salt))
            continue;
        header->salt = salt;
        boundaries |= at; /* its lowest bit: all are multiples of that */
        found = true;
    }
    header->block_size = (uint32_t)(boundaries & -boundaries);
    header->segment_size = source->size - source->size % header->block_size;
    return found;
}

/* ---- the header itself, but for one bit ---- */

/* True if @header can be that of the file of @segment. */
static bool header_suits(const struct dwal__segment_header *header,
                         const struct dwal__found_segment *segment,
                         const struct dwal__uuid *uuid) {
    return header->number == segment->number &&
           header->segment_size == segment->file_size &&
           memcmp(&header->uuid, uuid, sizeof *uuid) == 0;
}

/* The header at @bytes as it is, or with one bit put right. */
static bool header_near(const uint8_t *bytes,
                        const struct dwal__found_segment *segment,
                        const struct dwal__uuid *uuid,
                        struct dwal__segment_header *header) {
    uint8_t copy[DWAL__SEGMENT_HEADER_SIZE];
    memcpy(copy, bytes, sizeof copy);
    for (unsigned bit = 0; bit <= HEADER_BITS; bit++) {
        if (bit > 0)
            copy[(bit - 1) / 8] ^= (uint8_t)(1u << (bit - 1) % 8);
        bool valid = dwal__segment_header_decode(copy, sizeof copy, header) ==
                         DWAL__FAULT_NONE &&
                     header_suits(header, segment, uuid);
        if (bit > 0)
            copy[(bit - 1) / 8] ^= (uint8_t)(1u << (bit - 1) % 8);
        if (valid)
            return true;
    }
    return false;
}

/* ---- from the first batch ---- */

/* What the first batch proves, and says. */
struct first {
    uint32_t link;
    uint64_t sealed_ns;
    struct dwal__start start;
};

/* The first batch, if one stands at @header->block_size and is whole. */
static int first_look(struct dwal__source *source,
                      const struct dwal__segment_header *header,
                      struct first *first, bool *found) {
    const uint8_t *bytes;
    struct dwal__batch_header batch;
    struct dwal__batch_summary summary;
    uint64_t at = header->block_size;
    *found = false;
    if (source->size < at + DWAL__BATCH_HEADER_SIZE)
        return 0;
    int error = dwal__source_get(source, at, DWAL__BATCH_HEADER_SIZE, &bytes);
    if (error != 0 ||
        dwal__batch_header_decode(bytes, DWAL__BATCH_HEADER_SIZE, header, at,
                                  &batch) != DWAL__FAULT_NONE)
        return error;
    uint64_t padded = dwal__align_up(batch.size, header->block_size);
    if (padded > source->size - at)
        return 0;
    error = dwal__source_get(source, at, (size_t)padded, &bytes);
    if (error != 0 ||
        dwal__batch_check(bytes, &batch, header->block_size, &summary, NULL) !=
            DWAL__FAULT_NONE ||
        !dwal__start_fits(&summary.start, batch.first_lsn))
        return error;
    *first = (struct first){.link = batch.link,
                            .sealed_ns = batch.sealed_ns,
                            .start = summary.start};
    *found = true;
    return 0;
}

/* Tries each block size, since where the first batch stands is not known. */
static int first_find(struct dwal__source *source,
                      struct dwal__segment_header *header, struct first *first,
                      bool *found) {
    for (uint32_t size = DWAL__BLOCK_SIZE_MIN; size <= DWAL__BLOCK_SIZE_MAX;
         size *= 2) {
        header->block_size = size;
        int error = first_look(source, header, first, found);
        if (error != 0 || *found)
            return error;
    }
    return 0;
}

static bool header_encodable(const struct dwal__segment_header *header) {
    return header->number > header->previous && header->epoch >= 1 &&
           dwal__segment_sizes_valid(header->block_size, header->segment_size);
}

#define CANDIDATES_MAX 4

/* Numbers from several sources that may be the one that is wanted. */
struct candidates {
    uint64_t values[CANDIDATES_MAX];
    unsigned count;
};

static void candidate_add(struct candidates *candidates, uint64_t value) {
    candidates->values[candidates->count++] = value;
}

/* The well-formed segments right below and above @segment; NULL: none. */
static const struct dwal__found_segment *
neighbour(const struct dwal__recovery *recovery,
          const struct dwal__found_segment *segment, int step) {
    const struct dwal__found_segment *at = segment;
    const struct dwal__found_segment *last =
        recovery->segments + recovery->segment_count - 1;
    while (at != (step < 0 ? recovery->segments : last)) {
        at += step;
        if (at->well_formed)
            return at;
    }
    return NULL;
}

static uint64_t neighbour_epoch(const struct dwal__recovery *recovery,
                                const struct dwal__found_segment *segment,
                                int step) {
    const struct dwal__found_segment *other =
        neighbour(recovery, segment, step);
    return other != NULL ? other->header.epoch : 1;
}

/* Looks for the header whose CRC the first batch names. */
static bool header_prove(struct dwal__segment_header *header,
                         const struct candidates *previous,
                         const struct candidates *epoch, uint32_t link,
                         uint8_t *block) {
    for (unsigned i = 0; i < previous->count; i++)
        for (unsigned j = 0; j < epoch->count; j++) {
            header->previous = previous->values[i];
            header->epoch = epoch->values[j];
            if (header_encodable(header) &&
                dwal__segment_header_encode(header, block) == link)
                return true;
        }
    return false;
}

/* Brings @value to zero with what is in @basis, where the entry of each bit has
 * that as its highest; what was used of @parts goes to *@part. Returns the bit
 * for which there is no entry, -1 if it came to zero. */
static int basis_reduce(const uint32_t basis[32], const uint32_t parts[32],
                        uint32_t *value, uint32_t *part) {
    for (int bit = 31; bit >= 0; bit--) {
        if ((*value >> bit & 1) == 0)
            continue;
        if (basis[bit] == 0)
            return bit;
        *value ^= basis[bit];
        *part ^= parts[bit];
    }
    return -1;
}

/* Chooses the low half of the time of creation so that the header has the CRC
 * @link: a CRC is linear, and any can be reached with four bytes in a row. */
static void header_solve(struct dwal__segment_header *header, uint32_t link,
                         uint8_t *block) {
    uint32_t basis[32] = {0}, parts[32] = {0}, answer = 0;
    uint64_t high = header->created_ns & ~(uint64_t)UINT32_MAX;
    header->created_ns = high;
    uint32_t zero = dwal__segment_header_encode(header, block);
    for (int i = 0; i < 32; i++) {
        header->created_ns = high | (uint64_t)1 << i;
        uint32_t effect = dwal__segment_header_encode(header, block) ^ zero;
        uint32_t part = (uint32_t)1 << i;
        int bit = basis_reduce(basis, parts, &effect, &part);
        assert(bit >= 0); /* the 32 effects are independent */
        basis[bit] = effect;
        parts[bit] = part;
    }
    uint32_t wanted = zero ^ link;
    basis_reduce(basis, parts, &wanted, &answer);
    header->created_ns = high | answer;
}

/* All fields that a damaged header at @bytes may still hold, or that others
 * tell. @header has number, salt and block size. */
static void header_complete(struct dwal__rebuilt *rebuilt,
                            const struct dwal__recovery *recovery,
                            const struct dwal__found_segment *segment,
                            const uint8_t *bytes, const struct first *first,
                            uint8_t *block) {
    struct dwal__segment_header *header = &rebuilt->header;
    struct candidates previous = {.count = 0}, epoch = {.count = 0};
    uint64_t below = neighbour_epoch(recovery, segment, -1);
    candidate_add(&previous, dwal__get64(bytes + AT(previous)));
    candidate_add(&previous, first->start.previous_segment);
    candidate_add(&previous, segment->number - 1);
    candidate_add(&epoch, dwal__get64(bytes + AT(epoch)));
    candidate_add(&epoch, below);
    candidate_add(&epoch, neighbour_epoch(recovery, segment, 1));
    header->created_ns = dwal__get64(bytes + AT(created_ns));
    header->features_read_only = 0;
    rebuilt->proven =
        header_prove(header, &previous, &epoch, first->link, block);
    rebuilt->found = true;
    if (rebuilt->proven)
        return;
    header->previous = first->start.previous_segment;
    header->epoch = below;
    header->created_ns = first->sealed_ns;
    rebuilt->found = header_encodable(header);
    if (rebuilt->found)
        header_solve(header, first->link, block);
}

static int rebuild_from(struct dwal__source *source,
                        const struct dwal__recovery *recovery,
                        const struct dwal__found_segment *segment,
                        const struct dwal__uuid *uuid,
                        struct dwal__rebuilt *rebuilt, uint8_t *block) {
    uint8_t bytes[DWAL__SEGMENT_HEADER_SIZE] = {0};
    const uint8_t *at;
    struct first first;
    int error = 0;
    if (source->size >= sizeof bytes) {
        error = dwal__source_get(source, 0, sizeof bytes, &at);
        if (error != 0)
            return error;
        memcpy(bytes, at, sizeof bytes);
    }
    if (header_near(bytes, segment, uuid, &rebuilt->header)) {
        rebuilt->found = rebuilt->proven = true;
        return 0;
    }
    if (!dwal__header_deduce(source, segment->number, &rebuilt->header, &error))
        return error;
    bool found;
    rebuilt->header.segment_size = source->size;
    error = first_find(source, &rebuilt->header, &first, &found);
    if (error != 0 || !found ||
        !dwal__segment_sizes_valid(rebuilt->header.block_size, source->size))
        return error;
    rebuilt->header.uuid = *uuid;
    header_complete(rebuilt, recovery, segment, bytes, &first, block);
    return 0;
}

int dwal__header_rebuild(struct dwal__disk *disk, int dir,
                         const struct dwal__recovery *recovery,
                         const struct dwal__found_segment *segment,
                         const struct dwal__uuid *uuid,
                         struct dwal__rebuilt *rebuilt) {
    char name[DWAL__NAME_SIZE];
    struct dwal__source source = {.handle = -1};
    memset(rebuilt, 0, sizeof *rebuilt);
    dwal__segment_name(segment->number, name);
    uint8_t *block = malloc(DWAL__BLOCK_SIZE_MAX);
    int error =
        block != NULL ? dwal__source_open(&source, disk, dir, name) : -ENOMEM;
    if (error == 0)
        error = rebuild_from(&source, recovery, segment, uuid, rebuilt, block);
    if (error == 0 && source.unreadable > 0)
        rebuilt->found = false; /* zeros that were not read prove nothing */
    dwal__source_release(&source);
    free(block);
    return error;
}
