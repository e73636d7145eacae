/*
 * abi.cpp: sae_abi.h itself. Resolves handles, checks every argument and calls the backend's table with plain pointers.
 * Nothing here computes.
 * Over 400 lines: one short function per function of sae_abi.h, in its order.
 */
#include <algorithm>
#include <cmath>
#include <utility>

#include "backends.h"
#include "registry.h"
#include "text.h"
#include "trainer_options.h"

#define SAE_EXPORT __attribute__((visibility("default")))

using namespace sae;

namespace {

/* Never destroyed: a static destructor would race with threads that still call in while the process exits. */
Registry &registry() {
    static Registry *const instance = new Registry;
    return *instance;
}

/* Throws a backend's failure with its error text. */
void check(const sae_backend_table &table, sae_status status) {
    if (status != SAE_OK) {
        fail(status, table.last_error());
    }
}

template <typename T>
T &out(T *target, const char *what) {
    require(target != nullptr, (std::string("a place for ") + what).c_str(), "null");
    return *target;
}

int64_t at_least_one(int64_t value, const char *what) {
    require(value >= 1, (std::string(what) + " >= 1").c_str(), std::to_string(value));
    return value;
}

int64_t product(int64_t a, int64_t b) {
    int64_t result = 0;
    require(!__builtin_mul_overflow(a, b, &result) && result <= INT64_MAX / 16, "sizes whose product fits memory",
            std::to_string(a) + " x " + std::to_string(b));
    return result;
}

/* Indices are int32 and BLAS takes int32 sizes. */
int64_t extent(int64_t value, const char *what) {
    require(value >= 1 && value <= INT32_MAX, (std::string(what) + " in [1, 2147483647]").c_str(),
            std::to_string(value));
    return value;
}

void check_range(int64_t first, int64_t count, int64_t size, const char *what) {
    require(first >= 0 && count >= 0 && first <= size && count <= size - first,
            (std::string("a range within the ") + std::to_string(size) + " " + what).c_str(),
            "[" + std::to_string(first) + ", " + std::to_string(first) + " + " + std::to_string(count) + ")");
}

/* The params themselves, which must have a flag. */
const Object &has(const Object &params, int32_t flag, const char *name) {
    require((params.flags & flag) != 0, (std::string("params with ") + name).c_str(),
            "flags " + std::to_string(params.flags));
    return params;
}

int64_t tensor_size(const Object &params, int32_t tensor) {
    switch (tensor) {
    case SAE_W_ENC:
        return params.d_in * params.d_sae;
    case SAE_W_DEC:
        return params.d_out * params.d_sae;
    case SAE_B_ENC:
        return params.d_sae;
    case SAE_B_DEC:
        return params.d_out;
    case SAE_THRESHOLD:
        return has(params, SAE_THRESHOLDS, "SAE_THRESHOLDS").d_sae;
    case SAE_R_MAG:
    case SAE_B_MAG:
        return has(params, SAE_GATED, "SAE_GATED").d_sae;
    case SAE_W_SKIP:
        return has(params, SAE_SKIP, "SAE_SKIP").d_in * params.d_out;
    default:
        fail(SAE_INVALID_ARGUMENT, "expected a tensor of SAE_W_ENC ... SAE_W_SKIP, got " + std::to_string(tensor));
    }
}

/* Signum has no second moments, and Muon none of matrices. */
void require_moments_of(const Object &trainer, int32_t state) {
    const auto optimizer = static_cast<int32_t>(trainer.options[SAE_OPT_OPTIMIZER]);
    const bool matrix = state == SAE_STATE_V_W_ENC || state == SAE_STATE_V_W_DEC || state == SAE_STATE_V_W_SKIP;
    const bool second = matrix || state == SAE_STATE_V_B_ENC || state == SAE_STATE_V_B_DEC ||
                        state == SAE_STATE_V_THRESHOLD || state == SAE_STATE_V_R_MAG || state == SAE_STATE_V_B_MAG;
    require(!second || optimizer == SAE_ADAM || (optimizer == SAE_MUON && !matrix),
            "a state that the trainer's optimiser has", "state " + std::to_string(state));
}

int64_t state_size(const Object &trainer, int32_t state) {
    require_moments_of(trainer, state);
    switch (state) {
    case SAE_STATE_AVERAGING:
        require(static_cast<int32_t>(trainer.options[SAE_OPT_OPTIMIZER]) == SAE_SIGNUM,
                "a trainer with SAE_SIGNUM, which averages", "another");
        return 2;
    case SAE_STATE_IDLE_BATCHES:
    case SAE_STATE_IDLE_ROWS:
        return trainer.d_sae;
    case SAE_STATE_STEPS:
        return 1;
    case SAE_STATE_LEARNED_THRESHOLD:
        require(static_cast<int32_t>(trainer.options[SAE_OPT_RULE]) == SAE_BATCH_TOPK,
                "a trainer with SAE_BATCH_TOPK, which learns a threshold",
                "rule " + std::to_string(static_cast<int>(trainer.options[SAE_OPT_RULE])));
        return 1;
    case SAE_STATE_M_THRESHOLD:
    case SAE_STATE_V_THRESHOLD:
        require(static_cast<int32_t>(trainer.options[SAE_OPT_RULE]) == SAE_THRESHOLD_RULE,
                "a trainer with SAE_THRESHOLD_RULE, which trains SAE_THRESHOLD",
                "rule " + std::to_string(static_cast<int>(trainer.options[SAE_OPT_RULE])));
        return tensor_size(trainer, SAE_THRESHOLD);
    case SAE_STATE_M_R_MAG:
    case SAE_STATE_V_R_MAG:
        return tensor_size(trainer, SAE_R_MAG);
    case SAE_STATE_M_B_MAG:
    case SAE_STATE_V_B_MAG:
        return tensor_size(trainer, SAE_B_MAG);
    case SAE_STATE_M_W_SKIP:
    case SAE_STATE_V_W_SKIP:
        return tensor_size(trainer, SAE_W_SKIP);
    default:
        require(state >= 0 && state < SAE_STATE_IDLE_BATCHES, "a state of SAE_STATE_*", std::to_string(state));
        return tensor_size(trainer, state % SAE_STATE_V_W_ENC);
    }
}

/* "none", or the number of pending rows. */
std::string pending_text(int64_t rows) { return rows == 0 ? "none" : std::to_string(rows); }

/* A trainer that has gradients and moments as required. */
Object &trainer_with(sae_handle trainer, const char *what, bool gradients, bool moments) {
    Object &object = registry().get(trainer, Kind::trainer, what);
    const auto kept = static_cast<int>(object.options[SAE_OPT_GRADIENTS]);
    require(!gradients || kept != SAE_GRADIENTS_NONE,
            (std::string(what) + " to keep gradients (option GRADIENTS = SAE_GRADIENTS_KEPT)").c_str(),
            "one that keeps none");
    require(!moments || kept != SAE_GRADIENTS_ONLY,
            (std::string(what) + " to have Adam's moments (option GRADIENTS not SAE_GRADIENTS_ONLY)").c_str(),
            "one that accumulates only");
    return object;
}

/* A trainer that keeps this state. */
const Object &trainer_with_state(sae_handle trainer, int32_t state) {
    const bool moments = state < SAE_STATE_IDLE_BATCHES || state > SAE_STATE_LEARNED_THRESHOLD;
    return trainer_with(trainer, "trainer", false, moments);
}

/* The memory of a target [rows, d_out]; null if the rows are their own. */
void *target_of(const Object &trainer, sae_handle y, int64_t rows) {
    if (y == 0) {
        require(trainer.d_in == trainer.d_out, "a target y where d_out is not d_in", "none");
        return nullptr;
    }
    return registry().buffer(y, trainer.context, product(rows, trainer.d_out), "y");
}

void learning_rate(double lr) { require(std::isfinite(lr) && lr >= 0, "a finite lr >= 0", std::to_string(lr)); }

/* Requires two trainers whose gradients can be added. */
void require_alike(const Object &into, const Object &from) {
    require(&into != &from, "two trainers", "one twice");
    require(into.table == from.table, "two trainers of one backend library",
            std::string("one of ") + into.table->name + " and one of " + from.table->name);
    const auto shape = [](const Object &of) {
        return "d_in " + std::to_string(of.d_in) + ", d_out " + std::to_string(of.d_out) + ", d_sae " +
               std::to_string(of.d_sae) + ", flags " + std::to_string(of.flags);
    };
    require(into.d_in == from.d_in && into.d_out == from.d_out && into.d_sae == from.d_sae && into.flags == from.flags,
            ("two trainers of one shape, " + shape(into)).c_str(), shape(from));
    auto options = from.options;
    options[SAE_OPT_GRADIENTS] = into.options[SAE_OPT_GRADIENTS];
    require(options == into.options, "two trainers with the same options except GRADIENTS", "different options");
}

constexpr int64_t kAlignment = 64; /* of every buffer */
constexpr int32_t kParamsFlags = SAE_SUBTRACT_B_DEC | SAE_THRESHOLDS | SAE_GATED | SAE_SKIP;

void distinct(const void *output, const void *other, const char *what) {
    require(output != other, what, "one buffer for both");
}

} // namespace

