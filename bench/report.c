/* SPDX-License-Identifier: MIT */
/*
 * Figures from results. What was not measured is a NAN here, null in JSON, and
 * left out for people.
 */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "../fsck/cli.h"

static bool reading(const struct dwal__bench_options *options) {
    return options->mode == DWAL__BENCH_SCAN ||
           options->mode == DWAL__BENCH_LOAD ||
           options->mode == DWAL__BENCH_GET ||
           options->mode == DWAL__BENCH_RECOVER;
}

static double ratio(double value, double of) {
    return of > 0 ? value / of : NAN;
}

/* SPEC 5.2: a header of 32 bytes, the payload, padding to a multiple of 8. */
static double record_size(uint32_t bs) {
    return 32 + (double)(((uint64_t)bs + 7) / 8 * 8);
}

static double percentile_us(const struct dwal__result *result, double percent) {
    if (dwal__histogram_count(&result->latency) == 0)
        return NAN;
    return (double)dwal__histogram_percentile(&result->latency, percent) / 1e3;
}

void dwal__figures_fill(const struct dwal__bench_options *options,
                        const struct dwal__result *result,
                        struct dwal__figures *figures) {
    double records = (double)result->records;
    double payload = records * options->bs;
    const struct dwal__usage *usage = &result->usage;
    figures->records_per_s = ratio(records, result->seconds);
    figures->payload_bytes_per_s = ratio(payload, result->seconds);
    figures->record_bytes_per_s =
        ratio(records * record_size(options->bs), result->seconds);
    figures->p50 = percentile_us(result, 50);
    figures->p90 = percentile_us(result, 90);
    figures->p99 = percentile_us(result, 99);
    figures->p999 = percentile_us(result, 99.9);
    figures->p9999 = percentile_us(result, 99.99);
    figures->max = percentile_us(result, 100);
    figures->mean = dwal__histogram_count(&result->latency) == 0
                        ? NAN
                        : dwal__histogram_mean(&result->latency) / 1e3;
    figures->user_us = ratio(usage->user_us, records);
    figures->system_us = ratio(usage->system_us, records);
    figures->cpu_us = figures->user_us + figures->system_us;
    figures->voluntary = ratio((double)usage->voluntary, records);
    figures->involuntary = ratio((double)usage->involuntary, records);
    figures->reads = options->mode == DWAL__BENCH_GET && usage->read_calls_known
                         ? ratio((double)usage->read_calls, records)
                         : NAN;
    figures->batch_records = figures->batch_bytes = figures->written_bytes =
        NAN;
    if (result->io_known) {
        figures->batch_records = ratio(records, (double)result->io.writes);
        figures->batch_bytes = ratio((double)result->io.write_bytes, payload);
    }
    /* 0 is a filesystem without a disk, about which it says nothing. */
    if (!reading(options) && usage->written_known && usage->written_bytes != 0)
        figures->written_bytes = ratio((double)usage->written_bytes, payload);
}

/* ---- numbers for people ---- */

void dwal__report_time_text(double us, char text[DWAL__FIGURE_TEXT]) {
    if (us < 1000)
        snprintf(text, DWAL__FIGURE_TEXT, us < 100 ? "%.1f us" : "%.0f us", us);
    else if (us < 1e6)
        snprintf(text, DWAL__FIGURE_TEXT, us < 1e5 ? "%.1f ms" : "%.0f ms",
                 us / 1e3);
    else
        snprintf(text, DWAL__FIGURE_TEXT, "%.2f s", us / 1e6);
}

void dwal__report_rate_text(double rate, char text[DWAL__FIGURE_TEXT]) {
    if (rate < 1e4)
        snprintf(text, DWAL__FIGURE_TEXT, "%.0f", rate);
    else if (rate < 1e6)
        snprintf(text, DWAL__FIGURE_TEXT, "%.1f k", rate / 1e3);
    else if (rate < 1e9)
        snprintf(text, DWAL__FIGURE_TEXT, "%.2f M", rate / 1e6);
    else
        snprintf(text, DWAL__FIGURE_TEXT, "%.2f G", rate / 1e9);
}

