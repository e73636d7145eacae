/* backend.cu: the one exported symbol, and contexts: which device to use, and whether there is one. */
#include <array>
#include <memory>
#include <optional>

#include "../common/text.h"
#include "operations.h"

namespace sae::cuda {
namespace {

constexpr int kLeastMajor = 8; // lowest compute capability that the library was compiled for

/* Fails with the reason if there is no device with this number. */
void require_device(int device) {
    int driver = 0;
    if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
        cudaGetLastError();
        fail(SAE_UNAVAILABLE, "no NVIDIA driver on this machine");
    }
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) {
        cudaGetLastError();
        int runtime = 0;
        cudaRuntimeGetVersion(&runtime);
        fail(SAE_UNAVAILABLE, "expected an NVIDIA driver for CUDA " + std::to_string(runtime / 1000) +
                                  " (580 or newer), got one for CUDA " + std::to_string(driver / 1000) + "." +
                                  std::to_string(driver % 1000 / 10));
    }
    if (error != cudaSuccess) {
        cudaGetLastError();
        fail(SAE_UNAVAILABLE, std::string("no NVIDIA GPU can be used: ") + cudaGetErrorString(error) + " (CUDA error " +
                                  std::to_string(error) + ")");
    }
    if (device >= count) {
        fail(SAE_UNAVAILABLE, "expected device in [0, " + std::to_string(count) + "), got " + std::to_string(device));
    }
}

cudaDeviceProp usable_device(int device) {
    require_device(device);
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, device), "querying the device's properties");
    if (properties.major < kLeastMajor) {
        fail(SAE_UNAVAILABLE, "expected a GPU of compute capability " + std::to_string(kLeastMajor) +
                                  ".0 or newer, got " + properties.name + " with " + std::to_string(properties.major) +
                                  "." + std::to_string(properties.minor));
    }
    return properties;
}

std::string version_text(const cudaDeviceProp &properties) {
    return std::to_string(properties.major) + "." + std::to_string(properties.minor);
}

constexpr std::array<const char *, 3> kKernels = {"plain", "sm80", "sm90"};      // by Kernels
constexpr std::array<const char *, 2> kPrecisions = {"fp32", "bf16"};            // by Precision
constexpr std::array<const char *, 3> kScorings = {"dense", "chunked", "fused"}; // by Scoring
constexpr std::array<const char *, 2> kSteps = {"fused", "plain"};
constexpr std::array<const char *, 2> kNonfinite = {"now", "later"};
constexpr std::array<const char *, 3> kGraphs = {"on", "off", "flat"};

/* Index of `value` in `names`. */
template <size_t count>
int parse_name(const std::string &key, const std::string &value, const std::array<const char *, count> &names) {
    std::string expected = "option " + key + " to be one of";
    for (size_t i = 0; i < count; i++) {
        if (value == names[i]) {
            return static_cast<int>(i);
        }
        expected += std::string(i == 0 ? " " : ", ") + names[i];
    }
    require(false, expected.c_str(), value);
    return 0;
}

/* Sets the context's kernels: those requested, or the best ones the device can run. */
void choose_kernels(std::optional<Kernels> wanted, Context &context) {
    const cudaDeviceProp &properties = context.properties;
    void *function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    if (properties.major == 9 &&
        cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) ==
            cudaSuccess &&
        found == cudaDriverEntryPointSuccess) {
        context.encode_map = reinterpret_cast<decltype(context.encode_map)>(function);
    }
    cudaGetLastError();
    context.kernels = wanted.value_or(context.encode_map != nullptr ? Kernels::kSm90 : Kernels::kSm80);
    if (context.kernels == Kernels::kSm90 && context.encode_map == nullptr) {
        fail(SAE_INVALID_ARGUMENT,
             "expected kernels=plain or kernels=sm80 on this device, got kernels=sm90, which needs "
             "compute capability 9.0 and a driver for CUDA 12 or newer; " +
                 std::string(properties.name) + " has " + version_text(properties));
    }
}

struct Wanted {
    std::optional<Kernels> kernels;
    bool late_checks = false;
};

/* What is not a member of the context is returned. */
Wanted read_options(const char *options, Context &context) {
    Wanted wanted;
    for (const auto &[key, value] : parse_options(options)) {
        if (key == "kernels") {
            wanted.kernels = static_cast<Kernels>(parse_name(key, value, kKernels));
        } else if (key == "precision") {
            context.precision = static_cast<Precision>(parse_name(key, value, kPrecisions));
        } else if (key == "encode") {
            context.scoring = static_cast<Scoring>(parse_name(key, value, kScorings));
        } else if (key == "stream") {
            context.stream = reinterpret_cast<cudaStream_t>(parse_integer(key, value, 1, INT64_MAX));
            context.owns_stream = false;
        } else if (key == "step") {
            context.fused_step = parse_name(key, value, kSteps) == 0;
        } else if (key == "graph") {
            const int graph = parse_name(key, value, kGraphs);
            context.graphs = graph != 1;
            context.branches = graph == 0;
        } else if (key == "moments") {
            context.bf16_moments = parse_name(key, value, kPrecisions) == 1;
        } else if (key == "nonfinite") {
            wanted.late_checks = parse_name(key, value, kNonfinite) == 1;
        } else {
            require(key == "device",
                    "the CUDA backend's options device, stream, kernels, precision, encode, step, graph, moments and "
                    "nonfinite",
                    key);
            context.device = static_cast<int>(parse_integer(key, value, 0, INT_MAX));
        }
    }
    return wanted;
}

} // namespace