extern "C" {

SAE_EXPORT int32_t sae_abi_version(void) { return SAE_ABI_VERSION; }

SAE_EXPORT const char *sae_last_error(void) { return last_error(); }

SAE_EXPORT sae_status sae_probe(const char *library, char *text, int64_t capacity) {
    return guarded([&] {
        out(text, "the text");
        const sae_backend_table &table = backend(library);
        check(table, table.probe(text, capacity));
    });
}

/* ---- context ------------------------------------------------------------------------------- */

SAE_EXPORT sae_status sae_context_open(const char *library, const char *options, sae_handle *context) {
    return guarded([&] {
        out(context, "the context") = 0;
        const sae_backend_table &table = backend(library);
        void *self = nullptr;
        check(table, table.context_open(options == nullptr ? "" : options, &self));
        *context = registry().add({Kind::context, &table, self, 0, 0, 0, 0, 0, 0});
    });
}

SAE_EXPORT sae_status sae_context_describe(sae_handle context, char *text, int64_t capacity) {
    return guarded([&] {
        const Object &object = registry().get(context, Kind::context, "context");
        out(text, "the text");
        check(*object.table, object.table->context_describe(object.self, text, capacity));
    });
}

SAE_EXPORT sae_status sae_context_live_bytes(sae_handle context, int64_t *bytes) {
    return guarded([&] { out(bytes, "the bytes") = registry().live_bytes(context); });
}

SAE_EXPORT sae_status sae_context_synchronize(sae_handle context) {
    return guarded([&] {
        const Object &object = registry().get(context, Kind::context, "context");
        check(*object.table, object.table->context_synchronize(object.self));
    });
}

SAE_EXPORT sae_status sae_context_stream(sae_handle context, int64_t *stream) {
    return guarded([&] {
        const Object &object = registry().get(context, Kind::context, "context");
        out(stream, "the stream") = object.table->context_stream(object.self);
    });
}

SAE_EXPORT sae_status sae_context_order(sae_handle context, int64_t stream, int32_t direction) {
    return guarded([&] {
        const Object &object = registry().get(context, Kind::context, "context");
        require(direction == SAE_ORDER_AFTER || direction == SAE_ORDER_BEFORE, "SAE_ORDER_AFTER or SAE_ORDER_BEFORE",
                std::to_string(direction));
        check(*object.table, object.table->context_order(object.self, stream, direction));
    });
}

SAE_EXPORT sae_status sae_context_close(sae_handle context) {
    return guarded([&] { registry().close(context, Kind::context, "context"); });
}

/* ---- buffers ------------------------------------------------------------------------------- */

SAE_EXPORT sae_status sae_buffer_create(sae_handle context, int64_t bytes, int32_t place, sae_handle *buffer) {
    return guarded([&] {
        out(buffer, "the buffer") = 0;
        const Object &owner = registry().get(context, Kind::context, "context");
        at_least_one(bytes, "bytes");
        require(place == SAE_HOST || place == SAE_DEVICE, "place SAE_HOST or SAE_DEVICE", std::to_string(place));
        void *self = nullptr;
        check(*owner.table, owner.table->buffer_create(owner.self, bytes, place, &self));
        *buffer = registry().add({Kind::buffer, owner.table, self, context, 0, bytes, bytes, 0, 0});
    });
}

SAE_EXPORT sae_status sae_buffer_wrap(sae_handle context, int64_t address, int64_t bytes, int32_t place,
                                      sae_handle *buffer) {
    return guarded([&] {
        out(buffer, "the buffer") = 0;
        const Object &owner = registry().get(context, Kind::context, "context");
        at_least_one(bytes, "bytes");
        require(place == SAE_HOST || place == SAE_DEVICE, "place SAE_HOST or SAE_DEVICE", std::to_string(place));
        require(address != 0 && address % kAlignment == 0, "an address that is a multiple of 64 bytes",
                std::to_string(address));
        void *self = nullptr;
        check(*owner.table, owner.table->buffer_wrap(owner.self, address, bytes, place, &self));
        *buffer = registry().add({Kind::buffer, owner.table, self, context, 0, 0, bytes, 0, 0});
    });
}

SAE_EXPORT sae_status sae_buffer_address(sae_handle buffer, int64_t *address) {
    return guarded([&] {
        const Object &object = registry().get(buffer, Kind::buffer, "buffer");
        out(address, "the address") = object.table->buffer_address(object.self);
    });
}

SAE_EXPORT sae_status sae_buffer_write(sae_handle buffer, int64_t offset, const void *source, int64_t bytes) {
    return guarded([&] {
        const Object &object = registry().get(buffer, Kind::buffer, "buffer");
        check_range(offset, bytes, object.bytes, "bytes of the buffer");
        require(source != nullptr || bytes == 0, "a source", "null");
        check(*object.table, object.table->buffer_write(object.self, offset, source, bytes));
    });
}

SAE_EXPORT sae_status sae_buffer_read(sae_handle buffer, int64_t offset, void *target, int64_t bytes) {
    return guarded([&] {
        const Object &object = registry().get(buffer, Kind::buffer, "buffer");
        check_range(offset, bytes, object.bytes, "bytes of the buffer");
        require(target != nullptr || bytes == 0, "a target", "null");
        check(*object.table, object.table->buffer_read(object.self, offset, target, bytes));
    });
}

SAE_EXPORT sae_status sae_buffer_upload(sae_handle buffer, int64_t bytes) {
    return guarded([&] {
        const Object &object = registry().get(buffer, Kind::buffer, "buffer");
        check_range(0, bytes, object.bytes, "bytes of the buffer");
        check(*object.table, object.table->buffer_upload(object.self, bytes));
    });
}

SAE_EXPORT sae_status sae_buffer_close(sae_handle buffer) {
    return guarded([&] { registry().close(buffer, Kind::buffer, "buffer"); });
}

SAE_EXPORT sae_status sae_buffer_detach(sae_handle buffer, sae_handle *memory) {
    return guarded([&] {
        out(memory, "the memory") = 0;
        *memory = registry().detach(buffer);
    });
}

SAE_EXPORT sae_status sae_memory_close(sae_handle memory) {
    return guarded([&] { registry().close(memory, Kind::memory, "memory"); });
}

/* ---- parameters ---------------------------------------------------------------------------- */

SAE_EXPORT sae_status sae_params_create(sae_handle context, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags,
                                        sae_handle *params) {
    return guarded([&] {
        out(params, "the params") = 0;
        const Object &owner = registry().get(context, Kind::context, "context");
        product(extent(d_in, "d_in"), extent(d_sae, "d_sae"));
        product(extent(d_out, "d_out"), d_sae);
        product(d_in, d_out);
        require((flags & ~kParamsFlags) == 0, "flags of sae_params_create", std::to_string(flags));
        require((flags & SAE_SUBTRACT_B_DEC) == 0 || d_in == d_out, "d_out = d_in with SAE_SUBTRACT_B_DEC",
                "d_in " + std::to_string(d_in) + ", d_out " + std::to_string(d_out));
        require((flags & SAE_GATED) == 0 || (flags & SAE_THRESHOLDS) == 0, "SAE_GATED or SAE_THRESHOLDS", "both");
        void *self = nullptr;
        int64_t bytes = 0;
        check(*owner.table, owner.table->params_create(owner.self, d_in, d_out, d_sae, flags, &self, &bytes));
        *params = registry().add({Kind::params, owner.table, self, context, 0, bytes, 0, d_in, d_sae, flags, d_out});
    });
}

SAE_EXPORT sae_status sae_params_write(sae_handle params, int32_t tensor, int64_t first, const float *source,
                                       int64_t count) {
    return guarded([&] {
        const Object &object = registry().get(params, Kind::params, "params");
        check_range(first, count, tensor_size(object, tensor), "elements of the tensor");
        require(source != nullptr || count == 0, "a source", "null");
        check(*object.table, object.table->params_write(object.self, tensor, first, source, count));
    });
}

SAE_EXPORT sae_status sae_params_read(sae_handle params, int32_t tensor, int64_t first, float *target, int64_t count) {
    return guarded([&] {
        const Object &object = registry().get(params, Kind::params, "params");
        check_range(first, count, tensor_size(object, tensor), "elements of the tensor");
        require(target != nullptr || count == 0, "a target", "null");
        check(*object.table, object.table->params_read(object.self, tensor, first, target, count));
    });
}

SAE_EXPORT sae_status sae_params_close(sae_handle params) {
    return guarded([&] { registry().close(params, Kind::params, "params"); });
}

/* ---- operations ---------------------------------------------------------------------------- */

SAE_EXPORT sae_status sae_encode(sae_handle params, int32_t rule, sae_handle x, int64_t rows, int64_t k,
                                 sae_handle offsets, sae_handle indices, sae_handle values, int64_t room,
                                 int64_t *entries) {
    return guarded([&] {
        const Object &object = registry().get(params, Kind::params, "params");
        extent(rows, "rows");
        require(rule >= SAE_TOPK && rule <= SAE_THRESHOLD_RULE, "a rule of SAE_TOPK ... SAE_THRESHOLD_RULE",
                std::to_string(rule));
        const bool ragged = rule >= SAE_BATCH_TOPK;
        if (rule != SAE_THRESHOLD_RULE) {
            require(k >= 1 && k <= object.d_sae, ("k in [1, d_sae = " + std::to_string(object.d_sae) + "]").c_str(),
                    std::to_string(k));
        }
        require(rule != SAE_GROUP_MAX || object.d_sae % k == 0,
                ("k that divides d_sae = " + std::to_string(object.d_sae)).c_str(), std::to_string(k));
        require(rule == SAE_THRESHOLD_RULE || (object.flags & SAE_GATED) == 0, "SAE_THRESHOLD_RULE with SAE_GATED",
                std::to_string(rule));
        if (ragged) {
            require(offsets != 0, "offsets where rows are ragged", "none");
            at_least_one(room, "room");
            out(entries, "the entries") = 0;
        } else {
            room = product(rows, k);
            require(offsets == 0, "no offsets where rows have k latents", "a handle");
        }
        void *input = registry().buffer(x, object.context, product(rows, object.d_in), "x");
        sae_latents into{};
        into.offsets = ragged ? registry().buffer(offsets, object.context, rows + 1, "offsets") : nullptr;
        into.indices = registry().buffer(indices, object.context, room, "indices");
        into.values = registry().buffer(values, object.context, room, "values");
        into.k = k;
        into.room = room;
        distinct(into.indices, into.values, "indices and values in two buffers");
        distinct(into.indices, input, "x and indices in two buffers");
        distinct(into.values, input, "x and values in two buffers");
        if (ragged) {
            distinct(into.offsets, input, "x and offsets in two buffers");
            distinct(into.offsets, into.indices, "indices and offsets in two buffers");
            distinct(into.offsets, into.values, "values and offsets in two buffers");
        }
        int64_t count = room;
        check(*object.table, object.table->encode(object.self, rule, input, rows, &into, &count));
        require(!ragged || count <= INT32_MAX, "at most 2147483647 active latents in a batch",
                std::to_string(count) + "; encode fewer rows at once");
        if (entries != nullptr) {
            *entries = count;
        }
    });
}

SAE_EXPORT sae_status sae_decode(sae_handle params, sae_handle offsets, sae_handle indices, sae_handle values,
                                 int64_t rows, int64_t k, sae_handle x, sae_handle x_hat) {
    return guarded([&] {
        const Object &object = registry().get(params, Kind::params, "params");
        extent(rows, "rows");
        sae_latents latents{};
        if (offsets == 0) {
            extent(k, "k");
            latents.k = k;
            latents.room = product(rows, k);
        } else {
            latents.offsets = registry().buffer(offsets, object.context, rows + 1, "offsets");
            latents.room = std::min(registry().elements(indices, "indices"), registry().elements(values, "values"));
        }
        latents.indices = registry().buffer(indices, object.context, latents.room, "indices");
        latents.values = registry().buffer(values, object.context, latents.room, "values");
        const bool skip = (object.flags & SAE_SKIP) != 0;
        require(skip == (x != 0), skip ? "x with SAE_SKIP" : "no x without SAE_SKIP", skip ? "none" : "a handle");
        void *input = skip ? registry().buffer(x, object.context, product(rows, object.d_in), "x") : nullptr;
        void *output = registry().buffer(x_hat, object.context, product(rows, object.d_out), "x_hat");
        distinct(output, latents.indices, "x_hat and indices in two buffers");
        distinct(output, latents.values, "x_hat and values in two buffers");
        require(offsets == 0 || output != latents.offsets, "x_hat and offsets in two buffers", "one buffer for both");
        require(output != input, "x and x_hat in two buffers", "one buffer for both");
        check(*object.table, object.table->decode(object.self, &latents, rows, input, output));
    });
}

SAE_EXPORT sae_status sae_matmul_nt(sae_handle context, sae_handle a, int64_t m, sae_handle b, int64_t n, int64_t inner,
                                    sae_handle c) {
    return guarded([&] {
        const Object &object = registry().get(context, Kind::context, "context");
        extent(m, "m");
        extent(n, "n");
        extent(inner, "inner");
        void *left = registry().buffer(a, context, product(m, inner), "a");
        void *right = registry().buffer(b, context, product(n, inner), "b");
        void *result = registry().buffer(c, context, product(m, n), "c");
        distinct(result, left, "a and c in two buffers");
        distinct(result, right, "b and c in two buffers");
        check(*object.table, object.table->matmul_nt(object.self, left, m, right, n, inner, result));
    });
}

SAE_EXPORT sae_status sae_gather_rows(sae_handle context, sae_handle from, int64_t from_rows, int64_t columns,
                                      sae_handle rows, int64_t first, int64_t count, double factor, sae_handle into) {
    return guarded([&] {
        const Object &object = registry().get(context, Kind::context, "context");
        extent(from_rows, "from_rows");
        extent(columns, "columns");
        extent(count, "count");
        require(first >= 0 && first <= INT64_MAX / 8, "first >= 0", std::to_string(first));
        void *source = registry().buffer(from, context, product(from_rows, columns), "from");
        void *numbers = registry().buffer(rows, context, first + count, "rows");
        void *result = registry().buffer(into, context, product(count, columns), "into");
        distinct(result, source, "from and into in two buffers");
        distinct(result, numbers, "rows and into in two buffers");
        check(*object.table, object.table->gather_rows(object.self, source, from_rows, columns, numbers, first, count,
                                                       factor, result));
    });
}

/* ---- training ------------------------------------------------------------------------------ */

SAE_EXPORT sae_status sae_trainer_create(sae_handle params, const int32_t *keys, const double *values, int64_t count,
                                         sae_handle *trainer) {
    return guarded([&] {
        out(trainer, "the trainer") = 0;
        const Object &object = registry().get(params, Kind::params, "params");
        const auto options = trainer_options(keys, values, count, object.d_sae);
        const auto rule = static_cast<int32_t>(options[SAE_OPT_RULE]);
        const auto k = static_cast<int64_t>(options[SAE_OPT_K]);
        require(rule != SAE_GROUP_MAX || object.d_sae % k == 0,
                ("K that divides d_sae = " + std::to_string(object.d_sae)).c_str(), std::to_string(k));
        const int32_t flags = SAE_SUBTRACT_B_DEC | SAE_SKIP |
                              (rule == SAE_BATCH_TOPK || rule == SAE_THRESHOLD_RULE ? SAE_THRESHOLDS : 0) |
                              (rule == SAE_THRESHOLD_RULE ? SAE_GATED : 0);
        require((object.flags & (SAE_GATED | SAE_SKIP)) != (SAE_GATED | SAE_SKIP), "SAE_GATED or SAE_SKIP", "both");
        const auto sparsity = static_cast<int32_t>(options[SAE_OPT_SPARSITY]);
        require((object.flags & SAE_GATED) == 0 || sparsity == SAE_SPARSITY_NONE || sparsity == SAE_SPARSITY_L1,
                "no sparsity term or SAE_SPARSITY_L1 with SAE_GATED", std::to_string(sparsity));
        require((object.flags & SAE_GATED) == 0 || options[SAE_OPT_AUX_COEFFICIENT] == 0,
                "AUX_COEFFICIENT = 0 with SAE_GATED, which has an auxiliary loss of its own", "another");
        require(rule == SAE_THRESHOLD_RULE || options[SAE_OPT_SPARSITY] < 0.5,
                "no sparsity term with a rule that has a k", "option SPARSITY");
        require(rule == SAE_TOPK || rule == SAE_BATCH_TOPK || options[SAE_OPT_K_DECAY_STEPS] == 0,
                "K_DECAY_STEPS with SAE_TOPK or SAE_BATCH_TOPK only", "rule " + std::to_string(rule));
        require(rule == SAE_TOPK || options[SAE_OPT_MULTI_TOPK] == 0, "MULTI_TOPK with SAE_TOPK only",
                "rule " + std::to_string(rule));
        require(rule == SAE_BATCH_TOPK || options[SAE_OPT_PREFIXES] < 0.5, "prefixes with SAE_BATCH_TOPK only",
                "option PREFIXES");
        const bool ranks = rule == SAE_TOPK || rule == SAE_ABS_TOPK || rule == SAE_BATCH_TOPK;
        require(options[SAE_OPT_RANK_BY_NORM] == 0 || (ranks && options[SAE_OPT_MULTI_TOPK] == 0),
                "RANK_BY_NORM with SAE_TOPK, SAE_ABS_TOPK or SAE_BATCH_TOPK, without MULTI_TOPK",
                "rule " + std::to_string(rule));
        require(options[SAE_OPT_AUX_BY_PREFIX] == 0 ||
                    (options[SAE_OPT_PREFIXES] > 0.5 && options[SAE_OPT_AUX_DETACH] != 0),
                "AUX_BY_PREFIX with PREFIXES and AUX_DETACH", "one without");
        require((object.flags & ~flags) == 0, "params with no flags but those of the rule",
                "flags " + std::to_string(object.flags));
        void *self = nullptr;
        int64_t bytes = 0;
        check(*object.table, object.table->trainer_create(object.self, options.data(), &self, &bytes));
        *trainer = registry().add({Kind::trainer, object.table, self, object.context, params, bytes, 0, object.d_in,
                                   object.d_sae, object.flags, object.d_out, options});
    });
}

SAE_EXPORT sae_status sae_train_step(sae_handle trainer, sae_handle x, sae_handle y, int64_t rows, double lr) {
    return guarded([&] {
        const Object &object = trainer_with(trainer, "trainer", false, true);
        extent(rows, "rows");
        learning_rate(lr);
        void *input = registry().buffer(x, object.context, product(rows, object.d_in), "x");
        void *target = target_of(object, y, rows);
        require(object.pending == 0, "no rows accumulated before a step (sae_train_apply takes them)",
                pending_text(object.pending));
        check(*object.table, object.table->train_step(object.self, input, target, rows, lr));
    });
}

/* Below, `pending` is 0 while the backend works and stays 0 if that fails: nothing half done is kept. */

SAE_EXPORT sae_status sae_train_accumulate(sae_handle trainer, sae_handle x, sae_handle y, int64_t first,
                                           int64_t rows) {
    return guarded([&] {
        Object &object = trainer_with(trainer, "trainer", true, false);
        extent(rows, "rows");
        require(first >= 0 && first <= INT32_MAX - rows, "first >= 0 and first + rows <= 2147483647",
                std::to_string(first));
        void *input = registry().buffer(x, object.context, product(first + rows, object.d_in), "x");
        void *target = target_of(object, y, first + rows);
        const int64_t pending = std::exchange(object.pending, 0);
        check(*object.table, object.table->train_accumulate(object.self, input, target, first, rows, pending));
        object.pending = pending + rows;
    });
}

SAE_EXPORT sae_status sae_train_apply(sae_handle trainer, double lr) {
    return guarded([&] {
        Object &object = trainer_with(trainer, "trainer", true, true);
        learning_rate(lr);
        require(object.pending > 0, "rows accumulated (sae_train_accumulate) before they are applied",
                pending_text(object.pending));
        const int64_t pending = std::exchange(object.pending, 0);
        check(*object.table, object.table->train_apply(object.self, pending, lr));
    });
}

SAE_EXPORT sae_status sae_trainer_add(sae_handle into, sae_handle from) {
    return guarded([&] {
        Object &to = trainer_with(into, "into", true, false);
        Object &of = trainer_with(from, "from", true, false);
        require_alike(to, of);
        require(of.pending > 0, "rows accumulated in `from`", pending_text(of.pending));
        const int64_t pending = std::exchange(to.pending, 0);
        const int64_t more = std::exchange(of.pending, 0);
        check(*to.table, to.table->trainer_add(to.self, pending, of.self));
        to.pending = pending + more;
    });
}

SAE_EXPORT sae_status sae_trainer_copy(sae_handle into, sae_handle from) {
    return guarded([&] {
        const Object &to = trainer_with(into, "into", false, false);
        const Object &of = trainer_with(from, "from", false, false);
        require_alike(to, of);
        require(to.pending == 0, "no rows accumulated in `into`", pending_text(to.pending));
        check(*to.table, to.table->trainer_copy(to.self, of.self));
    });
}

SAE_EXPORT sae_status sae_trainer_stats(sae_handle trainer, double *values) {
    return guarded([&] {
        Object &object = registry().get(trainer, Kind::trainer, "trainer");
        out(values, "the statistics");
        const int64_t pending = std::exchange(object.pending, 0);
        check(*object.table, object.table->trainer_stats(object.self, values));
        object.pending = pending;
    });
}

SAE_EXPORT sae_status sae_trainer_write(sae_handle trainer, int32_t state, int64_t first, const void *source,
                                        int64_t count) {
    return guarded([&] {
        const Object &object = trainer_with_state(trainer, state);
        check_range(first, count, state_size(object, state), "elements of the state");
        require(source != nullptr || count == 0, "a source", "null");
        check(*object.table, object.table->trainer_write(object.self, state, first, source, count));
    });
}

SAE_EXPORT sae_status sae_trainer_read(sae_handle trainer, int32_t state, int64_t first, void *target, int64_t count) {
    return guarded([&] {
        const Object &object = trainer_with_state(trainer, state);
        check_range(first, count, state_size(object, state), "elements of the state");
        require(target != nullptr || count == 0, "a target", "null");
        check(*object.table, object.table->trainer_read(object.self, state, first, target, count));
    });
}

SAE_EXPORT sae_status sae_trainer_close(sae_handle trainer) {
    return guarded([&] { registry().close(trainer, Kind::trainer, "trainer"); });
}

} // extern "C"
