/* SPDX-License-Identifier: MIT */
/*
 * Findings and the error line. Nothing here decides: it reads what recovery
 * found out and decided, and names places. The invariant: a verdict that
 * refuses always comes with a finding that says why, and a line that names the
 * file, the offset, what is lost and what to do.
 */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chain.h"
#include "scan.h"

/* What the passes below share. */
struct report {
    const struct dwal__recover_hooks *hooks;
    struct dwal__recovery *recovery;
    const struct dwal__found_segment *end; /* NULL: no live end */
    uint64_t lost_from;                    /* the LSNs that damage concerns */
    uint64_t lost_to;
};

void dwal__report_finding(const struct dwal__recover_hooks *hooks,
                          struct dwal__report_first *first,
                          const struct dwal__finding *finding) {
    if (hooks->finding != NULL)
        hooks->finding(hooks->argument, finding);
    if (first == NULL || first->set)
        return;
    first->set = true;
    first->finding = *finding;
    if (finding->name != NULL) {
        snprintf(first->name, sizeof first->name, "%s", finding->name);
        first->finding.name = first->name;
    }
}

/* A finding without LSNs. */
static struct dwal__finding plain(enum dwal__finding_kind kind,
                                  uint64_t segment, uint64_t offset) {
    return (struct dwal__finding){
        .kind = kind, .segment = segment, .offset = offset, .lsn_from = 1};
}

/* Names the file and tells it. */
static void tell(const struct report *report, struct dwal__finding finding) {
    char name[DWAL__NAME_SIZE];
    if (finding.name == NULL && finding.segment != 0) {
        dwal__segment_name(finding.segment, name);
        finding.name = name;
    }
    dwal__report_finding(report->hooks, NULL, &finding);
}

/* The first place that is damage is the one for the error line. */
static void tell_damage(const struct report *report,
                        struct dwal__finding finding) {
    struct dwal__position *damage = &report->recovery->damage;
    if (damage->segment == 0)
        *damage = (struct dwal__position){finding.segment, finding.offset};
    finding.lsn_from = report->lost_from;
    finding.lsn_to = report->lost_to;
    tell(report, finding);
}

static struct dwal__found_segment *find(const struct report *report,
                                        uint64_t number) {
    return dwal__segment_find(report->recovery->segments,
                              report->recovery->segment_count, number);
}

/* ---- damage in the log ---- */

/* A header that names a missing segment above the live end's: SPEC 7.7,
 * missing-segment. */
static void segments_missing(const struct report *report) {
    const struct dwal__recovery *recovery = report->recovery;
    uint64_t told = 0;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        uint64_t previous = segment->header.previous;
        if (!segment->well_formed || previous <= recovery->end.segment ||
            previous == told || find(report, previous) != NULL)
            continue;
        told = previous;
        struct dwal__finding finding =
            plain(DWAL__FINDING_SEGMENT_MISSING, previous, 0);
        finding.other = segment->number;
        tell_damage(report, finding);
    }
}

/* True if the start of @segment, which has to have a predecessor, names none
 * that it could follow, although nothing of that one is missing. */
static bool chain_broken(const struct report *report,
                         const struct dwal__found_segment *segment) {
    if (!segment->started || segment->first_lsn <= segment->trim_lsn + 1)
        return false;
    const struct dwal__start *start = &segment->start;
    const struct dwal__found_segment *before =
        find(report, start->previous_segment);
    if (before == NULL)
        return start->previous_segment <= report->recovery->end.segment;
    if (before->number >= segment->number)
        return true;
    return before->scanned && segment->fits_known && !segment->fits &&
           before->run_end >= start->previous_end;
}

static void chain_breaks(const struct report *report) {
    const struct dwal__recovery *recovery = report->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->number <= recovery->end.segment ||
            !chain_broken(report, segment))
            continue;
        struct dwal__finding finding =
            plain(DWAL__FINDING_CHAIN_BROKEN, segment->number,
                  segment->header.block_size);
        finding.other = segment->start.previous_segment;
        tell_damage(report, finding);
    }
}

/* True if a start names a batch of @segment that lies behind its run. */
static bool run_named_beyond(const struct report *report,
                             const struct dwal__found_segment *segment) {
    const struct dwal__recovery *recovery = report->recovery;
    for (size_t i = recovery->segment_count; i-- > 0;) {
        const struct dwal__found_segment *later = &recovery->segments[i];
        if (later->number <= segment->number)
            return false;
        if (later->started &&
            later->start.previous_segment == segment->number &&
            later->start.previous_end > segment->run_end)
            return true;
    }
    return false;
}

