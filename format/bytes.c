/* SPDX-License-Identifier: MIT */
#include "bytes.h"

size_t dwal__zero_run(const uint8_t *bytes, size_t size) {
    size_t index = 0;
    for (; size - index >= 64; index += 64) {
        uint64_t words[8];
        memcpy(words, bytes + index, sizeof words);
        if ((words[0] | words[1] | words[2] | words[3] | words[4] | words[5] |
             words[6] | words[7]) != 0)
            break;
    }
    while (index < size && bytes[index] == 0)
        index++;
    return index;
}
