/* SPDX-License-Identifier: MIT */
#include "fault.h"

#include <stddef.h>

const char *dwal__fault_text(enum dwal__fault fault) {
    static const char *const texts[] = {
#define DWAL__X(name, text) [name] = text,
        DWAL__FAULT_LIST(DWAL__X)
#undef DWAL__X
    };
    return (size_t)fault < sizeof texts / sizeof texts[0] ? texts[fault] : "?";
}