static void asked_print(const struct dwal__bench_options *options,
                        bool library) {
    char size[DWAL__SIZE_TEXT];
    dwal__cli_size_text(options->bs, size);
    printf("%s, %u job%s, records of %s", dwal__bench_mode_names[options->mode],
           options->numjobs, options->numjobs == 1 ? "" : "s", size);
    if (options->mode == DWAL__BENCH_APPEND)
        printf(", iodepth %" PRIu64, options->iodepth);
    if (options->flush_us != 0)
        printf(", a simulated device with flushes of %u us", options->flush_us);
    if (options->rate > 0)
        printf(", open loop at %.6g a second", options->rate);
    if (options->logs > 1)
        printf(", %u logs", options->logs);
    if (library)
        printf("; preset %s, sync %s",
               dwal__bench_preset_names[options->preset],
               dwal__bench_sync_names[options->sync]);
    if (options->trim != 0) {
        dwal__cli_size_text(options->trim, size);
        printf(", trimmed to %s", size);
    }
    putchar('\n');
}

void dwal__report_head(const struct dwal__bench_options *options,
                       const char *engine, const char *version,
                       const struct dwal__device *device) {
    printf("%s%s %s%s: ", dwal__cli_style(stdout, DWAL__STYLE_BOLD), engine,
           version, dwal__cli_style(stdout, DWAL__STYLE_PLAIN));
    asked_print(options, strcmp(engine, "dwal") == 0);
    dwal__device_print(device);
}

static void latency_print(const struct dwal__bench_options *options,
                          const struct dwal__result *result,
                          const struct dwal__figures *figures) {
    const struct {
        const char *name;
        double us;
    } rows[] = {{"p50", figures->p50},      {"p90", figures->p90},
                {"p99", figures->p99},      {"p99.9", figures->p999},
                {"p99.99", figures->p9999}, {"max", figures->max},
                {"mean", figures->mean}};
    char text[DWAL__FIGURE_TEXT];
    printf("latency   ");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        dwal__report_time_text(rows[i].us, text);
        printf(" %s %s%s", rows[i].name, text,
               i + 1 < sizeof rows / sizeof rows[0] ? " " : "");
    }
    if (result->passes != 0)
        printf("  (%" PRIu64 " passes)", result->passes);
    else if (options->rate > 0)
        printf("  (from when a record was due)");
    putchar('\n');
    if (result->not_begun != 0)
        printf("           %" PRIu64
               " records were due and not even begun: the "
               "rate is more than it can do\n",
               result->not_begun);
}

static void facts_print(const struct dwal__log_facts *facts) {
    if (facts->sync == NULL)
        return;
    printf("sync       %s", facts->sync);
    if (facts->dsync_ns != 0 || facts->fdsync_ns != 0)
        printf(", measured: %.1f us with the write, %.1f us after it",
               (double)facts->dsync_ns / 1e3, (double)facts->fdsync_ns / 1e3);
    putchar('\n');
}

void dwal__report_print(const struct dwal__bench_options *options,
                        const struct dwal__result *result) {
    struct dwal__figures figures;
    char rate[DWAL__FIGURE_TEXT], size[DWAL__SIZE_TEXT];
    dwal__figures_fill(options, result, &figures);
    if (result->records == 0) {
        printf("records    none\n");
        return;
    }
    dwal__report_rate_text(figures.records_per_s, rate);
    dwal__cli_size_text((uint64_t)figures.payload_bytes_per_s, size);
    printf("records    %" PRIu64 " in %.2f s: %s/s, %s/s of payload%s\n",
           result->records, result->seconds, rate, size,
           result->cancelled ? " (stopped)" : "");
    if (dwal__histogram_count(&result->latency) != 0)
        latency_print(options, result, &figures);
    printf("cpu        %.3g us a record (%.3g user, %.3g system); switches a "
           "record: %.3g voluntary, %.3g not\n",
           figures.cpu_us, figures.user_us, figures.system_us,
           figures.voluntary, figures.involuntary);
    if (result->io_known)
        printf("batches    %" PRIu64 " of %.3g records, %" PRIu64
               " syncs; %.3g bytes a byte of payload\n",
               result->io.writes, figures.batch_records, result->io.syncs,
               figures.batch_bytes);
    if (!isnan(figures.written_bytes))
        printf("written    %.3g bytes a byte of payload, files prepared ahead "
               "included\n",
               figures.written_bytes);
    if (!isnan(figures.reads))
        printf("reads      %.3g of the disk a record\n", figures.reads);
    facts_print(&result->facts);
    dwal__cli_size_text(result->usage.memory_bytes, size);
    printf("memory     %s at most, this program included\n", size);
}

/* ---- JSON ---- */

