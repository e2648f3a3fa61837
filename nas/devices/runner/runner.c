/* Times ONNX models on a device without Python: speaks what worker.py speaks, on ONNX Runtime's C API.

       runner info THREADS PROVIDER    print one line about this device
       runner run JOB                  run a job; the models and weights.bin lie in the working folder

   Jobs and lines are described in worker.py. NAS_MODEL, NAS_SOC and NAS_SYSTEM in the environment name a device that
   /proc does not. Linux only, CPUExecutionProvider only. */

#define _GNU_SOURCE
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "ort.h"

static const OrtApi *ort;

/* ---- Lines. */

static void print_field(const char *name, const char *text) { /* at most 300 bytes; null where there is no text */
    printf("\"%s\": %s", name, text && *text ? "\"" : "null");
    for (int n = 0; text && text[n] && n < 300; n++) {
        if (text[n] == '"' || text[n] == '\\') putchar('\\');
        putchar(text[n] == 127 || (text[n] >= 0 && text[n] < 32) ? ' ' : text[n]);
    }
    if (text && *text) putchar('"');
}

static void fail(const char *format, ...) {
    char message[400];
    va_list values;
    va_start(values, format);
    vsnprintf(message, sizeof message, format, values);
    va_end(values);
    putchar('{'), print_field("error", message), puts("}");
    exit(1);
}

static void check(Status *status) {
    if (status) fail("ONNX Runtime: %s", ort->GetErrorMessage(status));
}

static void *allocate(size_t count, size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, count * size + 1)) fail("no memory for %zu values", count);
    return memory;
}

/* ---- About this device. */

/* The first line of a file, or with a key the value of its first line `key : value`; empty where there is none. */
static bool read_value(char value[200], const char *path, const char *key) {
    char line[400];
    FILE *file = fopen(path, "r");
    *value = 0;
    while (file && !*value && fgets(line, sizeof line, file)) {
        char *text = line;
        if (key) {
            if (strncmp(line, key, strlen(key))) continue;
            text += strlen(key) + strspn(line + strlen(key), " \t");
            if (*text++ != ':') continue;
        }
        snprintf(value, 200, "%s", text + strspn(text, " \t"));
        value[strcspn(value, "\n")] = 0;
        if (!key) break;
    }
    if (file) fclose(file);
    return *value;
}

static void model_name(char name[200]) {
    char part[200], *given = getenv("NAS_MODEL");
    if (given && *given) snprintf(name, 200, "%s", given);
    else if (read_value(name, "/proc/device-tree/model", NULL) || read_value(name, "/proc/cpuinfo", "model name") ||
             read_value(name, "/proc/cpuinfo", "Hardware") || read_value(name, "/proc/cpuinfo", "Model")) return;
    else if (read_value(part, "/proc/cpuinfo", "CPU part")) {
        read_value(name, "/proc/cpuinfo", "CPU implementer");
        snprintf(name, 200, "implementer %.20s part %.20s", strdup(name), part);
    }
}

static void check_provider(const char *provider) {
    if (strcmp(provider, "CPUExecutionProvider")) fail("the runner has CPUExecutionProvider, not %s", provider);
}

static void info(const char *threads, const char *provider) {
    char model[200] = "", governor[200], text[400], *given = getenv("NAS_SYSTEM");
    struct utsname system;
    check_provider(provider);
    uname(&system);
    model_name(model);
    read_value(governor, "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", NULL);
    snprintf(text, sizeof text, "%s%s%s %s", given ? given : "", given ? ", " : "", system.sysname, system.release);
    fputs("{\"info\": {", stdout);
    print_field("model", *model ? model : system.machine), fputs(", ", stdout);
    print_field("architecture", system.machine), fputs(", ", stdout);
    print_field("runtime", "ONNX Runtime"), fputs(", ", stdout);
    print_field("runtime_version", OrtGetApiBase()->GetVersionString()), fputs(", ", stdout);
    print_field("provider", provider), fputs(", ", stdout);
    print_field("system", text), fputs(", ", stdout);
    print_field("governor", governor), fputs(", ", stdout);
    print_field("soc", getenv("NAS_SOC"));
    printf(", \"threads\": %d, \"cores\": %ld, \"memory_mb\": %" PRId64 "}}\n", atoi(threads),
           sysconf(_SC_NPROCESSORS_ONLN), (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGE_SIZE) >> 20);
}

/* ---- What disturbs a round. */

typedef struct { long long all, idle, stolen, own; } Jiffies; /* of all processors, and of this process */

static Jiffies processor_times(void) { /* zeros where unknown */
    long long v[8];
    int found = 0;
    struct tms own;
    FILE *file = fopen("/proc/stat", "r");
    if (file && fscanf(file, "cpu") == 0)
        while (found < 8 && fscanf(file, "%lld", v + found) == 1) found++;
    if (file) fclose(file);
    if (found < 8) return (Jiffies){0};
    times(&own);
    return (Jiffies){v[0] + v[1] + v[2] + v[3] + v[4] + v[5] + v[6] + v[7], v[3] + v[4], v[7],
                     own.tms_utime + own.tms_stime};
}

