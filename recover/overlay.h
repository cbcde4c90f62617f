/* SPDX-License-Identifier: MIT */
/*
 * A disk as it would be with some bytes changed. Recovery runs over it to tell
 * what a patch would lead to, before anything is written. Only what recovery
 * and the planning of repairs call is there: it lists, opens and reads.
 */
#ifndef DWAL_RECOVER_OVERLAY_H
#define DWAL_RECOVER_OVERLAY_H

#include "disk.h"

struct dwal__overlay;

/* NULL: out of memory. Free with dwal__overlay_free. */
struct dwal__overlay *dwal__overlay_new(struct dwal__disk *below);
void dwal__overlay_free(struct dwal__overlay *overlay);

/* The operations on it. */
struct dwal__disk *dwal__overlay_disk(struct dwal__overlay *overlay);

/* From now on, @size bytes of the file @name from @offset on read as @bytes,
 * which are copied. False: out of memory. */
bool dwal__overlay_patch(struct dwal__overlay *overlay, const char *name,
                         uint64_t offset, const void *bytes, size_t size);

/* Takes all patches away. */
void dwal__overlay_clear(struct dwal__overlay *overlay);

#endif
