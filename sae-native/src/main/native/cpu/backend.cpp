/* backend.cpp: the CPU backend's table: opaque pointers to objects, exceptions to statuses. */
#include "backends.h"
#include "text.h"
#include "trainer.h"

namespace sae::cpu {
namespace {

struct Buffer {
    Block<char> own; /* empty if the caller owns the memory */
    char *memory;

    explicit Buffer(int64_t bytes) : own(bytes), memory(own.data()) {}
    explicit Buffer(char *callers) : memory(callers) {}
};

template <typename T>
T *as(void *object) {
    return static_cast<T *>(object);
}

float *floats(void *buffer) { return reinterpret_cast<float *>(as<Buffer>(buffer)->memory); }
int32_t *ints(void *buffer) { return reinterpret_cast<int32_t *>(as<Buffer>(buffer)->memory); }

sae_status probe(char *text, int64_t capacity) {
    return guarded([&] { copy_text(describe_device(), text, capacity); });
}

sae_status context_open(const char *options, void **context) {
    return guarded([&] { *context = open_context(options).release(); });
}

sae_status context_describe(void *context, char *text, int64_t capacity) {
    return guarded([&] { copy_text(describe(*as<Context>(context)), text, capacity); });
}

sae_status context_synchronize(void *) { return SAE_OK; } /* every operation is complete when its call returns */

int64_t context_stream(void *) { return 0; }

sae_status context_order(void *, int64_t, int32_t) { return SAE_OK; } /* for the same reason */

void context_close(void *context) { delete as<Context>(context); }

sae_status buffer_create(void *, int64_t bytes, int32_t, void **buffer) {
    return guarded([&] { *buffer = new Buffer(bytes); });
}

sae_status buffer_wrap(void *, int64_t address, int64_t, int32_t, void **buffer) {
    return guarded([&] { *buffer = new Buffer(reinterpret_cast<char *>(address)); });
}

int64_t buffer_address(void *buffer) { return reinterpret_cast<int64_t>(as<Buffer>(buffer)->memory); }

sae_status buffer_write(void *buffer, int64_t offset, const void *source, int64_t bytes) {
    std::memmove(as<Buffer>(buffer)->memory + offset, source, bytes);
    return SAE_OK;
}

sae_status buffer_read(void *buffer, int64_t offset, void *target, int64_t bytes) {
    std::memmove(target, as<Buffer>(buffer)->memory + offset, bytes);
    return SAE_OK;
}

sae_status buffer_upload(void *, int64_t) { return SAE_OK; }

void buffer_close(void *buffer) { delete as<Buffer>(buffer); }

/* The buffer object becomes the detached memory: every operation on it is complete. */
sae_status buffer_detach(void *buffer, void **memory) {
    *memory = buffer;
    return SAE_OK;
}

void memory_close(void *memory) { buffer_close(memory); }

sae_status params_create(void *context, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags, void **params,
                         int64_t *live_bytes) {
    return guarded([&] {
        auto made = std::make_unique<Params>(*as<Context>(context), d_in, d_out, d_sae, flags);
        *live_bytes = made->live_bytes();
        *params = made.release();
    });
}

sae_status params_write(void *params, int32_t tensor, int64_t first, const float *source, int64_t count) {
    Params &to = *as<Params>(params);
    std::copy_n(source, count, to.tensors[tensor].data() + first);
    if (tensor == SAE_W_ENC) {
        to.encoder_changed(-1);
    }
    return SAE_OK;
}

sae_status params_read(void *params, int32_t tensor, int64_t first, float *target, int64_t count) {
    std::copy_n(as<Params>(params)->tensors[tensor].data() + first, count, target);
    return SAE_OK;
}

void params_close(void *params) { delete as<Params>(params); }

Latents latents_of(const sae_latents &of) {
    return {of.offsets == nullptr ? nullptr : ints(of.offsets), ints(of.indices), floats(of.values), of.k, of.room};
}

sae_status encode(void *params, int32_t rule, void *x, int64_t rows, const sae_latents *into, int64_t *entries) {
    return guarded([&] {
        Params &sae = *as<Params>(params);
        const Latents to = latents_of(*into);
        switch (rule) {
        case SAE_TOPK:
            return encode_topk(sae, floats(x), rows, to.k, to.indices, to.values);
        case SAE_ABS_TOPK:
            return encode_abs(sae, floats(x), rows, to.k, to.indices, to.values);
        case SAE_GROUP_MAX:
            return encode_groups(sae, floats(x), rows, to.k, to.indices, to.values);
        case SAE_BATCH_TOPK:
            *entries = encode_batch(sae, floats(x), rows, to.k, to);
            return;
        default: /* SAE_THRESHOLD_RULE: rules are checked above */
            *entries = encode_threshold(sae, floats(x), rows, to);
        }
    });
}

sae_status decode(void *params, const sae_latents *latents, int64_t rows, void *x, void *x_hat) {
    return guarded([&] {
        cpu::decode(*as<Params>(params), latents_of(*latents), rows, x == nullptr ? nullptr : floats(x), floats(x_hat));
    });
}

sae_status multiply(void *context, void *a, int64_t m, void *b, int64_t n, int64_t inner, void *c) {
    return guarded([&] { matmul_nt(*as<Context>(context), floats(a), m, floats(b), n, inner, floats(c)); });
}

sae_status gather(void *context, void *from, int64_t from_rows, int64_t columns, void *rows, int64_t first,
                  int64_t count, double factor, void *into) {
    return guarded([&] {
        gather_rows(*as<Context>(context), floats(from), from_rows, columns, ints(rows) + first, count, factor,
                    floats(into));
    });
}

sae_status trainer_create(void *params, const double *options, void **trainer, int64_t *live_bytes) {
    return guarded([&] {
        auto made = std::make_unique<Trainer>(*as<Params>(params), options);
        *live_bytes = made->live_bytes();
        *trainer = made.release();
    });
}

sae_status train_step(void *trainer, void *x, void *y, int64_t rows, double lr) {
    return guarded([&] { as<Trainer>(trainer)->step(floats(x), floats(y == nullptr ? x : y), rows, lr); });
}

sae_status train_accumulate(void *trainer, void *x, void *y, int64_t first, int64_t rows, int64_t pending) {
    return guarded([&] {
        Trainer &to = *as<Trainer>(trainer);
        const float *target = floats(y == nullptr ? x : y) + first * to.params.d_out;
        to.accumulate(floats(x) + first * to.params.d_in, target, rows, pending);
    });
}

sae_status train_apply(void *trainer, int64_t pending, double lr) {
    return guarded([&] { as<Trainer>(trainer)->apply(pending, lr); });
}

sae_status trainer_add(void *into, int64_t into_pending, void *from) {
    return guarded([&] { as<Trainer>(into)->add(into_pending, *as<Trainer>(from)); });
}

sae_status trainer_copy(void *into, void *from) {
    return guarded([&] { as<Trainer>(into)->copy(*as<Trainer>(from)); });
}

sae_status trainer_stats(void *trainer, double *values) {
    std::copy_n(as<Trainer>(trainer)->stats, SAE_STAT_COUNT, values);
    values[SAE_STAT_STEPS] = static_cast<double>(as<Trainer>(trainer)->steps);
    return SAE_OK;
}

/* A state's memory, and the size of its elements. */
std::pair<char *, int64_t> state_memory(Trainer &trainer, int32_t state) {
    switch (state) {
    case SAE_STATE_IDLE_BATCHES:
        return {reinterpret_cast<char *>(trainer.idle_batches.data()), 8};
    case SAE_STATE_IDLE_ROWS:
        return {reinterpret_cast<char *>(trainer.idle_rows.data()), 8};
    case SAE_STATE_STEPS:
        return {reinterpret_cast<char *>(&trainer.steps), 8};
    case SAE_STATE_LEARNED_THRESHOLD:
        return {reinterpret_cast<char *>(&trainer.learned_threshold), 8};
    case SAE_STATE_M_THRESHOLD:
        return {reinterpret_cast<char *>(trainer.first[SAE_THRESHOLD].data()), 4};
    case SAE_STATE_V_THRESHOLD:
        return {reinterpret_cast<char *>(trainer.second[SAE_THRESHOLD].data()), 4};
    case SAE_STATE_M_R_MAG:
        return {reinterpret_cast<char *>(trainer.first[SAE_R_MAG].data()), 4};
    case SAE_STATE_V_R_MAG:
        return {reinterpret_cast<char *>(trainer.second[SAE_R_MAG].data()), 4};
    case SAE_STATE_M_B_MAG:
        return {reinterpret_cast<char *>(trainer.first[SAE_B_MAG].data()), 4};
    case SAE_STATE_V_B_MAG:
        return {reinterpret_cast<char *>(trainer.second[SAE_B_MAG].data()), 4};
    case SAE_STATE_AVERAGING:
        return {reinterpret_cast<char *>(trainer.averaging), 8};
    case SAE_STATE_M_W_SKIP:
        return {reinterpret_cast<char *>(trainer.first[SAE_W_SKIP].data()), 4};
    case SAE_STATE_V_W_SKIP:
        return {reinterpret_cast<char *>(trainer.second[SAE_W_SKIP].data()), 4};
    default:
        Block<float> *moments = state < SAE_STATE_V_W_ENC ? trainer.first : trainer.second;
        return {reinterpret_cast<char *>(moments[state % SAE_STATE_V_W_ENC].data()), 4};
    }
}

sae_status trainer_write(void *trainer, int32_t state, int64_t first, const void *source, int64_t count) {
    const auto [memory, size] = state_memory(*as<Trainer>(trainer), state);
    std::memmove(memory + first * size, source, count * size);
    return SAE_OK;
}

sae_status trainer_read(void *trainer, int32_t state, int64_t first, void *target, int64_t count) {
    const auto [memory, size] = state_memory(*as<Trainer>(trainer), state);
    std::memmove(target, memory + first * size, count * size);
    return SAE_OK;
}

void trainer_close(void *trainer) { delete as<Trainer>(trainer); }

constexpr sae_backend_table kTable = {
    .abi_version = SAE_ABI_VERSION,
    .name = "cpu",
    .last_error = last_error,
    .probe = probe,
    .context_open = context_open,
    .context_describe = context_describe,
    .context_synchronize = context_synchronize,
    .context_stream = context_stream,
    .context_order = context_order,
    .context_close = context_close,
    .buffer_create = buffer_create,
    .buffer_wrap = buffer_wrap,
    .buffer_address = buffer_address,
    .buffer_write = buffer_write,
    .buffer_read = buffer_read,
    .buffer_upload = buffer_upload,
    .buffer_close = buffer_close,
    .buffer_detach = buffer_detach,
    .memory_close = memory_close,
    .params_create = params_create,
    .params_write = params_write,
    .params_read = params_read,
    .params_close = params_close,
    .encode = encode,
    .decode = decode,
    .matmul_nt = multiply,
    .gather_rows = gather,
    .trainer_create = trainer_create,
    .train_step = train_step,
    .train_accumulate = train_accumulate,
    .train_apply = train_apply,
    .trainer_add = trainer_add,
    .trainer_copy = trainer_copy,
    .trainer_stats = trainer_stats,
    .trainer_write = trainer_write,
    .trainer_read = trainer_read,
    .trainer_close = trainer_close,
};

} // namespace
} // namespace sae::cpu

const sae_backend_table *sae_cpu_backend(void) { return &sae::cpu::kTable; }
