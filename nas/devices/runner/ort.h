/* The part of ONNX Runtime's C API that runner.c uses; wheels carry the library without its header.

   OrtApi is a table of functions that only ever grows at its end: the places below are those of its first version, and
   the library refuses a version that it does not know. Everything it hands out is opaque here. A status is NULL where
   all went well. */

#include <stddef.h>
#include <stdint.h>

typedef struct Opaque Opaque;
typedef Opaque Status;

typedef struct {
    void *gap_0[2];
    const char *(*GetErrorMessage)(const Status *status);
    Status *(*CreateEnv)(int level, const char *name, Opaque **env);
    void *gap_4[3];
    Status *(*CreateSession)(const Opaque *env, const char *path, const Opaque *options, Opaque **session);
    void *gap_8;
    Status *(*Run)(Opaque *session, const Opaque *options, const char *const *input_names, const Opaque *const *inputs,
                   size_t input_count, const char *const *output_names, size_t output_count, Opaque **outputs);
    Status *(*CreateSessionOptions)(Opaque **options);
    void *gap_11[13];
    Status *(*SetIntraOpNumThreads)(Opaque *options, int threads);
    Status *(*SetInterOpNumThreads)(Opaque *options, int threads);
    void *gap_26[23];
    Status *(*CreateTensorWithDataAsOrtValue)(const Opaque *memory, void *data, size_t bytes, const int64_t *shape,
                                              size_t rank, int type, Opaque **value);
    void *gap_50;
    Status *(*GetTensorMutableData)(Opaque *value, void **data);
    void *gap_52[8];
    Status *(*GetTensorElementType)(const Opaque *shape, int *type);
    void *gap_61[3];
    Status *(*GetTensorShapeElementCount)(const Opaque *shape, size_t *count);
    Status *(*GetTensorTypeAndShape)(const Opaque *value, Opaque **shape);
    void *gap_66[3];
    Status *(*CreateCpuMemoryInfo)(int allocator, int kind, Opaque **memory);
    void *gap_70[25];
    void (*ReleaseSession)(Opaque *session);
    void (*ReleaseValue)(Opaque *value);
    void *gap_97[2];
    void (*ReleaseTensorTypeAndShapeInfo)(Opaque *shape);
} OrtApi;
_Static_assert(offsetof(OrtApi, ReleaseTensorTypeAndShapeInfo) == 99 * sizeof(void *), "the gaps add up");

typedef struct {
    const OrtApi *(*GetApi)(uint32_t version);
    const char *(*GetVersionString)(void);
} OrtApiBase;
const OrtApiBase *OrtGetApiBase(void);

enum { API_VERSION = 18 };   /* that of ONNX Runtime 1.18, the oldest that nas supports */
enum { FLOAT32 = 1 };        /* ONNXTensorElementDataType */
enum { ERRORS_ONLY = 3 };    /* OrtLoggingLevel */
enum { ARENA_ALLOCATOR = 1, DEFAULT_MEMORY = 0 };
