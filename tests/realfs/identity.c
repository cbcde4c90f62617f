/* SPDX-License-Identifier: MIT */
/* Makes and recognises the records of the workloads. */
#include "identity.h"

#include <string.h>

_Static_assert(sizeof(struct identity) == 32, "it is written as it lies");

uint64_t identity_mix(uint64_t value) {
    value += UINT64_C(0x9e3779b97f4a7c15);
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

/* Most are small, some fill blocks, a few are longer than a disk's write. */
static uint32_t payload_size(uint64_t random) {
    uint32_t least = sizeof(struct identity);
    switch (random % 16) {
    case 0:
        return least;
    case 1:
    case 2:
        return least + (uint32_t)(random >> 8) % 6000;
    case 3:
        return random >> 60 == 0 ? IDENTITY_PAYLOAD_MAX
                                 : least + (uint32_t)(random >> 8) % 20000;
    default:
        return least + (uint32_t)(random >> 8) % 400;
    }
}

void identity_record(const struct identity *identity,
                     struct dwal_record *record, uint8_t *bytes) {
    uint64_t random = identity_mix(
        identity->salt ^
        identity_mix(
            identity->life ^
            identity_mix(identity->thread ^ identity_mix(identity->number))));
    *record = (struct dwal_record){.data = bytes,
                                   .size = payload_size(random),
                                   .type = (uint16_t)(random >> 16),
                                   .flags = (uint16_t)(random >> 24),
                                   .tenant = (uint32_t)(random >> 7),
                                   .shard = (uint32_t)(random >> 32)};
    memcpy(bytes, identity, sizeof *identity);
    for (uint32_t at = sizeof *identity; at < record->size; at += 8) {
        random = random * UINT64_C(6364136223846793005) + 1442695041;
        uint32_t left = record->size - at;
        memcpy(bytes + at, &random, left < 8 ? left : 8);
    }
}

bool identity_read(const struct dwal_record *record, struct identity *identity,
                   uint8_t *scratch) {
    struct dwal_record same;
    if (record->size < sizeof *identity)
        return false;
    memcpy(identity, record->data, sizeof *identity);
    identity_record(identity, &same, scratch);
    return same.size == record->size && same.type == record->type &&
           same.flags == record->flags && same.tenant == record->tenant &&
           same.shard == record->shard &&
           memcmp(record->data, scratch, record->size) == 0;
}