void dwal__report_head_json(const struct dwal__bench_options *options,
                            const char *engine, const char *version,
                            const struct dwal__device *device,
                            struct dwal__json *json) {
    bool library = strcmp(engine, "dwal") == 0;
    dwal__json_string(json, "engine", engine);
    dwal__json_string(json, "engine_version", version);
    dwal__json_string(json, "mode", dwal__bench_mode_names[options->mode]);
    dwal__json_u64(json, "numjobs", options->numjobs);
    dwal__json_u64(json, "bs", options->bs);
    dwal__json_u64(json, "iodepth", options->iodepth);
    dwal__json_double(json, "rate", options->rate > 0 ? options->rate : NAN);
    dwal__json_u64(json, "logs", options->logs);
    dwal__json_string(json, "gather", options->gather == 0 ? "auto" : "off");
    dwal__json_string(json, "wait", options->wait == 0 ? "auto" : "sleep");
    dwal__json_u64(json, "flush_us", options->flush_us);
    dwal__json_string(json, "preset",
                      library ? dwal__bench_preset_names[options->preset]
                              : NULL);
    dwal__json_string(json, "sync",
                      library ? dwal__bench_sync_names[options->sync] : NULL);
    dwal__json_u64(json, "size", options->size);
    dwal__json_u64(json, "segment_size", options->segment_size);
    dwal__json_u64(json, "trim", options->trim);
    dwal__json_u64(json, "warmup", options->warmup);
    dwal__json_double(json, "runtime_s", options->runtime);
    dwal__json_double(json, "ramp_time_s", options->ramp_time);
    dwal__device_json(device, json);
}

static void latency_json(const struct dwal__result *result,
                         const struct dwal__figures *figures,
                         struct dwal__json *json) {
    dwal__json_object_open(json, "latency_us");
    dwal__json_double(json, "p50", figures->p50);
    dwal__json_double(json, "p90", figures->p90);
    dwal__json_double(json, "p99", figures->p99);
    dwal__json_double(json, "p99.9", figures->p999);
    dwal__json_double(json, "p99.99", figures->p9999);
    dwal__json_double(json, "max", figures->max);
    dwal__json_double(json, "mean", figures->mean);
    dwal__json_u64(json, "count", dwal__histogram_count(&result->latency));
    dwal__json_object_close(json);
}

void dwal__report_json(const struct dwal__bench_options *options,
                       const struct dwal__result *result,
                       struct dwal__json *json) {
    struct dwal__figures figures;
    dwal__figures_fill(options, result, &figures);
    dwal__json_double(json, "seconds", result->seconds);
    dwal__json_bool(json, "cancelled", result->cancelled);
    dwal__json_u64(json, "records", result->records);
    dwal__json_double(json, "records_per_s", figures.records_per_s);
    dwal__json_double(json, "payload_bytes_per_s", figures.payload_bytes_per_s);
    latency_json(result, &figures, json);
    dwal__json_u64(json, "not_begun", result->not_begun);
    if (reading(options)) {
        dwal__json_u64(json, "passes", result->passes);
        dwal__json_double(json, "record_bytes_per_s",
                          figures.record_bytes_per_s);
    }
    dwal__json_double(json, "cpu_us_per_record", figures.cpu_us);
    dwal__json_double(json, "user_us_per_record", figures.user_us);
    dwal__json_double(json, "system_us_per_record", figures.system_us);
    dwal__json_double(json, "voluntary_switches_per_record", figures.voluntary);
    dwal__json_double(json, "involuntary_switches_per_record",
                      figures.involuntary);
    if (result->io_known) {
        dwal__json_u64(json, "batches", result->io.writes);
        dwal__json_u64(json, "syncs", result->io.syncs);
    } else {
        dwal__json_null(json, "batches");
        dwal__json_null(json, "syncs");
    }
    dwal__json_double(json, "records_per_batch", figures.batch_records);
    dwal__json_double(json, "batch_bytes_per_payload_byte",
                      figures.batch_bytes);
    dwal__json_double(json, "written_bytes_per_payload_byte",
                      figures.written_bytes);
    dwal__json_double(json, "reads_per_record", figures.reads);
    dwal__json_string(json, "sync_method", result->facts.sync);
    dwal__json_double(json, "dsync_us",
                      ratio((double)result->facts.dsync_ns, 1e3));
    dwal__json_double(json, "fdsync_us",
                      ratio((double)result->facts.fdsync_ns, 1e3));
    dwal__json_u64(json, "memory_bytes_max", result->usage.memory_bytes);
}