sae_status probe(char *text, int64_t capacity) {
    return guarded([&] {
        const cudaDeviceProp properties = usable_device(0);
        copy_text(std::string(properties.name) + ", compute capability " + version_text(properties) + ", " +
                      std::to_string(properties.totalGlobalMem >> 20) + " MiB",
                  text, capacity);
    });
}

sae_status context_open(const char *options, void **context) {
    return guarded([&] {
        auto made = std::make_unique<Context>();
        const Wanted wanted = read_options(options, *made);
        made->properties = usable_device(made->device);
        choose_kernels(wanted.kernels, *made);
        made->activate();
        if (made->owns_stream) {
            check(cudaStreamCreateWithFlags(&made->stream, cudaStreamNonBlocking), "creating a stream");
        }
        if (wanted.late_checks) {
            made->late_bad_row = DeviceMemory(sizeof(int));
            clear_bad_row(*made, made->late_bad_row.as<int>());
        }
        *context = made.release();
    });
}

sae_status context_describe(void *handle, char *text, int64_t capacity) {
    return guarded([&] {
        const Context &context = *static_cast<Context *>(handle);
        const cudaDeviceProp &properties = context.properties;
        const std::string isa = "sm_" + std::to_string(properties.major) + std::to_string(properties.minor);
        const std::string encoder = std::string("own, kernels=") + kKernels[static_cast<size_t>(context.kernels)] +
                                    " precision=" + kPrecisions[static_cast<size_t>(context.precision)] +
                                    " encode=" + kScorings[static_cast<size_t>(context.scoring)];
        const std::string graph = std::string(!context.graphs    ? "off"
                                              : context.branches ? "on"
                                                                 : "flat") +
                                  (context.graph_failure.empty() ? "" : ": " + context.graph_failure);
        copy_text("{\"backend\":\"cuda\",\"device\":" + json_string(properties.name) + ",\"isa\":" + json_string(isa) +
                      ",\"ordinal\":" + std::to_string(context.device) +
                      ",\"threads\":0,\"blas\":" + json_string(encoder) + ",\"graph\":" + json_string(graph) +
                      ",\"memory_bytes\":" + std::to_string(properties.totalGlobalMem) +
                      ",\"abi_version\":" + std::to_string(SAE_ABI_VERSION) + "}",
                  text, capacity);
    });
}

sae_status context_synchronize(void *handle) {
    return guarded([&] {
        const Context &context = *static_cast<Context *>(handle);
        context.activate();
        if (context.late_bad_row.bytes() == 0) {
            context.synchronize();
            return;
        }
        int *const bad_row = context.late_bad_row.as<int>();
        const int row = read_bad_row(context, bad_row); // waits
        if (row != kNoBadRow) {
            clear_bad_row(context, bad_row);
            fail(SAE_NONFINITE, nonfinite_text(row, kRowsOfSeveral));
        }
    });
}

int64_t context_stream(void *context) { return reinterpret_cast<int64_t>(static_cast<Context *>(context)->stream); }

sae_status context_order(void *handle, int64_t address, int32_t direction) {
    return guarded([&] {
        const Context &context = *static_cast<Context *>(handle);
        context.activate();
        const auto stream = reinterpret_cast<cudaStream_t>(address);
        const bool after = direction == SAE_ORDER_AFTER;
        cudaEvent_t event = nullptr;
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
        cudaError_t error = cudaEventRecord(event, after ? stream : context.stream);
        if (error == cudaSuccess) {
            error = cudaStreamWaitEvent(after ? context.stream : stream, event, 0);
        }
        cudaEventDestroy(event); // freed once its waiters have passed
        check(error, "ordering two streams");
    });
}

void context_close(void *handle) {
    const std::unique_ptr<Context> context(static_cast<Context *>(handle));
    cudaSetDevice(context->device);
    cudaStreamSynchronize(context->stream);
    if (context->copies != nullptr) {
        cudaStreamSynchronize(context->copies);
        cudaStreamDestroy(context->copies);
    }
    if (context->owns_stream) {
        cudaStreamDestroy(context->stream);
    }
}

namespace {

constexpr sae_backend_table kTable = {
    .abi_version = SAE_ABI_VERSION,
    .name = "cuda",
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
    .matmul_nt = matmul_nt,
    .gather_rows = gather_rows,
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
} // namespace sae::cuda

extern "C" __attribute__((visibility("default"))) const sae_backend_table *sae_backend_entry(int32_t abi_version) {
    return abi_version == SAE_ABI_VERSION ? &sae::cuda::kTable : nullptr;
}
