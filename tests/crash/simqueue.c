/* SPDX-License-Identifier: MIT */
/*
 * struct dwal__aio_ops on a simulated disk: a queue of writes and syncs that
 * end in any order. A write may reach the disk in any of its sectors at any
 * time between its submission and its event. A sync covers the writes of its
 * file that had ended when it was submitted, and no others.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "sched.h"
#include "simdisk.h"
#include "siminner.h"
#include "tests/support/check.h"

static struct simdisk *of(struct dwal__aio *aio) {
    return aio->simulation;
}

void sim_flight_free(struct sim_flight *flight) {
    for (uint32_t i = 0; i < flight->sectors; i++)
        sim_sector_drop(flight->content[i]);
    free(flight->content);
    free(flight->landed);
    free(flight);
}

void sim_flight_land(struct simdisk *sim, struct sim_flight *flight,
                     uint32_t index) {
    if (flight->sync || flight->landed[index])
        return;
    struct sim_inode *inode = sim->inodes[flight->inode];
    flight->landed[index] = true;
    sim_cell_write(&inode->cells[flight->offset / SIM_SECTOR + index],
                   sim_sector_share(flight->content[index]), ++inode->stamp);
}

/* It comes late, if it comes: whole, and without an error. */
static bool is_late(const struct sim_fault *fault) {
    return fault->when == SIM_NEVER || fault->when == SIM_STILL;
}

/* ---- submitting ---- */

static int queue_setup(struct dwal__aio *aio, unsigned depth) {
    (void)depth;
    struct simdisk *sim = of(aio);
    uint64_t number = sim_begin(sim, SIM_SETUP, "", 0, depth);
    const struct sim_fault *fault = sim_struck(sim, SIM_SETUP, number);
    return (int)sim_end(sim, number, fault != NULL ? fault->result : 0);
}

/* What a batch must not do. */
static void write_watch(struct simdisk *sim, const struct sim_flight *flight,
                        const struct iocb *iocb) {
    struct sim_inode *inode = sim->inodes[flight->inode];
    const char *name = sim_inode_name(sim, flight->inode);
    uint64_t all = (uintptr_t)iocb->u.c.buf | iocb->u.c.nbytes | flight->offset;
    if (sim->alignment != 0 && all % sim->alignment != 0)
        sim_complain(sim, "batch at %s %llu is misaligned", name,
                     (unsigned long long)flight->offset);
    if (flight->offset + iocb->u.c.nbytes > inode->size)
        sim_complain(sim, "batch at %s %llu makes the file grow", name,
                     (unsigned long long)flight->offset);
    if (inode->foreign)
        sim_complain(sim, "batch at %s %llu: a segment of an earlier life",
                     name, (unsigned long long)flight->offset);
    for (uint32_t i = 0; i < flight->sectors; i++) {
        struct sim_cell *cell = &inode->cells[flight->offset / SIM_SECTOR + i];
        if (cell->batch)
            sim_complain(sim, "batch at %s %llu lies over another", name,
                         (unsigned long long)flight->offset);
        cell->batch = true;
    }
}

static struct sim_flight *flight_new(struct simdisk *sim, struct iocb *iocb) {
    struct sim_flight *flight = calloc(1, sizeof *flight);
    assert(flight != NULL);
    flight->iocb = iocb;
    flight->data = iocb->data;
    flight->inode = sim->handles[iocb->aio_fildes].inode;
    flight->sync = iocb->aio_lio_opcode == IO_CMD_FDSYNC;
    flight->ready_ns = sched_clock() + sim_latency(sim);
    if (flight->sync) {
        flight->stamp = sim->inodes[flight->inode]->stamp;
        flight->size = sim->inodes[flight->inode]->size;
        return flight;
    }
    flight->dsync = (iocb->aio_rw_flags & RWF_DSYNC) != 0;
    flight->bytes = iocb->u.c.buf;
    flight->offset = (uint64_t)iocb->u.c.offset;
    flight->sectors = (uint32_t)(iocb->u.c.nbytes / SIM_SECTOR);
    flight->content = calloc(flight->sectors, sizeof *flight->content);
    flight->landed = calloc(flight->sectors, sizeof *flight->landed);
    assert(flight->content != NULL && flight->landed != NULL);
    for (uint32_t i = 0; i < flight->sectors; i++)
        flight->content[i] =
            sim_sector_new(flight->bytes + (size_t)i * SIM_SECTOR, SIM_SECTOR);
    write_watch(sim, flight, iocb);
    return flight;
}

static int queue_submit(struct dwal__aio *aio, long count,
                        struct iocb **iocbs) {
    struct simdisk *sim = of(aio);
    assert(count == 1);
    (void)count;
    struct iocb *iocb = iocbs[0];
    bool sync = iocb->aio_lio_opcode == IO_CMD_FDSYNC;
    enum sim_operation operation = sync ? SIM_SUBMIT_SYNC : SIM_SUBMIT_WRITE;
    if (iocb->aio_fildes < 0 || iocb->aio_fildes >= SIM_HANDLES_MAX ||
        sim->handles[iocb->aio_fildes].kind != SIM_FILE) {
        sim_complain(sim, "submits to handle %d, which is not open",
                     iocb->aio_fildes);
        return -EBADF;
    }
    int inode = sim->handles[iocb->aio_fildes].inode;
    uint64_t number = sim_begin(sim, operation, sim_inode_name(sim, inode),
                                sync ? 0 : (uint64_t)iocb->u.c.offset,
                                sync ? 0 : iocb->u.c.nbytes);
    const struct sim_fault *fault = sim_struck(sim, operation, number);
    if (fault != NULL && fault->when == SIM_AT_CALL)
        return (int)sim_end(sim, number, fault->result);
    assert(sim->flight_count < SIM_FLIGHTS_MAX);
    struct sim_flight *flight = flight_new(sim, iocb);
    flight->operation = number;
    flight->fault = fault;
    if (fault != NULL && is_late(fault))
        flight->ready_ns = sim_fault_end(fault);
    sim->flights[sim->flight_count++] = flight;
    /* Who waits for events may get this one. */
    sched_wake(&sim->flights, 1);
    return (int)sim_end(sim, number, 1);
}

