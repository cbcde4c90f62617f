/* SPDX-License-Identifier: MIT */
/*
 * The input of walput: lines, or blobs with their length in front, from a
 * descriptor. Bounded: no more is allocated than the largest record takes, and
 * no length is believed before it was compared with that. One thread at a time.
 */
#ifndef DWAL_FSCK_WALPUT_INPUT_H
#define DWAL_FSCK_WALPUT_INPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DWAL__INPUT_BUFFER_SIZE (256u * 1024u)

struct dwal__input {
    int fd;
    int stop_fd;            /* readable: give up waiting for input */
    bool framed;            /* u32 little-endian length, then so many bytes */
    uint32_t size_max;      /* of a record */
    uint64_t index;         /* of the next record, from 1, for messages */
    _Atomic uint64_t bytes; /* read so far; any thread may look */
    bool ended;
    size_t begin, end; /* of what was read and not used, in @buffer */
    uint8_t *buffer;
    char error[160]; /* why, after DWAL__INPUT_ERROR */
};

/* Memory that grows with the records it has held. Zero-initialise. */
struct dwal__blob {
    uint8_t *bytes;
    size_t capacity;
    uint32_t size;
};

enum dwal__input_result {
    DWAL__INPUT_RECORD, /* the blob is set */
    DWAL__INPUT_END,
    DWAL__INPUT_STOPPED, /* stop_fd became readable */
    DWAL__INPUT_ERROR
};

/* False: no memory. */
bool dwal__input_begin(struct dwal__input *input, int fd, int stop_fd,
                       bool framed, uint32_t size_max);
void dwal__input_release(struct dwal__input *input);

/*
 * The next record. A line without its newline; the last one needs none. What
 * the input ends in the middle of is an error for a blob. When stopped, what
 * was read of an unfinished record is dropped.
 */
enum dwal__input_result dwal__input_next(struct dwal__input *input,
                                         struct dwal__blob *blob);

#endif