/* How sure it is that the run of a segment ends where a valid batch was. */
enum damaged { DAMAGED_NOT, DAMAGED_PERHAPS, DAMAGED_SURELY };

static enum damaged run_damaged(const struct report *report,
                                const struct dwal__found_segment *segment) {
    const struct dwal__recovery *recovery = report->recovery;
    struct dwal__position run = {segment->number, segment->run_end};
    struct dwal__position evidence = recovery->watermark.position;
    if (!segment->scanned || segment->number < recovery->end.segment ||
        dwal__position_compare(run, evidence) >= 0)
        return DAMAGED_NOT;
    if (evidence.segment == segment->number ||
        run_named_beyond(report, segment))
        return DAMAGED_SURELY;
    /* It went on, but perhaps not as part of the log. */
    return segment->left_over || dwal__head_damaged(segment->end_fault)
               ? DAMAGED_PERHAPS
               : DAMAGED_NOT;
}

static enum dwal__fault end_fault(const struct dwal__found_segment *segment) {
    return segment->end_fault != DWAL__FAULT_NONE ? segment->end_fault
                                                  : segment->end_batch.fault;
}

static uint64_t end_offset(const struct dwal__found_segment *segment) {
    return segment->end_fault != DWAL__FAULT_NONE ? segment->run_end
                                                  : segment->end_batch.offset;
}

/* Returns how many were told. */
static unsigned batches_bad(const struct report *report, enum damaged how) {
    const struct dwal__recovery *recovery = report->recovery;
    unsigned count = 0;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (run_damaged(report, segment) != how)
            continue;
        struct dwal__finding finding = plain(
            DWAL__FINDING_BATCH_BAD, segment->number, end_offset(segment));
        finding.fault = end_fault(segment);
        tell_damage(report, finding);
        count++;
    }
    return count;
}

static void evidence_beyond(const struct report *report) {
    struct dwal__position at = report->recovery->watermark.position;
    struct dwal__finding finding =
        plain(DWAL__FINDING_EVIDENCE_BEYOND, at.segment, at.offset);
    finding.lsn_from = report->lost_from;
    finding.lsn_to = report->lost_to;
    tell(report, finding);
}

static void damage(const struct report *report) {
    struct dwal__recovery *recovery = report->recovery;
    uint32_t facts = recovery->facts.bits;
    bool beyond = (facts & DWAL__FACT_EVIDENCE_BEYOND) != 0;
    if ((facts & DWAL__FACT_MISSING_SEGMENT) != 0)
        segments_missing(report);
    /* A file that is not well-formed may be the successor; it has been told. */
    if ((facts & DWAL__FACT_LIVE_END) != 0 &&
        (facts & (DWAL__FACT_SUCCESSOR | DWAL__FACT_BAD_STRUCTURE)) == 0)
        tell_damage(report, plain(DWAL__FINDING_SUCCESSOR_MISSING,
                                  recovery->end.segment, recovery->end.offset));
    if (!beyond)
        return;
    chain_breaks(report);
    if (batches_bad(report, DAMAGED_SURELY) == 0)
        batches_bad(report, DAMAGED_PERHAPS);
    evidence_beyond(report);
}

/* ---- the tail ---- */

bool dwal__head_bad(const struct dwal__recovery *recovery,
                    const struct dwal__found_segment *segment) {
    bool is_end = segment->number == recovery->end.segment;
    if (!segment->scanned || (segment->started && !is_end))
        return false;
    if (dwal__head_damaged(segment->end_fault))
        return true;
    const struct dwal__found_segment *end = dwal__segment_find(
        recovery->segments, recovery->segment_count, recovery->end.segment);
    bool witnessed = end != NULL && end->run_witness && end->run_covered;
    return segment->end_fault == DWAL__FAULT_FOREIGN && !witnessed;
}

/* A started segment above the live end is left over with all of its run. */
static bool tail_torn(const struct report *report,
                      const struct dwal__found_segment *segment,
                      uint64_t *offset) {
    *offset = segment->left_over_offset;
    if (segment->started && segment != report->end) {
        *offset = segment->header.block_size;
        return true;
    }
    return segment->scanned && segment->left_over;
}