/* ---- ending ---- */

static void buffer_watch(struct simdisk *sim, const struct sim_flight *flight) {
    for (uint32_t i = 0; i < flight->sectors; i++) {
        struct sim_sector *now =
            sim_sector_new(flight->bytes + (size_t)i * SIM_SECTOR, SIM_SECTOR);
        if (!sim_sector_same(now, flight->content[i]))
            sim_complain(sim,
                         "the buffer of the batch at %s %llu changed under I/O",
                         sim_inode_name(sim, flight->inode),
                         (unsigned long long)flight->offset);
        sim_sector_drop(now);
    }
}

/* What a write leaves behind. One that failed leaves anything. */
static void write_end(struct simdisk *sim, struct sim_flight *flight) {
    const struct sim_fault *fault = flight->fault;
    struct sim_inode *inode = sim->inodes[flight->inode];
    for (uint32_t i = 0; i < flight->sectors; i++) {
        if (fault != NULL && (fault->effect == SIM_NOTHING_DONE ||
                              (fault->effect == SIM_SOME_DONE &&
                               check_random(&sim->random) % 2 == 0)))
            continue;
        sim_flight_land(sim, flight, i);
        if ((fault == NULL || is_late(fault)) && flight->dsync)
            sim_cell_settle(&inode->cells[flight->offset / SIM_SECTOR + i],
                            sim_sector_share(flight->content[i]));
    }
}

/* Takes flight @index out of the queue; its result. */
static int64_t flight_end(struct simdisk *sim, int index,
                          struct io_event *event) {
    struct sim_flight *flight = sim->flights[index];
    const struct sim_fault *fault = flight->fault;
    sim->flights[index] = sim->flights[--sim->flight_count];
    sim->effects++;
    buffer_watch(sim, flight);
    int64_t result = (int64_t)flight->sectors * SIM_SECTOR;
    if (!flight->sync)
        write_end(sim, flight);
    else if (fault == NULL || fault->effect != SIM_NOTHING_DONE)
        sim_inode_sync(sim->inodes[flight->inode], flight->stamp, flight->size);
    if (fault != NULL && fault->when == SIM_AT_EVENT)
        result = fault->result;
    *event = (struct io_event){.data = flight->data,
                               .obj = flight->iocb,
                               .res = (unsigned long)result};
    sim_flight_free(flight);
    return result;
}

/* One that is due, at random; -1: none. Sets when the next one is. */
static int flight_due(struct simdisk *sim, int64_t *next) {
    int64_t now = sched_clock();
    int due = -1;
    unsigned count = 0;
    *next = INT64_MAX;
    for (int i = 0; i < sim->flight_count; i++) {
        int64_t ready = sim->flights[i]->ready_ns;
        if (ready <= now && check_random(&sim->random) % ++count == 0)
            due = i;
        if (ready < *next)
            *next = ready;
    }
    return due;
}

/* One event at least, and perhaps those that are due too. */
static int events_take(struct simdisk *sim, long max, struct io_event *events,
                       int64_t until) {
    for (;;) {
        int64_t next = INT64_MAX;
        int taken = 0;
        int due;
        while (taken < max && (due = flight_due(sim, &next)) >= 0) {
            flight_end(sim, due, &events[taken++]);
            if (check_random(&sim->random) % 2 == 0)
                break;
        }
        if (taken > 0)
            return taken;
        if (sched_now() >= until)
            return 0;
        sched_block(&sim->flights, next < until ? next : until);
        /* As after a signal. */
        if (check_random(&sim->random) % 8 == 0)
            return 0;
    }
}

static int queue_reap(struct dwal__aio *aio, long max, struct io_event *events,
                      int64_t timeout_ns) {
    struct simdisk *sim = of(aio);
    uint64_t number = sim_begin(sim, SIM_REAP, "", 0, (uint64_t)max);
    const struct sim_fault *fault = sim_struck(sim, SIM_REAP, number);
    if (fault != NULL)
        return (int)sim_end(sim, number, fault->result);
    int64_t until = INT64_MAX, now = sched_now();
    if (timeout_ns >= 0 && timeout_ns < INT64_MAX - now)
        until = now + timeout_ns;
    return (int)sim_end(sim, number, events_take(sim, max, events, until));
}

static void queue_destroy(struct dwal__aio *aio) {
    struct simdisk *sim = of(aio);
    if (sim->flight_count > 0)
        sim_complain(sim, "the queue is destroyed with %d in flight",
                     sim->flight_count);
}

static const struct dwal__aio_ops queue_ops = {
    .setup = queue_setup,
    .submit = queue_submit,
    .reap = queue_reap,
    .destroy = queue_destroy,
};

struct dwal__aio simdisk_aio(struct simdisk *sim) {
    return (struct dwal__aio){.ops = &queue_ops, .simulation = sim};
}

void simdisk_release(struct simdisk *sim) {
    sim->released = true;
    sched_wake(&sim->released, 1000);
    for (int i = 0; i < sim->flight_count; i++)
        if (sim->flights[i]->ready_ns == INT64_MAX)
            sim->flights[i]->ready_ns = 0;
    sched_wake(&sim->flights, 1000);
}
