/* SPDX-License-Identifier: MIT */
/*
 * Lines and blobs out of a stream of bytes. Waits in poll(), so that a signal
 * or a failed log ends the waiting at once, also at a terminal.
 */
#include "walput_input.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool dwal__input_begin(struct dwal__input *input, int fd, int stop_fd,
                       bool framed, uint32_t size_max) {
    uint8_t *buffer = malloc(DWAL__INPUT_BUFFER_SIZE);
    if (buffer == NULL)
        return false;
    memset(input, 0, sizeof *input);
    input->fd = fd;
    input->stop_fd = stop_fd;
    input->framed = framed;
    input->size_max = size_max;
    input->index = 1;
    input->buffer = buffer;
    return true;
}

void dwal__input_release(struct dwal__input *input) {
    free(input->buffer);
    input->buffer = NULL;
}

/* RECORD: there are bytes in the buffer. END: there are none any more. */
static enum dwal__input_result input_fill(struct dwal__input *input) {
    struct pollfd fds[2] = {{.fd = input->stop_fd, .events = POLLIN},
                            {.fd = input->fd, .events = POLLIN}};
    while (input->begin == input->end && !input->ended) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR) {
            snprintf(input->error, sizeof input->error, "poll: %s",
                     strerror(errno));
            return DWAL__INPUT_ERROR;
        }
        if (fds[0].revents != 0)
            return DWAL__INPUT_STOPPED;
        ssize_t count = read(input->fd, input->buffer, DWAL__INPUT_BUFFER_SIZE);
        if (count < 0 && errno != EINTR && errno != EAGAIN) {
            snprintf(input->error, sizeof input->error,
                     "read standard input: %s", strerror(errno));
            return DWAL__INPUT_ERROR;
        }
        input->ended = count == 0;
        input->begin = 0;
        input->end = count > 0 ? (size_t)count : 0;
        input->bytes += input->end;
    }
    return input->begin < input->end ? DWAL__INPUT_RECORD : DWAL__INPUT_END;
}

/* Moves @size buffered bytes behind the blob, which the caller keeps within
 * size_max. False: no memory. */
static bool blob_take(struct dwal__blob *blob, struct dwal__input *input,
                      size_t size) {
    size_t wanted = blob->size + size;
    if (wanted > blob->capacity) {
        size_t capacity = wanted < 512 ? 512 : wanted + wanted / 2;
        uint8_t *bytes = realloc(blob->bytes, capacity);
        if (bytes == NULL) {
            snprintf(input->error, sizeof input->error,
                     "record %" PRIu64 ": no memory for %zu bytes",
                     input->index, capacity);
            return false;
        }
        blob->bytes = bytes;
        blob->capacity = capacity;
    }
    if (size > 0)
        memcpy(blob->bytes + blob->size, input->buffer + input->begin, size);
    blob->size += (uint32_t)size;
    input->begin += size;
    return true;
}

static enum dwal__input_result too_large(struct dwal__input *input,
                                         const char *what) {
    snprintf(input->error, sizeof input->error,
             "record %" PRIu64 " has %s than %" PRIu32
             " bytes, the most that this log takes; see --segment-size",
             input->index, what, input->size_max);
    return DWAL__INPUT_ERROR;
}

static enum dwal__input_result line_next(struct dwal__input *input,
                                         struct dwal__blob *blob) {
    for (;;) {
        enum dwal__input_result result = input_fill(input);
        if (result == DWAL__INPUT_END && blob->size > 0)
            return DWAL__INPUT_RECORD; /* the last line, without a newline */
        if (result != DWAL__INPUT_RECORD)
            return result;
        const uint8_t *from = input->buffer + input->begin;
        size_t there = input->end - input->begin;
        const uint8_t *newline = memchr(from, '\n', there);
        size_t size = newline != NULL ? (size_t)(newline - from) : there;
        if (size > input->size_max - blob->size)
            return too_large(input, "more");
        if (!blob_take(blob, input, size))
            return DWAL__INPUT_ERROR;
        if (newline == NULL)
            continue;
        input->begin++;
        return DWAL__INPUT_RECORD;
    }
}

/* Fills the blob up to @size bytes. */
static enum dwal__input_result
bytes_take(struct dwal__input *input, struct dwal__blob *blob, uint32_t size) {
    while (blob->size < size) {
        enum dwal__input_result result = input_fill(input);
        if (result != DWAL__INPUT_RECORD)
            return result;
        size_t there = input->end - input->begin;
        size_t missing = size - blob->size;
        if (!blob_take(blob, input, there < missing ? there : missing))
            return DWAL__INPUT_ERROR;
    }
    return DWAL__INPUT_RECORD;
}

static enum dwal__input_result blob_next(struct dwal__input *input,
                                         struct dwal__blob *blob) {
    enum dwal__input_result result = bytes_take(input, blob, 4);
    if (result == DWAL__INPUT_END && blob->size == 0)
        return result;
    uint32_t size = 4;
    if (result == DWAL__INPUT_RECORD) {
        const uint8_t *b = blob->bytes;
        size = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
               (uint32_t)b[3] << 24;
        if (size > input->size_max)
            return too_large(input, "a length of more");
        blob->size = 0;
        result = bytes_take(input, blob, size);
    }
    if (result != DWAL__INPUT_END)
        return result;
    snprintf(input->error, sizeof input->error,
             "standard input ends inside record %" PRIu64 ": %" PRIu32
             " of %" PRIu32 " bytes; the record was not appended",
             input->index, blob->size, size);
    return DWAL__INPUT_ERROR;
}

enum dwal__input_result dwal__input_next(struct dwal__input *input,
                                         struct dwal__blob *blob) {
    blob->size = 0;
    enum dwal__input_result result =
        input->framed ? blob_next(input, blob) : line_next(input, blob);
    if (result == DWAL__INPUT_RECORD)
        input->index++;
    return result;
}