static void remark(Jiffies then, Jiffies now) {
    double all = now.all - then.all, stolen = now.stolen - then.stolen;
    double load = all - stolen - (now.idle - then.idle) - (now.own - then.own);
    if (!then.all || all <= 0) return;
    printf("{\"remark\": \"load\", \"value\": %.6f}\n", fmax(0, load / all));
    printf("{\"remark\": \"stolen\", \"value\": %.6f}\n", fmax(0, stolen / all));
}

/* ---- A job. */

typedef struct {
    char name[65];
    int64_t shape[4];
    int group;
} Probe;

typedef struct {
    int64_t threads, passes, runs, seed, input_offset, input_values;
    int groups, count;
    Probe *probes;
} Job;

static int64_t size_of(const Probe *probe) { /* values of its input; 0 where that is no number of at most 2^30 */
    int64_t size = 1;
    for (int n = 0; n < 4; n++) {
        if (probe->shape[n] < 1 || probe->shape[n] > (1 << 30) / size) return 0;
        size *= probe->shape[n];
    }
    return size;
}

static bool read_probe(const char *line, Job *job) {
    Probe p = {.group = job->groups};
    char rest;
    int found = sscanf(line, "probe %64[0-9A-Za-z] %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %c", p.name, p.shape,
                       p.shape + 1, p.shape + 2, p.shape + 3, &rest);
    job->probes = realloc(job->probes, (size_t)(job->count + 1) * sizeof p);
    if (!job->probes) fail("no memory for %d probes", job->count);
    job->probes[job->count++] = p;
    return found == 5 && job->groups && size_of(&p);
}

static Job read_job(const char *path) {
    Job job = {.threads = -1, .passes = -1, .runs = -1, .seed = -1, .input_offset = -1, .input_values = -1};
    const char *names[] = {"threads", "passes", "runs", "seed", "input_offset", "input_values"};
    int64_t *numbers[] = {&job.threads, &job.passes, &job.runs, &job.seed, &job.input_offset, &job.input_values};
    char line[400], word[20], text[65], rest;
    FILE *file = fopen(path, "r");
    if (!file) fail("%s cannot be read", path);
    while (fgets(line, sizeof line, file)) {
        bool good = false;
        *text = 0;
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "%19s %64s", word, text) < 1) continue;
        if (!strcmp(word, "group")) good = ++job.groups;
        else if (!strcmp(word, "probe")) good = read_probe(line, &job);
        else if (!strcmp(word, "provider")) check_provider(text), good = true;
        for (int n = 0; n < 6; n++)
            if (!strcmp(word, names[n]))
                good = sscanf(line, "%*s %" SCNd64 " %c", numbers[n], &rest) == 1 && *numbers[n] >= 0;
        if (!good) fail("this line of the job is not understood: %s", line);
    }
    fclose(file);
    for (int n = 0; n < 6; n++)
        if (*numbers[n] < 0) fail("the job does not say its %s", names[n]);
    if (job.runs > 10000 || !job.input_values) fail("a job has at most 10,000 runs in a slice, and input values");
    return job;
}

