/* SPDX-License-Identifier: MIT */
/*
 * A segment whose header is damaged: what its batches say of it.
 *
 * Every batch header names the segment's number, its salt and its own offset,
 * under a CRC; the first one stands right behind the segment header and so
 * tells the block size, and its link is the CRC that the segment header had. A
 * header with that CRC is *proven* if all of its fields come from somewhere;
 * else what only informs, the time of creation, is chosen so that the CRC fits.
 */
#ifndef DWAL_RECOVER_REBUILD_H
#define DWAL_RECOVER_REBUILD_H

#include "recover.h"
#include "source.h"

/*
 * What the batches in the open @source, named as segment @number, say of
 * number, salt, block size and size. False, or *@error a negative errno: they
 * say nothing. Whether the file belongs to a log only its header could tell.
 */
bool dwal__header_deduce(struct dwal__source *source, uint64_t number,
                         struct dwal__segment_header *header, int *error);

struct dwal__rebuilt {
    bool found;
    bool proven; /* every field, by a CRC that was made with it */
    struct dwal__segment_header header;
};

/*
 * The header of @segment, which is not well-formed because its header is
 * damaged; the log has @uuid. 0 or a negative errno of the disk.
 */
int dwal__header_rebuild(struct dwal__disk *disk, int dir,
                         const struct dwal__recovery *recovery,
                         const struct dwal__found_segment *segment,
                         const struct dwal__uuid *uuid,
                         struct dwal__rebuilt *rebuilt);

#endif