static void tail_segment(const struct report *report,
                         const struct dwal__found_segment *segment,
                         enum dwal__finding_kind kind) {
    const struct dwal__recovery *recovery = report->recovery;
    struct dwal__finding finding =
        plain(kind, segment->number, segment->run_end);
    finding.lsn_from = recovery->undecidable ? recovery->undecidable_from : 1;
    finding.lsn_to = recovery->undecidable ? recovery->undecidable_to : 0;
    finding.fault = end_fault(segment);
    if (kind == DWAL__FINDING_TAIL_FLIPPED) {
        finding.offset = segment->flipped_offset;
        finding.other = segment->flipped_bit;
    }
    uint64_t left_over;
    bool torn = tail_torn(report, segment, &left_over);
    if (kind == DWAL__FINDING_TAIL_TORN)
        finding.offset = left_over;
    if ((kind == DWAL__FINDING_TAIL_TORN && torn) ||
        (kind == DWAL__FINDING_TAIL_BAD_HEAD &&
         dwal__head_bad(recovery, segment)) ||
        (kind == DWAL__FINDING_TAIL_FLIPPED && segment->flipped))
        tell(report, finding);
}

static void tail(const struct report *report, enum dwal__finding_kind kind) {
    const struct dwal__recovery *recovery = report->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->well_formed && segment->number >= recovery->end.segment)
            tail_segment(report, segment, kind);
    }
}

/* ---- notes ---- */

static void notes(const struct report *report,
                  const struct dwal__listing *listing) {
    const struct dwal__recovery *recovery = report->recovery;
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->started && !segment->live)
            tell(report, plain(DWAL__FINDING_SEGMENT_DEAD, segment->number, 0));
    }
    for (size_t i = 0; i < recovery->segment_count; i++) {
        const struct dwal__found_segment *segment = &recovery->segments[i];
        if (segment->well_formed && !segment->started &&
            !dwal__head_bad(recovery, segment) && !segment->left_over)
            tell(report,
                 plain(DWAL__FINDING_SEGMENT_UNUSED, segment->number, 0));
    }
    for (size_t i = 0; i < recovery->spare_count; i++) {
        char name[DWAL__NAME_SIZE];
        struct dwal__finding finding = plain(DWAL__FINDING_SPARE, 0, 0);
        dwal__spare_name(recovery->spares[i], name);
        finding.name = name;
        finding.other = recovery->spares[i];
        tell(report, finding);
    }
    for (size_t i = 0; i < listing->other_count; i++) {
        struct dwal__finding finding = plain(DWAL__FINDING_OTHER_FILE, 0, 0);
        finding.name = listing->other_names[i];
        tell(report, finding);
    }
}

void dwal__report_log(const struct dwal__recover_hooks *hooks,
                      struct dwal__recovery *recovery,
                      const struct dwal__listing *listing) {
    struct report report = {.hooks = hooks,
                            .recovery = recovery,
                            .lost_from = recovery->durable_lsn + 1,
                            .lost_to = UINT64_MAX};
    report.end = find(&report, recovery->end.segment);
    if ((recovery->facts.bits & DWAL__FACT_EVIDENCE_BEYOND) != 0) {
        report.lost_from = recovery->lost_from;
        report.lost_to = recovery->lost_to;
    }
    if (recovery->verdict == DWAL__VERDICT_CORRUPT)
        damage(&report);
    if (recovery->verdict == DWAL__VERDICT_TORN) {
        tail(&report, DWAL__FINDING_TAIL_TORN);
        tail(&report, DWAL__FINDING_TAIL_BAD_HEAD);
    }
    if (dwal__recovery_settled(recovery)) /* else E is only what was reached */
        tail(&report, DWAL__FINDING_TAIL_FLIPPED);
    if (recovery->verdict != DWAL__VERDICT_UNREADABLE)
        notes(&report, listing);
}

/* ---- the error line ---- */

#define WHAT_SIZE 256

/* "segment 7 (0000000000000007.wal), offset 8192"; "LOCK"; "the directory". */
static void place_text(char *text, size_t size, const char *name,
                       uint64_t segment, uint64_t offset) {
    char own[DWAL__NAME_SIZE];
    if (segment == 0) {
        snprintf(text, size, "%s", name != NULL ? name : "the directory");
        for (char *c = text; *c != '\0'; c++)
            if ((unsigned char)*c < ' ' || *c == 127)
                *c = '?'; /* the text is one line, whatever a file is called */
        return;
    }
    dwal__segment_name(segment, own);
    int used = snprintf(text, size, "segment %" PRIu64 " (%s)", segment, own);
    if (offset > 0)
        snprintf(text + used, size - (size_t)used, ", offset %" PRIu64, offset);
}

