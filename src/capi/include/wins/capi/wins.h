/* wins from C and from every language that loads C libraries. The ABI is stable: functions are
 * added, never changed; WINS_ABI counts additions.
 *
 * Functions that can fail return WINS_OK or WINS_ERROR (or NULL for text) and leave one line in
 * wins_last_error(). Nothing throws, and a NULL argument is an error, not a crash. A model may be
 * used by several threads at once; wins_free must come after the last call. */
#ifndef WINS_CAPI_WINS_H_
#define WINS_CAPI_WINS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WINS_ABI 2
#define WINS_MAX_RANK 8

enum wins_status { WINS_OK = 0, WINS_ERROR = 1 };

/* Element types. */
enum wins_dtype { WINS_F32 = 0, WINS_F64 = 1, WINS_I64 = 2, WINS_I32 = 3, WINS_U8 = 4, WINS_BOOL = 5 };

/* A network ready to run. */
typedef struct wins_model wins_model;

/* Dense row-major array in the caller's memory. */
typedef struct wins_tensor {
  void* data;
  size_t bytes;                 /* room behind `data` */
  int32_t dtype;                /* enum wins_dtype */
  int32_t rank;                 /* 0 .. WINS_MAX_RANK */
  int64_t shape[WINS_MAX_RANK]; /* outermost first; -1 where dynamic (wins_describe_*) */
} wins_tensor;

/* "0.1.0"; never NULL. */
const char* wins_version(void);
/* WINS_ABI of the library. */
int wins_abi(void);

/* What went wrong in this thread's last failed call, one line; "" at first. Valid until the
 * thread's next failed call. */
const char* wins_last_error(void);

/* Opens an ONNX file. `options`: NULL or "key=value" pairs separated by commas:
 *   backend=cpu|ref|cuda   threads=N (0 = all cores)   winograd=0|1   error_bound=1e-5
 *   memory_limit=BYTES (0 = none)   force_m=0|2|4|6   weight_storage=f32|bf16
 *   precision=fp32|tf32|fp16|bf16 (cuda; cpu and ref: fp32)
 *   force_kernel=NAME of a plan's kernel, for every node that it takes (benchmarks)
 *   tune=0|1 (time kernels, less than a second a plan)   tune_cache=FILE of times, without a comma
 * On success *model must be freed with wins_free; on failure it is NULL. */
int wins_open(const char* path, const char* options, wins_model** model);
/* NULL is allowed. */
void wins_free(wins_model* model);

/* Number of inputs and outputs; 0 for NULL. */
size_t wins_input_count(const wins_model* model);
size_t wins_output_count(const wins_model* model);
/* Names; NULL when there is no such input or output. Valid until wins_free. */
const char* wins_input_name(const wins_model* model, size_t index);
const char* wins_output_name(const wins_model* model, size_t index);
/* Fill dtype, rank and shape (-1 where dynamic; rank -1 when unknown); data and bytes become 0. */
int wins_describe_input(const wins_model* model, size_t index, wins_tensor* info);
int wins_describe_output(const wins_model* model, size_t index, wins_tensor* info);

/* Shapes of the outputs for inputs of these shapes (their data is not read and may be NULL):
 * fills dtype, rank, shape and bytes (the room needed) of each output; data becomes NULL. */
int wins_output_shapes(wins_model* model, const wins_tensor* inputs, size_t input_count, wins_tensor* outputs,
                       size_t output_count);

/* Runs. Each output's data and bytes name the caller's memory; dtype, rank and shape are filled.
 * Inputs and outputs are in the model's order, all of them. */
int wins_run(wins_model* model, const wins_tensor* inputs, size_t input_count, wins_tensor* outputs,
             size_t output_count);

/* Since ABI 2. Enqueues a run on a stream (backend=cuda: a cudaStream_t, NULL is the default one) and returns. Each
 * input's and output's data is float32 device memory, 16-byte aligned; bytes is the room behind it. An input needs its
 * shape; an output's is not read. The memory must stay until the stream is through. */
int wins_enqueue(wins_model* model, const wins_tensor* inputs, size_t input_count, const wins_tensor* outputs,
                 size_t output_count, void* stream);

/* The plan for these input shapes as a table: kernel of each layer, why others were refused. NULL
 * on failure. Valid until the thread's next call of this function. */
const char* wins_plan_text(wins_model* model, const wins_tensor* inputs, size_t input_count);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* WINS_CAPI_WINS_H_ */