static uint64_t next_random(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void shuffle(int *order, int size, uint64_t *state) {
    for (int n = 0; n < size; n++) {
        int other = (int)(next_random(state) % (uint64_t)(n + 1));
        order[n] = order[other], order[other] = n;
    }
}

/* ---- Sessions. */

typedef struct { /* of one probe, with its input and output in place, so that a run allocates nothing */
    const Probe *probe;
    uint64_t id;
    Opaque *session, *input, *output;
    float *picture;
    double checksum;
} Session;

static int64_t clock_of(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int64_t nanoseconds(void) { return clock_of(CLOCK_MONOTONIC); }

static const int64_t TAKEN_NS = 100000;
static int alone; /* one thread does all the work: a run that others took the processor from counts with its work */

static int64_t timed(Session *s) {
    static const char *const inputs[] = {"input"}, *const outputs[] = {"output"};
    const Opaque *input = s->input;
    int64_t worked = clock_of(CLOCK_PROCESS_CPUTIME_ID), start = nanoseconds();
    check(ort->Run(s->session, NULL, inputs, &input, 1, outputs, 1, &s->output));
    int64_t took = nanoseconds() - start;
    worked = clock_of(CLOCK_PROCESS_CPUTIME_ID) - worked;
    return alone && took - worked > TAKEN_NS ? worked : took;
}

static double mean_absolute(Opaque *value) {
    Opaque *shape;
    int type;
    size_t count;
    float *data;
    double sum = 0;
    check(ort->GetTensorTypeAndShape(value, &shape));
    check(ort->GetTensorElementType(shape, &type));
    check(ort->GetTensorShapeElementCount(shape, &count));
    ort->ReleaseTensorTypeAndShapeInfo(shape);
    if (type != FLOAT32) fail("the output of a model is float32");
    check(ort->GetTensorMutableData(value, (void **)&data));
    for (size_t n = 0; n < count; n++) sum += fabs((double)data[n]);
    if (!isfinite(sum)) fail("the output of a model is finite");
    return sum / (double)count;
}

static Session open_session(const Probe *probe, const Opaque *env, const Opaque *options, const float *data,
                            int64_t values) {
    static Opaque *memory;
    Session s = {.probe = probe};
    size_t size = (size_t)size_of(probe), bytes = size * sizeof *data;
    char path[80];
    snprintf(path, sizeof path, "%s.onnx", probe->name);
    check(ort->CreateSession(env, path, options, &s.session));
    if (getrandom(&s.id, sizeof s.id, 0) != sizeof s.id) fail("the system gives no random numbers");
    s.picture = allocate(size, sizeof *data);
    for (size_t n = 0; n < size; n++) s.picture[n] = data[n % (size_t)values];
    if (!memory) check(ort->CreateCpuMemoryInfo(ARENA_ALLOCATOR, DEFAULT_MEMORY, &memory));
    check(ort->CreateTensorWithDataAsOrtValue(memory, s.picture, bytes, probe->shape, 4, FLOAT32, &s.input));
    timed(&s); /* makes the output, which all later runs write into */
    s.checksum = mean_absolute(s.output);
    timed(&s), timed(&s);
    return s;
}

static void close_session(Session *s) {
    ort->ReleaseValue(s->output), ort->ReleaseValue(s->input), ort->ReleaseSession(s->session);
    free(s->picture);
}

static void slice(Session *s, int pass, double at_s, int64_t runs) {
    static int64_t ns[10000];
    timed(s); /* not counted: others have used the caches since */
    for (int64_t n = 0; n < runs; n++) ns[n] = timed(s);
    printf("{\"probe\": \"%s\", \"session\": \"%016" PRIx64 "\", \"slice\": %d, ", s->probe->name, s->id, pass);
    printf("\"at_s\": %.9f, \"batch\": 1, \"checksum\": %.17g, \"ns\": [", at_s, s->checksum);
    for (int64_t n = 0; n < runs; n++) printf(n ? ", %" PRId64 : "%" PRId64, ns[n]);
    puts("]}"), fflush(stdout);
}

static void run(const char *path) {
    Job job = read_job(path);
    float *data = allocate((size_t)job.input_values, sizeof *data);
    FILE *weights = fopen("weights.bin", "rb");
    if (!weights || fseeko(weights, (off_t)job.input_offset * 4, SEEK_SET) ||
        fread(data, sizeof *data, (size_t)job.input_values, weights) != (size_t)job.input_values)
        fail("weights.bin has no %" PRId64 " values from %" PRId64 " on", job.input_values, job.input_offset);
    fclose(weights);
    Opaque *env, *options;
    check(ort->CreateEnv(ERRORS_ONLY, "nas", &env));
    check(ort->CreateSessionOptions(&options));
    alone = job.threads == 1;
    check(ort->SetIntraOpNumThreads(options, (int)job.threads));
    check(ort->SetInterOpNumThreads(options, 1));
    Session *sessions = allocate((size_t)job.count, sizeof *sessions);
    int *order = allocate((size_t)job.count, sizeof *order);
    uint64_t random = (uint64_t)job.seed;
    int64_t began = nanoseconds(), told = began;
    Jiffies before = processor_times();
    for (int first = 0, size, turn = 0; first < job.count; first += size, turn++) {
        for (size = 1; first + size < job.count && job.probes[first + size].group == job.probes[first].group;) size++;
        shuffle(order, size, &random);
        for (int n = 0; n < size; n++) {
            sessions[n] = open_session(&job.probes[first + order[n]], env, options, data, job.input_values);
            if (nanoseconds() - told > INT64_C(1000000000)) {
                told = nanoseconds();
                printf("{\"alive\": %d}\n", n + 1), fflush(stdout);
            }
        }
        for (int pass = 0; pass < job.passes; pass++) {
            shuffle(order, size, &random);
            for (int n = 0; n < size; n++)
                slice(&sessions[order[n]], turn * (int)job.passes + pass, (double)(nanoseconds() - began) * 1e-9, job.runs);
        }
        for (int n = 0; n < size; n++) close_session(&sessions[n]);
    }
    remark(before, processor_times());
    printf("{\"done\": %d}\n", job.count);
}

int main(int count, char **words) {
    if (!(ort = OrtGetApiBase()->GetApi(API_VERSION))) fail("the ONNX Runtime here is older than 1.%d", API_VERSION);
    if (count == 4 && !strcmp(words[1], "info")) info(words[2], words[3]);
    else if (count == 3 && !strcmp(words[1], "run")) run(words[2]);
    else fail("usage: runner info THREADS PROVIDER, or runner run JOB");
    return 0;
}