/* What is wrong with a file, of the findings that do not need a decision. */
static const char *structure_text(const struct dwal__finding *finding) {
    switch (finding->kind) {
    case DWAL__FINDING_FILE_UNREADABLE:
        if (finding->os_errno == ELOOP)
            return "a symbolic link, which is never followed";
        return finding->os_errno != 0 ? strerror(finding->os_errno)
                                      : "cannot be read";
    case DWAL__FINDING_LOCK_MISSING:
        return "missing, although there are segments";
    case DWAL__FINDING_LOCK_BAD:
        return "damaged";
    case DWAL__FINDING_NAME_BAD:
        return "its name is no segment number";
    case DWAL__FINDING_HEADER_NUMBER:
        return "its header is that of another segment";
    case DWAL__FINDING_HEADER_UUID:
        return "it belongs to another log";
    case DWAL__FINDING_FILE_SIZE:
        return finding->fault == DWAL__FAULT_SHORT
                   ? "the file is shorter than its header says"
                   : "the file is longer than its header says";
    default:
        return dwal__fault_text(finding->fault);
    }
}

static void lost_text(const struct dwal__recovery *recovery, char *text,
                      size_t size) {
    bool beyond = (recovery->facts.bits & DWAL__FACT_EVIDENCE_BEYOND) != 0;
    if (beyond && recovery->lost_from > recovery->lost_to)
        snprintf(text, size, "acknowledged metadata or trims are gone");
    else if (beyond && recovery->lost_from == recovery->lost_to)
        snprintf(text, size,
                 "acknowledged record %" PRIu64 " is gone or cannot be reached",
                 recovery->lost_from);
    else if (beyond)
        snprintf(text, size,
                 "acknowledged records %" PRIu64 " to %" PRIu64
                 " are gone or cannot be reached",
                 recovery->lost_from, recovery->lost_to);
    else
        snprintf(text, size, "records from %" PRIu64 " on may be gone",
                 recovery->durable_lsn + 1);
}

/* What stands at the damaged place, for lost-records. */
static const char *damage_text(const struct dwal__recovery *recovery) {
    const struct dwal__found_segment *segment = dwal__segment_find(
        recovery->segments, recovery->segment_count, recovery->damage.segment);
    if (segment == NULL)
        return "the file is missing";
    if (recovery->damage.offset != end_offset(segment))
        return "it does not follow the segment that it names";
    if (end_fault(segment) == DWAL__FAULT_ZERO)
        return "zeros where a batch had been";
    return dwal__fault_text(end_fault(segment));
}

int dwal__report_error(const struct dwal__recovery *recovery,
                       const struct dwal__report_first *first,
                       struct dwal_error *error) {
    const struct dwal__decision *row = recovery->decision;
    int code = dwal__recovery_code(recovery);
    struct dwal__position at = recovery->damage;
    const char *name = NULL;
    const char *what;
    char place[WHAT_SIZE];
    char lost[WHAT_SIZE] = "";
    if (first->set) {
        at = (struct dwal__position){first->finding.segment,
                                     first->finding.offset};
        name = first->finding.name;
        what = structure_text(&first->finding);
    } else if (strcmp(row->name, "lost-records") == 0) {
        what = at.segment != 0 ? damage_text(recovery)
                               : "what follows cannot be reached";
        at = at.segment != 0 ? at : recovery->end;
    } else {
        what = row->text;
    }
    /* What could not be read may hold what seems to be lost. */
    if (code != DWAL_EIO &&
        ((recovery->facts.bits & DWAL__FACT_EVIDENCE_BEYOND) != 0 ||
         strncmp(row->name, "missing-", 8) == 0)) {
        memcpy(lost, "; ", 3);
        lost_text(recovery, lost + 2, sizeof lost - 2);
    }
    bool header = first->set && first->finding.kind == DWAL__FINDING_HEADER_BAD;
    place_text(place, sizeof place, name, at.segment, at.offset);
    dwal__error_set_at(error, code, 0, at.segment, at.offset, "%s: %s%s%s; %s",
                       place, header ? "its header: " : "", what, lost,
                       row->remedy);
    if (error != NULL && first->set)
        error->os_errno = first->finding.os_errno;
    return code;
}

int dwal__report_newer(const struct dwal__found_segment *segment,
                       struct dwal_error *error) {
    char place[WHAT_SIZE];
    bool header = segment->fault == DWAL__FAULT_VERSION;
    uint64_t offset = header ? 0 : end_offset(segment);
    place_text(place, sizeof place, NULL, segment->number, offset);
    if (header && segment->header.features_incompatible != 0)
        return dwal__error_set_at(error, DWAL_EVERSION, 0, segment->number,
                                  offset,
                                  "%s: incompatible features %#" PRIx32
                                  " are not known; use a newer dwal",
                                  place, segment->header.features_incompatible);
    return dwal__error_set_at(
        error, DWAL_EVERSION, 0, segment->number, offset,
        "%s: %s; use a newer "
        "dwal",
        place,
        header ? "another format version"
               : "a batch that this dwal does not understand");
}
